"""What the page changes many times a second, and what the inspector tells it."""

from __future__ import annotations

import json
import urllib.request

import pytest

from app.page import news
from app.page.steer import steer
from app.tabs.inspect import inspector
from tests.app.test_routes import get, status
from tests.app.test_session import generate
from tests.waiting import until


def test_a_step_is_shown_with_the_same_step_of_what_stands_beside_it(session, runner):
    first, second = generate(session, runner, count=2)
    session.select(first.id)
    steer(session, runner, {"do": "compare", "record": second.id})
    answer = steer(session, runner, {"do": "step", "record": first.id, "index": 1})
    assert (answer["record"], answer["index"]) == (first.id, 1)
    assert [(pane.record, pane.index) for pane in session.snapshot().panes] == [
        (first, 1),
        (second, 1),
    ]
    assert len(answer["panes"]) == 2
    assert answer["revision"] == session.revision
    late = news.timeline(session, runner)
    assert f'data-revision="{session.revision}"' in late, "the page tells what came too late"
    assert "denoising 2" in answer["panes"][0]
    steer(session, runner, {"do": "compare", "record": None})
    assert len(session.snapshot().panes) == 1


def test_what_nobody_understands_changes_nothing(session, runner):
    before = session.revision
    for wish in ([], "step", {}, {"do": "fly"}, {"do": "look", "look": "x1"}, {"do": "step"}):
        with pytest.raises((ValueError, TypeError, KeyError)):
            steer(session, runner, wish)
    assert session.revision == before


def test_the_report_has_one_value_for_every_step(session, runner):
    (record,) = generate(session, runner)
    told = inspector.report(session, record)
    assert told["pending"]
    until(lambda: not inspector.report(session, record)["pending"], "the measurements")
    told = json.loads(json.dumps(inspector.report(session, record)))
    assert told["stages"] == ["denoise"] * 3 + ["result"]
    found = {trace["name"]: trace["y"] for trace in told["figure"]["data"]}
    assert all(len(values) == 4 for values in found.values())
    assert told["noisy"] == [True, True, True, False]
    change = (record.latent(1) - record.latent(0)).square().mean().sqrt()
    assert found["change"][1] == pytest.approx(float(change))
    assert 0 < found["extent"][-1] < 1.5


def post(url: str, body: bytes | dict) -> tuple[int, dict]:
    """Status and JSON of the answer to a message."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_page_steers_over_the_network(served):
    session = served.explorer.sessions.open()
    record = session.selection()[0]
    url = f"{served.url}/steer/{session.token}"
    code, told = post(url, {"do": "look", "look": "x_t"})
    assert (code, told["look"]) == (200, "x_t")
    for wrong in (b"{", b"[]", b'{"do": "blend", "u": 0, "v": 0}', b'{"do": "vary"}'):
        code, told = post(url, wrong)
        assert code == 400
        assert told["error"]
    pages = f"{served.url}/planes/{session.token}/{record.id}"
    assert get(f"{pages}/0.png").startswith(b"\x89PNG")
    assert get(f"{pages}/0.png?range=nan").startswith(b"\x89PNG")
    assert json.loads(get(f"{pages}/0/0/3.json"))["figure"]
    assert status(f"{pages}/7.png") == status(f"{pages}/0/3/0.json") == 404
    assert json.loads(get(f"{served.url}/inspect/{session.token}/{record.id}.json"))["tree"]
    assert status(f"{served.url}/steer/unknown") == 405
