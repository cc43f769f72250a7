"""A server with a key under a proxy's prefix, seen by its owner and by a page of somebody else's."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.server import create_app
from app.settings import AppSettings
from engine.methods.toy import ToyMethod
from tests.browser.chromium import COUNT_UPLOADS
from tests.browser.conftest import Tab, serving
from tests.waiting import until

pytestmark = pytest.mark.browser

KEY = "a key & more"
FOREIGN = """<!doctype html><title>foreign</title><iframe id="frame" src="%(page)s"></iframe><script>
const said = window.said = {};
fetch('%(page)shealthz').then((r) => { said.read = r.status; }, () => { said.read = 'refused'; });
fetch('%(page)sapi/sessions', {method: 'POST', mode: 'no-cors', body: '{}'}).then(() => { said.sent = true; }, () => { said.sent = false; });
const socket = new WebSocket('%(socket)s');
socket.onopen = () => { said.socket = 'open'; };
socket.onclose = () => { said.socket ??= 'refused'; };
</script>"""

FRAMER = """<!doctype html><title>wiki</title><iframe width="1200" height="760"></iframe><script>
document.querySelector('iframe').src = decodeURIComponent(location.hash.slice(1));
</script>"""


@pytest.fixture(scope="module")
def locked() -> Iterator[tuple[str, object]]:
    settings = AppSettings(checkpoint="toy", grace_s=1.0, password=KEY, root_path="ssd")
    with serving(create_app(settings, ToyMethod())) as (url, explorer):
        yield f"{url}ssd/", explorer


def test_the_owner_comes_in_by_the_printed_address_and_the_key_leaves_it(locked, chromium):
    url, _ = locked
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    assert page.goto(url).status == 401
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button").click()
    page.wait_for_selector("text=This is not the key.")
    page.get_by_label("Key").fill(KEY)
    page.get_by_role("button").click()
    page.wait_for_selector("#viewport-frame")
    assert page.url == url
    context.close()


def test_everything_works_behind_the_key_and_under_the_prefix(locked, chromium):
    url, _ = locked
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(COUNT_UPLOADS)
    page, blocked = context.new_page(), []
    page.on(
        "console",
        lambda said: blocked.append(said.text) if "Security Policy" in said.text else None,
    )
    tab = Tab(page, f"{url}?key={KEY.replace(' ', '+').replace('&', '%26')}")
    assert tab.page.url == url
    tab.tab("Generate")
    tab.run("#generate")
    tab.drag()
    assert not tab.problems
    assert not blocked
    context.close()


def test_a_page_of_somebody_elses_neither_reads_nor_sends_nor_frames(explorer, chromium):
    url, server = explorer
    session = server.sessions.open()
    socket = f"{url.replace('http', 'ws', 1)}viewport/{session.token}"
    context = chromium.new_context()
    page = context.new_page()
    before = server.sessions.all()
    with elsewhere(FOREIGN % {"page": url, "socket": socket}) as address:
        page.goto(address)
        until(lambda: len(page.evaluate("said")) == 3, "all three attempts")
        assert page.evaluate("said.read") == "refused"
        assert page.evaluate("said.socket") == "refused"
        frame = page.wait_for_selector("#frame").content_frame()
        assert frame.query_selector("#viewport-frame") is None
        assert server.sessions.all() == before
        assert server.viewports.of(session) is None
        page.goto(url)  # a link from there is followed
        page.wait_for_selector("#viewport-frame")
    server.sessions.drop(session)
    context.close()


def test_a_page_that_may_frames_the_whole_explorer_and_no_other_does(chromium):
    with elsewhere(FRAMER) as wiki, elsewhere(FRAMER) as other:
        settings = AppSettings(checkpoint="toy", grace_s=1.0, allow_frame=(wiki.rstrip("/"),))
        with serving(create_app(settings, ToyMethod())) as (url, _):
            context = chromium.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.goto(f"{wiki}#{url}")
            framed = page.wait_for_selector("iframe").content_frame()
            framed.wait_for_selector("#viewport-frame")
            framed.get_by_role("tab", name="Generate", exact=True).click()
            framed.click("#generate")
            framed.wait_for_selector(".tl[data-state=done]")
            framed.wait_for_selector("#history .card")
            with page.expect_event("console", lambda said: "frame-ancestors" in said.text):
                page.goto(f"{other}#{url}")
            assert page.query_selector("iframe").content_frame().query_selector(".tl") is None
            context.close()


@contextmanager
def elsewhere(text: str) -> Iterator[str]:
    """Another site, which sends one page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
