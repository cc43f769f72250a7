// The inspector: curves with one cursor, the latent of the shown step, and the tree of branches. It draws what
// inspect/*.json tells, and moves the shown step through the filmstrip.
const part = (name) => element.querySelector(`.insp-${name}`);
let run = null, other = null, fetching = false, stale = false, filled = null, playing = null, loop = false, enlarged = null, range = 2, tree = '', cards = '', fields = '', zoom = null;

// -- what is shown ---------------------------------------------------------------------------------

const index = () => Math.min(explorer.shown.index, (run?.stages.length ?? 1) - 1);
const look = () => element.querySelector('[data-look][aria-pressed=true]').dataset.look;

async function ask(record) {
  const response = await fetch(`inspect/${explorer.token()}/${record}.json`);
  return response.ok ? response.json() : null;
}

// Asks again when something has changed meanwhile, and not more often than it is told.
async function refresh() {
  if (!document.body.classList.contains('inspecting')) return;
  stale = true;
  if (fetching) return;
  fetching = true;
  while (stale) {
    stale = false;
    await update().catch(() => null);
    await new Promise((done) => setTimeout(done, 100));
  }
  fetching = false;
}

async function update() {
  const {record} = explorer.shown;
  if (record !== filled) {
    part('branch').reset();
    zoom = null;
  }
  filled = record;
  const found = record === null ? null : await ask(record);
  if (!found) return;
  run = found;
  other = run.beside.length ? await ask(run.beside[0]) : null;
  drawCards();
  drawCurves();
  drawTree();
  drawForm();
  move();
}

function move() {
  if (!run) return;
  const at = index(), stage = run.stages[at], total = run.stages.length;
  const t = run.t[at] === null || run.t[at] < 0 ? '' : `, t = ${run.t[at]}`;
  part('line').innerHTML = `<b>Step ${at + 1} of ${total}</b> ${explorer.escape(run.titles[stage] ?? stage)} ${stage === 'result' ? '' : run.index[at]}${t}`;
  part('cost').textContent = run.cost;
  element.querySelectorAll('.chart b').forEach((shown, k) => {
    const value = run.figure.data[k].y[at];
    shown.textContent = value === null ? '–' : number(value);
  });
  moveCursor();
  const noisy = run.noisy[at], obstacle = run.obstacles[at] ?? '';
  part('why').textContent = run.state === 'running' ? '' : obstacle;
  part('primary').disabled = Boolean(obstacle);
  element.querySelectorAll('[data-look]').forEach((button) => {
    const idle = button.dataset.look !== 'x0' && !noisy;
    const never = idle && !run.noisy.some(Boolean) && !(other && button.dataset.look === 'difference');
    button.classList.toggle('idle', idle);
    button.setAttribute('aria-disabled', idle);
    button.disabled = never;
    button.dataset.title ??= button.title;
    button.title = never ? 'No step of this run has a noisy state: its latents are sampled or fitted directly' : button.dataset.title;
  });
  part('note').textContent = run.sheet.note;
  drawPlanes();
}

const number = (value) => Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(1) : value.toPrecision(2);
const longest = () => Math.max(...[run, other].filter(Boolean).map((one) => one.stages.length));

// -- curves: one figure behind the cards, with a subplot where each card has room for it -----------

const graph = part('curves');
const numbered = (name, k) => k ? `${name}${k + 1}` : name;

function drawCards() {
  const drawn = run.charts.map(({key, title, symbol, unit, info, note}, k) =>
    `<div class="chart" data-chart="${key}"><div title="${info}"><span>${title}</span> <i>${symbol}</i><b>–</b></div><div class="plot"><i class="cursor"></i></div>` +
    `<p class="axis"><span>${unit}</span><span class="steps"></span></p><em>${other?.charts[k].note === '' ? '' : note}</em></div>`).join('');
  if (drawn !== cards) part('cards').innerHTML = cards = drawn;
}

// Where the cards leave room, in shares of the figure; nothing while the tab is hidden.
function places() {
  const all = graph.getBoundingClientRect();
  return all.width ? [...element.querySelectorAll('.chart .plot')].map((plot) => {
    const box = plot.getBoundingClientRect();
    return {
      x: [(box.left - all.left) / all.width, (box.right - all.left) / all.width],
      y: [(all.bottom - box.bottom) / all.height, (all.bottom - box.top) / all.height],
    };
  }) : [];
}

