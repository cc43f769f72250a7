// The film of the path that was written last.
const box = element.querySelector('.made');
explorer.hear('blend', ({film}) => {
  if ((film ?? '') === (box.dataset.film ?? '')) return;
  box.dataset.film = film ?? '';
  if (!film) return box.replaceChildren();
  const name = film.match(/[^/]*(?=\?)/)[0], ending = name.split('.').pop();
  const shown = ending === 'gif' ? `<img src="${film}" alt="The path as a GIF">` : `<video src="${film}" autoplay loop muted playsinline controls></video>`;
  box.innerHTML = `<div class="film">${shown}<a class="dl" href="${film}" download="${name}">Save ${ending.toUpperCase()}</a></div>`;
  box.scrollIntoView({block: 'nearest', behavior: explorer.motion()});
});
