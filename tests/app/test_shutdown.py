"""Stopping the explorer while a page is open."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_ctrl_c_with_an_open_page_ends_without_a_traceback():
    command = [sys.executable, "launch.py", "--checkpoint", "toy", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if "http://" in line:
            break
    url = said[-1].split()[-1]
    with urllib.request.urlopen(f"{url}/gradio_api/heartbeat/somebody", timeout=60) as stream:
        assert stream.read(1)  # the page's stream stays open
        process.send_signal(signal.SIGINT)
        said += process.stderr.readlines()
        assert process.wait(30) == 130
    assert "Traceback" not in "".join(said)
    assert "ERROR" not in "".join(said)
