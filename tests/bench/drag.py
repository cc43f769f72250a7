"""Frames a second while somebody drags: `python -m tests.bench.drag [--rows ROWS] [--seconds S]`.

The explorer runs in a process of its own. A real browser (headless Chromium with software WebGL, which takes most of
the machine) drags first; then scripted viewers that answer at once: one, then four at the same time. "Shown" means that
the browser uploaded a texture.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn

from app.server import create_app
from app.settings import AppSettings
from app.view import pacing
from tests.browser.chromium import CHROMIUM, COUNT_UPLOADS, FLAGS
from tests.scripted_viewer import ScriptedViewer, count_together

CANVAS_ROWS, CANVAS_COLUMNS = 538, 852
"""What the page gives the view in a window of 1280 x 800."""


def measure(
    checkpoint: str = "vehicles", rows: int = 256, seconds: float = 4.0, runs: int = 3
) -> dict[str, Any]:
    """Every figure, at no more than `rows` rows while the camera moves; medians of `runs` where a browser shows it.

    Returns:
        `drag_shown_fps` and `drag_shown_over_sent` of a real browser (None without one), `drag_scripted_fps` of one
        scripted viewer, `drag_four_viewers_fps` of each of four, and how far one of them is from their mean.
    """
    with explorer(checkpoint, rows) as remote:
        shown, sent = _browser(remote, seconds, runs) if Path(CHROMIUM).exists() else (None, None)
        (alone,) = _scripted(remote, 1, seconds)
        four = _scripted(remote, 4, seconds)
    mean = statistics.mean(four)
    return {
        "drag_rows": rows,
        "drag_shown_fps": shown,
        "drag_shown_over_sent": None if shown is None else shown / sent,
        "drag_scripted_fps": alone,
        "drag_four_viewers_fps": four,
        "drag_four_viewers_spread": max(abs(fps - mean) for fps in four) / mean,
    }


@dataclass(frozen=True)
class _Remote:
    """The explorer in its process."""

    url: str
    pipe: Connection
    pid: int

    def new_token(self) -> str:
        """A session nobody looks at yet."""
        self.pipe.send(("token", ""))
        return self.pipe.recv()

    def sent(self, token: str) -> int:
        """Frames sent to a session's view so far."""
        self.pipe.send(("sent", token))
        return self.pipe.recv()


@contextmanager
def explorer(checkpoint: str, rows: int) -> Iterator[_Remote]:
    """The explorer in a process of its own, warm."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        arguments = (theirs, checkpoint, rows, folder)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        try:
            yield _Remote(pipe.recv(), pipe, process.pid)
        finally:
            process.terminate()
            process.join()


def _serve(pipe: Connection, checkpoint: str, rows: int, folder: str) -> None:
    """The explorer, until the pipe's other end is gone."""
    pacing.MOVING_ROWS = rows
    app = create_app(AppSettings(checkpoint=checkpoint, grace_s=0.0, state_dir=folder))
    explorer = app.state.explorer
    explorer.warm_up()
    config = uvicorn.Config(app, port=0, log_level="error", ws_per_message_deflate=False)
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    pipe.send(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/")
    pages = 0
    while True:
        asked, token = pipe.recv()
        if asked == "token":
            pages += 1
            pipe.send(explorer.sessions.open().token)
        else:
            pipe.send(explorer.viewports.of(explorer.sessions.of_token(token)).sent)


def _scripted(explorer: _Remote, viewers: int, seconds: float) -> list[float]:
    together = [
        ScriptedViewer(explorer.url, explorer.new_token(), CANVAS_ROWS, CANVAS_COLUMNS)
        for _ in range(viewers)
    ]
    count_together(together, 1.0)  # until the sizes have settled
    return [count / seconds for count in count_together(together, seconds)]


def _browser(explorer: _Remote, seconds: float, count: int) -> tuple[float, float]:
    """Textures shown and frames sent a second; the median of some runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(COUNT_UPLOADS)
        page.goto(explorer.url)
        element = page.wait_for_selector("#viewport-frame")
        token = element.get_attribute("src").partition("viewport/")[2].partition("/")[0]
        view = element.content_frame()
        view.wait_for_function("window.__uploads.length > 0")
        page.wait_for_timeout(3000)
        runs = [_drag(explorer, page, element, view, token, seconds) for _ in range(count)]
        browser.close()
    return tuple(statistics.median(rates) for rates in zip(*runs, strict=True))


def _drag(
    explorer: _Remote, page: Any, element: Any, view: Any, token: str, seconds: float
) -> tuple[float, float]:
    box = element.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    uploads, sent = view.evaluate("window.__uploads.length"), explorer.sent(token)
    start, moves = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        moves += 1
        page.mouse.move(x + 150 * math.sin(moves / 15), y + 30 * math.cos(moves / 9))
        page.wait_for_timeout(10)
    elapsed = time.monotonic() - start
    uploads = view.evaluate("window.__uploads.length") - uploads
    sent = explorer.sent(token) - sent
    page.mouse.up()
    page.wait_for_timeout(1000)
    return uploads / elapsed, sent / elapsed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drag", description=__doc__)
    parser.add_argument("--checkpoint", default="vehicles")
    parser.add_argument("--rows", type=int, default=256, help="most rows while the camera moves")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a run")
    arguments = parser.parse_args()
    for name, value in measure(arguments.checkpoint, arguments.rows, arguments.seconds).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
