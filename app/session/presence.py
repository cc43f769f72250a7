"""Signs of life of the page that a session belongs to."""

from __future__ import annotations

import time


class Presence:
    """Time of a page's last sign of life, and a flag for a closed page."""

    def __init__(self):
        self.last_seen = time.monotonic()
        self.left: float | None = None
        """When its page was closed; None while it is open."""

    def touch(self) -> None:
        """Note a sign of life."""
        self.last_seen = time.monotonic()

    def leave(self) -> None:
        """Note that the page was closed: the session goes unless a page comes back to it."""
        self.left = time.monotonic()

    def come_back(self) -> None:
        """Note that a page has the session (again)."""
        self.left = None
        self.touch()
