// Interpolate: corners as thumbnails, a line for two and a square pad for three or four or for two parts of two, the
// matrix of exchanges, and the sliders of the main directions. Dragging goes straight to the session; what needs a run goes through Python.
const part = (name) => element.querySelector(`.blend-${name}`);
let held = false, drawn = '', newest = null, drawing = null, ran = null, settling = null, settled = null, outdated = null;
let wishes = Date.now();  // counts what this page has asked for, also across reloads
let state = {corners: [], way: 'slerp', ways: ['slerp', 'lerp', 'code'], parts: [], draws: true, directions: [], mode: 'ours', modes: [], point: [0.5, 0.5], ready: false};
let told = false, matrix = '', filling = false;
let point = [0.5, 0.5], playing = null, loop = true, forward = 1, base = null, varied = null;

explorer.hear('blend', (report) => {
  newest = report;
  refresh();
});

function refresh() {
  if (held || !newest) return;
  const report = newest, {corners, way, ways, parts, draws, directions, mode, modes, ready, record} = report;
  if (record !== null && record === outdated) return;
  const news = JSON.stringify({corners, way, ways, parts, draws, directions, mode, modes, ready});
  state = report;
  told = true;
  if (news !== drawn) draw();
  drawn = news;
}

const ask = (act, more = {}) => explorer.ask({do: 'path', act, ...more});

// What changes the path: until the session has begun another, there is none.
function change(act, more) {
  outdated = state.record ?? null;
  state = {...state, ...more, ready: false};
  drawn = '';
  draw();
  ask(act, more);
}

const noises = () => state.ways.includes('slerp');
// Two parts, one along each side of the pad, between the first two objects.
const exchanges = () => state.way === 'parts' && state.corners.length > 1;
const square = () => state.corners.length > 2 || exchanges();
const exchange = (first, second) => `${'ABCD'[first]}'s ${state.parts[0]}, ${'ABCD'[second]}'s ${state.parts[1]}`;

// -- the pad ---------------------------------------------------------------------------------------

const quality = (corner) => {
  const parts = [];
  if (corner.back !== null) parts.push(`<b class="${corner.back < 30 ? 'low' : ''}">${corner.back >= 60 ? 'exact' : corner.back.toFixed(1) + ' dB'}</b>`);
  if (corner.returned !== null) parts.push(`inverted ${corner.returned.toFixed(1)} dB`);
  else if (corner.own && noises()) parts.push('own noise');
  return parts.join('<br>');
};

function slot(place) {
  const corner = state.corners[place];
  const letter = 'ABCD'[place];
  if (!corner) return `<div class="slot empty" data-slot="${place}"><span>${letter}</span><em>empty</em></div>`;
  return `<div class="slot" data-slot="${place}"><img src="film/${explorer.token()}/${corner.record}/last.jpg" alt="${explorer.escape(corner.title)}" draggable="false">` +
    remover(place) +
    `<span>${letter}</span><small title="Above: how like the object is what the path shows at this corner. Below: its own starting noise, or how well DDIM returns it from the noise that inversion found">${quality(corner)}</small></div>`;
}

const remover = (place) => `<button type="button" data-remove="${place}" title="Take ${explorer.escape(state.corners[place].title)} out" aria-label="Take ${explorer.escape(state.corners[place].title)} out">&times;</button>`;
const swapped = (first, second) => `<img data-src="swap/${explorer.token()}/${first}/${second}.jpg?of=${state.corners[first].record}-${state.corners[second].record}" alt="${exchange(first, second)}" title="${exchange(first, second)}" draggable="false">`;
const target = (first, second) => `<button type="button" class="cell" data-at="${first},${second}" title="Show ${exchange(first, second)}" data-need="ready">${swapped(first, second)}</button>`;
const between = (first, second) => `<div class="slot swapped">${target(first, second)}<small>${exchange(first, second).replace(', ', ',<br>')}</small></div>`;

// Every shape with every texture. The first two objects lie on the pad, so that their cells lead there.
function drawMatrix() {
  const shown = exchanges();
  part('swap').hidden = !shown;
  if (!shown) return;
  const all = state.corners, [rows, cols] = state.parts;
  const titled = (place, what) => `<th scope="${what === rows ? 'row' : 'col'}" title="${explorer.escape(all[place].title)}">${'ABCD'[place]}'s ${what}${what === rows && place > 1 ? remover(place) : ''}</th>`;
  const cell = (row, col) => `<td>${row < 2 && col < 2 ? target(row, col) : swapped(row, col)}</td>`;
  const drawn = `<h2>Exchanges <small>each row has one ${rows}, each column one ${cols}</small></h2><table><thead><tr><td></td>${all.map((_, k) => titled(k, cols)).join('')}</tr></thead>` +
    `<tbody>${all.map((_, row) => `<tr>${titled(row, rows)}${all.map((_, col) => cell(row, col)).join('')}</tr>`).join('')}</tbody></table>`;
  if (drawn !== matrix) part('swap').innerHTML = matrix = drawn;
}

