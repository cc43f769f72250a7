// Downloads are prepared when they are asked for; the button shows that this takes a moment.
element.addEventListener('click', async (event) => {
  const link = event.target.closest('a.dl');
  if (!link) return;
  event.preventDefault();
  if (link.classList.contains('busy')) return;
  link.classList.add('busy');
  try {
    const response = await fetch(link.href);
    if (!response.ok) throw new Error(await response.text());
    const url = URL.createObjectURL(await response.blob());
    const saved = Object.assign(document.createElement('a'), {href: url, download: link.download});
    saved.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    link.classList.remove('failed');
  } catch (error) {
    link.classList.add('failed');
    link.title = error.message;
  } finally {
    link.classList.remove('busy');
  }
});
