// Elements with data-pick report their value to Python; arrows move along the filmstrip.
element.addEventListener('click', (event) => {
  const chosen = event.target.closest('[data-pick]');
  if (chosen) trigger('select', {value: chosen.dataset.pick});
});
