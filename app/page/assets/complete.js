// Complete: a half, a box dragged in the view or typed, or brushed surfaces; the rest is drawn anew.
const part = (name) => element.querySelector(`.complete-${name}`);
const WITHOUT = 'The model of this object cannot draw a part of it anew; choose another model above.';
const canvas = document.getElementById('stroke');
let state = {box: null, brushed: false}, brushing = false, stroke = null;

const ask = (act, more = {}) => explorer.ask({do: 'mark', act, ...more});
const numbers = () => [...part('box').querySelectorAll('input')];

function draw(told) {
  state = told;
  element.querySelectorAll('button, input').forEach((one) => { one.disabled = !told.able; });
  part('of').innerHTML = !told.able ? '' : told.original === null ? 'Mark a half, a box or surfaces of the object in the view.'
    : `Of <b>${explorer.escape(told.original)}</b>: ` +
      (told.box ? 'a box is marked; drag its corners in the view.' : told.brushed ? 'brushed surfaces are marked.' : 'nothing is marked yet.');
  if (told.box) numbers().forEach((one, k) => { if (document.activeElement !== one) one.value = told.box[k].toFixed(2); });
  else numbers().forEach((one) => { if (document.activeElement !== one) one.value = ''; });
  explorer.need('regenerate', told.able ? told.box || told.brushed ? '' : 'Mark first what is to stay: a half, a box, or surfaces.'
    : WITHOUT);
  const tell = (list) => list.map((value) => value.toFixed(1)).join(', ');
  part('figures').innerHTML = told.kept?.length ? `Kept part against the original: <b>${tell(told.kept)} dB</b>` +
    (told.between.length ? `; elsewhere the proposals agree to only <b>${tell(told.between)} dB</b>.` : '.') : '';
}

// -- brushing --------------------------------------------------------------------------------------

function brush(on) {
  brushing = on;
  document.body.classList.toggle('brushing', on);
  element.querySelector('[data-act=brush]').setAttribute('aria-pressed', on);
  if (on) ask('face');
}

explorer.closes(() => brushing, () => brush(false));

const width = () => Number(part('width').value);

function paint(event) {
  const box = canvas.getBoundingClientRect(), pen = canvas.getContext('2d');
  const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = width() * canvas.height;
  pen.strokeStyle = 'rgba(79, 110, 247, .55)';
  const from = stroke.length ? stroke[stroke.length - 1] : at;
  pen.beginPath();
  pen.moveTo(from[0] * canvas.width, from[1] * canvas.height);
  pen.lineTo(at[0] * canvas.width, at[1] * canvas.height);
  pen.stroke();
  stroke.push(at);
}

canvas.addEventListener('pointerdown', (event) => {
  if (event.button) return;
  const box = canvas.getBoundingClientRect();
  canvas.width = box.width;
  canvas.height = box.height;
  canvas.setPointerCapture(event.pointerId);
  stroke = [];
  paint(event);
});
canvas.addEventListener('pointermove', (event) => stroke && paint(event));
canvas.addEventListener('pointercancel', () => { stroke = null; });
canvas.addEventListener('pointerup', () => {
  if (!stroke) return;
  ask('stroke', {points: stroke, width: width()});
  stroke = null;
  setTimeout(() => canvas.getContext('2d').clearRect(0, 0, canvas.width, canvas.height), 350);
});

// -- buttons ---------------------------------------------------------------------------------------

element.addEventListener('click', (event) => {
  const {half, act} = event.target.closest('button')?.dataset ?? {};
  if (half) ask('half', {half});
  if (act === 'brush') brush(!brushing);
  if (act === 'clear') ask('clear');
});
part('box').addEventListener('change', () => {
  const values = numbers().map((one) => one.value === '' ? NaN : Number(one.value));
  if (values.every(Number.isFinite)) ask('box', {box: values});
});

explorer.hear('keep', draw);
new IntersectionObserver(() => {
  const open = Boolean(element.offsetParent);
  explorer.want('keep', open);
  if (open) ask('show');
  else {
    brush(false);
    if (state.box || state.brushed) ask('hide');
  }
}).observe(element);
