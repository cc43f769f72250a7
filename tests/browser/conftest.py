"""A real Chromium on the real server with the toy method.

"A frame arrived" means that the page uploaded a texture: nothing else tells reliably what the browser shows.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from app.explorer import Explorer
from app.server import configured, create_app
from app.settings import AppSettings
from engine.methods.toy import ToyConfig, ToyMethod
from tests.browser.chromium import CHROMIUM, COUNT_UPLOADS, FLAGS
from tests.waiting import until

CANVASES = "[...document.querySelectorAll('canvas')].map(c => [c.width, c.height])"


@contextmanager
def serving(app) -> Iterator[tuple[str, Explorer]]:
    """An application behind a port of this machine, ready for everything."""
    config = configured(app, AppSettings(), port=0, log_level="error", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    app.state.explorer.warm_up()
    until(lambda: running.started)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/", app.state.explorer
    running.should_exit = True
    thread.join(timeout=20)


@pytest.fixture(scope="session")
def explorer() -> Iterator[tuple[str, Explorer]]:
    settings = AppSettings(checkpoint="toy", grace_s=1.0)
    with serving(create_app(settings, ToyMethod(ToyConfig(step_seconds=0.12)))) as served:
        yield served


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail("chromium is missing; in CI the browser tests must run")
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def open_pages(browser, url: str) -> Iterator[Callable[[], Tab]]:
    """Opens tabs of an explorer, and closes them at the end."""
    contexts = []

    def make() -> Tab:
        context = browser.new_context(
            viewport={"width": 1280, "height": 800}, accept_downloads=True
        )
        context.add_init_script(COUNT_UPLOADS)
        contexts.append(context)
        return Tab(context.new_page(), url)

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def open_tab(explorer, chromium) -> Iterator[Callable[[], Tab]]:
    with open_pages(chromium, explorer[0]) as make:
        yield make


class Tab:
    """One browser tab with an explorer in it."""

    def __init__(self, page, url: str):
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url)
        self.frame_element = page.wait_for_selector("#viewport-frame", timeout=60_000)
        self.view = self.frame_element.content_frame()
        self.view.wait_for_selector("canvas", timeout=60_000)
        page.wait_for_selector(".tools", timeout=60_000)
        self.settled()

    @property
    def uploads(self) -> list[list[int]]:
        """Sizes of the textures uploaded so far."""
        return self.view.evaluate("window.__uploads")

    @property
    def canvas(self) -> list[int]:
        """Width and height of the canvas that shows the scene, in its own pixels."""
        return max(self.view.evaluate(CANVASES))

    def settled(self) -> int:
        """Wait until the view shows its best frame and rests; the number of uploads by then."""

        def rests() -> bool:
            seen, (width, height) = len(self.uploads), self.canvas
            self.page.wait_for_timeout(500)
            uploads = self.uploads
            frames = [size for size in uploads if abs(size[0] / size[1] - width / height) < 0.05]
            colour_and_depth = frames[-2:]
            return len(uploads) == seen and [width, height] in colour_and_depth

        until(rests, "the best frame")
        return len(self.uploads)

    def drag(self, steps: int = 12) -> None:
        """Turn the object."""
        box = self.frame_element.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(steps):
            self.page.mouse.move(x + 9 * step, y + 2 * step)
            self.page.wait_for_timeout(40)
        self.page.mouse.up()

    def figures(self) -> int:
        """Steps in the filmstrip."""
        return self.page.locator("#timeline figure[data-index]").count()

    def run(self, button: str) -> None:
        """Press what begins a run, and wait for the end of that run."""
        before = self.page.evaluate("explorer.shown.record")
        self.page.click(button)
        until(lambda: self.page.evaluate("explorer.shown.record") != before, "the run")
        until(lambda: self.state == "done", "its end")

    @property
    def status(self) -> str:
        return self.page.locator(".tl-status").inner_text()

    @property
    def state(self) -> str:
        return self.page.locator(".tl").get_attribute("data-state")

    @property
    def shown(self) -> int:
        """The frame that the session shows."""
        return int(self.page.locator(".tl").get_attribute("data-shown"))

    def tab(self, name: str) -> None:
        """Open one of the panel's tabs; Gradio puts its controls together then, and their first values in."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        self.page.wait_for_timeout(600)
