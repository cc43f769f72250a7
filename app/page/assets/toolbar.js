// The toolbar: its buttons are pressed as the session's display is.
element.addEventListener('click', (event) => {
  const {tool} = event.target.closest('[data-tool]')?.dataset ?? {};
  if (tool) explorer.ask({do: 'tool', tool});
});
explorer.hear('display', (display) => element.querySelectorAll('[data-tool]').forEach((one) => {
  const {tool} = one.dataset;
  one.setAttribute('aria-pressed', display.channel === tool || display[tool] === true);
}));
