"""Runs of a session, begun from plain values: what the page and programs ask for alike. No gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.session.jobs import Job, JobRunner
from app.session.plans import plan
from app.session.records import Record
from app.session.session import Session
from engine.config import to_json
from engine.methods.base import (
    FitOptions,
    Method,
    Mode,
    SampleOptions,
    for_views,
    sample_options_of,
)
from engine.noise import Noise
from engine.types import Views

LARGEST_SEED = 2**31 - 1
PICTURE_SIZE = 128
"""Side of the square that a picture is framed to, pixels: that of SRN's pictures."""
MOST_OBJECTS = 8
"""Objects of one run."""


def generate(
    session: Session, runner: JobRunner, seed: int, count: int, steps: int | None, mode: Mode
) -> Job:
    """Queue a run that draws `count` objects from consecutive seeds; its job.

    Args:
        session: Whose.
        runner: The worker.
        seed: Of the first object.
        count: Objects, 1 to `MOST_OBJECTS`.
        steps: Denoising steps; None takes the checkpoint's.
        mode: `paper` or `ours`.

    Raises:
        QueueFullError: If too many runs wait already.
        ConfigError: If the settings make no run.
    """
    method = session.method
    options = sample_options_of(method, mode)
    if steps is not None:
        options = replace(options, steps=steps)
    records = generated(method, options, seed, count)
    return session.start(
        runner, lambda: method.generate(count, options, Noise(seed)), records, plan(options)
    )


def generated(method: Method, options: SampleOptions, seed: int, count: int) -> list[Record]:
    """Records of a run that draws objects from consecutive seeds, one for each."""
    frames: list = []
    common = {"task": "generate", "settings": to_json(options), "checkpoint": method.checkpoint}
    return [
        Record(
            "generate",
            f"Seed {seed + place}",
            {**common, "seed": seed + place},
            frames,
            method,
            scene=place,
        )
        for place in range(count)
    ]


def reconstruct(
    session: Session,
    runner: JobRunner,
    views: Views,
    for_one: FitOptions,
    seed: int,
    doubts: Sequence[str] = (),
) -> tuple[Record, Job]:
    """Queue a run that fits one object to posed views; what it makes, and its job.

    Args:
        session: Whose.
        runner: The worker.
        views: The pictures with their cameras.
        for_one: Settings for one picture; several pictures take more (`for_views`).
        seed: Randomness.
        doubts: What may be wrong about the pictures' cameras.

    Raises:
        QueueFullError: If too many runs wait already.
    """
    method, options = session.method, for_views(for_one, len(views))
    provenance = {
        "task": "reconstruct",
        "seed": seed,
        "settings": to_json(options),
        "checkpoint": method.checkpoint,
        "cameras": views.camera.srn_c2w().tolist(),
        "doubts": list(doubts),
    }
    pictures = f"{len(views)} pictures" if len(views) > 1 else "1 picture"
    record = Record("reconstruct", f"From {pictures}", provenance, [], method, views=views)
    job = session.start(
        runner, lambda: method.reconstruct(views, options, Noise(seed)), [record], plan(options)
    )
    return record, job
