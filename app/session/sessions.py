"""Whose session is whose: all that live, by token and by the page load that they belong to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from dataclasses import dataclass

from app.session.archive import Archive
from app.session.priors import Priors
from app.session.records import PAPER, Display
from app.session.session import Session
from app.session.session_files import Found
from app.session.tokens import Tokens
from app.session.uploads import Ledger
from app.settings import AppSettings
from engine.errors import EngineError

IDLE_S = 120.0
"""After so long without a sign of life a session makes room for another where there is none; pages give one a minute."""
MOST_PAGES = 8
"""Page loads that one session is found by; beyond it the oldest are forgotten."""


class SessionGoneError(EngineError):
    """A page or program names a session that nobody has."""


class SessionsFullError(EngineError):
    """There is no room for another session."""


@dataclass(frozen=True)
class Recovered:
    """Outcome of asking for a page's earlier session: its token (None if it is gone), and a sentence if one is due."""

    token: str | None
    said: str


class Sessions:
    """Sessions by token and by the page load they belong to."""

    def __init__(
        self,
        priors: Priors,
        settings: AppSettings,
        tokens: Tokens | None = None,
        archive: Archive | None = None,
    ):
        """`archive` keeps results on disk; without one they end with their session."""
        self.priors = priors
        self.settings = settings
        self.ledger = Ledger(settings.max_files_mb)
        """Files that were sent, by address."""
        self.archive = archive
        self._tokens = tokens or Tokens()
        self._recovering = threading.Lock()
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
            session = self.expected(token)
            session.come_back()
            return self._name(page, session)

    def of_token(self, token: str) -> Session | None:
        """The session with this token, as `expected`; None where that raises."""
        try:
            return self.expected(token)
        except (SessionGoneError, SessionsFullError):
            return None

    def expected(self, token: str) -> Session:
        """The session with this token: one that lives, or a new one if the token was given out and never used.

        Raises:
            SessionGoneError: If nobody knows the token (any more).
            SessionsFullError: If there is no room for the session.
        """
        with self._lock:
            session, waiting = self._by_token.get(token), self._tokens.waiting(token)
            if session is None and waiting is None:
                raise SessionGoneError(
                    "Found a token that nobody knows any more, expected one of a page that is open; reload the page."
                )
            return session or self._open(token, waiting.address, waiting.dark)

    def recover(self, token: str, address: str = "") -> Recovered:
        """Find the session of a page that had `token` before: one that lives, or what is on disk of one that does not.

        Raises:
            SessionsFullError: If there is no room for it.
        """
        with self._recovering:
            if token in self._tokens:
                return Recovered(token, "")
            found = None if self.archive is None else self.archive.find(token, self.priors)
            if found is None:
                return Recovered(None, "")
            try:
                with self._lock:
                    session = self._open(token, address)
            except SessionsFullError:
                self.archive.release(token)
                raise
            restore(session, found, self.priors)
            self.archive.give(session)
            said = told(found, session, restarted=found.index.server != self.archive.server)
            return Recovered(token, said)

    def drop(self, session: Session) -> None:
        """Close a session; what is on disk of it waits for its page."""
        self._forget(session)
        if self.archive is None:
            session.close()
        else:
            self.archive.finish(session)

    def remove(self, session: Session) -> None:
        """Close a session and delete all that it made."""
        self._forget(session)
        if self.archive is None:
            session.close()
        else:
            self.archive.remove(session)

    def _forget(self, session: Session) -> None:
        with self._lock:
            if (
                self._by_token.get(session.token) is session
            ):  # else another has come back under its token
                self._tokens.revoke(session.token)
                del self._by_token[session.token]
            self._by_page = {page: s for page, s in self._by_page.items() if s is not session}

    def close_page(self, page: str) -> None:
        """A page was closed; its session is left if no other page has it."""
        with self._lock:
            session = self._by_page.pop(page, None)
            if session is not None and session not in self._by_page.values():
                session.leave()

    def has_page(self, session: Session) -> bool:
        """True while an open page belongs to a session."""
        with self._lock:
            return session in self._by_page.values()

    def all(self) -> list[Session]:
        """Every session that lives."""
        with self._lock:
            return list(self._by_token.values())

    def _open(self, token: str, address: str, dark: bool = False) -> Session:
        self._make_room(address)
        display = Display(background=PAPER[dark])
        folder = None if self.archive is None else self.archive.own
        session = Session(self.priors.first, self.settings, token, display, address, folder)
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
            self._forget(idle)
            threading.Thread(target=self.drop, args=(idle,), name="drop").start()
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


def restore(session: Session, found: Found, priors: Priors) -> None:
    """Bring a new session to where an earlier one was."""
    index = found.index
    if index.prior in (name for _, name in priors.choices):
        with contextlib.suppress(EngineError):
            session.use(priors.open(index.prior).result())
    shown = found.records.get(index.shown)
    session.restore(list(found.records.values()), 0 if shown is None else shown.id, index.frame)


def told(found: Found, session: Session, *, restarted: bool) -> str:
    """One sentence about what is back and what is not; empty if there is nothing to tell."""
    index, records = found.index, found.records.values()
    foreign = sum(not record.method.presets and record.kind != "file" for record in records)
    lean = sum(entry.lean for entry in index.entries)
    lost = [
        f"the run under way ({', '.join(index.running)})" if index.running else "",
        f"{_count(found.damaged, 'file')} that cannot be read" if found.damaged else "",
        f"the steps of {_count(lean, 'result')}, for which there was no room" if lean else "",
        f"the model of {_count(foreign, 'result')}, which can only be looked at" if foreign else "",
        "the pictures in Reconstruct, which must be dropped again" if index.pictures else "",
    ]
    lost = [part for part in lost if part]
    if not records and not lost:
        return ""
    what = "The explorer was restarted" if restarted else "This tab's session had ended"
    back = f"{what}; {_count(len(records), 'result')} {'is' if len(records) == 1 else 'are'} back"
    return f"{back}, but not {' and '.join(lost)}." if lost else f"{back}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
