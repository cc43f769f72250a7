"""The page while the explorer is still loading, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import uvicorn

from app.server import Loading
from app.settings import AppSettings
from engine.methods.toy import ToyMethod
from tests.browser.chromium import COUNT_UPLOADS
from tests.waiting import until

pytestmark = pytest.mark.browser


@pytest.fixture
def loading() -> Iterator[tuple[str, Loading]]:
    """An explorer whose engine is there and whose panel is not."""
    loading = Loading(AppSettings(checkpoint="toy", grace_s=1.0), ToyMethod())
    loading.open_engine()
    config = uvicorn.Config(
        loading.front.app, port=0, log_level="error", timeout_graceful_shutdown=1
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    until(lambda: running.started)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/", loading
    running.should_exit = True
    thread.join(timeout=20)


def test_frames_come_before_the_panel_and_stay_when_it_comes(loading, chromium):
    url, explorer = loading
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(COUNT_UPLOADS)
    page = context.new_page()
    page.goto(url, wait_until="commit")
    view = page.wait_for_selector("#viewport-frame").content_frame()
    view.wait_for_selector("canvas", timeout=60_000)
    until(lambda: view.evaluate("(window.__uploads || []).length"), "a frame")
    assert page.locator("#tabs").count() == 0
    assert page.locator("#opening").is_visible()
    explorer.open_panel()
    page.wait_for_selector("#timeline .tl")
    assert not page.locator("#opening").is_visible()
    assert view.evaluate("window.__uploads.length"), "the view began anew"
    (session,) = explorer.explorer.sessions.all()
    assert session.token in view.url
    context.close()


@pytest.mark.parametrize(
    "size", [(1280, 800), (1800, 1000), (700, 900)], ids=["laptop", "large", "tablet"]
)
def test_the_view_fills_the_room_that_the_panel_leaves_for_it(explorer, chromium, size):
    context = chromium.new_context(viewport=dict(zip(("width", "height"), size, strict=True)))
    page = context.new_page()
    page.goto(explorer[0])
    page.wait_for_selector("#timeline .tl")
    room = page.locator("#viewport").bounding_box()
    assert page.locator("#viewport-frame").bounding_box() == pytest.approx(room, abs=1)
    context.close()
