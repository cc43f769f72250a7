// Inputs against renders, once a reconstruction has ended.
const box = element.querySelector('.fitted');
explorer.hear('fitted', (html) => {
  const before = box.childElementCount;
  explorer.patch(box, html);
  if (!before) box.firstElementChild?.scrollIntoView({block: 'nearest', behavior: explorer.motion()});
});
