"""Runs as files: a record becomes a timeline, and a timeline a record that shows the same and, with its prior, goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from app.plans import OPTIONS
from app.priors import Prior, Priors
from app.records import WITHOUT, Kind, Record
from engine.checkpoint import fingerprint
from engine.config import from_json, to_json
from engine.diffusion.schedule import Schedule
from engine.errors import (
    ConfigError,
    EngineError,
    SceneError,
    TimelineError,
    UnsupportedTaskError,
    one_line,
)
from engine.events import Run
from engine.explore.timeline import Timeline, result_step
from engine.fields.triplane import TriplaneField
from engine.methods.base import FitOptions, Method, MethodInfo, SampleOptions, TrainingData
from engine.ops import compiled
from engine.scene import FORMAT as SCENE_FORMAT
from engine.scene import Scene

NOTE = "run"
"""Where in a file's provenance its note stands."""
LONGEST_TITLE = 80


@dataclass(frozen=True)
class Note:
    """What a run's file says beside its steps and its provenance.

    Attributes:
        kind: How it was made.
        title: Name for people.
        made: When, seconds since 1970; 0 if nobody knows.
        psnrs: PSNR of the end on each input, dB.
        figures: Numbers about it, by name.
        method: Key and name of the method that made it.
        weights: Fingerprint of that method's weights; empty if nobody knows.
        data: What it was trained on.
        schedule: Of its noise.
    """

    kind: Kind = "file"
    title: str = ""
    made: float = 0.0
    psnrs: tuple[float, ...] = ()
    figures: Any = field(default_factory=dict)
    method: tuple[str, str] = ("file", "An opened file")
    weights: str = ""
    data: TrainingData = field(default_factory=TrainingData)
    schedule: Schedule = field(default_factory=Schedule)


def save(record: Record, path: Path) -> Path:
    """Write all steps of a record that still have their codes, with all that it takes to see and to go on from them."""
    method = record.method
    note = Note(
        record.kind,
        record.title,
        record.made,
        record.psnrs,
        dict(record.figures),
        (method.info.name, method.info.title),
        getattr(method, "weights", None) or fingerprint(method),
        method.data,
        getattr(method, "schedule", Schedule()),
    )
    provenance = {"checkpoint": method.checkpoint, **record.provenance, NOTE: to_json(note)}
    decoder = method.scene(record.latent(-1)).field.decoder
    timeline = Timeline(
        record.steps(),
        decoder,
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
    timeline = _of_scene_file(path) if _format(path) == SCENE_FORMAT else Timeline.load(path)
    try:
        return timeline, _checked(timeline, path.stem)
    except (ConfigError, TypeError, ValueError) as error:
        raise TimelineError(
            f"{path.name}: the run's file is damaged ({one_line(error)}); save it again."
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
        device: Where a decoder from the file draws.
    """
    method = None if prior is None else _same(timeline, note, prior)
    frames = list(timeline.steps)
    return Record(
        note.kind,
        note.title,
        {key: value for key, value in timeline.provenance.items() if key != NOTE},
        frames,
        method or Viewer(timeline, note, device),
        views=timeline.views,
        state="done" if frames[-1].stage == "result" else "cancelled",
        psnrs=note.psnrs,
        made=note.made or time.time(),
        noise=timeline.noise,
        figures={str(name): float(value) for name, value in note.figures.items()},
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
        self.info = MethodInfo(name, title, "none", frozenset(), shape)
        self.sample_options = self.paper_sample_options = SampleOptions()
        self.fit_options = self.paper_fit_options = FitOptions()
        self.data = note.data
        self.schedule = note.schedule
        self.weights = note.weights
        self.checkpoint: str | None = timeline.provenance.get("checkpoint")
        self.mean_latent = torch.zeros(shape, device=device)
        self.directions = self.gallery = torch.zeros(0, *shape, device=device)
        self._decoder = timeline.decoder.to(device)

    def scene(self, latent: Tensor, /, **provenance) -> Scene:
        """Wrap one latent with the file's decoder."""
        planes = latent.float().to(self.mean_latent.device)
        return Scene(TriplaneField(self._decoder, planes), {"method": self.info.name, **provenance})

    def generate(self, *_: Any, **__: Any) -> Run[Tensor]:
        """Refused, as everything that needs the prior is."""
        raise UnsupportedTaskError(missing(self))

    reconstruct = starting_noise = invert = regenerate = generate


def missing(method: Method) -> str:
    """One sentence about why an opened run cannot be gone on with."""
    name = method.checkpoint or method.info.title
    return (
        f"The prior that made this run ({name}) is not here with the same weights, so it can be looked at but not gone "
        "on with; put its checkpoint into checkpoints/, start again and open the file anew."
    )


def _format(path: Path) -> str | None:
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format")
    except (SafetensorError, OSError):
        return None  # `Timeline.load` says what is wrong with it


def _of_scene_file(path: Path) -> Timeline:
    try:
        scene = Scene.load(path)
    except SceneError as error:
        raise SceneError(str(error).replace(str(path), path.name)) from error
    steps = [result_step(scene.field.triplane[None])]
    return Timeline(steps, scene.field.decoder, scene.provenance)


def _checked(timeline: Timeline, name: str) -> Note:
    """A file's note, if what others rely on is as it should be."""
    provenance = timeline.provenance
    if not isinstance(provenance, Mapping) or {"self", "latent"} & set(provenance):
        raise ValueError("its provenance is not understood")
    if not isinstance(provenance.get("checkpoint"), str | None):
        raise ValueError("its checkpoint has no name")
    if not isinstance(provenance.get("settings", {}), Mapping):
        raise ValueError("its settings are not understood")
    if not set(provenance.get(WITHOUT, ())) <= set(get_args(compiled.Kind)):
        raise ValueError("it was made without kernels that there are none of")
    note = from_json(Note, dict(provenance.get(NOTE, {})), "note")
    if note.kind in OPTIONS and "settings" in provenance:
        from_json(OPTIONS[note.kind], provenance["settings"], "settings")
        if not isinstance(provenance.get("seed"), int):
            raise ValueError("its seed is no whole number")
    numbers = [note.made, *note.psnrs, *(float(value) for value in dict(note.figures).values())]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a number in its note is none")
    codes = [
        code for step in timeline.steps for code in (step.latent, step.x_t) if code is not None
    ]
    shapes = {tuple(code.shape) for code in codes}
    if len(shapes) > 1 or next(iter(shapes))[0] != 1:
        raise ValueError(f"its steps have planes of shapes {shapes}")
    title = note.title.strip()[:LONGEST_TITLE] or name.replace("_", " ")
    return Note(**{**vars(note), "title": title})


def _same(timeline: Timeline, note: Note, prior: Future[Prior]) -> Method | None:
    """The method of a prior, if a run was made with it."""
    try:
        method = prior.result().method
    except EngineError:
        return None
    fits = tuple(timeline.steps[-1].latent.shape[1:]) == tuple(method.mean_latent.shape)
    return method if fits and note.weights == fingerprint(method) else None
