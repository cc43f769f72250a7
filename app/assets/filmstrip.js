// Scrubbing: press or drag over the strip, or use the arrow keys; the newest step stays in sight while a run goes on.
let shown = null;
let following = null;

function pick(figure) {
  if (!figure || figure.dataset.index === shown) return;
  shown = figure.dataset.index;
  element.querySelectorAll('.tl-sel').forEach((other) => other.classList.remove('tl-sel'));
  figure.classList.add('tl-sel');
  trigger('select', {index: Number(shown)});
}

function under(event) {
  const target = document.elementFromPoint(event.clientX, event.clientY);
  return target && target.closest('.tl-strip figure[data-index]');
}

element.addEventListener('pointerdown', (event) => {
  if (event.button === 0 && event.target.closest('.tl-strip')) {
    shown = null;
    pick(under(event));
  }
});
element.addEventListener('pointermove', (event) => {
  if (event.buttons === 1 && event.pointerType === 'mouse') pick(under(event));
});
element.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!step) return;
  event.preventDefault();
  const current = Number(element.querySelector('.tl').dataset.shown);
  const figure = element.querySelector(`.tl-strip figure[data-index="${(shown === null ? current : Number(shown)) + step}"]`);
  pick(figure);
  if (figure) figure.scrollIntoView({block: 'nearest', inline: 'nearest'});
});

watch('value', () => {
  const timeline = element.querySelector('.tl');
  const selected = element.querySelector('.tl-sel');
  if (!timeline || !selected) return;
  shown = timeline.dataset.shown;
  if (following !== shown) {
    following = shown;
    const strip = element.querySelector('.tl-strip');
    const left = selected.offsetLeft - strip.offsetLeft;
    if (left < strip.scrollLeft || left + selected.offsetWidth > strip.scrollLeft + strip.clientWidth) {
      strip.scrollTo({left: left - strip.clientWidth / 2, behavior: 'smooth'});
    }
  }
});

// Downloads are prepared when they are asked for; the button shows that this takes a moment.
element.addEventListener('click', async (event) => {
  const link = event.target.closest('a.dl');
  if (!link) return;
  event.preventDefault();
  if (link.classList.contains('busy')) return;
  link.classList.add('busy');
  try {
    const response = await fetch(link.href);
    if (!response.ok) throw new Error(await response.text());
    const url = URL.createObjectURL(await response.blob());
    const saved = Object.assign(document.createElement('a'), {href: url, download: link.download});
    saved.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    link.classList.remove('failed');
  } catch (error) {
    link.classList.add('failed');
    link.title = error.message;
  } finally {
    link.classList.remove('busy');
  }
});
