"""Runs of a session, begun from plain values: what the page and programs ask for alike. No gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.session.jobs import Job, JobRunner
from app.session.records import Record, generated
from app.session.session import Session
from engine.config import to_json
from engine.methods.base import check_task, chosen_options
from engine.noise import Noise
from engine.types import Views

LARGEST_SEED = 2**31 - 1
PICTURE_SIZE = 128
"""Side of the square that a picture is framed to, pixels: that of SRN's pictures."""
MOST_OBJECTS = 8
"""Objects of one run."""


def generate(
    session: Session,
    runner: JobRunner,
    seed: int,
    count: int,
    settings: Mapping[str, Any],
    preset: str,
) -> Job:
    """Queue a run that draws `count` objects from consecutive seeds; its job.

    Args:
        session: Whose.
        runner: The worker.
        seed: Of the first object.
        count: Objects, 1 to `MOST_OBJECTS`.
        settings: By name, what is not as in the preset.
        preset: Name of one of the method's presets.

    Raises:
        QueueFullError: If too many runs wait already.
        ConfigError: If there is no such preset, or the settings make no run.
    """
    method = session.method
    options = chosen_options(method, "generate", preset, settings)
    records = generated(method, options, preset, seed, count)
    return session.start(
        runner,
        lambda: method.generate(count, options, Noise(seed)),
        records,
        options.stages(),
        kernels=("samples",),
    )


def reconstruct(
    session: Session,
    runner: JobRunner,
    views: Views,
    seed: int,
    settings: Mapping[str, Any],
    preset: str,
    doubts: Sequence[str] = (),
) -> tuple[Record, Job]:
    """Queue a run that fits one object to posed views; what it makes, and its job.

    Args:
        session: Whose.
        runner: The worker.
        views: The pictures with their cameras.
        seed: Randomness.
        settings: By name, what is not as in the preset; of one picture, several take more (`Method.for_views`).
        preset: Name of one of the method's presets.
        doubts: What may be wrong about the pictures' cameras.

    Raises:
        QueueFullError: If too many runs wait already.
        ConfigError: If there is no such preset, or the settings make no run.
    """
    method = session.method
    check_task(method, "reconstruct", len(views))
    for_one = chosen_options(method, "reconstruct", preset, settings)
    options = method.for_views(for_one, len(views))
    provenance = {
        "task": "reconstruct",
        "seed": seed,
        "settings": to_json(options),
        "for_one": to_json(for_one),
        "preset": preset,
        "checkpoint": method.checkpoint,
        "cameras": views.camera.srn_c2w().tolist(),
        "doubts": list(doubts),
    }
    pictures = f"{len(views)} pictures" if len(views) > 1 else "1 picture"
    record = Record("reconstruct", f"From {pictures}", provenance, [], method, views=views)
    job = session.start(
        runner, lambda: method.reconstruct(views, options, Noise(seed)), [record], options.stages()
    )
    return record, job
