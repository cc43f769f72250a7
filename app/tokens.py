"""Tokens: a page's right to its view, given out before there is a session behind it."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

MOST_WAITING = 1024
"""Tokens without a session; beyond it the oldest are forgotten."""


class Tokens:
    """What was given out: tokens that wait for their session, and tokens whose session lives."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, bool] = OrderedDict()
        self._claimed: set[str] = set()

    def issue(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._waiting[token] = False
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)
        return token

    def darken(self, token: str) -> None:
        """Note that a token's page is dark."""
        with self._lock:
            if token in self._waiting:
                self._waiting[token] = True

    def claim(self, token: str) -> bool | None:
        """Take a waiting token for a session; whether its page is dark, or None if it does not wait."""
        with self._lock:
            dark = self._waiting.pop(token, None)
            if dark is not None:
                self._claimed.add(token)
            return dark

    def revoke(self, token: str) -> None:
        """The token's session is gone."""
        with self._lock:
            self._claimed.discard(token)

    def __contains__(self, token: str) -> bool:
        with self._lock:
            return token in self._waiting or token in self._claimed
