"""Results of tabs on disk: written behind their backs when a run has ended, and found again by the tab's token.

    sessions/HASH/index.json          what there is, in the history's order
    sessions/HASH/NAME.safetensors    a result with its steps, as a run's file

HASH is made from the token, so that the folder tells nobody a token. Everything is bounded: results and steps of a tab as
in memory, all tabs together by size, number and age.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app import runs
from app.jobs import ENDED
from app.priors import Priors
from app.records import Record
from app.session import Session
from app.settings import AppSettings
from app.state import PRIVATE_FILE, Locked, StateFolder, private
from engine.config import from_json, to_json
from engine.errors import ConfigError, EngineError
from engine.explore.timeline import step_bytes
from engine.files import MEGABYTE, regular, write_json

log = logging.getLogger(__name__)

INDEX = "index.json"
MOST_INDEX_BYTES = MEGABYTE
LOOK_S = 0.5
"""Between two looks for what has changed."""
TIDY_S = 30.0
"""Between two looks for what may go."""
MOST_SESSIONS = 512
"""Sessions on disk."""
SPARE = 64 * MEGABYTE
"""Room that is made before something is written."""


class NoRoomError(EngineError):
    """All sessions together take as much of the disk as they may."""


@dataclass(frozen=True)
class Entry:
    """One result in a session's index.

    Attributes:
        file: Its name in the folder.
        number: The record's, as `trunk` of others names it.
        title: Name for people.
        pinned: Whether it is kept whatever comes.
        state: Where its run had come to.
        lean: Whether its steps were left out.
        trunk: Of a branch: the record that it left, and after which of its steps.
    """

    file: str
    number: int
    title: str
    pinned: bool = False
    state: str = "done"
    lean: bool = False
    trunk: tuple[int, int] | None = None


@dataclass(frozen=True)
class Index:
    """What a session's folder holds.

    Attributes:
        server: Which one wrote it.
        entries: Results, newest first.
        shown: Number of the record that was shown; 0 for none of them.
        frame: Which of its frames; None for the newest.
        prior: Name of the prior that was chosen.
        running: Titles of what was still being made.
        pictures: How many pictures lay in Reconstruct.
    """

    server: str = ""
    entries: tuple[Entry, ...] = ()
    shown: int = 0
    frame: int | None = None
    prior: str = ""
    running: tuple[str, ...] = ()
    pictures: int = 0


@dataclass(frozen=True)
class Found:
    """A session as it was found on disk: its index, what could be read, by the old numbers, and how many could not."""

    index: Index
    records: dict[int, Record]
    damaged: int


class Archive:
    """Sessions on disk, and the thread that writes them."""

    def __init__(self, folder: StateFolder, settings: AppSettings):
        self.server = folder.own.name
        self._folder = folder
        self._settings = settings
        self._lock = threading.RLock()
        self._held: dict[str, _Files] = {}
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
        """What there is of a token's session; None if there is nothing that can be read, or another server has it."""
        with self._lock:
            files = self._held.get(token) or self._take(token)
            if files is None:
                return None
            found = files.read(priors)
            if found is None:
                files.lock.remove()
            else:
                self._held[token] = files
            return found

    def write(self, session: Session) -> None:
        """Write what has changed in a session since it was written last."""
        with self._lock:
            files = self._held.get(session.token)
            if session.closed or (files is None and not session.history):
                return
            try:
                if files is None:
                    private(self._place(session.token))
                    files = self._held[session.token] = self._take(session.token)
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
            if files is not None:
                files.lock.release()

    def finish(self, session: Session) -> None:
        """Write a session for the last time, let it rest on disk and close it."""
        with self._lock:
            self.write(session)
            session.close()
            self.release(session.token)

    def remove(self, session: Session) -> None:
        """Close a session and delete what there is of it."""
        with self._lock:
            session.close()
            files = self._held.pop(session.token, None)
            if files is not None:
                files.lock.remove()

    def close(self) -> None:
        """End the thread, let go of all sessions and remove the server's own folder."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        with self._lock:
            for files in self._held.values():
                files.lock.release()
            self._held.clear()
        self._folder.close()

    def _tidy(self) -> int:
        """Remove sessions that are too old, and the oldest where all are too many or too large; the bytes that are left."""
        sizes = {path: _size(path) for path in self._folder.sessions.iterdir()}
        changed = {path: _changed(path) for path in sizes}
        most = self._settings.max_state_mb * MEGABYTE
        old = time.time() - self._settings.state_days * 86400
        for path in sorted(sizes, key=changed.__getitem__):
            full = len(sizes) > MOST_SESSIONS or sum(sizes.values()) > most - SPARE
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

    def _take(self, token: str) -> _Files | None:
        lock = Locked.take(self._place(token))
        return None if lock is None else _Files(lock, self._settings)


class _Files:
    """The folder of one session, locked."""

    def __init__(self, lock: Locked, settings: AppSettings):
        self.lock = lock
        self._settings = settings
        self._outline: object = None
        self._written: dict[int, tuple[str, Entry]] = {}
        """What was written of records, and where, by their numbers."""

    def changed(self, session: Session) -> bool:
        """Whether there is something new."""
        return outline(session) != self._outline

    def write(self, session: Session, server: str, room: int) -> int:
        """Write what is new and delete what is gone; the bytes that were written.

        Args:
            session: Which.
            server: Name of this server.
            room: Bytes that may be written.

        Raises:
            NoRoomError: If there is no room even for what came out.
            OSError: If the disk does not take it.
            TimelineError: The same.
        """
        told = outline(session)
        with session.cv:
            records = _ended(session)
            running = tuple(r.title for r in session.history if r.state not in ENDED)
            shown, frame = _shown(session)
            known = {record.id for record in records}
            index = Index(
                server=server,
                shown=shown.id if shown.id in known else 0,
                frame=frame,
                prior=session.prior.name,
                running=running,
                pictures=len(session.slots()),
            )
        lean, written = self._too_many(records), 0
        for record in records:
            written += self._put(record, record.id in lean, room - written)
        for number in [number for number in self._written if number not in known]:
            del self._written[number]
        entries = tuple(
            replace(self._written[r.id][1], title=r.title, pinned=r.pinned, trunk=r.trunk)
            for r in records
        )
        path = self.lock.path / INDEX
        write_json(path, to_json(replace(index, entries=entries)))
        path.chmod(PRIVATE_FILE)
        wanted = {INDEX, *(entry.file for entry in entries)}
        for path in self.lock.path.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)
        self._outline = told
        return written

    def read(self, priors: Priors) -> Found | None:
        """What there is; None if the index cannot be read, or there is none."""
        try:
            path = regular(self.lock.path / INDEX, ConfigError, "an index", MOST_INDEX_BYTES)
            index = from_json(Index, json.loads(path.read_text(encoding="utf-8")), INDEX)
        except (EngineError, OSError, ValueError, RecursionError) as error:
            log.info("results of a tab cannot be read: %s", error)
            return None
        records: dict[int, Record] = {}
        for entry in index.entries:
            try:
                records[entry.number] = record = _opened(self.lock.path / entry.file, entry, priors)
            except EngineError as error:
                log.warning("a result of a tab cannot be read: %s", error)
                continue
            self._written[record.id] = (_stamp(record), replace(entry, number=record.id))
        for entry in index.entries:
            if entry.trunk is not None and entry.number in records and entry.trunk[0] in records:
                records[entry.number].trunk = (records[entry.trunk[0]].id, entry.trunk[1])
        return Found(index, records, len(index.entries) - len(records))

    def _put(self, record: Record, lean: bool, room: int) -> int:
        """Write a record unless it is there already; the bytes that it takes more than before."""
        stamp, entry = self._written.get(record.id, ("", None))
        if entry is not None and stamp == _stamp(record) and (entry.lean or not lean):
            return 0
        before = 0 if entry is None else _size(self.lock.path / entry.file)
        lean = lean or step_bytes(record.steps()) > room
        if step_bytes(record.frames[-1:]) > room:
            raise NoRoomError(
                "Results are not kept on disk any more, for all of its room is used; download what you need."
            )
        stamp, name = _stamp(record), f"{secrets.token_hex(8)}.safetensors"
        path = runs.save(
            replace(record, frames=record.frames[-1:]) if lean else record, self.lock.path / name
        )
        path.chmod(PRIVATE_FILE)
        entry = Entry(name, record.id, record.title, state=record.state, lean=lean)
        self._written[record.id] = (stamp, entry)
        return _size(path) - before

    def _too_many(self, records: list[Record]) -> set[int]:
        """Records whose steps are too many for one session: of the oldest that are not pinned."""
        room = self._settings.max_latent_mb * MEGABYTE
        found = set()
        for record in sorted(records, key=lambda record: not record.pinned):
            stamp, entry = self._written.get(record.id, ("", None))
            there = entry is not None and stamp == _stamp(record)
            room -= _size(self.lock.path / entry.file) if there else step_bytes(record.steps())
            if room < 0 and not record.pinned and len(record.frames) > 1:
                found.add(record.id)
        return found


def _opened(path: Path, entry: Entry, priors: Priors) -> Record:
    if path.name != entry.file:
        raise ConfigError(
            f"{entry.file!r} is no file of this folder; expected a name without a path."
        )
    timeline, note = runs.load(path)
    device = priors.first.method.mean_latent.device
    record = runs.opened(timeline, note, runs.maker(timeline, priors), device)
    record.title, record.pinned = entry.title[: runs.LONGEST_TITLE], entry.pinned
    record.state = entry.state if entry.state in ENDED else record.state
    return record


def _ended(session: Session) -> list[Record]:
    return [record for record in session.history if record.frames and record.state in ENDED]


def outline(session: Session) -> object:
    """What tells a session from the same with something changed that is written."""
    with session.cv:
        shown, frame = _shown(session)
        told = [(r.id, r.title, r.pinned, r.trunk, _stamp(r)) for r in _ended(session)]
        running = [r.id for r in session.history if r.state not in ENDED]
        return told, running, shown.id, frame, session.prior.name, len(session.slots())


def _shown(session: Session) -> tuple[Record, int | None]:
    """The record that is shown, and which of its frames; None for the newest."""
    shown, frame = session.selection()
    return shown, None if frame == len(shown.frames) - 1 else frame


def _stamp(record: Record) -> str:
    """What tells a record from the same with something changed that its file says; steps that were dropped are no change."""
    parts = (record.version, len(record.frames), record.state, record.psnrs, record.figures)
    return repr(parts)


def _size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; 0 if it is gone."""
    try:
        return sum(_size(one) for one in path.iterdir()) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    """When a session was written last, seconds since 1970."""
    for one in (path / INDEX, path):
        try:
            return one.stat().st_mtime
        except OSError:
            continue
    return 0.0
