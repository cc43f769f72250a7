"""How the page answers somebody who slides and scrubs: a real browser with software WebGL on the same cores.

Scrubbing: from the moment that a step is asked for to the moment that the browser uploads its first frame as a texture,
in a timeline of 100 steps with the inspector open. Sliding: frames shown and points sent a second while the knob between
two objects is dragged. First object: from the page's address to a turned object, two clicks, the explorer being warm.
"""

from __future__ import annotations

import math
import statistics
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.report import Results, Row
from tests.bench.settings import Settings
from tests.browser.chromium import CHROMIUM, COUNT_UPLOADS, FLAGS

STEPS = 100
NOW = "performance.timeOrigin + performance.now()"
COUNT_POINTS = """
window.__points = 0;
const fetched = window.fetch;
window.fetch = (...asked) => {
  if (String(asked[0]).startsWith('steer') && asked[1].body.includes('"blend"')) window.__points += 1;
  return fetched(...asked);
};
"""


def measure(settings: Settings) -> Results:
    """All three; nothing where there is no browser."""
    installed = Path(CHROMIUM).exists() and find_spec("playwright") is not None
    if not settings.drag_s or not installed:
        return Results()
    from playwright.sync_api import sync_playwright

    from tests.bench.drag import explorer

    with explorer("vehicles", 512) as remote, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        first = [_first_object(browser, remote.url) for _ in range(settings.drags)]
        scrubs = _scrub(browser, remote.url, settings.scrubs)
        shown, sent = _slide(browser, remote.url, settings.drag_s)
        browser.close()
    seconds, latency = statistics.median(first), statistics.median(scrubs)
    slowest = sorted(scrubs)[math.ceil(0.95 * len(scrubs)) - 1]
    results = Results(details={"interaction": {"first_object_s": first, "scrub_ms": scrubs}})
    results.top.update(first_object_s=seconds, scrub_ms=latency, slide_shown_fps=shown)
    how = f"median of {len(scrubs)} jumps in {STEPS} steps, 95 % within {slowest:.0f} ms; in Chromium, inspector open"
    results.rows += [
        Row("a step of a timeline, shown", latency, 150, unit=" ms", how=how),
        Row(
            "sliding between objects, shown", shown, 10, unit=" /s", better="more",
            how=f"in Chromium; {sent:.0f} points a second sent",
        ),
        Row("from the page's address to a turned object", seconds, 10, unit=" s", how="two clicks, warm"),
    ]  # fmt: skip
    return results


def _open(browser: Any, url: str) -> tuple[Any, Any, Any]:
    """A page with its view."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(COUNT_UPLOADS)
    page.goto(url)
    element = page.wait_for_selector("#viewport-frame")
    view = element.content_frame()
    page.wait_for_selector(".tools")
    return page, element, view


def _tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def _done(page: Any) -> None:
    page.wait_for_selector(".tl[data-state=running], .tl[data-state=done]", timeout=60_000)
    page.wait_for_selector(".tl[data-state=done]", timeout=120_000)


def _first_object(browser: Any, url: str) -> float:
    """Seconds until an object that somebody has just drawn turns under the mouse."""
    began = time.monotonic()
    page, element, view = _open(browser, url)
    _tab(page, "Generate")
    page.click("#generate")
    _done(page)
    box, before = element.bounding_box(), view.evaluate("window.__uploads.length")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    while view.evaluate("window.__uploads.length") < before + 3:
        x += 4
        page.mouse.move(x, y)
    elapsed = time.monotonic() - began
    page.mouse.up()
    page.close()
    return elapsed


def _scrub(browser: Any, url: str, jumps: int) -> list[float]:
    """Milliseconds from the wish for a step to its first frame, for some steps far apart."""
    page, _, view = _open(browser, url)
    _tab(page, "Generate")
    page.locator("#generate-mode").get_by_text("Paper", exact=True).click()
    page.wait_for_timeout(1500)  # until the page has filled in the procedure's usual steps
    page.fill("[id$=-generate-steps]:visible input[type=number]", str(STEPS))
    page.click("#generate")
    _done(page)
    _tab(page, "Inspect")
    page.wait_for_timeout(6000)  # until thumbnails and curves are there
    found = []
    for jump in range(jumps):
        place = (jump * 37 + 11) % STEPS
        before = view.evaluate("window.__uploads.length")
        asked = page.evaluate(f"(explorer.go({place}), {NOW})")
        view.wait_for_function(f"window.__uploads.length > {before}", polling=5)
        found.append(view.evaluate(f"window.__uploadTimes[{before}]") - asked)
        page.wait_for_timeout(700)  # until it rests
    page.close()
    return found


def _slide(browser: Any, url: str, seconds: float) -> tuple[float, float]:
    """Frames shown and points sent a second while the knob between two objects is dragged."""
    page, _, view = _open(browser, url)
    _tab(page, "Interpolate")
    for seed in (1, 5):
        taken = page.locator(".slot:not(.empty)").count()
        page.fill(".blend-seed", str(seed))
        page.click("[data-act=seed]")
        page.wait_for_function(
            f"document.querySelectorAll('.slot:not(.empty)').length > {taken}", timeout=60_000
        )
    page.wait_for_selector(".blend-pad.ready", timeout=60_000)
    page.wait_for_timeout(2000)
    page.evaluate(COUNT_POINTS)
    box = page.locator(".track").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    before, began, moves = view.evaluate("window.__uploads.length"), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        moves += 1
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.45 * math.sin(moves / 20)), middle)
        page.wait_for_timeout(10)
    elapsed = time.monotonic() - began
    shown = view.evaluate("window.__uploads.length") - before
    sent = page.evaluate("window.__points")
    page.mouse.up()
    page.close()
    return shown / elapsed, sent / elapsed
