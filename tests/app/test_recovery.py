"""What a page asks to find its session again."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

from app.records import Record
from engine.explore.timeline import result_step


def ask(url: str, method: str = "GET") -> tuple[int, dict]:
    """Status and JSON of an answer."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method=method), timeout=30
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_page_asks_whether_its_session_lives(served):
    sessions = served.explorer.sessions
    session = sessions.open()
    frames = [result_step(session.method.gallery[:1])]
    session.add(Record("generate", "One", {}, frames, session.method, state="done"))
    session.last_seen = 0.0
    told = {"results": 1, "said": "", "open": False}
    assert ask(f"{served.url}/alive/{session.token}") == (200, told)
    assert session.last_seen > 0
    status, told = ask(f"{served.url}/alive/made-up")
    assert status == 404
    assert "reload" in told["said"]
    sessions.drop(session)


def test_a_page_whose_heartbeat_broke_keeps_its_session_and_is_told(served):
    sessions = served.explorer.sessions
    session, living = sessions.open(), f"{served.url}/alive/"
    sessions.open_page("page", session.token)
    assert ask(living + session.token)[1]["open"] is True
    sessions.close_page("page")
    session.left += 60.0  # the explorer's own sweep must not come first
    assert ask(living + session.token)[1]["open"] is False
    assert session.left is None
    served.explorer.viewports.sweep(time.monotonic() + 10)
    assert sessions.of_token(session.token) is session
    sessions.drop(session)


def test_a_page_gets_its_session_back_by_its_token_alone(served):
    sessions = served.explorer.sessions
    session = sessions.open()
    living = f"{served.url}/recover/{session.token}"
    assert ask(living, "POST") == (200, {"token": session.token, "said": ""})
    frames = [result_step(session.method.gallery[:1])]
    session.add(Record("generate", "One", {}, frames, session.method, state="done"))
    sessions.drop(session)
    status, told = ask(living, "POST")
    assert (status, told["token"]) == (200, session.token)
    assert told["said"] == "This tab's session had ended; 1 result is back."
    assert sessions.of_token(session.token) is not session
    made_up = f"{served.url}/recover/made-up"
    assert ask(made_up, "POST") == (200, {"token": None, "said": ""})
    sessions.remove(sessions.of_token(session.token))
    assert ask(living, "POST") == (200, {"token": None, "said": ""})


def test_a_page_whose_address_is_full_is_told_so(served):
    sessions, most = served.explorer.sessions, served.explorer.settings.max_sessions_per_address
    token = served.explorer.sessions._tokens.issue("127.0.0.1")
    taken = [sessions.open("127.0.0.1") for _ in range(most)]
    status, told = ask(f"{served.url}/alive/{token}")
    assert status == 429
    assert f"Found {most} open pages" in told["said"]
    for session in taken:
        sessions.drop(session)
    assert ask(f"{served.url}/alive/{token}")[0] == 200
