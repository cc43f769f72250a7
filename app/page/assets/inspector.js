// The denoise inspector: curves with one cursor, the planes of the shown step, and the tree of branches. It draws what
// inspect/*.json tells, and moves the shown step through the filmstrip.
const CHARTS = [
  {key: 'log_snr', title: 'log SNR', symbol: 'ln ᾱ<sub>t</sub>/(1−ᾱ<sub>t</sub>)', unit: 'nats', info: 'How much signal the noisy state x_t holds: below 0 noise rules, above 0 the object.'},
  {key: 'change', title: 'Change', symbol: '‖x̂<sub>0</sub>−x̂<sub>0</sub>′‖', unit: 'RMS, log scale', log: true, info: 'How far the prediction x0 moved since the step before (root mean square over the code).'},
  {key: 'guidance_norm', title: 'Guidance', symbol: '‖λ∇<sub>x</sub>L<sub>rend</sub>‖', unit: 'norm, log scale', log: true, info: 'How hard the pictures pulled at this step; zero curve without pictures.'},
  {key: 'psnr', title: 'Fit', symbol: 'PSNR', unit: 'dB', info: 'Photometric error on your pictures: higher is closer.'},
  {key: 'opacity', title: 'Opacity', symbol: '', unit: 'share of the picture', info: 'How much of a picture the object covers: fog is large, a solid car is not.'},
  {key: 'extent', title: 'Extent', symbol: '', unit: 'diagonal, scene units', info: 'Size of the box around solid matter; training objects have diagonal 1.'},
];
const STAGES = {denoise: 'Denoising', guide: 'Guided denoising', langevin: 'Langevin correction', renoise: 'Renoise-averaging', finetune: 'Finetuning', result: 'Result'};
const WIDE = 190, HIGH = 56;
const part = (name) => element.querySelector(`.insp-${name}`);
let run = null, other = null, asking = 0, filled = null, playing = null, loop = false, enlarged = null, range = 2, tree = '';

// -- what is shown ---------------------------------------------------------------------------------

const index = () => Math.min(explorer.shown.index, (run?.stages.length ?? 1) - 1);
const look = () => element.querySelector('[data-look][aria-pressed=true]').dataset.look;

async function ask(record) {
  const response = await fetch(`inspect/${explorer.token()}/${record}.json`);
  return response.ok ? response.json() : null;
}

async function refresh() {
  if (!document.body.classList.contains('inspecting')) return;
  const {record} = explorer.shown;
  if (record !== filled) part('branch').reset();
  filled = record;
  const mine = ++asking;
  const found = record === null ? null : await ask(record);
  if (mine !== asking || !found) return;
  run = found;
  other = run.beside.length ? await ask(run.beside[0]) : null;
  drawCharts();
  drawTree();
  drawForm();
  move();
  if (run.pending || other?.pending) setTimeout(() => mine === asking && refresh(), 400);
}

function move() {
  if (!run) return;
  const at = index(), stage = run.stages[at], total = run.stages.length;
  const t = run.t[at] === null || run.t[at] < 0 ? '' : `, t = ${run.t[at]}`;
  const size = (run.bytes / 1024 / total).toFixed(0);
  part('line').innerHTML = `<b>Step ${at + 1} of ${total}</b> ${STAGES[stage] ?? explorer.escape(stage)} ${stage === 'result' ? '' : run.index[at]}${t}`;
  part('cost').textContent = `This run's codes: ${size} KB a step, ${(run.bytes / 2 ** 20).toFixed(1)} MB in all`;
  element.querySelectorAll('.chart').forEach((chart, k) => {
    const x = place(at, longest());
    const cursor = chart.querySelector('.cursor');
    cursor.setAttribute('x1', x);
    cursor.setAttribute('x2', x);
    const value = run.curves[CHARTS[k].key]?.[at];
    chart.querySelector('b').textContent = value === null || value === undefined ? '–' : number(value);
  });
  const noisy = run.noisy[at], obstacle = run.obstacles[at] ?? '';
  part('why').textContent = run.state === 'running' ? '' : obstacle;
  part('primary').disabled = Boolean(obstacle);
  element.querySelectorAll('[data-look]').forEach((button) => {
    const idle = button.dataset.look !== 'x0' && !noisy;
    button.classList.toggle('idle', idle);
    button.setAttribute('aria-disabled', idle);
  });
  drawPlanes();
}

