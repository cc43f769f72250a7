"""The folder of a run: its state, the previous one, and its log; saving, checking and resuming.

A state is written whole beside the others and then moved to its place, so that at every moment there is one that is
whole, however the process ends. Its parts have checksums: where the newest state is damaged, the one before it is taken.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CheckpointError, one_line, plain
from engine.files import append_line, replacing, writing

if TYPE_CHECKING:
    from engine.training.state import TrainState

log = logging.getLogger(__name__)

STATE, BEFORE, NEXT, DAMAGED = "state.pt", "state-before.pt", "state-next.pt", "state-damaged.pt"
"""The newest state, the one before it, one that has not moved to its place yet, and one that cannot be used."""
LOG, DAMAGED_LOG = "metrics.jsonl", "metrics-damaged.jsonl"


def begun(folder: Path) -> bool:
    """True if a run has left a state in a folder."""
    return any((folder / name).exists() for name in (STATE, BEFORE))


def save_state(state: TrainState, folder: Path) -> None:
    """Write a run's state; the one before it stays beside it.

    Raises:
        WriteError: If it cannot be written; the older ones stay.
    """
    path = folder / STATE
    with writing(path):
        state.save(folder / NEXT)
        if path.exists():
            os.replace(path, folder / BEFORE)
        os.replace(folder / NEXT, path)


def load_state(state: TrainState, folder: Path, *, changed_data: bool = False) -> list[str]:
    """Load the newest intact state; a damaged one is put aside and reported.

    Args:
        state: A state of the same shape.
        folder: Folder of the run.
        changed_data: See `TrainState.load`.

    Returns:
        Settings that differ from the saved ones; see `TrainState.load`.

    Raises:
        CheckpointError: If no state is intact, or the intact one belongs to another recipe or other scenes.
    """
    damages = []
    for name in (STATE, BEFORE):
        path = folder / name
        if not path.exists():
            continue
        damage = damage_of(path)
        if damage is None:
            changes = state.load(path, changed_data=changed_data)
            if damages:
                log.warning("%s; going on from the state before it", damages[0])
            elif name == BEFORE:
                log.warning("%s: is missing; going on from the state before it", folder / STATE)
            if damages:  # else it would take the good one's place when the next is saved
                with writing(folder / DAMAGED):
                    os.replace(folder / STATE, folder / DAMAGED)
            return changes
        damages.append(f"{plain(path)}: damaged ({damage})")
    raise CheckpointError(
        f"{'; '.join(damages)}; put a copy in its place, or remove it and begin anew."
    )


def damage_of(path: Path) -> str | None:
    """Description of the damage to a state's file; None if all checksums agree."""
    try:
        with zipfile.ZipFile(path) as file:
            part = file.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        return one_line(error)
    return None if part is None else f"the checksum of {plain(part)} differs"


def log_line(folder: Path, line: dict[str, float]) -> None:
    """Add a line to the log; it is on the disk before any later state is.

    Raises:
        WriteError: If it cannot be written; the log is unchanged then.
    """
    append_line(folder / LOG, json.dumps(line))


def trim_log(folder: Path, step: int) -> None:
    """Drop log lines later than `step`, which a resumed run writes again; a damaged log is put aside and reported."""
    path = folder / LOG
    if not path.exists():
        return
    with writing(path):
        data = path.read_bytes()
    lines = data.split(b"\n")
    lines.pop()  # nothing, or what a killed process did not write to its end
    read = [_line(line) for line in lines]
    damaged = read.count(None)
    if damaged:
        with replacing(folder / DAMAGED_LOG) as temporary:
            temporary.write_bytes(data)
        log.warning(
            "%s: %d of %d lines cannot be read and were left out; the file as it was is %s",
            *(path, damaged, len(lines), DAMAGED_LOG),
        )
    kept = [
        line for line, values in zip(lines, read, strict=True) if values and values["step"] <= step
    ]
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for line in kept))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log that can be read."""
    return [values for line in path.read_bytes().split(b"\n") if (values := _line(line))]


def _line(line: bytes) -> dict[str, Any] | None:
    """A parsed line of the log; None if it is damaged."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(values, dict) and isinstance(values.get("step"), int)
    return values if whole else None
