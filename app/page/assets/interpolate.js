// Interpolate: corners as thumbnails, a line for two and a square pad for three or four, and the sliders of the main
// directions. Dragging goes straight to the session; what needs a run goes through Python.
const part = (name) => element.querySelector(`.blend-${name}`);
let held = false, drawn = '', watching = null, settling = null, settled = null, outdated = null;
let wishes = Date.now();  // counts what this page has asked for, also across reloads
let state = {corners: [], way: 'slerp', mode: 'ours', point: [0.5, 0.5], ready: false};
let point = [0.5, 0.5], playing = null, loop = true, forward = 1, base = null, varied = null;

async function refresh() {
  const response = await fetch(`blend/${explorer.token()}.json`);
  if (!response.ok || held) return;
  const told = await response.json();
  const {corners, way, mode, ready, record} = told;
  if (record !== null && record === outdated) return;
  const news = JSON.stringify({corners, way, mode, ready});
  state = told;
  if (news !== drawn) draw();
  drawn = news;
}

const ask = (act, more = {}) => trigger('select', {act, ...more});

// What changes the path: until the session has begun another, there is none.
function change(act, more) {
  outdated = state.record ?? null;
  state = {...state, ...more, ready: false};
  drawn = '';
  draw();
  ask(act, more);
}

// -- the pad ---------------------------------------------------------------------------------------

const quality = (corner) => {
  const parts = [];
  if (corner.back !== null) parts.push(`<b class="${corner.back < 30 ? 'low' : ''}">${corner.back >= 60 ? 'exact' : corner.back.toFixed(1) + ' dB'}</b>`);
  if (corner.returned !== null) parts.push(`inverted ${corner.returned.toFixed(1)} dB`);
  else if (corner.own) parts.push('own noise');
  return parts.join('<br>');
};

function slot(place) {
  const corner = state.corners[place];
  const letter = 'ABCD'[place];
  if (!corner) return `<div class="slot empty" data-slot="${place}"><span>${letter}</span><em>empty</em></div>`;
  return `<div class="slot" data-slot="${place}"><img src="film/${explorer.token()}/${corner.record}/last.jpg" alt="${explorer.escape(corner.title)}" draggable="false">` +
    `<button type="button" data-remove="${place}" title="Take ${explorer.escape(corner.title)} out" aria-label="Take ${explorer.escape(corner.title)} out">&times;</button>` +
    `<span>${letter}</span><small title="Above: how like the object is what the path shows at this corner. Below: its own starting noise, or how well DDIM returns it from the noise that inversion found">${quality(corner)}</small></div>`;
}

function draw() {
  const pad = state.corners.length > 2;
  part('pad').className = `blend-pad ${pad ? 'square' : 'line'} ${state.ready ? 'ready' : ''}`;
  const track = `<div class="track" tabindex="0" role="slider" aria-label="Where between the corners" aria-valuemin="0" aria-valuemax="1" aria-valuenow="0"><div class="knob"></div></div>`;
  part('pad').innerHTML = pad ? slot(0) + slot(1) + track + slot(2) + slot(3) : slot(0) + track + slot(1);
  element.querySelectorAll('[data-way]').forEach((one) => one.setAttribute('aria-pressed', one.dataset.way === state.way));
  element.querySelectorAll('[data-mode]').forEach((one) => one.setAttribute('aria-pressed', one.dataset.mode === state.mode));
  element.querySelectorAll('[data-need=ready]').forEach((one) => { one.disabled = !state.ready; });
  part('why').textContent = state.corners.length < 2 ? 'Put two objects into A and B first.' : state.ready ? '' : 'The way is being drawn.';
  for (const ending of ['mp4', 'gif'])
    element.querySelector(`[data-act=${ending}]`).title = `The path from A to B as ${ending === 'gif' ? 'a GIF' : 'a film'}` + (pad ? '; the other corners are not in it' : '');
  place();
}

function place() {
  const track = element.querySelector('.track');
  const knob = track?.firstElementChild;
  if (!knob) return;
  knob.style.left = `${100 * point[0]}%`;
  knob.style.top = state.corners.length > 2 ? `${100 * point[1]}%` : '50%';
  track.setAttribute('aria-valuenow', point[0].toFixed(2));
  track.setAttribute('aria-valuetext', state.corners.length > 2 ? `${point[0].toFixed(2)} across, ${point[1].toFixed(2)} down` : point[0].toFixed(2));
  const [u, v] = point.map((one) => one.toFixed(2));
  const count = state.corners.length;
  part('where').innerHTML = count < 2 ? (count ? 'One more object, and there is a way between them.' : 'Put two objects into A and B: what the view shows, or a seed. Three or four span a pad.')
    : !state.ready ? 'Drawing the keyframes&hellip;' : count > 2 ? `u = <b>${u}</b>, v = <b>${v}</b>` : `<b>${u}</b> of the way from A to B`;
}

async function move(u, v, settle = false) {
  point = [Math.min(Math.max(u, 0), 1), Math.min(Math.max(v, 0), 1)];
  place();
  if (!state.ready) return;
  if (settle) explorer.forget('blend');
  const asked = explorer.steer({do: settle ? 'settle' : 'blend', u: point[0], v: point[1], count: ++wishes});
  if (settle) settled = asked;
  const answer = await asked;
  if (!answer) return;
  explorer.told(answer);
  if (!settle) return;
  newThumbnail(answer);
  if (answer.record !== explorer.shown.record) ask('varied');
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

function drag(event, settle = false) {
  const box = element.querySelector('.track').getBoundingClientRect();
  move((event.clientX - box.left) / box.width, state.corners.length > 2 ? (event.clientY - box.top) / box.height : 0, settle);
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
  if (held) drag(event, true);
  held = false;
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
  explorer.told(answer);
  newThumbnail(answer);
}
part('directions').addEventListener('input', vary);
part('directions').addEventListener('change', () => ask('varied'));

// -- buttons ---------------------------------------------------------------------------------------

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || button.disabled) return;
  const {remove, way, mode, act} = button.dataset;
  if (remove !== undefined) change('remove', {place: Number(remove)});
  if (way) change('choose', {way, mode: state.mode});
  if (mode) change('choose', {way: state.way, mode});
  if (act === 'shown') ask('shown');
  if (act === 'seed') ask('seed', {seed: Number(part('seed').value)});
  if (act === 'dice') part('seed').value = Math.floor(Math.random() * 10000);
  if (act === 'play') playing ? pause() : play(true);
  if (act === 'loop') button.setAttribute('aria-pressed', loop = !loop);
  if (act === 'store') store();
  if (act === 'mp4' || act === 'gif') ask('film', {ending: act});
  if (act === 'reset' && base !== null) {
    sliders().forEach((one) => { one.value = 0; });
    vary().then(() => ask('varied'));
  }
});

explorer.on('corner', ({record}) => ask('record', {record}));
explorer.on('timeline', ({record}) => {
  if (record !== base && record !== varied) {
    base = null;
    sliders().forEach((one) => { one.value = 0; one.nextElementSibling.textContent = '0.0σ'; });
  }
});
new IntersectionObserver(() => {
  clearInterval(watching);
  watching = element.offsetParent ? setInterval(refresh, 500) : null;
  if (element.offsetParent) refresh();
  else play(false);
}).observe(element);
draw();
