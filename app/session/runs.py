"""Runs as files: records to timelines and back; with its model, a record read from a file can be continued."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from app.session.plans import TASKS, known_type, options_type
from app.session.priors import Prior, Priors
from app.session.records import Kind, Record
from engine.config import Bounds, from_json, to_json
from engine.diffusion.schedule import Schedule
from engine.errors import (
    ConfigError,
    EngineError,
    TimelineError,
    UnsupportedTaskError,
    plain,
    sentence_part,
)
from engine.events import Run, Step
from engine.fields import stored
from engine.fields.scene import Scene
from engine.methods.base import Method, MethodInfo, TrainingData
from engine.reading import open_tensors
from engine.store.checkpoint import fingerprint
from engine.store.timeline import MOST_BYTES, Timeline, finite, result_step

NOTE = "run"
"""Key of a file's note in its provenance."""
OLD = "without_kernels"
"""Provenance of files written while kernels were still being compiled by versions whose runs did not wait for them."""
LONGEST_TITLE = 80
END_OF_CALENDARS = 2.5e11
"""Seconds since 1970 in the year 9892: nobody can show a later day."""


@dataclass(frozen=True)
class Note:
    """Metadata of a run's file, beside its steps and provenance.

    Attributes:
        kind: How it was made.
        title: Name for people.
        made: When, seconds since 1970; 0 if nobody knows.
        psnrs: PSNR of the end on each input, dB.
        figures: Numbers about it, by name.
        method: Key and name of the method that made it.
        weights: Fingerprint of that method's weights; empty if nobody knows.
        data: What it was trained on.
        schedule: Of the noise in a file of format 1, whose steps know their timestep alone.
    """

    kind: Kind = "file"
    title: str = ""
    made: Annotated[float, Bounds(0.0, END_OF_CALENDARS)] = 0.0
    psnrs: Annotated[tuple[float, ...], Bounds(0, 64)] = ()
    figures: Annotated[dict[str, float], Bounds(0, 100)] = field(default_factory=dict)
    method: tuple[str, str] = ("file", "An opened file")
    weights: str = ""
    data: TrainingData = field(default_factory=TrainingData)
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class _Known:
    """Entries of a file's provenance whose types are checked where they are present."""

    checkpoint: Annotated[str, Bounds(0, 300)] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    preset: Annotated[str, Bounds(0, 40)] = ""


def save(record: Record, path: Path) -> Path:
    """Write all steps of a record that still have their codes, with all that it takes to see and to go on from them."""
    method = record.method
    note = Note(
        record.kind,
        record.title,
        record.made,
        record.psnrs if all(map(math.isfinite, record.psnrs)) else (),
        finite(record.figures),
        (method.info.name, method.info.title),
        getattr(method, "weights", None) or fingerprint(method),
        method.data,
    )
    provenance = {"checkpoint": method.checkpoint, **record.provenance, NOTE: to_json(note)}
    timeline = Timeline(
        record.steps(),
        method.scene(record.latent(-1)).field,
        provenance,
        views=record.views,
        noise=record.noise,
        kept=record.kept,
    )
    return timeline.save(path)


def load(path: Path | str) -> tuple[Timeline, Note]:
    """A run's file, or a scene's as a run of one step.

    Raises:
        TimelineError: If it is no such file, or damaged.
        SceneError: If it is a damaged scene's file.
    """
    path = Path(path)
    expected = "a run or a scene saved as .safetensors"
    with open_tensors(path, TimelineError, expected, MOST_BYTES, name=path.name) as file:
        holds, old = stored.content(file)
    timeline = _of_scene_file(path) if holds == "scene" else Timeline.load(path)
    try:
        note = _checked(timeline, path.stem)
        return _with_levels(timeline, note.schedule) if old else timeline, note
    except ConfigError as error:
        raise TimelineError(
            f"{plain(path.name)}: the run's file is damaged ({sentence_part(error)}); save it again."
        ) from error


def maker(timeline: Timeline, priors: Priors) -> Future[Prior] | None:
    """The prior that may have made a run, by its name, once it is opened; None if there is no such here."""
    wanted, first = timeline.provenance.get("checkpoint"), priors.first
    if wanted == first.method.checkpoint:
        return priors.open(first.name)
    return priors.open(wanted) if wanted in (name for _, name in priors.choices) else None


