"""Timing two or more things fairly: they take turns, and the median counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

CALLS, TURN_MS = 5, 20.0
"""A turn ends after so many calls, or so many milliseconds."""
Work = Callable[[], object]
Clock = Callable[[], float]


def wall() -> float:
    """Seconds on the wall, after the GPU (if there is one) has finished."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


cpu: Clock = time.process_time
"""CPU seconds of this process, all its threads together."""


def interleaved(works: Mapping[str, Work], repeats: int, clock: Clock = wall) -> dict[str, float]:
    """Median milliseconds of each work. The works take turns, after one turn that does not count.

    In its turn a short work is called several times, as it is in use: its data are then in the caches.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            taken = _turn(work, clock)
            if turn:
                times[name] += taken
    return {name: statistics.median(taken) for name, taken in times.items()}


def _turn(work: Work, clock: Clock) -> list[float]:
    """Milliseconds of each call of one turn."""
    taken: list[float] = []
    while len(taken) < CALLS and sum(taken) < TURN_MS:
        start = clock()
        work()
        taken.append(1e3 * (clock() - start))
    return taken


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch's CPU arithmetic on `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
