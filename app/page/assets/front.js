// What all parts of the page share: messages to the session many times a second, and news about what is shown.
window.explorer = (() => {
  const waiting = new Map();
  const busy = new Set();

  async function deliver(wish) {
    const response = await fetch(`steer/${explorer.token()}`, {
      method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(wish),
    });
    const answer = await response.json().catch(() => null);
    if (answer?.error) explorer.say(answer.error);
    if (!response.ok) return null;
    explorer.told(answer);
    return answer;
  }

  // Messages that all have to arrive, one after the other in their order.
  let last = Promise.resolve();

  // One message of each kind is on its way at a time; of those that wait, only the newest is sent.
  async function send(kind) {
    if (busy.has(kind)) return;
    busy.add(kind);
    while (waiting.has(kind)) {
      const {wish, done} = waiting.get(kind);
      waiting.delete(kind);
      done(await deliver(wish).catch(() => null));
    }
    busy.delete(kind);
  }

  return {
    token: () => document.querySelector('.tl')?.dataset.token ?? document.getElementById('viewport-frame').dataset.token,
    slid: -Infinity,  // when an object was last moved by a knob or slider
    steer: (wish) => new Promise((done) => {
      if (wish.do === 'blend' || wish.do === 'vary') explorer.slid = performance.now();
      waiting.get(wish.do)?.done(null);
      waiting.set(wish.do, {wish, done});
      send(wish.do);
    }),
    ask: (wish) => (last = last.then(() => deliver(wish).catch(() => explorer.say('The explorer does not answer; try again.')))),
    tell: (name, detail) => document.dispatchEvent(new CustomEvent(`explorer:${name}`, {detail})),
    on: (name, hear) => document.addEventListener(`explorer:${name}`, (event) => hear(event.detail)),
    // Brings what an element holds to new HTML; what is as it should be stays, with its focus, pictures and scrolling.
    patch: (element, html) => {
      const wanted = document.createElement('template');
      wanted.innerHTML = html;
      mould(element, wanted.content);
    },
    // Text that somebody wrote, for use inside HTML and its attributes.
    escape: (text) => String(text).replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`),
    // Whether a key is meant for the control that has the focus; buttons take the space bar, not the arrows.
    typing: (event) => Boolean(event.target.closest(`input, textarea, select, dialog, [role=tab], [contenteditable]${event.key === ' ' ? ', button, a, [data-arrows]' : ', [role=slider], [data-arrows]'}`)),
    say: (sentence, forMs = 5000) => {
      const line = document.getElementById('said');
      line.textContent = sentence;
      clearTimeout(line.timer);
      line.timer = setTimeout(() => { line.textContent = ''; }, forMs);
    },
    forget: (kind) => {
      waiting.get(kind)?.done(null);
      waiting.delete(kind);
    },
    // A button that cannot work yet is off, and the line beside it says why.
    need: (id, reason) => {
      const button = document.getElementById(id), line = document.getElementById(`${id}-why`);
      if (button && button.disabled !== Boolean(reason)) button.disabled = Boolean(reason);
      if (line && line.textContent !== reason) line.textContent = reason;
    },
    // What Escape closes: of all that is open, what was opened by the part that came last.
    closers: [],
    closes: (isOpen, close) => explorer.closers.unshift({isOpen, close}),
    // How to scroll for those who asked for less motion, and for others.
    motion: () => matchMedia('(prefers-reduced-motion: reduce)').matches ? 'instant' : 'smooth',
    go: () => {},
    told: () => {},
    running: () => false,
    shown: {record: null, index: 0, count: 0},
    selected: null,  // the record that the session shows, which the filmstrip follows a moment later
  };
})();

function mould(old, wanted) {
  const there = [...old.childNodes], wish = [...wanted.childNodes];
  wish.forEach((node, k) => {
    const stands = there[k];
    if (!stands) old.append(node);
    else if (stands.isEqualNode(node)) return;
    else if (stands.nodeType !== Node.ELEMENT_NODE || stands.nodeName !== node.nodeName) stands.replaceWith(node);
    else {
      for (const {name} of [...stands.attributes]) if (!node.hasAttribute(name)) stands.removeAttribute(name);
      for (const {name, value} of node.attributes) if (stands.getAttribute(name) !== value) stands.setAttribute(name, value);
      mould(stands, node);
    }
  });
  there.slice(wish.length).forEach((node) => node.remove());
}

const comparison = () => document.getElementById('end-comparison');

const endComparison = () => explorer.steer({do: 'compare', record: null});

document.addEventListener('click', (event) => {
  if (event.target.closest('#end-comparison')) endComparison();
  if (event.target.closest('button.cancel')) explorer.steer({do: 'cancel'});
  const opener = event.target.closest('[data-dialog]');
  if (opener) document.getElementById(opener.dataset.dialog).showModal();
  const dialog = event.target.closest('dialog'), box = dialog?.getBoundingClientRect();
  const beside = box && (event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom);
  if (dialog && (event.target.closest('[data-close]') || (event.target === dialog && beside))) dialog.close();
});
explorer.closes(() => comparison() && !comparison().hidden, endComparison);
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open]')) return;
  if (event.target.closest('input, textarea, select') && !event.target.closest('[type=range], [type=radio], [type=checkbox]')) return;
  explorer.closers.find(({isOpen}) => isOpen())?.close();
});

// Tabs: the chosen one is in sight, also where the strip is narrower than they are; arrows go from one to the next.
function centre(tab) {
  const strip = tab.parentElement;
  strip.scrollTo({left: tab.offsetLeft - (strip.clientWidth - tab.offsetWidth) / 2});
}
document.addEventListener('click', (event) => {
  const tab = event.target.closest('[role=tab]');
  if (tab) centre(tab);
});
addEventListener('resize', () => document.querySelectorAll('[role=tab][aria-selected=true]').forEach(centre));
document.addEventListener('keydown', (event) => {
  const tab = event.target.closest('[role=tab]'), step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!tab || !step) return;
  event.preventDefault();
  const all = [...tab.parentElement.querySelectorAll('[role=tab]')];
  const next = all[(all.indexOf(tab) + step + all.length) % all.length];
  next.focus();
  next.click();
});

// Gradio opens a list at every key, also at the one that leaves it, and then it stays open over the page.
document.addEventListener('keydown', (event) => {
  if (event.key === 'Tab' && event.target.matches('[role=combobox]')) event.stopPropagation();
}, true);

// What Gradio leaves out, whenever it draws them: radios of one choice share a name, so that arrows go through them, and the
// choice has one too.
function mend() {
  for (const set of document.querySelectorAll('fieldset')) {
    const radios = set.querySelectorAll('input[type=radio]');
    if (!radios.length) continue;
    radios.forEach((one) => { one.name = radios[0].name; });
    set.setAttribute('role', 'radiogroup');
    set.setAttribute('aria-label', set.querySelector('[data-testid=block-info]')?.textContent ?? '');
  }
  for (const button of document.querySelectorAll('button.cancel')) button.disabled = !explorer.running();
}
new MutationObserver(mend).observe(document, {childList: true, subtree: true});
explorer.on('news-run', mend);

// Captions over the view, where there is more to tell than which object it is.
explorer.on('panes', ({panes, look, several}) => {
  document.getElementById('end-comparison').hidden = !several;
  const captions = document.getElementById('captions');
  const plain = panes.length === 1 && look === 'x0';
  captions.style.gridTemplateColumns = `repeat(${panes.length === 4 ? 2 : panes.length}, minmax(0, 1fr))`;
  captions.innerHTML = plain ? '' : panes.map((text) => `<span>${text}</span>`).join('');
});
