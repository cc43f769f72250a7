"""Files of a record, written when they are first asked for."""

from __future__ import annotations

import threading
from pathlib import Path

from app.records import Record
from app.session import Session
from engine.events import finish

_ONE_AT_A_TIME = threading.Lock()


def export(session: Session, record: Record, name: str) -> Path:
    """The file `name` (one of `present.DOWNLOADS`) of a record's newest frame; written once per frame."""
    folder = session.folder(record) / str(len(record.frames))
    folder.mkdir(exist_ok=True)
    path = folder / name
    with _ONE_AT_A_TIME:
        if not path.exists():
            _write(session, record, path)
    return path


def _write(session: Session, record: Record, path: Path) -> None:
    from engine.export import export_scene  # trimesh and imageio cost a second to import

    scene = session.scene(record)
    if path.suffix == ".safetensors":
        scene.save(path)
    else:
        finish(export_scene(scene, path))
