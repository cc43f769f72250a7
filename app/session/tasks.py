"""Runs of a session, begun from plain values: what the page and programs ask for alike. No gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from app.session.jobs import Job, JobRunner
from app.session.records import Record, generated
from app.session.session import Session
from engine.config import to_json
from engine.events import Run
from engine.methods.base import check_task, chosen_options
from engine.noise import Noise
from engine.pose.guess import Guess
from engine.types import Views

Cases = Sequence[tuple[Views, Guess]]
"""A picture under hypotheses of its camera."""
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
    cases: Cases = (),
) -> Job:
    """Queue a run that fits an object to posed views, or one to every hypothesis of a picture's camera; its job.

    Args:
        session: Whose.
        runner: The worker.
        views: The pictures with their cameras.
        seed: Randomness.
        settings: By name, what is not as in the preset; of one picture, several take more (`Method.for_views`).
        preset: Name of one of the method's presets.
        doubts: What may be wrong about the pictures' cameras.
        cases: The picture under each hypothesis of its camera, likeliest first, instead of `views` alone.

    Raises:
        QueueFullError: If too many runs wait already.
        ConfigError: If there is no such preset, or the settings make no run.
    """
    method = session.method
    check_task(method, "reconstruct", len(views))
    for_one = chosen_options(method, "reconstruct", preset, settings)
    options = method.for_views(for_one, len(views))

    def begun(given: Views, guess: Guess | None) -> Record:
        provenance = {
            "task": "reconstruct",
            "seed": seed,
            "settings": to_json(options),
            "for_one": to_json(for_one),
            "preset": preset,
            "checkpoint": method.checkpoint,
            "cameras": given.camera.srn_c2w().tolist(),
            "doubts": list(doubts),
        }
        title = f"From {len(given)} pictures" if len(given) > 1 else "From 1 picture"
        if guess is not None:
            provenance["guess"] = asdict(guess)
            title = f"{title}, seen from {guess.azimuth:.0f}° ({100 * guess.probability:.0f} %)"
        return Record("reconstruct", title, provenance, [], method, views=given)

    if not cases:
        return session.start(
            runner,
            lambda: method.reconstruct(views, options, Noise(seed)),
            [begun(views, None)],
            options.stages(),
        )
    made: list[Record] = []

    def run() -> Run[list[Tensor]]:
        latents = []
        for given, guess in cases:
            made.append(begun(given, guess))
            latents.append((yield from method.reconstruct(given, options, Noise(seed))))
            session.finish(made[-1], latents[-1])
        session.fitted = made[0]
        return latents

    def place(record: Record) -> None:
        """Show the likeliest object, and the others beside it as they form."""
        session.add(record, select=record is made[0])
        if session.selection()[0] is made[0]:
            session.compare([(other.id, None) for other in made[1:]])

    stages = tuple((stage, len(cases) * number) for stage, number in options.stages())
    return session.start(runner, run, made, stages, on_begin=place)
