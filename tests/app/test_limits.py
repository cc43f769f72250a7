"""Nobody has more sessions than a page or a program needs."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.page import routes
from app.page.routes import MOST_STEERS_EACH
from app.session.priors import Priors
from app.session.sessions import IDLE_S, Sessions, SessionsFullError
from app.session.tokens import Tokens
from app.settings import AppSettings
from app.view.viewports import Viewports
from engine.events import Run, Step
from engine.methods.toy import ToyMethod
from tests.waiting import until


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    settings = AppSettings(max_sessions=4, max_sessions_per_address=3)
    sessions = Sessions(Priors(settings, ToyMethod()), settings, Tokens())
    yield sessions
    for session in sessions.all():
        sessions.drop(session)


def test_an_address_gets_no_more_sessions_than_are_allowed(sessions):
    for _ in range(3):
        sessions.open("10.6.6.6")
    with pytest.raises(SessionsFullError, match="3 open pages and programs from this address"):
        sessions.open("10.6.6.6")
    assert sessions.open("10.0.0.1").address == "10.0.0.1"
    with pytest.raises(SessionsFullError, match="4 open pages and programs in all"):
        sessions.open("10.0.0.2")
    assert len(sessions.all()) == 4


def test_a_session_that_is_idle_makes_room(sessions):
    old, busy, new = (sessions.open("10.0.0.1") for _ in range(3))
    old.last_seen -= 2 * IDLE_S
    late = sessions.open("10.0.0.1")
    until(lambda: old.closed, "the end of the idle one")
    assert set(sessions.all()) == {busy, new, late}


def test_a_page_whose_address_is_full_has_no_session_and_is_told_why(sessions):
    for _ in range(3):
        sessions.open("10.0.0.1")
    token = sessions._tokens.issue("10.0.0.1")
    assert sessions.of_token(token) is None
    with pytest.raises(SessionsFullError, match="reload"):
        sessions.open_page("page", token)
    sessions.drop(sessions.all()[0])
    assert sessions.open_page("page", token) is sessions.of_token(token)


def test_a_closed_page_keeps_its_session_where_another_has_it(sessions):
    token = sessions._tokens.issue("10.0.0.1")
    session = sessions.open_page("before the reload", token)
    assert sessions.open_page("after it", token) is session
    sessions.close_page("before the reload")
    assert session.left is None
    sessions.close_page("after it")
    assert session.left is not None
    sessions.open_page("back again", token)
    assert session.left is None


def test_a_session_is_found_by_few_pages(sessions):
    token = sessions._tokens.issue("10.0.0.1")
    for k in range(100):
        session = sessions.open_page(f"page {k}", token)
    assert sessions.of_page("page 99") is session
    assert len(sessions._by_page) < 10


def endless() -> Run[None]:
    while True:
        time.sleep(0.01)
        yield Step(stage="denoise", index=1, total=2)


def test_a_run_goes_on_while_its_page_may_come_back(sessions, runner):
    viewports = Viewports(sessions, runner, AppSettings(grace_s=30.0))
    session = sessions.open()
    job = session.start(runner, endless, [], ())
    session.leave()
    viewports.sweep(time.monotonic() + 20)
    session.come_back()
    viewports.sweep(time.monotonic() + 100)
    assert not job.cancelling
    assert sessions.all() == [session]
    session.leave()
    viewports.sweep(time.monotonic() + 100)
    until(lambda: job.state == "cancelled", "its end")
    viewports.sweep(time.monotonic() + 100)
    assert session.closed
    viewports.close()


def test_sessions_that_nobody_uses_are_gone_in_minutes(sessions, runner):
    viewports = Viewports(sessions, runner, AppSettings())
    used, idle = sessions.open(), sessions.open()
    idle.last_seen -= 240
    viewports.sweep(time.monotonic())
    assert sessions.all() == [used, idle]
    idle.last_seen -= 120
    viewports.sweep(time.monotonic())
    assert sessions.all() == [used]
    viewports.close()


def post(url: str, body: object) -> tuple[int, str]:
    """Status and text of the answer to a JSON body."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def choose_mode(url: str, page: str) -> str:
    """What Gradio answers to a page that chooses the paper's procedure."""
    with urllib.request.urlopen(f"{url}/config", timeout=30) as answer:
        config = json.load(answer)
    mode = next(
        c["id"] for c in config["components"] if c["props"].get("elem_id") == "generate-mode"
    )
    (number,) = (d["id"] for d in config["dependencies"] if [mode, "input"] in d["targets"])
    wish = {"data": ["paper"], "fn_index": number, "session_hash": page}
    return post(f"{url}/gradio_api/run/predict", wish)[1]


def test_made_up_pages_get_a_sentence_and_no_session(served):
    sessions = served.explorer.sessions
    before = sessions.all()
    for k in range(30):
        assert "reload the page" in choose_mode(served.url, f"made-up-{k}")
    assert sessions.all() == before
    session = sessions.open()
    sessions.open_page("opened", session.token)
    assert '"data"' in choose_mode(served.url, "opened")
    sessions.drop(session)


def test_a_page_has_few_messages_under_way_at_a_time(served, monkeypatch):
    gate, entered = threading.Event(), threading.Semaphore(0)
    session = served.explorer.sessions.open()
    url = f"{served.url}/steer/{session.token}"

    def held(*asked):
        entered.release()
        return gate.wait(30) and {}

    with monkeypatch.context() as patched:
        patched.setattr(routes, "steer", held)
        with ThreadPoolExecutor(MOST_STEERS_EACH) as pool:
            waiting = [pool.submit(post, url, {"do": "none"}) for _ in range(MOST_STEERS_EACH)]
            assert all(entered.acquire(timeout=30) for _ in waiting)
            assert post(url, {"do": "none"})[0] == 429
            gate.set()
            assert [one.result()[0] for one in waiting] == [200] * MOST_STEERS_EACH
    assert post(url, {"do": "look", "look": "x0"})[0] == 200
    served.explorer.sessions.drop(session)


def test_programs_get_sessions_up_to_the_limit(served):
    sessions, most = served.explorer.sessions, served.explorer.settings.max_sessions_per_address
    told = [post(f"{served.url}/api/sessions", {}) for _ in range(most + 5)]
    assert [status for status, _ in told] == [201] * most + [429] * 5
    assert "from this address" in told[-1][1]
    for session in sessions.all():
        sessions.drop(session)
