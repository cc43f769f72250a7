"""A training run that is killed at random moments, also while it writes its state, against one that never was."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.hostile.outcome import Outcome

ROOT = Path(__file__).resolve().parents[3]
ITERATIONS = 24
FLAGS = (
    *("--iterations", str(ITERATIONS), "--scenes", "4", "--views", "4", "--size", "32"),
    *("--log-every", "3", "--tune-scenes", "0", "--preview-every", "0", "--threads", "1"),
    *("--save-every-s", "0", "--device", "cpu", "--out", "run"),
)
"""The smallest recipe, which saves its state after every iteration: a fifth of its time."""
CLOCKS = ("seconds", "time", "cpu_seconds")
"""Numbers of a log line that no two runs share."""
MOST_S = 600.0
"""Of a run that nobody kills."""


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """Kill a run `count` times, then let it end, as often as needed; the last outcome compares it with its twin.

    Every other kill waits for the state to be under way: its temporary file is there.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        twin, cut = Path(folder, "twin"), Path(folder, "cut")
        twin.mkdir()
        if (code := start(twin).wait(MOST_S)) != 0:
            yield Outcome("kills", "twin", "internal", 0.0, message=f"exit code {code}")
            return
        wanted = result(twin)
        killed = 0
        while killed < count:
            cut.mkdir(exist_ok=True)
            outcome, ended = kill(cut, killed, rng)
            killed += not ended
            if not ended or outcome.verdict != "done":
                yield outcome
            if ended:
                yield compared(cut, wanted, f"after {killed} kills")
                cut = Path(folder, f"cut-{killed}")
        cut.mkdir(exist_ok=True)
        start(cut).wait(MOST_S)
        yield compared(cut, wanted, f"after {killed} kills")


def start(folder: Path) -> subprocess.Popen:
    """The run, begun or resumed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "train", "smoke", *FLAGS]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def kill(folder: Path, number: int, rng: random.Random) -> tuple[Outcome, bool]:
    """Resume the run and kill it at a random moment; whether it had ended before."""
    before, began = step_of(folder), time.monotonic()
    process = start(folder)
    writing = number % 2 == 1
    goal = before + rng.randrange(1, 5)
    while process.poll() is None and time.monotonic() - began < MOST_S:
        if step_of(folder) >= goal and (
            not writing or (folder / "run/.tmp-state-next.pt").exists()
        ):
            break
        time.sleep(0.001)
    if not writing:
        time.sleep(rng.uniform(0.0, 0.1))
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1]
    bad = "Traceback" in said or (ended and process.returncode != 0)
    name = f"kill {number} {'while the state is written' if writing else 'anywhere'}"
    verdict = "internal" if bad else "done"
    return Outcome("kills", name, verdict, 0.0, message=said[-300:] if bad else ""), ended


def step_of(folder: Path) -> int:
    """Iterations that the log has seen."""
    log = folder / "run/metrics.jsonl"
    return 3 * log.read_bytes().count(b"\n") if log.exists() else 0


def result(folder: Path) -> dict[str, str]:
    """What a finished run leaves: digests of weights and state, and the log without its clocks."""
    import torch

    state = torch.load(folder / "run/state.pt", weights_only=True)
    weights = hashlib.sha256((folder / "run/checkpoint/model.safetensors").read_bytes())
    digest = hashlib.sha256()
    for name in ("method", "average", "bank"):
        for key, value in sorted(state[name].items()):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    kept = [{name: line[name] for name in line if name not in CLOCKS} for line in lines]
    return {
        "weights": weights.hexdigest(),
        "state": digest.hexdigest(),
        "log": json.dumps(kept),
        "step": str(state["step"]),
    }


def compared(folder: Path, wanted: dict[str, str], name: str) -> Outcome:
    """Whether a run ended as its twin."""
    try:
        found = result(folder)
    except OSError as error:
        return Outcome("kills", name, "internal", 0.0, message=f"the run did not end: {error}")
    differing = [part for part in wanted if found[part] != wanted[part]]
    if differing:
        return Outcome("kills", name, "internal", 0.0, message=f"differs in {', '.join(differing)}")
    return Outcome("kills", name, "done", 0.0)
