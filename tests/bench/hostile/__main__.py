"""`python -m tests.bench.hostile [PART ...]`: every part's hostile inputs, and a table of what they did."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections import Counter

from tests.bench.hostile.outcome import Outcome

PARTS = {"pictures": 1000, "files": 2000, "routes": 500, "messages": 100, "kills": 30}
"""Modules of this package, each with `attack(count, seed)`, an iterator of outcomes; and how many by default."""


def main() -> int:
    """Attack, and say how it ended: 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--count", type=int, help="inputs per part instead of the defaults")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    failed = 0
    for part in arguments.parts or PARTS:
        started = time.monotonic()
        attack = importlib.import_module(f"tests.bench.hostile.{part}").attack
        outcomes = list(attack(arguments.count or PARTS[part], arguments.seed))
        failed += report(part, outcomes, time.monotonic() - started)
    return 1 if failed else 0


def report(part: str, outcomes: list[Outcome], seconds: float) -> int:
    """Print a part's line and its bad outcomes; how many they are."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    bad = [outcome for outcome in outcomes if outcome.bad]
    words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(
        f"{part}: {len(outcomes)} inputs in {seconds:.0f} s: {words}; slowest "
        f"{max((o.seconds for o in outcomes), default=0):.2f} s, most memory "
        f"{max((o.peak_mb for o in outcomes), default=0):.0f} MB, others waited at most "
        f"{max((o.others_s for o in outcomes), default=0):.2f} s; {len(bad)} bad"
    )
    for outcome in bad[:20]:
        print(f"  {outcome.name}: {outcome.verdict}, {outcome.seconds:.1f} s, {outcome.message}")
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
