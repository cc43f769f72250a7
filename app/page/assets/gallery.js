// The results of this tab as small pictures: a click shows one.
const box = element.querySelector('.gallery');
element.addEventListener('click', (event) => {
  const {pick} = event.target.closest('[data-pick]')?.dataset ?? {};
  if (pick) explorer.steer({do: 'show', record: Number(pick)});
});
explorer.hear('gallery', (html) => explorer.patch(box, html));
