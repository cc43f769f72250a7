"""Files of a record, written when they are first asked for."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.session import runs
from app.session.records import Record
from app.session.session import Session
from engine.errors import EngineError, WriteError
from engine.events import finish
from engine.files import writing

RUN = "run.safetensors"
LONGEST_NAME = 120
"""Of a title within a file's name, bytes."""
MOST_BYTES = 512 << 20
"""Limit on the exported files of one session; beyond it the oldest are deleted."""
_ONE_AT_A_TIME = threading.Lock()


class StorageError(EngineError):
    """The server cannot write a visitor's file."""


def export(session: Session, record: Record, name: str) -> Path:
    """The file `name` (one of `present.DOWNLOADS`) of a record's newest frame; written once for what it holds.

    Raises:
        StorageError: If it cannot be written.
        ExportError: If the object is empty.
    """
    path = session.folder_of(record.id) / _stamp(record, name) / name
    with _ONE_AT_A_TIME, kept_here(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write(session, record, path)
            for old in path.parent.parent.glob(f"*/{name}"):
                if old != path:
                    _remove(old)  # nobody asks for it again
    bound(session, path)
    return path


def bound(session: Session, kept: Path) -> None:
    """Remove a session's oldest exported files where they are too many bytes; `kept` has just been written."""
    with _ONE_AT_A_TIME:
        found = {}
        for path in session.exported():
            with suppress(FileNotFoundError):  # its result has just been removed
                found[path] = path.stat()
        used = sum(file.st_size for file in found.values())
        for path in sorted(found, key=lambda one: found[one].st_mtime_ns):
            if used <= MOST_BYTES:
                break
            if path != kept:
                _remove(path)
                used -= found[path].st_size


def _remove(path: Path) -> None:
    """Remove a file, and the folder of its stamp."""
    path.unlink(missing_ok=True)
    if not path.parent.name.isdigit():  # which is the record's
        with suppress(OSError):
            path.parent.rmdir()


@contextmanager
def kept_here(path: Path) -> Iterator[None]:
    """Tell visitors what keeps the server from writing a file of theirs, without naming its folders.

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        with writing(path):
            yield
    except WriteError as error:
        raise StorageError(error.remote) from error


def file_name(record: Record, name: str) -> str:
    """Name of a record's file on disk: after the object, so that many may lie in one folder.

    A mesh and a run go by the title alone: `seed-7.glb`; others say what they are: `seed-7-turntable.mp4`.
    """
    words = "".join(c if c.isalnum() else " " for c in record.title).lower().split()
    title = "-".join(words).encode()[:LONGEST_NAME].decode(errors="ignore").rstrip("-") or "object"
    kind, ending = name.split(".")
    return f"{title}.{ending}" if kind in ("mesh", "run") else f"{title}-{kind}.{ending}"


def _stamp(record: Record, name: str) -> str:
    """Version of a record's file: its frame and, for a run, also a checksum of its title and state."""
    said = f"-{zlib.crc32(repr((record.title, record.state)).encode()):08x}" if name == RUN else ""
    return f"{len(record.frames)}-{record.version}{said}"


def _write(session: Session, record: Record, path: Path) -> None:
    if path.name == RUN:
        runs.save(record, path)
        return
    from engine.output.export import export_scene  # trimesh and imageio cost a second to import

    scene = session.scene(record)
    if path.suffix == ".safetensors":
        scene.save(path)
    else:
        finish(export_scene(scene, path))