function layout() {
  const look = explorer.look(element), whole = {template: look, width: graph.clientWidth, height: graph.clientHeight, dragmode: 'pan', hovermode: 'x'};
  places().forEach(({x, y}, k) => {
    const [along, up] = [numbered('xaxis', k), numbered('yaxis', k)], empty = run.charts[k].note && other?.charts[k].note !== '';
    whole[along] = {...run.figure.layout[along], domain: x};
    whole[up] = {...run.figure.layout[up], domain: y, showticklabels: !empty};
  });
  if (zoom) whole.xaxis.range = zoom;
  return whole;
}

const traces = (one, colour, dash) => one.figure.data.map((trace) => ({...trace, line: {color: colour, dash, width: 1.6}}));

async function drawCurves() {
  const Plotly = await explorer.plotly();
  if (!Plotly || !run || !places().length) return;
  const [first, second] = explorer.look(element).layout.colorway;
  await Plotly.react(graph, [...(other ? traces(other, second, '4px,3px') : []), ...traces(run, first, 'solid')], layout(), explorer.figure);
  graph.removeAllListeners('plotly_relayout');
  graph.on('plotly_relayout', zoomed);
  zoomed();
}

const seen = () => graph.layout?.xaxis.range ?? [0.5, longest() + 0.5];

// The cursor is an element of its own: a shape that moves by Plotly.relayout holds the frames of the view up for 20 ms a step.
function moveCursor() {
  const [low, high] = seen(), share = (index() + 1 - low) / (high - low);
  element.querySelectorAll('.chart .cursor').forEach((cursor) => {
    cursor.style.left = `${100 * share}%`;
    cursor.hidden = share < 0 || share > 1;
  });
}

// The steps that are seen stay when the curves grow and the cursor moves.
function zoomed() {
  const {autorange, range} = graph.layout.xaxis;
  zoom = autorange ? null : [...range];
  const [first, last] = [Math.max(1, Math.ceil(range[0])), Math.min(longest(), Math.floor(range[1]))];
  element.querySelectorAll('.steps').forEach((line) => { line.textContent = `step ${first} to ${last}`; });
  moveCursor();
}

function zoomBy(factor) {
  if (!graph.layout) return;
  const total = longest(), wide = Math.max((seen()[1] - seen()[0]) * factor, 2), left = Math.min(Math.max(index() + 1 - wide / 2, 0.5), total + 0.5 - wide);
  window.Plotly.relayout(graph, wide < total ? {'xaxis.range': [left, left + wide]} : {'xaxis.autorange': true});
}

// Dragging goes through the steps; plotly gets only what is dragged with Shift, which it zooms into.
function followPointer(event) {
  if (!graph.layout || event.buttons !== 1 || event.shiftKey) return;
  const plot = [...element.querySelectorAll('.chart .plot')].map((one) => one.getBoundingClientRect()).find((one) =>
    event.clientX >= one.left && event.clientX <= one.right && event.clientY >= one.top && event.clientY <= one.bottom);
  if (!plot) return;
  const [low, high] = seen(), step = Math.round(low + (high - low) * (event.clientX - plot.left) / plot.width);
  explorer.go(Math.min(Math.max(step, 1), longest()) - 1);
}
graph.addEventListener('pointerdown', followPointer);
graph.addEventListener('pointermove', followPointer);
for (const kind of ['mousedown', 'touchstart']) graph.addEventListener(kind, (event) => event.shiftKey || event.stopPropagation(), true);
graph.addEventListener('dblclick', () => graph.layout && window.Plotly.relayout(graph, {'xaxis.autorange': true}));
new ResizeObserver(() => graph.layout && drawCurves()).observe(graph);

// -- the latent ------------------------------------------------------------------------------------

const sheet = () => `planes/${explorer.token()}/${run.record}/${index()}.png?look=${look() === 'x_t' ? 'x_t' : 'x0'}&range=${range}&version=${run.version}`;

function drawPlanes() {
  const picture = part('planes').querySelector('img');
  const address = sheet();
  if (picture.getAttribute('src') === address || picture.dataset.wanted) {
    picture.dataset.wanted = picture.getAttribute('src') === address ? '' : address;
    return;
  }
  picture.dataset.wanted = 'loading';
  picture.onload = picture.onerror = () => {
    picture.dataset.wanted = '';
    if (picture.getAttribute('src') !== sheet()) drawPlanes();
    else drawEnlarged();
  };
  picture.src = address;
}

