"""Whose session is whose: all that live, by token and by the page load that they belong to."""

from __future__ import annotations

import threading
import time
from collections import Counter

from app.priors import Priors
from app.records import PAPER, Display
from app.session import Session
from app.settings import AppSettings
from app.tokens import Tokens
from app.uploads import Ledger
from engine.errors import EngineError

IDLE_S = 120.0
"""After so long without a sign of life a session makes room for another where there is none; pages give one a minute."""
MOST_PAGES = 8
"""Page loads that one session is found by; beyond it the oldest are forgotten."""


class SessionGoneError(EngineError):
    """A page or program names a session that nobody has."""


class SessionsFullError(EngineError):
    """There is no room for another session."""


class Sessions:
    """All sessions by token and by the page load they belong to."""

    def __init__(self, priors: Priors, settings: AppSettings, tokens: Tokens | None = None):
        self.priors = priors
        self.settings = settings
        self.ledger = Ledger(settings.max_files_mb)
        """Files that were sent, by address."""
        self._tokens = tokens or Tokens()
        self._lock = threading.RLock()
        self._by_page: dict[str, Session] = {}
        self._by_token: dict[str, Session] = {}
        _ = priors.first.greeting  # whoever comes first need not wait for it

    def open(self, address: str = "") -> Session:
        """A new session, as a program needs it; its `token` names it from then on.

        Args:
            address: Of the client, for the limits.

        Raises:
            SessionsFullError: If this address, or everybody together, has as many as there may be.
        """
        with self._lock:
            return self._open(self._tokens.issue(address), address)

    def of_page(self, page: str) -> Session:
        """The session of one page load, by Gradio's `session_hash`.

        Raises:
            SessionGoneError: If that page has not told its token.
        """
        with self._lock:
            session = self._by_page.get(page)
            if session is None:
                raise SessionGoneError(
                    "Found no session of this page, expected one that was opened with the page's token; reload the page."
                )
            session.touch()
            return session

    def open_page(self, page: str, token: str) -> Session:
        """The session of a page that came with `token`; the page's view has the same, whoever comes first.

        Raises:
            SessionGoneError: If nobody knows the token (any more).
            SessionsFullError: If there is no room for the session.
        """
        with self._lock:
            session = self._by_token.get(token)
            if session is None:
                waiting = self._tokens.waiting(token)
                if waiting is None:
                    raise SessionGoneError(
                        "Found a token that nobody knows any more, expected one of a page that is open; reload the page."
                    )
                session = self._open(token, waiting.address, waiting.dark)
            session.come_back()
            return self._name(page, session)

    def of_token(self, token: str) -> Session | None:
        """The session with this token: one that lives, or a new one if the token was given out and never used.

        None for a token that nobody knows, and where there is no room for its session.
        """
        with self._lock:
            session, waiting = self._by_token.get(token), self._tokens.waiting(token)
            if session is None and waiting is not None:
                try:
                    return self._open(token, waiting.address, waiting.dark)
                except SessionsFullError:
                    return None
            return session

    def drop(self, session: Session) -> None:
        """Forget and close a session."""
        with self._lock:
            self._tokens.revoke(session.token)
            self._by_token.pop(session.token, None)
            self._by_page = {page: s for page, s in self._by_page.items() if s is not session}
        session.close()

    def close_page(self, page: str) -> None:
        """A page was closed; its session is left if no other page has it."""
        with self._lock:
            session = self._by_page.pop(page, None)
            if session is not None and session not in self._by_page.values():
                session.leave()

    def all(self) -> list[Session]:
        """Every session that lives."""
        with self._lock:
            return list(self._by_token.values())

    def _open(self, token: str, address: str, dark: bool = False) -> Session:
        self._make_room(address)
        display = Display(background=PAPER[dark])
        session = Session(self.priors.first, self.settings, token, display, address)
        self._tokens.claim(token)
        self._by_token[token] = session
        return session

    def _name(self, page: str, session: Session) -> Session:
        self._by_page.pop(page, None)
        pages = [known for known, one in self._by_page.items() if one is session]
        for old in pages[: max(len(pages) + 1 - MOST_PAGES, 0)]:
            del self._by_page[old]
        self._by_page[page] = session
        return session

    def _make_room(self, address: str) -> None:
        """Let idle sessions go until there is room for one more of an address.

        Raises:
            SessionsFullError: If there are none.
        """
        settings = self.settings
        while True:
            counts = Counter(session.address for session in self._by_token.values())
            crowded = counts[address] >= settings.max_sessions_per_address
            if not crowded and len(self._by_token) < settings.max_sessions:
                return
            idle = self._idlest(address if crowded else None)
            if idle is None:
                break
            self.drop(idle)
        who = "from this address" if crowded else "in all"
        count = counts[address] if crowded else len(self._by_token)
        raise SessionsFullError(
            f"Found {count} open pages and programs {who}, which is the most this explorer takes; close one, wait two "
            "minutes, and reload."
        )

    def _idlest(self, address: str | None) -> Session | None:
        """The session that was used longest ago, if it is idle; of one address, or of all."""
        limit = time.monotonic() - IDLE_S
        idle = [
            session
            for session in self._by_token.values()
            if address in (None, session.address) and session.last_seen < limit and not session.busy
        ]
        return min(idle, key=lambda session: session.last_seen, default=None)
