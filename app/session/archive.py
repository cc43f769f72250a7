"""Results of tabs on disk: written behind their backs when a run has ended, and found again by the tab's token.

    sessions/HASH/index.json          what there is, in the history's order
    sessions/HASH/NAME.safetensors    a result with its steps, as a run's file

HASH is made from the token, so that the folder tells nobody a token. Everything is bounded: results and steps of a tab as
in memory, all tabs together by size, number and age.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from app.session.priors import Priors
from app.session.session import Session
from app.session.session_files import Found, NoRoomError, SessionFiles, changed_at, outline, size
from app.session.state import Locked, StateFolder, private
from app.settings import AppSettings
from engine.errors import EngineError
from engine.files import MEGABYTE

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Between two looks for what has changed."""
TIDY_S = 30.0
"""Between two looks for what may go."""
MOST_SESSIONS = 512
"""Sessions on disk."""
SPARE = 64 * MEGABYTE
"""Room that is made before something is written."""


class Archive:
    """Sessions on disk, and the thread that writes them."""

    def __init__(self, folder: StateFolder, settings: AppSettings):
        self.server = folder.own.name
        self._folder = folder
        self._settings = settings
        self._lock = threading.RLock()
        self._held: dict[str, SessionFiles] = {}
        self._owners: dict[str, Session | None] = {}
        """Session that writes to each of `_held`, by token; None while its results are read back."""
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._room = self._tidy()
        self._tidied = time.monotonic()

    @property
    def own(self) -> Path:
        """A folder of this server's own, gone with it."""
        return self._folder.own

    def follow(self, sessions: Callable[[], list[Session]]) -> None:
        """Write what changes in sessions from now on."""
        self._thread = threading.Thread(
            target=self._follow, args=(sessions,), name="archive", daemon=True
        )
        self._thread.start()

    def find(self, token: str, priors: Priors) -> Found | None:
        """Stored results of a token's session; None if none can be read, or another server holds them.

        From then on nobody writes it before it is given to a session, or released.
        """
        with self._lock:
            before = self._owners.get(token)
            if before is not None:  # it is being closed, and what it made last is not written yet
                self.write(before)
            files = self._held.get(token) or self._take(token)
            if files is None:
                return None
            found = files.read(priors)
            if found is None:
                self._held.pop(token, None)
                self._owners.pop(token, None)
                files.lock.release()
            else:
                self._held[token], self._owners[token] = files, None
            return found

    def give(self, session: Session) -> None:
        """Let a session write what was found under its token."""
        with self._lock:
            self._owners[session.token] = session

    def write(self, session: Session) -> None:
        """Write what has changed in a session since it was written last."""
        with self._lock:
            files = self._held.get(session.token)
            if session.closed or (files is None and not session.history):
                return
            if files is not None and self._owners.get(session.token) is not session:
                return
            try:
                if files is None:
                    private(self._place(session.token))
                    files = self._take(session.token)
                    if files is None:  # another server has just taken it
                        return
                    self._held[session.token], self._owners[session.token] = files, session
                if files.changed(session):
                    if time.monotonic() - self._tidied > TIDY_S:
                        self._room, self._tidied = self._tidy(), time.monotonic()
                    self._room -= files.write(session, self.server, self._room)
                    session.unkept = ""
            except NoRoomError as error:
                session.unkept = str(error)
                self._tidied = 0.0
            except (OSError, EngineError) as error:
                log.warning("results of a tab could not be kept on disk: %s", error)
                reason = getattr(error, "strerror", None) or error
                session.unkept = f"Results are not kept on disk ({reason}); download what you need."

    def release(self, token: str) -> None:
        """Let what was found of a session rest on disk again."""
        with self._lock:
            files = self._held.pop(token, None)
            self._owners.pop(token, None)
            if files is not None:
                files.lock.release()

    def finish(self, session: Session) -> None:
        """Write a session for the last time, let it rest on disk and close it."""
        with self._lock:
            self.write(session)
            session.close()
            if self._owners.get(session.token) is session:
                self.release(session.token)

    def remove(self, session: Session) -> None:
        """Close a session and delete what there is of it."""
        with self._lock:
            session.close()
            if self._owners.get(session.token) is session:
                del self._owners[session.token]
                self._held.pop(session.token).lock.remove()

    def close(self) -> None:
        """End the thread, let go of all sessions and remove the server's own folder."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        with self._lock:
            for files in self._held.values():
                files.lock.release()
            self._held.clear()
            self._owners.clear()
        self._folder.close()

    def _tidy(self) -> int:
        """Remove sessions that are too old, and the oldest where all are too many or too large; the bytes that are left."""
        sizes = {path: size(path) for path in self._folder.sessions.iterdir()}
        changed = {path: changed_at(path) for path in sizes}
        most = self._settings.max_state_mb * MEGABYTE
        old = time.time() - self._settings.state_days * 86400
        for path in sorted(sizes, key=changed.__getitem__):
            full = len(sizes) > MOST_SESSIONS or sum(sizes.values()) > max(most - SPARE, most // 2)
            if not full and changed[path] >= old:
                continue
            lock = Locked.take(path)
            if lock is not None:  # nobody has it open
                lock.remove()
                del sizes[path]
        return most - sum(sizes.values())

    def _follow(self, sessions: Callable[[], list[Session]]) -> None:
        seen: dict[str, object] = {}
        while not self._closed.wait(LOOK_S):
            try:
                seen = self._look(sessions(), seen)
            except Exception:
                log.exception("a session could not be written")

    def _look(self, living: list[Session], seen: dict[str, object]) -> dict[str, object]:
        """Write sessions that have not changed since the last look, when their outlines were `seen`; the outlines now.

        Where somebody turns steps, what is shown is written when they rest.
        """
        outlines = {session.token: outline(session) for session in living}
        for session in living:
            if seen.get(session.token) == outlines[session.token]:
                self.write(session)
        return outlines

    def _place(self, token: str) -> Path:
        return self._folder.sessions / hashlib.sha256(token.encode()).hexdigest()[:40]

    def _take(self, token: str) -> SessionFiles | None:
        lock = Locked.take(self._place(token))
        return None if lock is None else SessionFiles(lock, self._settings)
