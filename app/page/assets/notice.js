// What the session has to say in a tab.
const box = element.querySelector('[data-tab]');
explorer.hear('notices', (notices) => {
  const [kind, sentence] = notices[box.dataset.tab] ?? ['error', ''];
  const role = kind === 'error' ? 'alert' : 'status';
  if (box.textContent === sentence && (!sentence || box.firstChild.role === role)) return;
  const line = Object.assign(document.createElement('p'), {className: kind === 'error' ? 'error' : 'hint', role, textContent: sentence});
  box.replaceChildren(...(sentence ? [line] : []));
});
