"""What a session tells its page over the stream of news."""

from __future__ import annotations

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.session.records import Record
from engine.errors import ConfigError
from engine.events import Run, Step
from engine.store.timeline import result_step
from tests.app.test_jobs import wait_for_end
from tests.app.test_session import QUICK, generate
from tests.app.test_steer import post
from tests.listening import listening
from tests.waiting import until


def made(session, title: str = "One") -> Record:
    """A finished record of the session."""
    frames = [result_step(session.method.gallery[:1])]
    record = Record("generate", title, {}, frames, session.method, state="done")
    session.add(record)
    return record


def failing() -> Run[None]:
    raise ConfigError("Found nothing, expected something; try again.")
    yield Step(stage="denoise", index=1, total=1)


def test_a_page_is_told_all_at_first_and_then_what_changes(served):
    session = served.explorer.sessions.open()
    with listening(served.url, session.token) as page:
        page.until(lambda parts: "timeline" in parts)
        assert {"about", "run", "display", "gallery", "fitted", "notices"} <= set(page.parts)
        assert page.parts["display"]["channel"] == "colour"
        page.parts.clear()
        session.show(channel="depth")
        assert page.until(lambda parts: parts["display"]["channel"]) == "depth"
        assert set(page.parts) <= {"display", "timeline"}, "nothing is told twice"
        record = made(session)
        page.until(lambda parts: f'data-pick="{record.id}"' in parts.get("gallery", ""))
        assert page.until(lambda parts: parts.get("about", {}).get("results")) == 1
    served.explorer.sessions.drop(session)


def test_parts_that_few_need_are_told_to_those_who_ask(served):
    session = served.explorer.sessions.open()
    record = made(session)
    with listening(served.url, session.token) as page:
        page.until(lambda parts: "gallery" in parts)
        assert not {"history", "blend", "keep"} & set(page.parts)
        page.want("history", "blend", "made-up")
        page.until(lambda parts: f'data-record="{record.id}"' in parts.get("history", ""))
        assert page.until(lambda parts: parts.get("blend"))["corners"] == []
        page.want("keep")
        assert page.until(lambda parts: parts.get("keep"))["original"] is None
        assert "made-up" not in page.parts
    served.explorer.sessions.drop(session)


def test_a_run_is_followed_to_its_end(served):
    session, runner = served.explorer.sessions.open(), served.explorer.runner
    with listening(served.url, session.token) as page:
        (record,) = generate(session, runner)
        told = page.until(lambda parts: parts.get("run", {}).get("state") == "done" and parts)
        assert told["run"] == {"id": record.job, "state": "done", "busy": False}
        strip = page.until(lambda parts: 'data-state="done"' in parts["timeline"] and parts)
        assert f'data-count="{QUICK.steps + 1}"' in strip["timeline"]
    served.explorer.sessions.drop(session)


def test_what_went_wrong_is_told_in_the_tab_that_asked_and_taken_back(served):
    session, runner = served.explorer.sessions.open(), served.explorer.runner
    url = f"{served.url}/steer/{session.token}"
    with listening(served.url, session.token) as page:
        with session.notices.during("generate"):
            session.start(runner, failing, [], ())
        wait_for_end(session.job)
        wrong = ["error", "Found nothing, expected something; try again."]
        assert page.until(lambda parts: parts.get("notices")) == {"generate": wrong}
        post(url, {"do": "branch", "seed": "7", "swap": True, "settings": {}})
        told = page.until(lambda parts: len(parts["notices"]) == 2 and parts["notices"])
        assert told["generate"] == wrong
        assert told["inspect"][0] == "error"
        with session.notices.during("generate"):
            pass
        page.until(lambda parts: set(parts["notices"]) == {"inspect"})
    served.explorer.sessions.drop(session)


def test_who_has_no_session_is_told_nothing(served):
    with pytest.raises(InvalidStatus), listening(served.url, "nobody"):
        pass


def test_a_message_that_is_none_ends_the_stream(served):
    session = served.explorer.sessions.open()
    for wrong in ("{", "7", json.dumps([1]), b"[]"):
        with listening(served.url, session.token) as page:
            page._socket.send(wrong)
            with pytest.raises(ConnectionClosed):
                page.until(lambda parts: False, 5.0)
    with listening(served.url, session.token) as page:
        assert page.until(lambda parts: parts.get("timeline"))
    served.explorer.sessions.drop(session)


def test_a_page_that_listens_keeps_its_session_though_gradio_has_lost_sight_of_it(served):
    sessions = served.explorer.sessions
    session = sessions.open()
    sessions.open_page("page", session.token)
    with listening(served.url, session.token) as page:
        assert page.until(lambda parts: parts["about"]["open"]) is True
        sessions.close_page("page")
        page.until(lambda parts: not parts["about"]["open"])
        until(lambda: session.left is None, "the page's return")
        served.explorer.viewports.sweep(time.monotonic() + 10)
        assert sessions.of_token(session.token) is session
    until(lambda: session.left is not None, "the page's leaving")
    sessions.drop(session)


def test_the_stream_ends_with_the_session(served):
    session = served.explorer.sessions.open()
    with listening(served.url, session.token) as page:
        page.until(lambda parts: parts.get("timeline"))
        served.explorer.sessions.drop(session)
        with pytest.raises(ConnectionClosed):
            page.until(lambda parts: False, 10.0)
