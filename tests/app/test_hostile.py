"""A short run of the attacks that `python -m tests.bench.hostile` makes by the hundred."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(("part", "count"), [("routes", 40), ("messages", 10)])
def test_a_live_server_stands_hostile_requests(part, count):
    attack = importlib.import_module(f"tests.bench.hostile.{part}").attack
    outcomes = list(attack(count, 5))
    assert len(outcomes) == count
    assert {"done", "refused"} <= {outcome.verdict for outcome in outcomes}
    assert not [outcome for outcome in outcomes if outcome.verdict in ("internal", "timeout")]
