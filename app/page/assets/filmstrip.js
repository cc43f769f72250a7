// Scrubbing: press or drag over the strip, or use the arrow keys; the newest step stays in sight while a run goes on.
let shown = null;
let following = null;
let picking = 0;   // choices that the server has not answered yet
let revision = 0;  // of the session when it answered the last one: what was drawn before does not undo the choice

const box = element.querySelector('.strip');
const strip = () => box.querySelector('.tl');
const figureAt = (index) => element.querySelector(`.tl-strip figure[data-index="${index}"]`);

function mark(figure) {
  element.querySelectorAll('.tl-sel').forEach((other) => other.classList.remove('tl-sel'));
  figure.classList.add('tl-sel');
  strip().dataset.shown = shown;
  const slider = element.querySelector('.tl-strip');
  slider.setAttribute('aria-valuenow', Number(shown) + 1);
  slider.setAttribute('aria-valuetext', figure.title);
}

function keepInSight(figure, behavior) {
  const box = element.querySelector('.tl-strip');
  const left = figure.offsetLeft - box.offsetLeft;
  if (left < box.scrollLeft || left + figure.offsetWidth > box.scrollLeft + box.clientWidth)
    box.scrollTo({left: left - box.clientWidth / 2, behavior});
}

async function pick(figure) {
  if (!figure || figure.dataset.index === shown) return;
  shown = figure.dataset.index;
  mark(figure);
  publish();
  picking++;
  await explorer.steer({do: 'step', record: Number(strip().dataset.record), index: Number(shown)});
  picking--;
}

// Every answer says what is shown.
explorer.told = (answer) => {
  revision = Math.max(revision, answer.revision);
  explorer.selected = answer.record;
  const line = element.querySelector('.tl-shown');
  if (line) line.innerHTML = answer.text;
  explorer.tell('panes', answer);
};

function publish() {
  const {record, count, state} = strip().dataset;
  explorer.shown = {record: Number(record), index: Number(shown), count: Number(count), state};
  if (Number(strip().dataset.revision) >= revision) explorer.selected = explorer.shown.record;
  explorer.tell('shown', explorer.shown);
}

explorer.go = (index) => {
  const figure = figureAt(Math.min(Math.max(index, 0), Number(strip()?.dataset.count ?? 1) - 1));
  pick(figure);
  if (figure) keepInSight(figure, 'instant');
};

function under(event) {
  const target = document.elementFromPoint(event.clientX, event.clientY);
  return target && target.closest('.tl-strip figure[data-index]');
}

element.addEventListener('pointerdown', (event) => {
  if (event.button === 0 && event.target.closest('.tl-strip')) pick(under(event));
});
element.addEventListener('pointermove', (event) => {
  if (event.buttons === 1 && event.pointerType === 'mouse') pick(under(event));
});
document.addEventListener('keydown', (event) => {
  const within = element.querySelector('.tl-strip')?.contains(event.target);
  const step = {ArrowLeft: -1, ArrowRight: 1, ...(within ? {ArrowDown: -1, ArrowUp: 1, Home: -1e6, End: 1e6} : {})}[event.key];
  const inspecting = document.body.classList.contains('inspecting');
  if (!step || !strip() || (explorer.typing(event) && !within) || (!inspecting && !within)) return;
  event.preventDefault();
  explorer.go(Number(strip().dataset.shown) + step);
});

// The status is told aloud when it is about something else, not at every step.
let heard = 'Ready';
function tellStatus() {
  const text = element.querySelector('.tl-status').textContent, about = text.replace(/[\d,].*/, '');
  if (about === heard) return;
  heard = about;
  document.getElementById('live').textContent = text;
}

// While somebody slides, the strip rests: all its pictures would be drawn again for every place on the way.
const REST_MS = 300;
let held = null;

explorer.hear('timeline', (html) => {
  clearTimeout(held);
  const rest = explorer.slid + REST_MS - performance.now();
  if (rest > 0) held = setTimeout(draw, rest, html);
  else draw(html);
});

function draw(html) {
  explorer.patch(box, html);
  tellStatus();
  const selected = element.querySelector('.tl-sel');
  if (!selected) return;
  const late = picking || Number(strip().dataset.revision) < revision;
  const chosen = late && Number(strip().dataset.record) === explorer.shown.record && figureAt(shown);
  if (chosen) mark(chosen);
  else shown = strip().dataset.shown;
  publish();
  explorer.tell('timeline', explorer.shown);
  if (!chosen) explorer.tell('panes', JSON.parse(strip().dataset.panes));
  if (following !== shown) {
    following = shown;
    keepInSight(chosen || selected, explorer.motion());
  }
}
