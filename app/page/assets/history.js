// The History tab: cards that the session tells as HTML. What changes more of the page than they show goes through Python.
const list = element.querySelector('.hist');
const cardOf = (target) => target.closest('.hcard');
const numberOf = (target) => Number(cardOf(target).dataset.record);
let newest = '', opening = null;

// -- the cards -------------------------------------------------------------------------------------

function draw() {
  if (list.querySelector('input, .sure')) return;  // somebody is at it
  explorer.patch(list, newest);
  list.classList.toggle('interpolates', Boolean(tabButton('interpolate')));
}

explorer.hear('history', (html) => {
  newest = html;
  draw();
});
new IntersectionObserver(() => explorer.want('history', Boolean(element.offsetParent))).observe(element);

// -- what a card can do ----------------------------------------------------------------------------

const tabButton = (name) => document.getElementById(`tab-${name}-button`);

const DEEDS = {
  show: (number) => explorer.steer({do: 'show', record: number}),
  pin: (number) => explorer.ask({do: 'pin', record: number}),
  rename: (number, button) => rename(cardOf(button)),
  inspect: (number) => { DEEDS.show(number); tabButton('inspect').click(); },
  interpolate: (number) => { tabButton('interpolate').click(); heard('#tab-interpolate .blend', () => explorer.tell('corner', {record: number})); },
  reconstruct: (number) => { trigger('edit', {value: number}); tabButton('reconstruct').click(); },
  compare: (number) => explorer.steer({do: 'compare', record: number}),
  end: () => DEEDS.compare(null),
  reuse(number, button) {
    trigger('submit', {value: number});
    tabButton(button.dataset.tab).click();
  },
  remove(number, button) {
    if (!button.classList.contains('sure')) {
      button.classList.add('sure');
      setTimeout(() => { button.classList.remove('sure'); draw(); }, 3000);
      return;
    }
    button.classList.remove('sure');
    explorer.ask({do: 'remove', record: number});
  },
};

// A tab's parts are there once it was opened.
function heard(place, then, patience = 60) {
  if (document.querySelector(place)?.childElementCount) setTimeout(then, 50);
  else if (patience) setTimeout(() => heard(place, then, patience - 1), 50);
}

element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]'), card = cardOf(event.target);
  clearTimeout(opening);
  if (button) return DEEDS[button.dataset.act](numberOf(button), button);
  if (!card || numberOf(card) === explorer.selected || event.target.closest('a, input') || event.detail > 1) return;
  opening = setTimeout(DEEDS.show, event.target.closest('.htitle b') ? 300 : 0, numberOf(card));  // a title may be clicked twice
});
element.addEventListener('dblclick', (event) => {
  if (event.target.closest('.htitle b')) rename(cardOf(event.target));
});

function rename(card) {
  const title = card.querySelector('.htitle b');
  const input = Object.assign(document.createElement('input'), {value: title.textContent, maxLength: 80});
  input.setAttribute('aria-label', 'New title');
  let open = true;
  async function end(keep) {
    if (!open) return;
    open = false;
    const value = input.value.trim();
    input.replaceWith(title);
    if (keep && value && value !== title.textContent) {
      title.textContent = value;
      await explorer.ask({do: 'rename', record: numberOf(card), title: value});
    }
    draw();
  }
  input.addEventListener('keydown', (event) => {
    event.stopPropagation();
    if (event.key === 'Enter') end(true);
    if (event.key === 'Escape') end(false);
  });
  input.addEventListener('blur', () => end(true));
  title.replaceWith(input);
  input.select();
  input.focus();
}
