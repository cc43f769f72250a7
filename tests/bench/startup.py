"""From `python launch.py` to the first frame that a browser shows and to the first object, with warm and cold caches.

Chromium already runs, with software WebGL; the clock starts with the process and stops when the page has uploaded its
first frame as a texture, and again when an object has been generated that was asked for then. Cold means: no compiled
Numba kernel and no compiled Python (of any package) on disk.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

from tests.bench.report import ROOT, Results, Row
from tests.bench.settings import Settings
from tests.browser.chromium import CHROMIUM, COUNT_UPLOADS, FLAGS

PATIENCE_S = 60.0
SEED = 77
"""Of the object that is generated: none of those that the explorer has ready."""
GOALS = (
    ("cold", "first_frame", "frame", 8.0, 4.0),
    ("warm", "first_frame", "frame", 3.0, 1.5),
    ("cold", "first_run", "generated object", None, None),
    ("warm", "first_run", "generated object", None, None),
)
"""Caches, what is measured, its name, the most seconds it must take and should."""


def measure(settings: Settings, device: str = "cpu") -> Results:
    """Starts the explorer several times; nothing where there is no browser."""
    installed = Path(CHROMIUM).exists() and find_spec("playwright") is not None
    if not settings.starts or not installed:
        return Results()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        _start(browser, {})
        warm = [_start(browser, {}) for _ in range(settings.starts)]
        cold = []
        for _ in range(max(settings.starts - 1, 1)):
            with tempfile.TemporaryDirectory() as empty:
                caches = {"NUMBA_CACHE_DIR": f"{empty}/numba", "PYTHONPYCACHEPREFIX": f"{empty}/py"}
                cold.append(_start(browser, caches))
        browser.close()
    results = Results(details={"startup": {"warm": warm, "cold": cold}})
    for caches, what, name, must, reach in GOALS:
        runs = {"warm": warm, "cold": cold}[caches]
        seconds = statistics.median(run[what] for run in runs)
        listening = statistics.median(run["listening"] for run in runs)
        how = f"wall; listening after {listening:.1f} s; {len(runs)} starts"
        results.top[f"{what}_{caches}_s"] = seconds
        title = f"first {name} after start, caches {caches}"
        results.rows.append(Row(title, seconds, must, reach, " s", how=how))
    return results


def _start(browser, environment: dict[str, str]) -> dict[str, float]:
    """Seconds until the explorer accepts connections, the page, opened then, shows a frame, and an object is there."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        context.add_init_script(COUNT_UPLOADS)
        page = context.new_page()
        began = time.perf_counter()
        with _explorer(environment) as address:
            _until(lambda: _accepts(address))
            listening = time.perf_counter() - began
            page.goto("http://{}:{}/".format(*address), wait_until="commit")
            _until(lambda: _uploads(page), lambda: page.wait_for_timeout(10))
            frame = time.perf_counter() - began
            _generate("http://{}:{}/api/sessions".format(*address))
            found = {"listening": listening, "first_frame": frame}
            return found | {"first_run": time.perf_counter() - began}
    finally:
        context.close()


def _generate(sessions: str) -> None:
    """Have the explorer generate an object as it usually does, and wait for it."""
    token = _told(sessions, {})["session"]
    run = _told(f"{sessions}/{token}/generate", {"seed": SEED})["run"]
    deadline = time.perf_counter() + PATIENCE_S
    while (state := _told(f"{sessions}/{token}/runs/{run}?wait=30")["state"]) != "done":
        if state not in ("queued", "running") or time.perf_counter() > deadline:
            raise TimeoutError(f"the run is {state} after {PATIENCE_S:.0f} s.")


def _told(address: str, asked: dict | None = None) -> dict:
    body = None if asked is None else json.dumps(asked).encode()
    with urlopen(Request(address, body, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)


def _uploads(page) -> int:
    """Frames that the page's view has shown; 0 while it is still being opened."""
    from playwright.sync_api import Error

    count = "(window.__uploads || []).length"
    try:
        return sum(frame.evaluate(count) for frame in page.frames if "/viewport/" in frame.url)
    except Error:
        return 0


@contextmanager
def _explorer(environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """`launch.py` in a process of its own; yields where it will listen."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "launch.py", "--port", str(port)]
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=ROOT, env=inherited | environment)
    try:
        yield "127.0.0.1", port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _until(
    true: Callable[[], object], pause: Callable[[], None] = lambda: time.sleep(0.01)
) -> None:
    """Wait; `pause` must be the browser's own where its events are waited for."""
    deadline = time.perf_counter() + PATIENCE_S
    while not true():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"nothing happened within {PATIENCE_S:.0f} s.")
        pause()
