"""Tokens: a page's right to its session, given out before there is a session behind it."""

from __future__ import annotations

import secrets
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass

MOST_WAITING = 1024
"""Tokens without a session, in all."""
MOST_WAITING_EACH = 64
"""Tokens without a session of one address; beyond it that address loses its oldest."""


@dataclass(frozen=True)
class Waiting:
    """A token that was given out and has no session yet: for whom, and whether its page is dark."""

    address: str = ""
    dark: bool = False


class Tokens:
    """Issued tokens: those that wait for their session, and those whose session lives."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, Waiting] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._claimed: set[str] = set()

    def issue(self, address: str = "") -> str:
        """A new token for a client's address. Where too many wait, the address with the most of them loses its oldest."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._waiting[token] = Waiting(address)
            self._counts[address] += 1
            if self._counts[address] > MOST_WAITING_EACH:
                self._forget_oldest(address)
            elif len(self._waiting) > MOST_WAITING:
                self._forget_oldest(self._counts.most_common(1)[0][0])
        return token

    def darken(self, token: str) -> None:
        """Note that a token's page is dark."""
        with self._lock:
            waiting = self._waiting.get(token)
            if waiting is not None:
                self._waiting[token] = Waiting(waiting.address, dark=True)

    def waiting(self, token: str) -> Waiting | None:
        """Details of a token that waits; None if it does not."""
        with self._lock:
            return self._waiting.get(token)

    def claim(self, token: str) -> None:
        """Note that a token has a session now."""
        with self._lock:
            self._drop(token)
            self._claimed.add(token)

    def revoke(self, token: str) -> None:
        """The token's session is gone."""
        with self._lock:
            self._claimed.discard(token)

    def __contains__(self, token: str) -> bool:
        with self._lock:
            return token in self._waiting or token in self._claimed

    def _forget_oldest(self, address: str) -> None:
        self._drop(next(t for t, waiting in self._waiting.items() if waiting.address == address))

    def _drop(self, token: str) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            self._counts[waiting.address] -= 1
            if not self._counts[waiting.address]:
                del self._counts[waiting.address]
