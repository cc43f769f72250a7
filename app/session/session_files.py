"""The folder of one tab's results: a run's file for each, and an index in the history's order."""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from app.session import runs
from app.session.jobs import ENDED
from app.session.priors import Priors
from app.session.records import Record
from app.session.session import Session
from app.session.state import PRIVATE_FILE, Locked
from app.settings import AppSettings
from engine.config import from_json, to_json
from engine.errors import ConfigError, EngineError
from engine.files import MEGABYTE, regular, write_json
from engine.store.timeline import step_bytes

log = logging.getLogger(__name__)

INDEX = "index.json"
MOST_INDEX_BYTES = MEGABYTE


class NoRoomError(EngineError):
    """Raised where all sessions together fill the disk space that they may take."""


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
    """Contents of a session's folder.

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


class SessionFiles:
    """The folder of one session, locked."""

    def __init__(self, lock: Locked, settings: AppSettings):
        self.lock = lock
        self._settings = settings
        self._outline: object = None
        self._written: dict[int, tuple[str, Entry]] = {}
        """What was written of records, and where, by their numbers."""

    def changed(self, session: Session) -> bool:
        """True if there is something new."""
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
        """The saved session; None if there is none or its index cannot be read."""
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
        before = 0 if entry is None else size(self.lock.path / entry.file)
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
        return size(path) - before

    def _too_many(self, records: list[Record]) -> set[int]:
        """Records whose steps are too many for one session: of the oldest that are not pinned."""
        room = self._settings.max_latent_mb * MEGABYTE
        found = set()
        for record in sorted(records, key=lambda record: not record.pinned):
            stamp, entry = self._written.get(record.id, ("", None))
            there = entry is not None and stamp == _stamp(record)
            room -= size(self.lock.path / entry.file) if there else step_bytes(record.steps())
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
    """A value that changes whenever something of the session changes that is saved."""
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
    """A string that changes with whatever the record's file holds; dropped steps are no change."""
    parts = (record.version, len(record.frames), record.state, record.psnrs, record.figures)
    return repr(parts)


def size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; 0 if it is gone."""
    try:
        return sum(size(one) for one in path.iterdir()) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0


def changed_at(path: Path) -> float:
    """Time of a session's last save, seconds since 1970."""
    for one in (path / INDEX, path):
        try:
            return one.stat().st_mtime
        except OSError:
            continue
    return 0.0