// One picture at a time: the view and the steps want the connections too.
function fill() {
  const next = filling ? null : element.querySelector('img[data-src]');
  if (!next) return;
  filling = true;
  next.onload = next.onerror = () => {
    filling = false;
    fill();
  };
  next.src = next.dataset.src;
  delete next.dataset.src;
}

// What the model has: its ways, procedures and directions.
function drawChoices() {
  element.querySelectorAll('[data-way]').forEach((one) => { one.hidden = !state.ways.includes(one.dataset.way); });
  const parts = element.querySelector('[data-way=parts]'), [first, second] = state.parts;
  if (second) {
    parts.textContent = `${first[0].toUpperCase()}${first.slice(1)} and ${second}`;
    parts.title = `The ${first} from A to B along one side of the pad, the ${second} along the other`;
  }
  part('ways').hidden = !state.ways.length;
  part('modes').hidden = !noises() || state.modes.length < 2;
  part('new').hidden = !state.draws;
  if (!told) return;
  part('main').hidden = !state.directions.length;
  part('directions').classList.toggle('named', state.directions.some((name) => /\D/.test(name)));
  element.querySelectorAll('.blend-directions label').forEach((label, k) => {
    const name = state.directions[k];
    label.hidden = name === undefined;
    if (label.hidden) return;
    label.firstElementChild.textContent = name[0].toUpperCase() + name.slice(1);
    label.querySelector('input').setAttribute('aria-label', `Direction ${name}`);
    label.title = `Principal direction ${name} of the training latents, in standard deviations`;
  });
}

function draw() {
  const pad = square(), two = exchanges();
  drawMatrix();
  drawChoices();
  part('pad').className = `blend-pad ${pad ? 'square' : 'line'} ${state.ready ? 'ready' : ''}`;
  const track = `<div class="track" tabindex="0" role="slider" aria-label="Where between the corners" aria-valuemin="0" aria-valuemax="1" aria-valuenow="0"><div class="knob"></div></div>`;
  part('pad').innerHTML = two ? slot(0) + between(1, 0) + track + between(0, 1) + slot(1) : pad ? slot(0) + slot(1) + track + slot(2) + slot(3) : slot(0) + track + slot(1);
  element.querySelectorAll('[data-way]').forEach((one) => one.setAttribute('aria-pressed', one.dataset.way === state.way));
  element.querySelectorAll('[data-mode]').forEach((one) => one.setAttribute('aria-pressed', one.dataset.mode === state.mode));
  element.querySelectorAll('[data-need=ready]').forEach((one) => { one.disabled = !state.ready; });
  part('why').textContent = !state.ways.length ? 'This model has no way between two objects; choose another.' : state.corners.length < 2 ? 'Put two objects into A and B first.' : state.ready ? '' : 'The way is being drawn.';
  for (const ending of ['mp4', 'gif'])
    element.querySelector(`[data-act=${ending}]`).title = `The path from A to B as ${ending === 'gif' ? 'a GIF' : 'a film'}` + (two ? `, ${state.parts.join(' and ')} together` : pad ? '; the other corners are not in it' : '');
  place();
  fill();
}

function place() {
  const track = element.querySelector('.track');
  const knob = track?.firstElementChild;
  if (!knob) return;
  knob.style.left = `${100 * point[0]}%`;
  knob.style.top = square() ? `${100 * point[1]}%` : '50%';
  track.setAttribute('aria-valuenow', point[0].toFixed(2));
  track.setAttribute('aria-valuetext', exchanges() ? `${state.parts[0]} ${point[0].toFixed(2)}, ${state.parts[1]} ${point[1].toFixed(2)} of the way from A to B` : square() ? `${point[0].toFixed(2)} across, ${point[1].toFixed(2)} down` : point[0].toFixed(2));
  const [u, v] = point.map((one) => one.toFixed(2));
  const count = state.corners.length;
  part('where').innerHTML = count < 2 ? (count ? 'One more object, and there is a way between them.' : `Put two objects into A and B: what the view shows${state.draws ? ', or a seed' : ''}. ${state.way === 'parts' ? 'Two' : 'Three or four'} span a pad.`)
    : !state.ready ? 'Drawing the keyframes&hellip;' : exchanges() ? `${state.parts[0]} <b>${u}</b>, ${state.parts[1]} <b>${v}</b> of the way from A to B` : count > 2 ? `u = <b>${u}</b>, v = <b>${v}</b>` : `<b>${u}</b> of the way from A to B`;
}

