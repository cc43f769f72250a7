"""Many tabs for a while: `python -m tests.bench.soak [--minutes 10] [--tabs 12]`.

Twelve real browser tabs on one explorer; two always have a run going, the others do at random what people do. Every tab
draws its own seeds, so that what belongs to somebody else is seen. Nobody may be refused anything, `/healthz` must answer
quickly all the time, at the end every view must still follow the mouse, and once the tabs are closed the explorer's memory
must be what it was after the first visitors had left.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench.drag import explorer
from tests.browser.chromium import CHROMIUM, COUNT_UPLOADS, FLAGS
from tests.listening import listening

BUSY = 2
"""Tabs with a run that never ends."""
LEFT_MB = 150
"""Memory that may stay once all have left: what the C library has not given back of freed pieces."""
HEALTH_MS = 300
"""In which 95 of 100 questions after the explorer's health must be answered."""
ASK_S = 0.5
REFUSALS = ("that wait already", "open pages and programs", "reload the page", "does not answer")
"""Of sentences that nobody may be told here."""
RANGE = 1000
"""Seeds that a tab has for itself."""


class Visitor:
    """One tab, and what its visitor does."""

    def __init__(self, browser: Any, url: str, number: int):
        self.number, self.url = number, url
        self.random = random.Random(number)
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()
        self.context = browser.new_context(viewport={"width": 1100, "height": 700})
        self.context.add_init_script(COUNT_UPLOADS)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("response", self.judge)
        self.page.goto(url)
        self.element = self.page.wait_for_selector("#viewport-frame", timeout=120_000)
        self.view = self.element.content_frame()
        self.page.wait_for_selector(".tools", timeout=120_000)
        self.token = self.page.evaluate("explorer.token()")

    def judge(self, response: Any) -> None:
        """Note an answer that is a refusal."""
        if response.status >= 400:
            address = response.url.removeprefix(self.url)
            self.problems.append(f"{response.status} for {address}")

    def refused(self) -> list[str]:
        """Refusals that can be read on the page now."""
        texts = self.page.locator("[role=alert], #said").all_inner_texts()
        return [text for text in texts if any(part in text for part in REFUSALS)]

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click(timeout=60_000)

    def press(self, place: str) -> None:
        """Press what can be pressed: a training object has no noise, and an end nothing to go on to."""
        self.page.locator(place).evaluate(
            "(one) => one.ariaDisabled === 'true' || one.disabled || one.click()"
        )

    def state(self) -> str:
        return self.page.locator(".tl").get_attribute("data-state")

    def seed(self) -> str:
        return str(RANGE * self.number + self.random.randrange(RANGE))

    def generate(self, steps: int) -> None:
        """Draw an object."""
        self.tab("Generate")
        self.page.fill("#generate-seed input", self.seed())
        self.page.fill("[id$=-generate-steps]:visible input[type=number]", str(steps))
        self.page.click("#generate", timeout=60_000)
        self.page.wait_for_timeout(400)

    def turn(self) -> bool:
        """Drag the view; whether it followed."""
        box = self.element.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before, deadline = self.view.evaluate("window.__uploads.length"), time.monotonic() + 60
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        followed = False
        while not followed and time.monotonic() < deadline:
            x += self.random.choice((-7, 7))
            self.page.mouse.move(x, y)
            self.page.wait_for_timeout(60)
            followed = self.view.evaluate("window.__uploads.length") > before + 2
        self.page.mouse.up()
        return followed

    def scrub(self) -> None:
        """Look at some steps in all ways."""
        self.tab("Inspect")
        for _ in range(4):
            count = self.page.evaluate("explorer.shown.count") or 1
            self.page.evaluate(f"explorer.go({self.random.randrange(count)})")
            self.page.wait_for_timeout(150)
        for look in ("x_t", "difference", "x0"):
            self.press(f"[data-look={look}]")
            self.page.wait_for_timeout(200)

    def branch(self) -> None:
        """Go on from some step."""
        self.tab("Inspect")
        count = self.page.evaluate("explorer.shown.count") or 1
        self.page.evaluate(f"explorer.go({self.random.randrange(max(count - 1, 1))})")
        if self.page.locator(".insp-branch [name=seed]").is_enabled():
            self.page.fill(".insp-branch [name=seed]", self.seed())
            self.press(".insp-primary")
        self.page.wait_for_timeout(500)

    def slide(self) -> None:
        """Add an object to the pad, or slide."""
        self.tab("Interpolate")
        if self.page.locator(".slot:not(.empty)").count() >= 3:
            self.page.locator(".slot").first.hover()
            self.page.locator("[data-remove='0']").click()
        self.page.fill(".blend-seed", self.seed())
        self.page.click("[data-act=seed]")
        self.page.wait_for_timeout(800)
        while (box := self.page.locator(".track").bounding_box()) is None:  # it is being drawn anew
            self.page.wait_for_timeout(50)
        self.page.mouse.move(box["x"] + 10, box["y"] + 10)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 10, steps=12)
        self.page.mouse.up()

    def keep(self) -> None:
        """Mark a half, and sometimes have the rest drawn anew."""
        self.tab("Complete")
        self.page.click(f"[data-half={self.random.choice(['front', 'top', 'left'])}]")
        self.page.wait_for_timeout(400)
        if self.random.random() < 0.4:
            self.page.fill("#complete-count input[type=number]", "1")
            self.page.click("#regenerate")

    def act(self) -> None:
        """One thing, at random; a view that does not follow is a problem."""
        deeds = {"generate": lambda: self.generate(4), "scrub": self.scrub, "branch": self.branch}
        deeds |= {"slide": self.slide, "keep": self.keep, "turn": lambda: None}
        name = self.random.choice(sorted(deeds))
        if self.number < BUSY:
            name = "scrub" if self.state() in ("running", "queued") else "run"
            deeds["run"] = lambda: self.generate(100)
        try:
            deeds[name]()
            if not self.turn():
                self.problems.append(f"the view did not follow after {name}")
        except Exception as error:
            self.problems.append(f"{name}: {str(error).splitlines()[0]}")
        self.problems += self.refused()
        self.done[name] += 1

    def foreign(self) -> list[int]:
        """Seeds in its history that are somebody else's."""
        seeds = [int(number) for number in re.findall(r"Seed (\d+)", self.history())]
        return [seed for seed in seeds if seed // RANGE != self.number]

    def history(self) -> str:
        """The cards of what the explorer keeps for it."""
        with listening(self.url, self.token) as page:
            page.want("history")
            return page.until(lambda parts: parts.get("history"))

    def kept_mb(self) -> int:
        """What its history says that it takes."""
        return int(re.search(r"<b>(\d+)</b> of \d+ MB", self.history())[1])


class Pulse:
    """Asks for the explorer's health all the time.

    Attributes:
        answers_ms: In which time it came.
    """

    def __init__(self, url: str):
        self.answers_ms: list[float] = []
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """The time in which 95 of 100 questions were answered, ms."""
        self._ended.set()
        self._thread.join()
        return statistics.quantiles(self.answers_ms, n=20)[-1]

    def _ask(self) -> None:
        while not self._ended.wait(ASK_S):
            began = time.monotonic()
            health(self._url)
            self.answers_ms.append(1000 * (time.monotonic() - began))


def fetch(url: str) -> bytes:
    """What the explorer answers."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()


def health(url: str) -> dict[str, Any]:
    """What it says of itself."""
    return json.loads(fetch(f"{url}healthz"))


def resident_mb(pid: int) -> float:
    """Memory that a process has now."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def leave(url: str, visitors: list[Visitor]) -> None:
    """Close all tabs, and wait until the explorer has forgotten them."""
    for visitor in visitors:
        visitor.context.close()
    deadline = time.monotonic() + 120
    while health(url)["sessions"] and time.monotonic() < deadline:
        time.sleep(1)
    time.sleep(6)


def main() -> int:
    """Run it and print what was found; 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--tabs", type=int, default=12)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with explorer("vehicles", 512) as remote, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        first = [Visitor(browser, remote.url, k) for k in range(2)]
        for visitor in first:
            for deed in (
                lambda v=visitor: v.generate(4),
                visitor.scrub,
                visitor.slide,
                visitor.keep,
            ):
                deed()
                visitor.page.wait_for_timeout(2500)
        leave(remote.url, first)
        before = resident_mb(remote.pid)
        print(f"after two visitors have left: {before:.0f} MB", flush=True)
        visitors = [Visitor(browser, remote.url, k) for k in range(arguments.tabs)]
        pulse = Pulse(remote.url)
        end = time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < end:
            for visitor in visitors:
                visitor.act()
        slowest_ms = pulse.end()
        alive = [visitor.turn() for visitor in visitors]
        foreign = [seed for visitor in visitors for seed in visitor.foreign()]
        kept = sum(visitor.kept_mb() for visitor in visitors)
        busy = resident_mb(remote.pid)
        problems = [f"tab {v.number}: {text}" for v in visitors for text in v.problems]
        deeds = sum((visitor.done for visitor in visitors), Counter())
        leave(remote.url, visitors)
        after, told = resident_mb(remote.pid), health(remote.url)
        browser.close()
    print(f"deeds: {dict(deeds)}")
    print(f"views that follow the mouse at the end: {sum(alive)} of {len(alive)}")
    print(f"seeds of others: {foreign}")
    print(
        f"memory: {busy:.0f} MB with histories of {kept} MB, {after:.0f} MB when all had left (before: {before:.0f} MB)"
    )
    print(f"health: {told}, 95 % of {len(pulse.answers_ms)} answers within {slowest_ms:.0f} ms")
    if slowest_ms > HEALTH_MS:
        problems.append(f"health took {slowest_ms:.0f} ms, expected at most {HEALTH_MS}")
    if told["sessions"]:
        problems.append(f"{told['sessions']} sessions outlived their tabs")
    if after - before > LEFT_MB:
        problems.append(f"{after - before:.0f} MB did not come back, expected at most {LEFT_MB}")
    print("\n".join(problems) or "no problems")
    return int(not all(alive) or bool(foreign) or bool(problems))


if __name__ == "__main__":
    sys.exit(main())
