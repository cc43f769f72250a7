"""The Chromium that tests and bench drive: where it is, software WebGL, and how a page counts its textures."""

from __future__ import annotations

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
COUNT_UPLOADS = """
window.__uploads = [];
window.__uploadTimes = [];
for (const kind of [window.WebGLRenderingContext, window.WebGL2RenderingContext]) {
  if (!kind) continue;
  for (const name of ['texImage2D', 'texSubImage2D']) {
    const original = kind.prototype[name];
    kind.prototype[name] = function (...args) {
      const picture = args[args.length - 1];
      if (picture instanceof HTMLImageElement && picture.width > 32) {
        window.__uploads.push([picture.width, picture.height]);
        window.__uploadTimes.push(performance.timeOrigin + performance.now());
      }
      return original.apply(this, args);
    };
  }
}
"""