def opened(timeline: Timeline, note: Note, prior: Future[Prior] | None, device: str) -> Record:
    """A run as a record of this session.

    Args:
        timeline: The run.
        note: What else its file says.
        prior: What `maker` found; used if its weights are those that the run was made with.
        device: Where a field from the file is rendered.

    Raises:
        ConfigError: If its settings are none of the model's.
    """
    method = None if prior is None else _same(timeline, note, prior)
    kind = None if method is None else options_type(method, note.kind)
    if kind is not None and "settings" in timeline.provenance:
        from_json(kind, timeline.provenance["settings"], "settings")
    frames = list(timeline.steps)
    return Record(
        note.kind,
        note.title,
        {key: value for key, value in timeline.provenance.items() if key not in (NOTE, OLD)},
        frames,
        method or Viewer(timeline, note, device),
        views=timeline.views,
        state="done" if frames[-1].stage == "result" else "cancelled",
        psnrs=note.psnrs,
        made=note.made or time.time(),
        noise=timeline.noise,
        figures=note.figures,
        kept=timeline.kept,
    )


class Viewer:
    """A `Method` that shows what a file holds, and says why it can do no more.

    Attributes:
        weights: Fingerprint of the weights that the file's run was made with.
    """

    def __init__(self, timeline: Timeline, note: Note, device: str):
        name, title = note.method
        shape = tuple(timeline.steps[-1].latent.shape[1:])
        self.info = MethodInfo(name, title, "none", shape)
        self.presets: dict[str, dict[str, Any]] = {}
        self.data = note.data
        self.weights = note.weights
        self.checkpoint: str | None = timeline.provenance.get("checkpoint")
        self.mean_latent = torch.zeros(shape, device=device)
        self.directions = self.gallery = torch.zeros(0, *shape, device=device)
        latent = timeline.field.latent.to(device)
        self._field = type(timeline.field).build(
            timeline.field.config, timeline.field.weights(), latent
        )

    def scene(self, latent: Tensor, /, **provenance) -> Scene:
        """Wrap one latent with the file's weights."""
        return Scene(self._field.with_latent(latent), {"method": self.info.name, **provenance})

    def generate(self, *_: Any, **__: Any) -> Run[Tensor]:
        """Refused, as everything that needs the prior is."""
        raise UnsupportedTaskError(missing(self))

    reconstruct = starting_noise = complete = for_views = generate


def missing(method: Method) -> str:
    """One sentence with the reason why an opened run cannot be continued."""
    name = method.checkpoint or method.info.title
    return (
        f"The model that made this run ({name}) is not here with the same weights, so it can be looked at but not gone "
        "on with; put its checkpoint into checkpoints/, start again and open the file anew."
    )


def _of_scene_file(path: Path) -> Timeline:
    scene = Scene.load(path, name=path.name)
    return Timeline([result_step(scene.field.latent[None])], scene.field, scene.provenance)


def _with_levels(timeline: Timeline, schedule: Schedule) -> Timeline:
    """A timeline of format 1 whose steps say their log-SNR too.

    Raises:
        ConfigError: If a step is at a timestep that the schedule has not.
    """
    late = next((s for s in timeline.steps if (s.t or 0) >= schedule.timesteps), None)
    if late is not None:
        raise ConfigError(
            f"found {late.stage} {late.index} at timestep {late.t} of {schedule.timesteps}"
        )

    def with_level(step: Step) -> Step:
        if step.t is None or step.t < 0:
            return step
        level = 2 * schedule.half_log_snr(step.t)
        state = dict(step.state)
        if "t" in state:
            state["log_snr"] = torch.tensor([level])
        return replace(step, log_snr=level, state=state)

    return replace(timeline, steps=tuple(map(with_level, timeline.steps)))


def _checked(timeline: Timeline, name: str) -> Note:
    """A file's note, if what others rely on is as it should be.

    Raises:
        ConfigError: If it is not.
    """
    provenance = timeline.provenance
    if taken := {"self", "latent"} & set(provenance):
        raise ConfigError(f"found {', '.join(taken)} in its provenance")
    known = {f.name: provenance[f.name] for f in fields(_Known) if f.name in provenance}
    from_json(_Known, known, "provenance")
    note = from_json(Note, provenance.get(NOTE, {}), "note")
    kind = known_type(note.method[0], note.kind)
    if note.kind in TASKS and "settings" in provenance:
        if kind is not None:
            from_json(kind, provenance["settings"], "settings")
        if "seed" not in provenance:
            raise ConfigError("found settings without a seed")
    title = plain(note.title, LONGEST_TITLE) or plain(name.replace("_", " "), LONGEST_TITLE)
    return replace(note, title=title)


def _same(timeline: Timeline, note: Note, prior: Future[Prior]) -> Method | None:
    """The method of a prior, if a run was made with it."""
    try:
        method = prior.result().method
    except EngineError:
        return None
    fits = tuple(timeline.steps[-1].latent.shape[1:]) == tuple(method.mean_latent.shape)
    return method if fits and note.weights == fingerprint(method) else None
