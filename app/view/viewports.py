"""Viewports by session: created when a browser connects, closed a while after it has left."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from app.session.jobs import JobRunner
from app.session.session import Session
from app.session.sessions import Sessions
from app.settings import AppSettings
from app.view.pacing import FairSlot
from app.view.viewport import Viewport
from engine.device import trim_memory
from engine.errors import EngineError

log = logging.getLogger(__name__)

SWEEP_S = 5.0
TRIMS = 2
"""Sweeps that give memory back after sessions were dropped: threads let go of their last frames and steps a little later."""


class CrowdedError(EngineError):
    """All permitted viewports are in use."""


@dataclass
class _Live:
    viewport: Viewport
    connections: int
    left: float


class Viewports:
    """Live viewports by token, and the thread that closes abandoned ones."""

    def __init__(self, sessions: Sessions, runner: JobRunner, settings: AppSettings):
        self._sessions = sessions
        self._runner = runner
        self._settings = settings
        self._lock = threading.RLock()
        self._live: dict[str, _Live] = {}
        self._slot = FairSlot()
        self._trims = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._sweep_forever, name="sweep", daemon=True)
        self._thread.start()

    def acquire(self, session: Session) -> Viewport:
        """The session's viewport for one more connection; every call needs a `release`.

        Raises:
            CrowdedError: If there is no room for it.
        """
        with self._lock:
            live = self._live.get(session.token)
            if live is None:
                self._make_room()
                live = self._live[session.token] = _Live(Viewport(session, self._slot), 0, 0.0)
            live.connections += 1
            return live.viewport

    def release(self, session: Session) -> None:
        """Note that one connection has ended."""
        with self._lock:
            live = self._live.get(session.token)
            if live is not None:
                live.connections -= 1
                live.left = time.monotonic()

    def of(self, session: Session) -> Viewport | None:
        """The session's viewport, or None."""
        with self._lock:
            live = self._live.get(session.token)
            return live.viewport if live else None

    def __len__(self) -> int:
        return len(self._live)

    @property
    def drawn(self) -> bool:
        """True if a browser has shown a frame."""
        with self._lock:
            return any(live.viewport.frames for live in self._live.values())

    def sweep(self, now: float) -> None:
        """Close viewports and sessions whose time has expired."""
        with self._lock:
            over = [
                token
                for token, live in self._live.items()
                if live.connections <= 0 and now - live.left > self._settings.grace_s
            ]
            closing = [self._live.pop(token) for token in over]
            watched = set(self._live)
        for live in closing:
            live.viewport.close()
        self._drop_idle(now, watched)
        if self._trims:
            self._trims -= 1
            trim_memory()

    def _drop_idle(self, now: float, watched: set[str]) -> None:
        for session in self._sessions.all():
            left = session.left is not None and now - session.left >= self._settings.grace_s
            if left:
                session.stop(self._runner)
            idle = left or now - session.last_seen > self._settings.session_ttl_s
            if idle and not session.busy and session.token not in watched:
                self._sessions.drop(session)
                self._trims = TRIMS

    def close(self) -> None:
        """Close everything."""
        self._closed.set()
        self._thread.join(timeout=5)
        with self._lock:
            live, self._live = list(self._live.values()), {}
        for one in live:
            one.viewport.close()
        for session in self._sessions.all():
            self._sessions.drop(session)

    def _make_room(self) -> None:
        """If there are too many viewports, close the unused one that was left longest ago.

        Raises:
            CrowdedError: If all of them are in use.
        """
        if len(self._live) < self._settings.max_viewports:
            return
        left = [token for token, live in self._live.items() if live.connections <= 0]
        if not left:
            raise CrowdedError(
                f"Found {len(self._live)} open views, which is the most there may be."
            )
        token = min(left, key=lambda one: self._live[one].left)
        self._live.pop(token).viewport.close()

    def _sweep_forever(self) -> None:
        while not self._closed.wait(SWEEP_S):
            try:
                self.sweep(time.monotonic())
            except Exception:
                log.exception("clearing away old viewports failed")
