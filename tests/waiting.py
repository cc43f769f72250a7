"""Waiting for something that another thread or program does."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object], what: str = "the condition", patience_s: float = 60.0
) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: If it never does.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came true"
        time.sleep(0.02)
