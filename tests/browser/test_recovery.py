"""A tab finds its session again: after a reload, as a copy of another tab, and when the server was killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.server import listen
from tests.browser.chromium import COUNT_UPLOADS
from tests.browser.conftest import Tab
from tests.waiting import until

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
SERVER = """
import sys
import uvicorn
from app.server import create_app
from app.settings import AppSettings
from engine.methods.toy import ToyConfig, ToyMethod

settings = AppSettings(checkpoint="toy", state_dir=sys.argv[2])
app = create_app(settings, ToyMethod(ToyConfig(step_seconds=0.4)))
app.state.explorer.warm_up()
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", ws_per_message_deflate=False)
"""


class Server:
    """An explorer in a process of its own, always on the same port."""

    def __init__(self, folder: Path):
        taken = listen("127.0.0.1", 0)
        self.port = taken.getsockname()[1]
        taken.close()
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        arguments = [sys.executable, "-c", SERVER, str(self.port), str(self.folder)]
        self.process = subprocess.Popen(arguments, cwd=ROOT)
        until(self.answers, "the server", 120)

    def answers(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(f"{self.url}healthz", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def written(self) -> int:
        """Results on disk."""
        return len(list(self.folder.rglob("*.safetensors")))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("state"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def context(chromium) -> Iterator[object]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(COUNT_UPLOADS)
    yield context
    context.close()


def begin(tab: Tab, seed: int, steps: int) -> None:
    """Press Generate with these values, which Gradio may still overwrite with a tab's first ones."""
    wanted = {
        "#generate-seed input": str(seed),
        "#toy-generate-steps input[type=number]": str(steps),
    }

    def stand() -> bool:
        for place, value in wanted.items():
            tab.page.fill(place, value)
        tab.page.wait_for_timeout(700)
        return all(tab.page.input_value(place) == value for place, value in wanted.items())

    until(stand, "the values")
    tab.page.click("#generate")


def titles(tab: Tab) -> list[str]:
    return tab.page.locator("#history .card > span").all_inner_texts()


def token(tab: Tab) -> str:
    return tab.page.evaluate("explorer.claimed")


def wait_for_news(tab: Tab, sentence: str) -> None:
    until(lambda: sentence in tab.page.locator("#said").inner_text(), sentence)


def wait_for_end(tab: Tab, title: str) -> None:
    until(lambda: tab.state == "done" and title in titles(tab), "the run")


def test_reload_and_back_keep_results_selection_pictures_and_the_run(server, context):
    tab = Tab(context.new_page(), server.url)
    tab.page.click("#examples [data-pick]")
    tab.page.wait_for_selector("#framed-1 img")
    tab.page.locator("#azimuth-1 input[type=number]").fill("77")
    tab.tab("Generate")
    begin(tab, 1, 3)
    wait_for_end(tab, "Seed 1")
    tab.page.evaluate("explorer.go(1)")
    until(lambda: tab.page.evaluate("explorer.shown.index") == 1, "the step")
    before = token(tab)
    tab.page.reload()
    tab.page.wait_for_selector(".tl")
    assert token(tab) == before
    assert before in tab.page.locator("#viewport-frame").get_attribute("src")
    until(lambda: tab.shown == 1, "the selection")
    opened = tab.page.locator("#tab-generate-button")
    until(lambda: opened.get_attribute("aria-selected") == "true", "the open tab of the panel")
    assert titles(tab) == ["Seed 1"]
    tab.tab("Reconstruct")
    tab.page.wait_for_selector("#framed-1 img")
    assert tab.page.locator("#azimuth-1 input[type=number]").input_value() == "77"
    tab.tab("Generate")
    assert tab.page.locator("#said").inner_text() == ""

    asked = []
    tab.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    begin(tab, 2, 100)
    until(lambda: tab.state == "running", "its beginning")
    tab.page.reload()
    tab.page.wait_for_selector(".tl")
    tab.tab("Generate")
    assert asked == ["beforeunload"]
    until(lambda: tab.state == "running" and tab.figures() > 5, "its steps")
    tab.page.click("#generate-cancel")
    until(lambda: tab.state == "cancelled", "its end")
    tab.page.reload()
    tab.page.wait_for_selector(".tl")
    assert len(asked) == 1, "nothing ran"

    made = titles(tab)
    tab.page.goto(f"{server.url}healthz")
    tab.page.go_back()
    tab.page.wait_for_selector(".tl")
    until(lambda: titles(tab) == made, "the results after Back")
    assert token(tab) == before
    assert tab.problems == []


def test_a_copy_of_a_tab_has_a_session_of_its_own_and_says_so(server, context):
    tab = Tab(context.new_page(), server.url)
    tab.tab("Generate")
    begin(tab, 1, 3)
    wait_for_end(tab, "Seed 1")
    copied = tab.page.evaluate("JSON.stringify({...sessionStorage})")
    page = context.new_page()
    page.add_init_script(f"if (!sessionStorage.length) Object.assign(sessionStorage, {copied})")
    copy = Tab(page, server.url)
    assert token(copy) != token(tab)
    assert "copy of another" in copy.page.locator("#said").inner_text()
    copy.tab("Generate")
    assert titles(copy) == []
    assert titles(tab) == ["Seed 1"]


def test_a_server_killed_in_the_middle_of_two_jobs_comes_back_with_what_was_finished(
    server, context
):
    tabs = [Tab(context.new_page(), server.url) for _ in range(2)]
    had = server.written()
    for seed, tab in enumerate(tabs, 1):
        tab.tab("Generate")
        begin(tab, seed, 3)
        wait_for_end(tab, f"Seed {seed}")
    until(lambda: server.written() == had + 2, "both on disk")
    steps = tabs[0].figures()
    for seed, tab in enumerate(tabs, 11):
        begin(tab, seed, 100)
    until(lambda: [tab.state for tab in tabs] == ["running", "queued"], "two jobs")
    until(lambda: tabs[0].figures() > 3, "some steps")
    tokens = [token(tab) for tab in tabs]
    tabs[0].page.wait_for_timeout(1500)
    server.kill()
    for tab in tabs:
        wait_for_news(tab, "does not answer")
    server.start()
    for seed, tab in enumerate(tabs, 1):
        lost = f"the run under way (Seed {seed + 10})"
        wait_for_news(tab, f"The explorer was restarted; 1 result is back, but not {lost}.")
        assert token(tab) == tokens[seed - 1]
        tab.page.wait_for_selector(".tl")
        assert tab.page.locator(".tl-shown").inner_text().startswith(f"Seed {seed}")
        assert tab.figures() == steps
        tab.tab("Generate")
        assert titles(tab) == [f"Seed {seed}"]
        tab.view = tab.page.wait_for_selector("#viewport-frame").content_frame()
        tab.view.wait_for_selector("canvas", timeout=60_000)
        tab.settled()
    begin(tabs[1], 11, 3)
    wait_for_end(tabs[1], "Seed 11")
