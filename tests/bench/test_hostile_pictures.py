"""A small run of `tests.bench.hostile.pictures`."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.bench.hostile.outcome import Outcome
from tests.bench.hostile.pictures import KINDS, attack


def outcomes_of(count: int) -> list[Outcome]:
    return list(attack(count, seed=1))


def test_hostile_pictures_are_used_or_refused_in_one_sentence():
    with ProcessPoolExecutor(
        1, get_context("spawn")
    ) as fresh:  # whose children's peaks are its own
        outcomes = fresh.submit(outcomes_of, 2 * len(KINDS)).result()
    assert [one for one in outcomes if one.verdict in ("internal", "timeout")] == []
    assert max(one.peak_mb for one in outcomes) < 1500
    counts = Counter(one.verdict for one in outcomes)
    assert counts["done"] > 3
    assert counts["refused"] > len(KINDS) / 2
