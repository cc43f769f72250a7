"""What a visitor gets while the explorer is still loading."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from app.session.priors import Priors
from app.session.sessions import SessionGoneError, Sessions
from app.session.tokens import MOST_WAITING, MOST_WAITING_EACH, Tokens
from app.settings import AppSettings
from app.startup.front import Front
from engine.methods.toy import ToyMethod
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PANEL = (
    "<!doctype html><html><head><title>p</title></head><body class='b'><p>panel</p></body></html>"
)


@dataclass(frozen=True)
class Opening:
    """An explorer that listens and has nothing yet."""

    url: str
    front: Front


@pytest.fixture
def opening() -> Iterator[Opening]:
    front = Front(close=lambda: None)
    config = uvicorn.Config(front.app, port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Opening(f"http://127.0.0.1:{port}", front)
    server.should_exit = True
    thread.join(timeout=20)


def page_of(text: str) -> Starlette:
    return Starlette(routes=[Route("/", lambda request: HTMLResponse(text))])


def read_until(stream, end: str) -> str:
    """What comes of a page up to `end`, without waiting for more."""
    text = ""
    while not text.endswith(end):
        text += stream.read(1).decode()
    return text


def test_the_view_is_there_before_the_panel_and_the_panel_follows(opening):
    with urllib.request.urlopen(opening.url, timeout=30) as stream:
        first = read_until(stream, "</script>")
        token = re.search(r'id="viewport-frame"[^>]*data-token="([\w-]+)"', first)[1]
        with urllib.request.urlopen(f"{opening.url}/viewport/{token}/", timeout=30) as view:
            assert '<div id="root">' in view.read().decode()
        opening.front.open_panel(page_of(PANEL))
        page = first + stream.read().decode()
    for tag in ("<!doctype", "<html", "<body", "</body>", "</html>"):
        assert page.count(tag) == 1, tag
    assert page.index("viewport-frame") < page.index("<p>panel</p>") < page.index("</body>")


def test_every_page_has_a_view_of_its_own(opening):
    opening.front.open_panel(page_of(PANEL))
    tokens = set()
    for _ in range(2):
        with urllib.request.urlopen(opening.url, timeout=30) as stream:
            tokens.add(re.search(r'data-token="([\w-]+)"', stream.read().decode())[1])
    assert len(tokens) == 2


def test_other_requests_wait_for_what_answers_them(opening):
    host, port = opening.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=0.3) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(30)
        opening.front.engine.set(PlainTextResponse("here"))
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert answer.endswith(b"here")


def test_nobody_waits_for_what_will_never_come(opening):
    opening.front.give_up()
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{opening.url}/healthz", timeout=30)
    with urllib.request.urlopen(opening.url, timeout=30) as stream:
        assert stream.read().decode().rstrip().endswith("</html>")


def test_a_page_and_its_view_share_a_session_whoever_comes_first():
    tokens = Tokens()
    sessions = Sessions(Priors(AppSettings(), ToyMethod()), AppSettings(), tokens)
    early, late = tokens.issue(), tokens.issue()
    assert sessions.of_token(early) is sessions.open_page("one", early)
    assert sessions.open_page("two", late) is sessions.of_token(late)
    assert sessions.of_page("one") is not sessions.of_page("two")
    with pytest.raises(SessionGoneError, match="reload"):
        sessions.open_page("three", "made up")
    assert sessions.of_token("made up") is None
    for session in sessions.all():
        sessions.drop(session)


def test_a_view_knows_whether_its_page_is_dark():
    tokens = Tokens()
    sessions = Sessions(Priors(AppSettings(), ToyMethod()), AppSettings(), tokens)
    light, dark = tokens.issue(), tokens.issue()
    tokens.darken(dark)
    paper = [sessions.of_token(token).snapshot().display.background for token in (light, dark)]
    assert sum(paper[0]) > sum(paper[1])
    for session in sessions.all():
        sessions.drop(session)


def test_tokens_end_with_their_session_and_old_unused_ones_are_forgotten():
    tokens = Tokens()
    first = tokens.issue()
    assert first in tokens
    tokens.claim(first)
    assert tokens.waiting(first) is None
    assert first in tokens
    tokens.revoke(first)
    assert first not in tokens
    unused = [tokens.issue(str(k)) for k in range(MOST_WAITING + 1)]
    assert unused[0] not in tokens
    assert unused[-1] in tokens


def test_a_flood_of_page_loads_costs_no_other_address_its_tokens():
    tokens = Tokens()
    honest = tokens.issue("10.0.0.1")
    flood = [tokens.issue("10.6.6.6") for _ in range(3 * MOST_WAITING)]
    assert honest in tokens
    assert sum(token in tokens for token in flood) == MOST_WAITING_EACH
    many = [tokens.issue(f"10.1.{k // 250}.{k % 250}") for k in range(3 * MOST_WAITING)]
    assert many[-1] in tokens
    assert sum(token in tokens for token in (honest, *flood, *many)) == MOST_WAITING


FIRST_FRAME = """
import sys
from app.page import present
from app.session.records import home
from app.server import Loading
from app.settings import AppSettings
from engine.kernels import compiled

compiled.postpone()
loading = Loading(AppSettings())
loading.open_engine()
session = loading.explorer.sessions.of_token(loading.front.tokens.issue())
viewport = loading.explorer.viewports.acquire(session)
snapshot = session.snapshot()
baked = session.baked(snapshot.panes[0].record, snapshot.panes[0].index)
assert present.picture(baked, home()).std() > 5
loading.explorer.close()
late = {"gradio", "pandas", "numba", "scipy", "skimage", "trimesh", "plotly", "imageio"}
print(*sorted(late & sys.modules.keys()))
"""


def test_the_first_frame_needs_none_of_the_slow_packages():
    done = subprocess.run(
        [sys.executable, "-c", FIRST_FRAME], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("missing", "arguments", "sentence"),
    [
        ("gradio", ("--checkpoint", "toy"), "'gradio' is missing"),
        ("", ("--checkpoint", "no"), "no:"),
    ],
)
def test_what_cannot_be_loaded_ends_the_explorer_with_one_sentence(missing, arguments, sentence):
    program = (
        f"import sys, launch; sys.modules[{missing!r}] = None; sys.exit(launch.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--port", "0", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
