"""The threads of torch's arithmetic beside other programs."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.threads import SETTINGS, STAT, core_seconds, sharing_cores
from train.ending import ended

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = Path("/proc/self/maps").read_text() if STAT.exists() else ""
SPINNING = """
import json, os, time
from engine.threads import sharing_cores
import torch
from tests.bench.load import busy
torch.set_num_threads(len(os.sched_getaffinity(0)))
work = torch.zeros(1 << 18)

def spent():
    "Seconds of the processor for short loops with pauses, in which threads spin or sleep."
    before = time.process_time()
    for _ in range(100):
        work.add_(1)
        time.sleep(0.002)
    return time.process_time() - before

work.add_(1)
found = {"alone": spent()}
with sharing_cores() as shared:
    with busy(torch.get_num_threads()):
        found["told"] = shared.wait(30)
        time.sleep(0.2)
        found["beside"] = spent()
found["after"] = spent()
print(json.dumps(found))
"""


def watching() -> bool:
    """Whether the use of the cores is being measured now."""
    return any(thread.name == "cores" for thread in threading.enumerate())


def test_work_is_counted_on_the_cores_that_are_asked_about():
    stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 20 3 4000 500 6 7 80 0 0\ncpu1 1 1 1 9 9 1 1 1 0 0\ncpu12 5 0 0 0 0 0 0 0 0 0\nintr 7"
    ticks = os.sysconf("SC_CLK_TCK")
    assert core_seconds(stat, {0}) == pytest.approx((100 + 20 + 3 + 6 + 7 + 80) / ticks)
    assert core_seconds(stat, {0, 12}) == pytest.approx((216 + 5) / ticks)


@pytest.mark.skipif(not STAT.exists(), reason="the use of the cores is known on Linux only")
@pytest.mark.skipif("libgomp" not in LIBRARIES, reason="torch uses another OpenMP")
@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", set)(0)) < 2, reason="needs two cores")
def test_threads_sleep_beside_other_programs_and_spin_otherwise():
    plain = {k: v for k, v in os.environ.items() if k not in {*SETTINGS, "OMP_NUM_THREADS"}}
    command, environment = [sys.executable, "-c", SPINNING], {**plain, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["told"]
    assert found["beside"] < found["alone"] / 3
    assert found["after"] > 2 * found["beside"]


@pytest.mark.skipif(not STAT.exists(), reason="the use of the cores is known on Linux only")
def test_commands_watch_the_cores_while_they_work(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    seen = []
    assert ended(lambda: seen.append(watching())) == 0
    assert (seen, watching()) == ([True], False)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_users_own_setting_stands(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    with sharing_cores():
        assert not watching()
