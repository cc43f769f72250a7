"""Means over scenes with the 95 % interval of Student's t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

CONFIDENCE = 0.95
DIGITS = 4


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval, which a single value does not have."""

    mean: float
    low: float
    high: float

    def json(self) -> dict[str, float]:
        """The interval rounded, as JSON values."""
        return {name: round(value, DIGITS) for name, value in asdict(self).items()}


def interval(values: Sequence[float]) -> Interval:
    """Mean and t-interval of independent values (at least one)."""
    from scipy import stats

    data = np.asarray(values, float)
    mean = float(data.mean())
    if len(data) < 2:
        return Interval(mean, mean, mean)
    spread = data.std(ddof=1) / np.sqrt(len(data))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(data) - 1) * spread)
    return Interval(mean, mean - half, mean + half)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Mean and interval of the paired differences `ours - theirs`, scene by scene."""
    return interval([a - b for a, b in zip(ours, theirs, strict=True)])
