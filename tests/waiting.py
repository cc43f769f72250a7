"""Waiting for something that another thread or program does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: str = "the condition", patience_s: float = 60.0) -> T:
    """Wait until something holds, and return what it then is.

    Raises:
        AssertionError: If it never does.
    """
    deadline = time.monotonic() + patience_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what} never came true"
        time.sleep(0.02)
    return answer
