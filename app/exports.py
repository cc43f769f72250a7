"""Files of a record, written when they are first asked for."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path

from app import runs
from app.records import Record
from app.session import Session
from engine.events import finish

RUN = "run.safetensors"
_ONE_AT_A_TIME = threading.Lock()


def export(session: Session, record: Record, name: str) -> Path:
    """The file `name` (one of `present.DOWNLOADS`) of a record's newest frame; written once for what it holds."""
    folder = session.folder(record) / _stamp(record, name)
    folder.mkdir(exist_ok=True)
    path = folder / name
    with _ONE_AT_A_TIME:
        if not path.exists():
            _write(session, record, path)
    return path


def file_name(record: Record, name: str) -> str:
    """What the file `name` of a record is called where it is kept: many runs in one folder go by their titles."""
    words = "".join(c if c.isalnum() else " " for c in record.title).split()
    return f"{'-'.join(words).lower()}.safetensors" if name == RUN and words else name


def _stamp(record: Record, name: str) -> str:
    """What a file tells apart from an older one of its name: its frame, and of a run also what is said of it."""
    said = f"-{zlib.crc32(repr((record.title, record.state)).encode()):08x}" if name == RUN else ""
    return f"{len(record.frames)}-{record.version}{said}"


def _write(session: Session, record: Record, path: Path) -> None:
    if path.name == RUN:
        runs.save(record, path)
        return
    from engine.export import export_scene  # trimesh and imageio cost a second to import

    scene = session.scene(record)
    if path.suffix == ".safetensors":
        scene.save(path)
    else:
        finish(export_scene(scene, path))
