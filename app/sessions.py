"""Whose session is whose: all that live, by token and by the page load that they belong to."""

from __future__ import annotations

import threading
import time

from app.priors import Priors
from app.records import PAPER, Display
from app.session import Session
from app.settings import AppSettings
from app.tokens import Tokens
from engine.errors import EngineError


class SessionsFullError(EngineError):
    """There are as many sessions as this server keeps."""


class Sessions:
    """All sessions by token and by the page load they belong to."""

    def __init__(self, priors: Priors, settings: AppSettings, tokens: Tokens | None = None):
        self.priors = priors
        self.settings = settings
        self._tokens = tokens or Tokens()
        self._lock = threading.RLock()
        self._by_page: dict[str, Session] = {}
        self._by_token: dict[str, Session] = {}
        _ = priors.first.greeting  # whoever comes first need not wait for it

    def of_page(self, page: str) -> Session:
        """The session of one page load (or API client); made on its first call."""
        with self._lock:
            session = self._by_page.get(page)
            if session is None:
                session = self.open_page(page, self._tokens.issue())
            session.last_seen = time.monotonic()
            return session

    def open_page(self, page: str, token: str) -> Session:
        """The session of a page that came with `token`; one of its own if nobody knows the token (any more).

        Nothing else of the page may come before: the view has the token's session.
        """
        with self._lock:
            session = self.of_token(token) or self.of_token(self._tokens.issue())
            self._by_page[page] = session
            return session

    def open(self, address: str) -> Session:
        """A session of its own for a program at a network address.

        Raises:
            SessionsFullError: If there are too many already.
        """
        return self.of_token(self._tokens.issue())

    def of_token(self, token: str) -> Session | None:
        """The session with this token: one that lives, or a new one if the token was given out and never used."""
        with self._lock:
            session = self._by_token.get(token)
            if session is None and (dark := self._tokens.claim(token)) is not None:
                display = Display(background=PAPER[dark])
                session = Session(self.priors.first, self.settings, token, display)
                self._by_token[token] = session
            return session

    def drop(self, session: Session) -> None:
        """Forget and close a session."""
        with self._lock:
            self._tokens.revoke(session.token)
            self._by_token.pop(session.token, None)
            self._by_page = {page: s for page, s in self._by_page.items() if s is not session}
        session.close()

    def page_closed(self, page: str) -> Session | None:
        """The session whose page was closed, if there is one."""
        with self._lock:
            return self._by_page.get(page)

    def all(self) -> list[Session]:
        """Every session that lives."""
        with self._lock:
            return list(self._by_token.values())
