// The History tab: cards that the session tells as HTML. What changes cards is posted; what changes more of the page goes
// through Python.
const list = element.querySelector('.hist');
const problem = element.querySelector('.hproblem');
const cardOf = (target) => target.closest('.hcard');
const numberOf = (target) => Number(cardOf(target).dataset.record);
let told = '', asking = false, wanted = false, opening = null;

// -- the cards -------------------------------------------------------------------------------------

const editing = () => list.querySelector('input, .sure');

async function refresh() {
  if (asking) { wanted = true; return; }
  if (!element.offsetParent) return;
  asking = true;
  const response = await fetch(`history/${explorer.token()}`).catch(() => null);
  if (response?.ok) draw(await response.text());
  await new Promise((done) => setTimeout(done, 250));
  asking = false;
  if (wanted) { wanted = false; refresh(); }
}

function draw(html) {
  if (html === told || editing()) return;
  told = html;
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused?.closest('.hcard') && [numberOf(focused), focused.dataset.act];
  list.innerHTML = html;
  list.classList.toggle('interpolates', Boolean(tabButton('interpolate')));
  if (place) list.querySelector(`[data-record="${place[0]}"] [data-act="${place[1]}"]`)?.focus();
}

async function post(wish) {
  const response = await explorer.post(wish).catch(() => null);
  const answer = response ? await response.json() : {error: 'The explorer does not answer; it may have been closed.'};
  problem.innerHTML = '';
  const sentence = answer.problem ?? answer.error;
  if (sentence) problem.append(Object.assign(document.createElement('p'), {className: 'error', role: 'alert', textContent: sentence}));
  await refresh();
  return sentence ? null : answer;
}

// -- what a card can do ----------------------------------------------------------------------------

const tabButton = (name) => document.getElementById(`tab-${name}-button`);

const DEEDS = {
  show: (number) => trigger('select', {value: number}),
  pin: (number) => post({do: 'pin', record: number}),
  rename: (number, button) => rename(cardOf(button)),
  inspect: (number) => { trigger('select', {value: number}); tabButton('inspect').click(); },
  interpolate: (number) => { tabButton('interpolate').click(); heard('#tab-interpolate .blend', () => explorer.tell('corner', {record: number})); },
  reconstruct: (number) => { trigger('edit', {value: number}); tabButton('reconstruct').click(); },
  async compare(number) {
    const answer = await explorer.steer({do: 'compare', record: number});
    if (answer) explorer.told(answer);
    refresh();
  },
  end: () => DEEDS.compare(null),
  reuse(number, button) {
    trigger('submit', {value: number});
    tabButton(button.dataset.tab).click();
  },
  async remove(number, button) {
    if (!button.classList.contains('sure')) {
      button.classList.add('sure');
      setTimeout(() => button.classList.remove('sure'), 3000);
      return;
    }
    button.classList.remove('sure');
    if (await post({do: 'remove', record: number})) trigger('select', {value: 0});
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
  if (!card || numberOf(card) === explorer.shown.record || event.target.closest('a, input') || event.detail > 1) return;
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
    if (!keep || !value || value === title.textContent) return;
    title.textContent = value;
    if (await post({do: 'rename', record: numberOf(card), title: value})) trigger('select', {value: 0});
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

explorer.on('panes', refresh);
explorer.on('timeline', refresh);
new IntersectionObserver(refresh).observe(element);
setInterval(refresh, 20000);
