"""Progress of a long run on a terminal or in a log: stage, time left, numbers."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from io import TextIOBase

from engine.events import Step


class Progress:
    """Shows a run's steps on one line of a terminal with the time left, and keeps the seconds of every stage.

    Args:
        stream: Where to; None takes stderr.
        numbers: Which of the steps' scalars are shown; None shows all.
    """

    def __init__(self, stream: TextIOBase | None = None, numbers: Collection[str] | None = None):
        self.stream, self.numbers = stream or sys.stderr, numbers
        self.seconds: dict[str, float] = {}
        self._stage: str | None = None
        self._last = time.monotonic()
        self._start = (self._last, 0)
        self._shown = 0.0

    def __call__(self, step: Step) -> None:
        """Take note of a step."""
        now = time.monotonic()
        if step.stage != self._stage or step.index <= self._start[1]:
            self._stage, self._start = step.stage, (self._last, step.index - 1)
            self._shown = 0.0
        self.seconds[step.stage] = self.seconds.get(step.stage, 0.0) + now - self._last
        self._last = now
        self._show(step, now)

    def restart(self) -> None:
        """Begin a new result: forget the seconds of the last one."""
        self.seconds, self._stage, self._last = {}, None, time.monotonic()

    def close(self) -> None:
        """End the line."""
        if self._stage is not None and self.stream.isatty():
            self.stream.write("\n")
        self._stage = None

    def _show(self, step: Step, now: float) -> None:
        """A terminal's line is rewritten up to ten times a second; a file gets a line every ten seconds."""
        terminal = self.stream.isatty()
        if now - self._shown < (0.1 if terminal else 10.0) and step.index < step.total:
            return
        self._shown = now
        begun, before = self._start
        left = (now - begun) / (step.index - before) * (step.total - step.index)
        numbers = "".join(
            f"  {name} {value:.4g}"
            for name, value in step.scalars.items()
            if self.numbers is None or name in self.numbers
        )
        line = f"{step.stage} {step.index}/{step.total}  {clock(left)} left{numbers}"
        self.stream.write(f"\r\033[K{line}" if terminal else f"{line}\n")
        self.stream.flush()


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
