"""What the inspector shows of a run: its curves, its planes, and the tree of its branches. No gradio, no viser."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from app.session.plans import options_type
from app.session.records import Look, Record
from app.session.session import Session
from app.tabs.inspect import figures
from app.tabs.inspect.branching import obstacle
from engine.explore.curves import cheap_curves, measure
from engine.methods.options import branch_controls
from engine.render.frames import bake
from engine.store.timeline import noisy, step_bytes

GAP = 2
"""Pixels between two planes of a sheet."""
_measuring = threading.Lock()
"""One field is measured at a time: the view needs the machine too."""


def report(session: Session, record: Record) -> dict[str, Any]:
    """A run in numbers, one entry per step in every list; `pending` while some are still being measured."""
    frames = list(record.frames)
    found = [record.step(place) for place in range(len(frames))]
    whole = all(step is not None for step in found)
    numbers = cheap_curves(found if whole else frames, whole)
    extents = [record.extents.get(place) for place in range(len(frames))]
    missing = [place for place, extent in enumerate(extents) if extent is None and found[place]]
    if missing:
        threading.Thread(target=_measure, args=(session, record, missing), daemon=True).start()
    numbers["opacity"] = [extent and extent.opacity for extent in extents]
    numbers["extent"] = [extent and extent.size for extent in extents]
    return {
        "record": record.id,
        "version": record.version,
        "title": record.title,
        "kind": record.kind,
        "state": record.state,
        "stages": [frame.stage for frame in frames],
        "index": [frame.index for frame in frames],
        "t": [frame.t for frame in frames],
        "noisy": [noisy(frame) for frame in frames],
        "obstacles": [obstacle(record, place) for place in range(len(frames))],
        "charts": [
            {**asdict(chart), "note": figures.note(chart, numbers[chart.key], bool(missing), whole)}
            for chart in figures.CHARTS
        ],
        "figure": figures.curves(numbers, [frame.stage for frame in frames]),
        "pending": bool(missing),
        "planes": list(record.method.info.latent_shape),
        "bytes": step_bytes([step for step in found if step]),
        "tree": tree(session, record),
        "settings": _settings(record),
        "beside": [other.id for other, _ in session.beside()],
    }


def tree(session: Session, record: Record) -> list[dict[str, Any]]:
    """The run, the trunks that it comes from and all branches that hang together with it, oldest first."""
    kept = {one.id: one for one in session.history}
    kept.setdefault(record.id, record)
    family = {record.id}
    grown = True
    while grown:
        related = {
            one.id
            for one in kept.values()
            if one.id in family
            or (one.trunk and one.trunk[0] in family)
            or any(
                other.trunk and other.trunk[0] == one.id
                for other in kept.values()
                if other.id in family
            )
        }
        grown = related != family
        family = related
    return [
        {
            "id": number,
            "title": kept[number].title,
            "trunk": kept[number].trunk,
            "steps": len(kept[number].frames),
            "state": kept[number].state,
        }
        for number in sorted(family)
    ]


def code(record: Record, place: int, look: Look) -> Tensor | None:
    """One code of a record, `3 channels rows cols`; None if there is none."""
    return record.latent(place, look) if place < len(record.frames) else None


def planes_picture(planes: Tensor, largest: float) -> UInt8[np.ndarray, "rows cols 3"]:
    """Three rows of channels as pixels: blue below zero, red above, full colour at `largest`."""
    values = planes.flip(-2).clamp(-largest, largest).numpy() / largest
    rows = [np.concatenate([_gap(plane) for plane in row], 1) for row in values]
    sheet = np.concatenate(
        [np.pad(row, ((0, GAP), (0, 0)), constant_values=np.nan) for row in rows]
    )
    return diverging(sheet[:-GAP, :-GAP])


def _gap(plane: np.ndarray) -> np.ndarray:
    return np.pad(plane, ((0, 0), (0, GAP)), constant_values=np.nan)


def diverging(values: np.ndarray) -> UInt8[np.ndarray, "rows cols 3"]:
    """Values in [-1, 1] from blue over white to red; grey where there is none."""
    level = np.abs(np.nan_to_num(values))[..., None]
    ends = np.where(values[..., None] < 0, (36, 84, 196), (196, 44, 40))
    colors = 255 * (1 - level) + ends * level
    colors[np.isnan(values)] = (128, 134, 148)
    return colors.round().astype(np.uint8)


def histogram(plane: Tensor, largest: float) -> dict[str, Any]:
    """One channel of one plane: its `figure` over [-largest, largest], `mean` and standard deviation `spread`."""
    return {
        "figure": figures.histogram(plane, largest),
        "mean": float(plane.mean()),
        "spread": float(plane.std(correction=0)),
    }


def _settings(record: Record) -> dict[str, Any]:
    """What a branch of it may change, as it was."""
    kind = options_type(record.method, record.kind)
    names = [] if kind is None else branch_controls(kind)
    known = {name: record.sampling.get(name) for name in names}
    return {"seed": record.provenance.get("seed"), **known}


def _measure(session: Session, record: Record, places: list[int]) -> None:
    """Find out how much there is of some steps."""
    if not _measuring.acquire(blocking=False):
        return
    try:
        for place in places:
            if session.closed or place >= len(record.frames):
                return
            if place in record.extents or record.latent(place) is None:
                continue
            baked = bake(session.scene(record, place).field)
            record.extents[place] = measure(baked, record.method.data.distance)
    finally:
        _measuring.release()