const number = (value) => Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(1) : value.toPrecision(2);
const longest = () => Math.max(...[run, other].filter(Boolean).map((one) => one.stages.length));
const place = (at, total) => 3 + (WIDE - 6) * (total > 1 ? at / (total - 1) : 0.5);

// -- curves ----------------------------------------------------------------------------------------

function drawCharts() {
  part('charts').innerHTML = CHARTS.map((chart, k) => {
    const both = [run, other].filter(Boolean).map((one) => scaled(one.curves[chart.key], chart.log));
    const values = both.flat().filter((value) => value !== null);
    const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
    const total = longest();
    const path = (list) => line(list.map((value, at) => value === null ? null : [place(at, total), HIGH - 5 - (HIGH - 10) * (value - low) / span]));
    const borders = run.stages.map((stage, at) => at && stage !== run.stages[at - 1] && stage !== 'langevin' && run.stages[at - 1] !== 'langevin'
      ? `<line class="border" x1="${place(at - 0.5, total)}" x2="${place(at - 0.5, total)}" y1="0" y2="${HIGH}"/>` : '').join('');
    const lines = both.map((list, k) => `<path class="${k ? 'second' : 'first'}" d="${path(list)}"/>`).reverse().join('');
    const body = values.length ? lines : '';
    const ends = values.length ? [high, low].map((value) => number(chart.log ? 10 ** value : value)) : ['', ''];
    const note = values.length ? '' : `<em>${missing(chart.key)}</em>`;
    return `<div class="chart" data-chart="${chart.key}" title="${chart.info}"><div><span>${chart.title}</span> <i>${chart.symbol}</i><b>–</b></div>` +
      `<div class="plot"><p class="ends"><span>${ends[0]}</span><span>${ends[1]}</span></p>` +
      `<svg viewBox="0 0 ${WIDE} ${HIGH}" preserveAspectRatio="none" role="img" aria-label="${chart.title} over the steps">${borders}${body}<line class="cursor" y1="0" y2="${HIGH}"/></svg></div>` +
      `<p class="axis"><span>${chart.unit}</span><span>step 1 to ${total}</span></p>${note}</div>`;
  }).join('');
}

function missing(key) {
  if (['opacity', 'extent'].includes(key) && run.pending) return 'measuring';
  if (run.stages.length === 1) return 'nothing to show: one step';
  if (['psnr', 'guidance_norm'].includes(key)) return 'needs pictures';
  return run.whole ? 'nothing to show' : 'codes were dropped';
}

const scaled = (list, log) => list.map((value) => value === null || (log && value <= 0) ? null : log ? Math.log10(value) : value);