async function drawEnlarged() {
  const box = part('enlarged');
  if (enlarged && (enlarged[0] >= run.sheet.rows.length || enlarged[1] >= run.sheet.cols.length)) enlarged = null;
  box.hidden = enlarged === null;
  if (enlarged === null) return;
  const {rows, cols, unit, tile: [height, width]} = run.sheet;
  const [row, col] = enlarged;
  const wide = cols.length * (width + 2) - 2, high = rows.length * (height + 2) - 2, zoom = 168 / width;
  const tile = box.querySelector('.tile');
  Object.assign(tile.style, {
    backgroundImage: `url("${sheet()}")`, backgroundSize: `${wide * zoom}px ${high * zoom}px`,
    backgroundPosition: `-${col * (width + 2) * zoom}px -${row * (height + 2) * zoom}px`, height: `${height * zoom}px`,
  });
  const address = `planes/${explorer.token()}/${run.record}/${index()}/${row}/${col}.json?look=${look() === 'x_t' ? 'x_t' : 'x0'}&range=${range}`;
  const response = await fetch(address);
  if (!response.ok) return;
  const found = await response.json();
  const name = [rows[row], cols[col]].filter(Boolean).join(', '), bars = box.querySelector('.bars');
  if (!bars.firstChild) bars.innerHTML = '<p class="name"></p><p class="unit"></p><div class="histogram" role="img"></div><p class="spread"></p>';
  bars.querySelector('.name').textContent = name;
  bars.querySelector('.unit').textContent = `${unit}, by their value`;
  bars.querySelector('.spread').textContent = `mean ${number(found.mean)}, spread ${number(found.spread)}`;
  const drawn = bars.querySelector('.histogram'), Plotly = await explorer.plotly();
  drawn.setAttribute('aria-label', `How often which values occur in the ${name}`);
  if (Plotly) Plotly.react(drawn, found.figure.data, {...found.figure.layout, template: explorer.look(element), margin: {l: 30, r: 8, t: 4, b: 16}}, explorer.figure);
}

const wrapped = (place, list) => (place + list.length) % list.length;

part('planes').addEventListener('click', (event) => {
  const picture = event.target.closest('img');
  if (!picture || !run) return;
  const box = picture.getBoundingClientRect(), {rows, cols} = run.sheet;
  const hit = [Math.floor((event.clientY - box.top) / box.height * rows.length), Math.floor((event.clientX - box.left) / box.width * cols.length)];
  enlarged = enlarged && enlarged.join() === hit.join() ? null : hit;
  drawEnlarged();
});
part('planes').addEventListener('keydown', (event) => {
  if (!event.target.closest('.sheet') || !run) return;
  const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
  if (event.key === 'Enter' || event.key === ' ') enlarged = enlarged ? null : [0, 0];
  else if (step && enlarged) enlarged = [wrapped(enlarged[0] + step[0], run.sheet.rows), wrapped(enlarged[1] + step[1], run.sheet.cols)];
  else return;
  event.preventDefault();
  drawEnlarged();
});
explorer.closes(() => enlarged !== null && element.offsetParent, () => { enlarged = null; drawEnlarged(); });
part('planes').addEventListener('input', (event) => {
  range = Number(event.target.value);
  part('planes').querySelector('output').textContent = `±${range.toFixed(1)}`;
  drawPlanes();
});

// -- the tree --------------------------------------------------------------------------------------

