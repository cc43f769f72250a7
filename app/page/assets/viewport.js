// viser's client shows a streamed picture by way of a blob's address, which the browser resolves in another process: on a
// busy machine that takes longer than the next frame, and the picture is dropped. An address that carries the picture is
// read here and at once. Without this script everything works, only fewer frames are seen.
{
  const contents = new WeakMap();
  const addressOf = URL.createObjectURL;
  window.Blob = class extends Blob {
    constructor(parts, options) {
      super(parts, options);
      const [bytes] = parts ?? [];
      if (options?.type?.startsWith('image/') && parts.length === 1 && bytes instanceof Uint8Array)
        contents.set(this, bytes);
    }
  };
  URL.createObjectURL = (blob) => {
    const bytes = contents.get(blob);
    if (!bytes) return addressOf.call(URL, blob);
    let text = '';
    for (let at = 0; at < bytes.length; at += 8192)
      text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return `data:${blob.type};base64,${btoa(text)}`;
  };
}

// viser's client draws with fewer pixels after it was busy for a while, and keeps to them at rest, when they are missed.
{
  const address = new URL(location.href);
  address.searchParams.set('fixedDpr', Math.min(devicePixelRatio, 2));
  history.replaceState(null, '', address);
}

// For those who do not see it: the language, and that all of this is one part of the page.
document.addEventListener('DOMContentLoaded', () => {
  document.documentElement.lang = 'en';
  const root = document.getElementById('root');
  root.setAttribute('role', 'region');
  root.setAttribute('aria-label', '3D view');
});