async function move(u, v, settle = false) {
  point = [Math.min(Math.max(u, 0), 1), Math.min(Math.max(v, 0), 1)];
  place();
  if (!state.ready) return;
  if (settle) explorer.forget('blend');
  const asked = explorer.steer({do: settle ? 'settle' : 'blend', u: point[0], v: point[1], count: ++wishes});
  if (settle) settled = asked;
  const answer = await asked;
  if (answer && settle) newThumbnail(answer);
}

async function store() {
  clearTimeout(settling);
  await settled;
  ask('store');
}

function newThumbnail(answer) {
  const picture = document.querySelector(`.tl[data-record="${answer.record}"] figure[data-index="${answer.index}"] img`);
  if (picture) picture.src = `film/${explorer.token()}/${answer.record}/${answer.index}.jpg?version=${answer.version}`;
}

// The object of a seed becomes a corner when it has been drawn.
async function drawSeed(seed) {
  drawing = (await ask('seed', {seed}))?.job ?? null;
  addDrawn();
}

function addDrawn() {
  if (drawing === null || ran?.id !== drawing || ran.busy) return;
  if (ran.state === 'done') ask('drawn', {job: drawing});
  drawing = null;
}

explorer.hear('run', (run) => {
  ran = run;
  addDrawn();
});

function drag(event, settle = false) {
  const box = element.querySelector('.track').getBoundingClientRect();
  move((event.clientX - box.left) / box.width, square() ? (event.clientY - box.top) / box.height : 0, settle);
}

part('pad').addEventListener('pointerdown', (event) => {
  if (!event.target.closest('.track') || event.button) return;
  event.preventDefault();
  event.target.closest('.track').focus();
  play(false);
  held = true;
  drag(event);
});
window.addEventListener('pointermove', (event) => held && drag(event));
window.addEventListener('pointerup', (event) => {
  if (!held) return;
  drag(event, true);
  held = false;
  refresh();
});
part('pad').addEventListener('keydown', (event) => {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!step || !event.target.closest('.track')) return;
  event.preventDefault();
  move(point[0] + step[0] / 40, point[1] + step[1] / 40);
  clearTimeout(settling);
  settling = setTimeout(() => move(...point, true), 400);
});

function play(on) {
  clearInterval(playing);
  playing = null;
  if (on && state.ready) {
    if (point[0] >= 1) forward = -1;
    if (point[0] <= 0) forward = 1;
    playing = setInterval(() => {
      if (point[0] + forward / 48 > 1 || point[0] + forward / 48 < 0) {
        if (!loop) return pause();
        forward = -forward;
      }
      move(point[0] + forward / 48, point[1]);
    }, 70);
  }
  const button = element.querySelector('[data-act=play]');
  button.setAttribute('aria-pressed', Boolean(playing));
  button.textContent = playing ? 'Pause' : 'Play';
}

// Where it stops the object is drawn in full.
function pause() {
  if (!playing) return;
  play(false);
  move(...point, true);
}

// -- directions ------------------------------------------------------------------------------------

const sliders = () => [...part('directions').querySelectorAll('input')];

async function vary() {
  if (base === null) base = explorer.shown.record;
  const amounts = sliders().map((one) => Number(one.value));
  sliders().forEach((one) => { one.nextElementSibling.textContent = `${one.value > 0 ? '+' : ''}${Number(one.value).toFixed(1)}σ`; });
  const answer = await explorer.steer({do: 'vary', record: base, amounts});
  if (!answer) return;
  varied = answer.record;
  newThumbnail(answer);
}
part('directions').addEventListener('input', vary);

// -- buttons ---------------------------------------------------------------------------------------

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || button.disabled) return;
  const {remove, way, mode, act, at} = button.dataset;
  if (at) {
    play(false);
    move(...at.split(',').map(Number), true);
  }
  if (remove !== undefined) change('remove', {place: Number(remove)});
  if (way) change('choose', {way, mode: state.mode});
  if (mode) change('choose', {way: state.way, mode});
  if (act === 'shown') ask('add');
  if (act === 'seed') drawSeed(Number(part('seed').value));
  if (act === 'dice') part('seed').value = Math.floor(Math.random() * 10000);
  if (act === 'play') playing ? pause() : play(true);
  if (act === 'loop') button.setAttribute('aria-pressed', loop = !loop);
  if (act === 'store') store();
  if (act === 'mp4' || act === 'gif') ask('film', {ending: act});
  if (act === 'reset' && base !== null) {
    sliders().forEach((one) => { one.value = 0; });
    vary();
  }
});

explorer.on('corner', ({record}) => ask('add', {record}));
explorer.on('timeline', ({record}) => {
  if (record !== base && record !== varied) {
    base = null;
    sliders().forEach((one) => { one.value = 0; one.nextElementSibling.textContent = '0.0σ'; });
  }
});
new IntersectionObserver(() => {
  const open = Boolean(element.offsetParent);
  explorer.want('blend', open);
  if (!open) play(false);
}).observe(element);
draw();
