"""What became of one hostile input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["done", "refused", "internal", "timeout"]
"""Used as it was; refused in one sentence; an error of ours (a traceback, a developer's message); no answer in time."""

MOST_SECONDS = 5.0
MOST_MB = 1500.0


@dataclass(frozen=True)
class Outcome:
    """One input and what it did.

    Attributes:
        part: Kind of attack, e.g. `pictures`.
        name: Which input, so that it can be made again.
        verdict: How it ended.
        seconds: Wall time until the answer.
        peak_mb: Largest resident memory meanwhile, of the process that worked on it; 0 where it was not measured.
        message: The sentence it was answered with; empty if it was used.
        others_s: Longest wait of an honest request beside it, seconds; 0 where none was made.
    """

    part: str
    name: str
    verdict: Verdict
    seconds: float
    peak_mb: float = 0.0
    message: str = ""
    others_s: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether the explorer did what it must not."""
        return (
            self.verdict in ("internal", "timeout")
            or self.seconds > MOST_SECONDS
            or self.peak_mb > MOST_MB
            or self.others_s > 1.0
        )
