"""Data of the inspector on a run: its curves, its latents, and the tree of its branches. No gradio, no viser."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

from torch import Tensor

from app.page.present import size_text
from app.session.records import Look, Record
from app.session.session import Session
from app.tabs.inspect import figures, sheet
from app.tabs.inspect.branching import branch_controls_of, obstacle
from engine.events import STAGES
from engine.explore.curves import cheap_curves, measure
from engine.store.timeline import noisy, step_bytes

_measuring = threading.Lock()
"""Held while a field is measured: one at a time, since the view needs the machine too."""


def report(session: Session, record: Record) -> dict[str, Any]:
    """A run in numbers, one entry per step in every list; `pending` while some are still being measured."""
    frames, info = list(record.frames), record.method.info
    found = [record.step(place) for place in range(len(frames))]
    whole = all(step is not None for step in found)
    numbers = cheap_curves(found if whole else frames, whole)
    extents = [record.extents.get(place) for place in range(len(frames))]
    size = step_bytes([step for step in found if step])
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
        "titles": {**STAGES, "result": "Result"},
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
        "sheet": asdict(sheet.layout(info.latent_shape, info.capabilities.edit)),
        "cost": f"This run's latents: {size_text(size / max(len(frames), 1))} a step, {size_text(size)} in all",
        "tree": tree(session, record),
        "seed": record.provenance.get("seed"),
        "settings": _settings(record),
        "beside": [other.id for other, _ in session.beside()],
    }


def tree(session: Session, record: Record) -> list[dict[str, Any]]:
    """The run with all runs that it is connected to by branches, oldest first."""
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
    """One latent of a record, `*latent_shape`; None if there is none."""
    return record.latent(place, look) if place < len(record.frames) else None


def histogram(tile: Tensor, largest: float, unit: str = "texels") -> dict[str, Any]:
    """One tile of a sheet: its `figure` over [-largest, largest], `mean` and standard deviation `spread`."""
    values = tile[~tile.isnan()]
    return {
        "figure": figures.histogram(values, largest, unit),
        "mean": float(values.mean()),
        "spread": float(values.std(correction=0)),
    }


def _settings(record: Record) -> list[dict[str, Any]]:
    """Controls of the settings that a branch may change, each with its `value` in the record."""
    return [
        {
            "name": name,
            "value": record.sampling.get(name),
            "title": control.title,
            **asdict(control),
        }
        for name, control in branch_controls_of(record).items()
    ]


def _measure(session: Session, record: Record, places: list[int]) -> None:
    """Measure the extents of some steps, unless another thread is measuring."""
    if not _measuring.acquire(blocking=False):
        return
    try:
        for place in places:
            if session.closed or place >= len(record.frames):
                return
            if place in record.extents or record.latent(place) is None:
                continue
            field = session.scene(record, place).field
            record.extents[place] = measure(field, record.method.data.distance)
            session.stir()
    finally:
        _measuring.release()
