"""What a page asks to find its session again."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from app.session.records import Record
from app.startup.front import asset
from engine.store.timeline import result_step
from tests.app.test_routes import status


def ask(url: str, method: str = "GET") -> tuple[int, dict]:
    """Status and JSON of an answer."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method=method), timeout=30
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_page_asks_why_it_is_told_nothing(served):
    session = served.explorer.sessions.open()
    assert status(f"{served.url}/alive/{session.token}") == 204
    code, told = ask(f"{served.url}/alive/made-up")
    assert code == 404
    assert "reload" in told["said"]
    served.explorer.sessions.drop(session)


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
    code, told = ask(f"{served.url}/alive/{token}")
    assert code == 429
    assert f"Found {most} open pages" in told["said"]
    for session in taken:
        sessions.drop(session)
    assert status(f"{served.url}/alive/{token}") == 204


PAGE = """
const stored = {'explorer-token': 'before', 'explorer-results': '2'}, element = {dataset: {}, classList: {toggle() {}}};
globalThis.sessionStorage = {getItem: (key) => stored[key] ?? null, setItem: (key, value) => { stored[key] = value; }};
globalThis.document = {getElementById: () => element, body: element, addEventListener() {}, querySelector: () => null};
globalThis.addEventListener = () => {};
globalThis.MutationObserver = class { observe() {} disconnect() {} };
globalThis.BroadcastChannel = class { postMessage() {} close() {} };
globalThis.AbortSignal = {timeout: () => undefined};
Object.defineProperty(globalThis, 'navigator', {value: {}, configurable: true});
globalThis.explorer = {say() {}, hear() {}, listen() {}};
globalThis.fetch = async () => new Response(process.argv[2], {status: Number(process.argv[1])});
"""
CLAIM = """
explorer.claim('fresh').then((claimed) => {
  console.log(JSON.stringify({claimed, kept: stored['explorer-token'], said: stored['explorer-said']}));
  process.exit();
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize(
    ("status", "answer", "claimed", "kept"),
    [
        (200, '{"token": "before", "said": ""}', "before", "before"),
        (200, '{"token": null, "said": ""}', "fresh", "fresh"),
        (429, '{"token": null, "said": "All is taken."}', "fresh", "before"),
        (429, "<h1>Too many requests</h1>", "fresh", "before"),
        (403, "", "fresh", "before"),
        (401, '{"error": "This explorer asks for its key."}', "fresh", "before"),
        (200, "<h1>Log in</h1>", "fresh", "before"),
    ],
)
def test_only_the_explorer_itself_says_that_results_are_gone(status, answer, claimed, kept):
    script = PAGE + asset("recover.js") + CLAIM
    told = subprocess.run(
        ["node", "-e", script, str(status), answer], capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["claimed"], found["kept"]) == (claimed, kept)
    if kept != claimed:
        assert "gone" not in found["said"]
        assert found["said"]
