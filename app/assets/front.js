// What all parts of the page share: messages to the session many times a second, and news about what is shown.
window.explorer = (() => {
  const waiting = new Map();
  const busy = new Set();

  async function deliver(wish) {
    const response = await explorer.post(wish);
    const answer = await response.json().catch(() => null);
    if (answer?.error) explorer.say(answer.error);
    return response.ok ? answer : null;
  }

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
    steer: (wish) => new Promise((done) => {
      waiting.get(wish.do)?.done(null);
      waiting.set(wish.do, {wish, done});
      send(wish.do);
    }),
    post: (wish) => fetch(`steer/${explorer.token()}`, {
      method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(wish),
    }),
    tell: (name, detail) => document.dispatchEvent(new CustomEvent(`explorer:${name}`, {detail})),
    on: (name, hear) => document.addEventListener(`explorer:${name}`, (event) => hear(event.detail)),
    // Text that somebody wrote, for use inside HTML and its attributes.
    escape: (text) => String(text).replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`),
    // Whether a key is meant for the control that has the focus; buttons take the space bar, not the arrows.
    typing: (event) => Boolean(event.target.closest(`input, textarea, select, [role=tab], [role=slider], [contenteditable]${event.key === ' ' ? ', button, a, summary' : ''}`)),
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
    go: () => {},
    shown: {record: null, index: 0, count: 0},
  };
})();

document.addEventListener('click', async (event) => {
  if (!event.target.closest('#end-comparison')) return;
  const answer = await explorer.steer({do: 'compare', record: null});
  if (answer) explorer.told(answer);
});

// Tabs: the chosen one is in sight, also where the strip is narrower than they are; arrows go from one to the next.
document.addEventListener('click', (event) => {
  const tab = event.target.closest('[role=tab]');
  const strip = tab?.parentElement;
  if (tab) strip.scrollTo({left: tab.offsetLeft - (strip.clientWidth - tab.offsetWidth) / 2});
});
document.addEventListener('keydown', (event) => {
  const tab = event.target.closest('[role=tab]'), step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!tab || !step) return;
  event.preventDefault();
  const all = [...tab.parentElement.querySelectorAll('[role=tab]')];
  const next = all[(all.indexOf(tab) + step + all.length) % all.length];
  next.focus();
  next.click();
});

// Captions over the view, where there is more to tell than which object it is.
explorer.on('panes', ({panes, look, several}) => {
  document.getElementById('end-comparison').hidden = !several;
  const captions = document.getElementById('captions');
  const plain = panes.length === 1 && look === 'x0';
  captions.style.gridTemplateColumns = `repeat(${panes.length === 4 ? 2 : panes.length}, minmax(0, 1fr))`;
  captions.innerHTML = plain ? '' : panes.map((text) => `<span>${text}</span>`).join('');
});
