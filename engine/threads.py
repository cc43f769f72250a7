"""Waiting of torch's threads for each other, on idle cores and on busy ones. Imports the standard library only.

Between two parallel loops the threads of GNU's OpenMP (libgomp) spin for milliseconds. On idle cores nothing is faster.
Where another program needs the cores too, a thread spins on one for another that waits for one, and a second of work
takes minutes. While libgomp manages more threads than there are cores, it has them spin briefly and then sleep. So for as
long as other programs need the cores, one more thread holds a team of threads that sleep. Every loop is still divided
among as many threads, so that results stay the same. Numba's kernels run on Python's threads, which never spin.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables with which a user decides instead."""
STAT = Path("/proc/stat")
"""The use of the cores, where the system is Linux."""
PERIOD_S = 0.1
NEEDED = 0.5
"""Cores' worth of work that other programs do, from which the cores are shared."""
CALM = 10
"""Periods below it, in a row, after which they no longer are."""
ELEMENTS = 1 << 20
"""Of a tensor so large that torch divides its work among threads."""


@contextmanager
def sharing_cores() -> Iterator[threading.Event]:
    """In this block, let torch's threads sleep instead of spin while other programs need the cores.

    Nothing changes where a user's own setting stands, or where the system does not tell the use of its cores.

    Yields:
        Set while they sleep.
    """
    shared, ended = threading.Event(), threading.Event()
    if any(name in os.environ for name in SETTINGS) or not os.access(STAT, os.R_OK):
        yield shared
        return
    watcher = threading.Thread(target=_watch, args=(shared, ended), name="cores", daemon=True)
    watcher.start()
    try:
        yield shared
    finally:
        ended.set()
        watcher.join()


def core_seconds(stat: str, cores: set[int]) -> float:
    """Seconds that some cores have worked, for anybody, since the machine started.

    Args:
        stat: The text of /proc/stat.
        cores: Their numbers.
    """
    ticks = 0
    for line in stat.splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, counts[:8])
            ticks += user + nice + system + interrupts + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def _watch(shared: threading.Event, ended: threading.Event) -> None:
    cores, calm, release = os.sched_getaffinity(0), 0, threading.Event()
    team: threading.Thread | None = None
    before = _use(cores)
    while not ended.wait(PERIOD_S):
        now = _use(cores)
        passed, all_work, ours = (b - a for a, b in zip(before, now, strict=True))
        before = now
        needed = all_work - ours > NEEDED * passed
        calm = 0 if needed else calm + 1
        if needed and "torch" in sys.modules and not shared.is_set():
            release = threading.Event()
            team = threading.Thread(target=_hold_team, args=(release,), name="team", daemon=True)
            team.start()
            shared.set()
        elif calm >= CALM and shared.is_set():
            release.set()
            shared.clear()
    release.set()
    if team is not None:
        team.join()


def _use(cores: set[int]) -> tuple[float, float, float]:
    """Seconds of the clock, of the cores' work, and of this process's."""
    return time.monotonic(), core_seconds(STAT.read_text(), cores), time.process_time()


def _hold_team(release: threading.Event) -> None:
    """Have a team of OpenMP's threads until released."""
    import torch  # waits for the end of an import that has begun

    torch.zeros(ELEMENTS).add_(1)
    release.wait()
