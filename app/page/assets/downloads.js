// Files are written when they are asked for: the link shows that this takes a moment, and the page says what went wrong.
{
  const READ_MS = 15000;

  document.addEventListener('click', async (event) => {
    const link = event.target.closest('a[download]');
    if (!link) return;
    event.preventDefault();
    if (link.classList.contains('busy')) return;
    link.classList.add('busy');
    const response = await fetch(link.href).catch(() => null);
    const file = response?.ok ? await response.blob().catch(() => null) : null;
    link.classList.remove('busy');
    link.classList.toggle('failed', !file);
    if (file) return save(file, response.headers.get('Content-Disposition') ?? '', link.download);
    const said = response?.headers.get('Content-Type')?.startsWith('text/plain') && !response.ok;
    explorer.say(said ? await response.text() : 'The file did not arrive; try again.', READ_MS);
  });

  function save(file, disposition, otherwise) {
    const [, encoded, plain] = disposition.match(/filename(?:\*=utf-8''([^;]+)|="([^"]+)")/i) ?? [];
    const url = URL.createObjectURL(file);
    Object.assign(document.createElement('a'), {href: url, download: encoded ? decodeURIComponent(encoded) : plain ?? otherwise}).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
}