function line(points) {
  let pen = false, path = '';
  for (const point of points) {
    if (point) path += `${pen ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = Boolean(point);
  }
  return path;
}

function followPointer(event) {
  const svg = event.target.closest('.chart svg');
  if (!svg || !run || event.buttons !== 1) return;
  const box = svg.getBoundingClientRect();
  explorer.go(Math.round((event.clientX - box.left) / box.width * (longest() - 1)));
}
element.addEventListener('pointerdown', followPointer);
element.addEventListener('pointermove', followPointer);

// -- planes ----------------------------------------------------------------------------------------

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
  box.hidden = enlarged === null;
  if (enlarged === null) return;
  const [, channels, rows, cols] = run.planes;
  const [plane, channel] = enlarged;
  const wide = channels * (cols + 2) - 2, high = 3 * (rows + 2) - 2, zoom = 168 / cols;
  const tile = box.querySelector('.tile');
  Object.assign(tile.style, {
    backgroundImage: `url("${sheet()}")`, backgroundSize: `${wide * zoom}px ${high * zoom}px`,
    backgroundPosition: `-${channel * (cols + 2) * zoom}px -${plane * (rows + 2) * zoom}px`, height: `${rows * zoom}px`,
  });
  const address = `planes/${explorer.token()}/${run.record}/${index()}/${plane}/${channel}.json?look=${look() === 'x_t' ? 'x_t' : 'x0'}&range=${range}`;
  const response = await fetch(address);
  if (!response.ok) return;
  const found = await response.json();
  const most = Math.max(...found.counts, 1), width = 190 / found.counts.length;
  const bars = found.counts.map((count, k) => `<rect x="${(k * width).toFixed(1)}" y="${(80 - 78 * count / most).toFixed(1)}" width="${(width - 0.6).toFixed(1)}" height="${(78 * count / most).toFixed(1)}"/>`).join('');
  const name = `${['xy', 'xz', 'yz'][plane]} plane, channel ${channel + 1}`;
  box.querySelector('.bars').innerHTML = `<p class="name">${name}</p><p>texels, up to ${most} a bar</p>` +
    `<svg viewBox="0 0 190 80" role="img" aria-label="How often which values occur in the ${name}">${bars}</svg>` +
    `<p><span>−${range}</span><span>value of the code</span><span>${range}</span></p><p>mean ${number(found.mean)}, spread ${number(found.spread)}</p>`;
}

part('planes').addEventListener('click', (event) => {
  const picture = event.target.closest('img');
  if (!picture || !run) return;
  const box = picture.getBoundingClientRect(), channels = run.planes[1];
  const hit = [Math.floor((event.clientY - box.top) / box.height * 3), Math.floor((event.clientX - box.left) / box.width * channels)];
  enlarged = enlarged && enlarged.join() === hit.join() ? null : hit;
  drawEnlarged();
});
part('planes').addEventListener('keydown', (event) => {
  if (!event.target.closest('.sheet') || !run) return;
  const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
  if (event.key === 'Enter' || event.key === ' ') enlarged = enlarged ? null : [0, 0];
  else if (step && enlarged) enlarged = [(enlarged[0] + step[0] + 3) % 3, (enlarged[1] + step[1] + run.planes[1]) % run.planes[1]];
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
  if (chosen) trigger('select', {value: chosen});
  if (beside) {
    const answer = await explorer.steer({do: 'compare', record: Number(beside)});
    if (answer) explorer.told(answer);
    refresh();
  }
  if (looked) {
    element.querySelectorAll('[data-look]').forEach((one) => one.setAttribute('aria-pressed', one === button));
    const answer = await explorer.steer({do: 'look', look: looked});
    if (answer) explorer.told(answer);
    move();
  }
  if (act === 'loop') button.setAttribute('aria-pressed', loop = !loop);
  if (act === 'play') play(!playing);
  if (act === 'back') explorer.go(index() - 1);
  if (act === 'on') explorer.go(index() + 1);
});

part('branch').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.target, told = Object.fromEntries(new FormData(form));
  trigger('select', {act: 'branch', ...told, swap: form.swap.checked});
});

function drawForm() {
  const form = part('branch'), {settings} = run;
  form.seed.parentElement.title = 'Of all draws after this step' + (['generate', 'blend'].includes(run.kind)
    ? '. All samplers offered are deterministic, so another seed changes only what is drawn after this step (renoising), and that by little.' : '');
  for (const name of ['seed', 'guidance_gain', 'snr_power']) {
    form[name].placeholder = settings[name] ?? '';
    form[name].disabled = settings[name] === null || settings[name] === undefined;
  }
  form.sampler.disabled = !settings.sampler;
  form.swap.disabled = run.kind !== 'reconstruct';
  form.sampler.options[0].textContent = settings.sampler ? `${settings.sampler}, kept` : 'as it was';
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
