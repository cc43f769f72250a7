"""A small run of `tests.bench.hostile.pictures`."""

from collections import Counter

from tests.bench.hostile.pictures import KINDS, attack


def test_hostile_pictures_are_used_or_refused_in_one_sentence():
    outcomes = list(attack(2 * len(KINDS), seed=1))
    assert [one for one in outcomes if one.verdict in ("internal", "timeout")] == []
    assert max(one.peak_mb for one in outcomes) < 1500
    counts = Counter(one.verdict for one in outcomes)
    assert counts["done"] > 3
    assert counts["refused"] > len(KINDS) / 2
