"""A limit on the pictures that one session opens at a time, so that others get their turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.session.session import Session
from engine.errors import ImageError

AT_ONCE = 3
"""Pictures of one session that are opened at a time."""
PATIENCE_S = 1.0
"""Longest wait for a turn, seconds."""


class PictureTurns:
    """A session's turns; got by `session.part(PictureTurns)`."""

    def __init__(self, session: Session):
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a turn for the block.

        Raises:
            ImageError: If none gets free.
        """
        if not self._turns.acquire(timeout=PATIENCE_S):
            raise ImageError(
                f"{AT_ONCE} pictures of this page are still being opened, which is all at a time; try again."
            )
        try:
            yield
        finally:
            self._turns.release()