function drawTree() {
  const runs = run.tree;
  part('tree').hidden = runs.length < 2;
  if (runs.length < 2) return;
  const most = Math.max(...runs.map((one) => one.steps)), x = (at) => 8 + 180 * at / Math.max(most - 1, 1), y = (row) => 12 + 24 * row;
  const row = Object.fromEntries(runs.map((one, k) => [one.id, k]));
  const marks = runs.map((one, k) => {
    const from = one.trunk && one.trunk[0] in row ? one.trunk[1] : 0;
    const bend = one.trunk && one.trunk[0] in row ? `<path d="M${x(from)} ${y(row[one.trunk[0]])}C${x(from)} ${y(k)} ${x(from)} ${y(k)} ${x(from + 0.8)} ${y(k)}"/>` : '';
    return `<g class="${one.id === run.record ? 'first' : one.id === other?.record ? 'second' : ''}">${bend}<line x1="${x(from + (bend ? 0.8 : 0))}" x2="${x(one.steps - 1)}" y1="${y(k)}" y2="${y(k)}"/><circle cx="${x(one.steps - 1)}" cy="${y(k)}" r="3.5"/></g>`;
  }).join('');
  const counted = (one) => `${one.steps} step${one.steps === 1 ? '' : 's'}${one.state === 'done' ? '' : `, ${one.state}`}`;
  const labels = runs.map((one) => `<div><button type="button" data-run="${one.id}" aria-pressed="${one.id === run.record}">${explorer.escape(one.title)} <small>${counted(one)}</small></button>` +
    (one.id === run.record ? '' : `<button type="button" class="vs" data-beside="${one.id}" aria-pressed="${one.id === other?.record}" title="Show beside the chosen run, with one camera">Compare</button>`) + '</div>').join('');
  const drawn = `<h2>Branches <small>each row is a run, from its first step on the left to its last</small></h2><div class="tree"><div><svg width="196" height="${24 * runs.length}" role="img" aria-label="Where the runs part">${marks}</svg><p class="axis"><span>step 1</span><span>${most}</span></p></div><div class="names">${labels}</div></div>`;
  if (drawn !== tree) part('tree').innerHTML = tree = drawn;
}

element.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const {run: chosen, beside, look: looked, act} = button.dataset;
  if (chosen) explorer.steer({do: 'show', record: Number(chosen)});
  if (beside) explorer.steer({do: 'compare', record: Number(beside)});
  if (looked) {
    element.querySelectorAll('[data-look]').forEach((one) => one.setAttribute('aria-pressed', one === button));
    await explorer.steer({do: 'look', look: looked});
    move();
  }
  if (button.dataset.zoom) zoomBy(Number(button.dataset.zoom));
  if (act === 'loop') button.setAttribute('aria-pressed', loop = !loop);
  if (act === 'play') play(!playing);
  if (act === 'back') explorer.go(index() - 1);
  if (act === 'on') explorer.go(index() + 1);
});

part('branch').addEventListener('submit', (event) => {
  event.preventDefault();
  const {seed, swap, ...settings} = Object.fromEntries(new FormData(event.target));
  explorer.ask({do: 'branch', seed: seed ?? '', swap: Boolean(swap), settings});
});

function drawForm() {
  const form = part('branch'), drawn = run.settings.map(field).join('');
  form.seed.placeholder = run.seed ?? '';
  form.seed.disabled = run.seed === null;
  form.swap.parentElement.hidden = form.swap.disabled = run.kind !== 'reconstruct';
  if (drawn !== fields) part('settings').innerHTML = fields = drawn;
}

function field({name, title, info, choices, low, high, value}) {
  const kept = explorer.escape(value === null ? 'as it was' : String(value));
  const options = choices.map((choice) => `<option>${explorer.escape(choice)}</option>`).join('');
  return `<label title="${explorer.escape(info)}">${explorer.escape(title)} ` + (choices.length
    ? `<select name="${name}"><option value="">${kept}${value === null ? '' : ', kept'}</option>${options}</select>`
    : `<input name="${name}" type="number" min="${low}" max="${high}" step="any" placeholder="${kept}">`) + '</label>';
}

// -- playing ---------------------------------------------------------------------------------------

function play(on) {
  clearInterval(playing);
  playing = null;
  if (on && run) {
    if (index() >= explorer.shown.count - 1) explorer.go(0);
    playing = setInterval(() => {
      if (index() < explorer.shown.count - 1) explorer.go(index() + 1);
      else if (loop) explorer.go(0);
      else if (explorer.shown.state !== 'running') play(false);
    }, 140);
  }
  const button = element.querySelector('[data-act=play]');
  button.setAttribute('aria-pressed', Boolean(playing));
  button.textContent = playing ? 'Pause' : 'Play';
}
document.addEventListener('keydown', (event) => {
  if (event.key !== ' ' || !document.body.classList.contains('inspecting') || explorer.typing(event)) return;
  event.preventDefault();
  play(!playing);
});

explorer.on('shown', () => run && explorer.shown.record === run.record && explorer.shown.index < run.stages.length ? move() : refresh());
explorer.on('timeline', refresh);
new IntersectionObserver((seen) => {
  const open = seen.some((one) => one.isIntersecting) || Boolean(element.offsetParent);
  document.body.classList.toggle('inspecting', open);
  if (open) refresh();
  else play(false);
}).observe(element);
