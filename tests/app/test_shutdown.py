"""Stopping the explorer while a page is open."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.signals import ignore_interrupts

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_with_an_open_page_ends_without_a_traceback(number, code):
    """Also where the process was started with SIGINT ignored, as scripts start what they put into the background."""
    command = [sys.executable, "launch.py", "--checkpoint", "toy", "--port", "0"]
    options = {"stderr": subprocess.PIPE, "text": True, "preexec_fn": ignore_interrupts}
    process = subprocess.Popen(command, cwd=ROOT, **options)
    said = []
    for line in process.stderr:
        said.append(line)
        if "http://" in line:
            break
    url = said[-1].split()[-1]
    with urllib.request.urlopen(f"{url}/gradio_api/heartbeat/somebody", timeout=60) as stream:
        assert stream.read(1)  # the page's stream stays open
        process.send_signal(number)
        said += process.stderr.readlines()
        assert process.wait(30) == code
    assert "Traceback" not in "".join(said)
    assert "ERROR" not in "".join(said)
