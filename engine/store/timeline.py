"""A complete run in one file: every step with all that is needed to show it again and to continue from it.

A timeline takes the memory of its latents, not of renders: see `step_bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from engine.config import Bounds, from_json
from engine.errors import ConfigError, TimelineError, plain, sentence_part, shown
from engine.events import STAGES, Step
from engine.fields import stored
from engine.fields.base import StoredField
from engine.fields.scene import Scene
from engine.files import MEGABYTE
from engine.reading import MOST_AXES, TensorFile, open_tensors, parse_json
from engine.render.region import CELLS, Region
from engine.types import Camera, Views

MOST_BYTES = 1024 * MEGABYTE
"""Size of a run's file."""
MOST_STEPS = 8192
KNOWN_STAGES = (*STAGES, "path", "result")
"""Stages of the steps that a file may hold."""


@dataclass(frozen=True)
class Kept:
    """The kept part of an object in a run that completes it.

    Attributes:
        latent: The object, `*latent_shape`.
        region: The part, over the box of its field.
    """

    latent: Tensor
    region: Region


@dataclass(frozen=True)
class Timeline:
    """A run of one object.

    Attributes:
        steps: Its steps in order, each with one row (`1 *latent_shape`); the last one is its result.
        field: Field of any one step: the others differ from it in their latent only.
        provenance: Its origin, as JSON values: method, checkpoint, seed, settings, cameras (SRN units).
        views: Input pictures, or None.
        noise: Its starting noise, `*latent_shape`, if that was not its seed's; else None.
        kept: Part of another object that it was to keep, or None.
    """

    steps: Sequence[Step]
    field: StoredField
    provenance: Mapping[str, Any] = dataclass_field(default_factory=dict)
    views: Views | None = None
    noise: Tensor | None = None
    kept: Kept | None = None

    def scene(self, place: int = -1) -> Scene:
        """The scene that step `place` predicted."""
        return Scene(self.field.with_latent(self.steps[place].latent[0]), self.provenance)

    def save(self, path: Path | str) -> Path:
        """Write a self-contained `.safetensors` file, whole or not at all; numbers keep all their bits.

        Raises:
            WriteError: If it cannot be written.
        """
        shelf = _Shelf()
        weights = self.field.weights()
        for name, value in weights.items():
            shelf.put(f"field.{name}", value)
        header = {
            "field": stored.field_header(self.field),
            "provenance": dict(self.provenance),
            "views": self._put_views(shelf),
            "noise": None if self.noise is None else shelf.put("noise", self.noise),
            "kept": self._put_kept(shelf),
            "steps": [_packed(step, k, shelf) for k, step in enumerate(self.steps)],
        }
        return stored.write(path, "run", header, shelf.tensors)

    def _put_views(self, shelf: _Shelf) -> dict[str, Any] | None:
        if self.views is None:
            return None
        camera = self.views.camera
        parts = {"images": self.views.images, "c2w": camera.c2w, "intrinsics": camera.intrinsics}
        if self.views.alpha is not None:
            parts["alpha"] = self.views.alpha
        return {name: shelf.put(f"views.{name}", value) for name, value in parts.items()}

    def _put_kept(self, shelf: _Shelf) -> dict[str, Any] | None:
        if self.kept is None:
            return None
        region = self.kept.region
        parts = {"latent": self.kept.latent, "cells": region.cells, "aabb": region.aabb}
        return {name: shelf.put(f"kept.{name}", value) for name, value in parts.items()}

    @classmethod
    def load(cls, path: Path | str, *, name: str | None = None) -> Timeline:
        """Read a file written by `save`; messages call it `name`, by default its own name.

        Raises:
            TimelineError: If the file is missing, damaged or something else.
        """
        expected, name = "a run saved as .safetensors", name or Path(path).name
        with open_tensors(path, TimelineError, expected, MOST_BYTES, name=name) as file:
            if stored.content(file)[0] != "run":
                raise TimelineError(
                    f"{file.called}: found format {shown(file.header.get('format'))}, expected {stored.FORMAT!r} of a run; "
                    "choose a file that was saved as a run."
                )
            try:
                return _unpacked(file)
            except ConfigError as error:
                raise TimelineError(
                    f"{file.called}: the run's file is damaged ({sentence_part(error)}); save it again."
                ) from error


def of_scene(step: Step, scene: int) -> Step:
    """The step of a single scene of its batch."""
    row = _each(step, lambda value: value[scene : scene + 1])
    if "t" not in row.state:
        return row
    return replace(row, t=int(row.state["t"][0]), log_snr=float(row.state["log_snr"][0]))


def own(step: Step) -> Step:
    """A copy of a step that keeps no batch alive; tensors that shared memory still do."""
    return _each(step, _once(Tensor.clone))


def on_cpu(step: Step) -> Step:
    """The step with its tensors in CPU memory; tensors that shared memory still do."""
    return _each(step, _once(lambda value: value.detach().cpu()))


def _each(step: Step, change: Callable[[Tensor], Tensor]) -> Step:
    """The same step with each of its tensors changed."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, Tensor) else value

    state = {name: changed(value) for name, value in step.state.items()}
    return replace(
        step, latent=changed(step.latent), noisy_latent=changed(step.noisy_latent), state=state
    )


def _once(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`change`, applied only once to tensors that share memory."""
    made: dict[tuple[int, int], Tensor] = {}

    def changed(value: Tensor) -> Tensor:
        key = value.data_ptr(), value.nbytes
        if key not in made:
            made[key] = change(value)
        return made[key].view_as(value)

    return changed


def noisy(step: Step) -> bool:
    """True if a step has a noisy state beside its prediction."""
    return step.noisy_latent is not None and step.stage not in ("finetune", "result")


def result_step(latents: Tensor) -> Step:
    """A step that holds the result of a run."""
    latents = latents.detach().cpu().float()
    return Step(stage="result", index=1, total=1, latent=latents)


def step_bytes(steps: Sequence[Step]) -> int:
    """Bytes that the latents of steps take; shared memory counts once."""
    tensors = [t for step in steps for t in (step.latent, step.noisy_latent, *step.state.values())]
    found = (tensor for tensor in tensors if isinstance(tensor, Tensor))
    return sum({(t.data_ptr(), t.nbytes): t.nbytes for t in found}.values())


class _Shelf:
    """Tensors by name; memory that is stored already, in any shape, is not stored again."""

    def __init__(self):
        self.tensors: dict[str, Tensor] = {}
        self._known: dict[tuple[int, int, torch.dtype], str] = {}
        self._held: list[Tensor] = []

    def put(self, name: str, tensor: Tensor) -> dict[str, Any]:
        """Add a tensor; returns its place as JSON."""
        flat = tensor.detach().cpu().contiguous().flatten()
        key = (flat.data_ptr(), flat.numel(), flat.dtype)
        if key not in self._known:
            self._known[key] = name
            self._held.append(flat)  # its address must not be another's while this shelf is filled
            self.tensors[name] = flat.clone()
        return {"name": self._known[key], "shape": list(tensor.shape)}


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures that are finite: JSON has no others, and the PSNR of equal pictures is infinite."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _packed(step: Step, place: int, shelf: _Shelf) -> dict[str, Any]:
    """A step as JSON, its tensors on the shelf."""
    parts = {"latent": step.latent, "noisy_latent": step.noisy_latent}
    parts |= {f"state.{name}": value for name, value in step.state.items()}
    tensors = {name: value for name, value in parts.items() if isinstance(value, Tensor)}
    return {
        "stage": step.stage,
        "index": step.index,
        "total": step.total,
        "t": step.t,
        "log_snr": step.log_snr,
        "scalars": finite(step.scalars),
        "numbers": {k: v for k, v in step.state.items() if not isinstance(v, Tensor)},
        "tensors": {
            name: shelf.put(f"steps.{place:05d}.{name}", value) for name, value in tensors.items()
        },
    }


# ------------------------------------------------------------------------------------- reading

_Count = Annotated[int, Bounds(0, 1_000_000)]
_Name = Annotated[str, Bounds(1, 100)]
_LogSNR = Annotated[float, Bounds(-200.0, 200.0)]
MOST_NUMBERS = 2**28
"""Most numbers in one tensor of a step's state."""


@dataclass(frozen=True)
class _Place:
    """Name of a flat tensor in the file, and its shape."""

    name: str
    shape: Annotated[tuple[Annotated[int, Bounds(1, 2**31)], ...], Bounds(0, MOST_AXES)]


@dataclass(frozen=True)
class _Packed:
    """A step as the header holds it."""

    stage: Literal[KNOWN_STAGES]
    index: _Count
    total: _Count
    t: Annotated[int, Bounds(-1, 1_000_000)] | Annotated[float, Bounds(-1.0, 1e6)] | None
    scalars: dict[str, float]
    numbers: dict[_Name, _Count]
    tensors: Annotated[dict[_Name, _Place], Bounds(0, 100)]
    log_snr: _LogSNR | None = None

    def check(self) -> None:
        """Refuse a step without a latent, or beyond the end of its stage."""
        if "latent" not in self.tensors or self.index > self.total:
            raise ConfigError(f"found {self.stage} step {self.index} of {self.total}, or no latent")
        if {"t", "log_snr"} & set(self.numbers):
            raise ConfigError("found one noise level for a step that has one for each scene")


@dataclass(frozen=True)
class _ViewPlaces:
    images: _Place
    c2w: _Place
    intrinsics: _Place
    alpha: _Place | None = None


@dataclass(frozen=True)
class _KeptPlaces:
    latent: _Place
    cells: _Place
    aabb: _Place


_Steps = Annotated[tuple[_Packed, ...], Bounds(1, MOST_STEPS)]
_Pictures = tuple[
    Annotated[int, Bounds(1, 64)], Annotated[int, Bounds(1, 4096)], Annotated[int, Bounds(1, 4096)]
]
"""Number of pictures, rows, columns."""


class _Parts:
    """The tensors of a file under the shapes that its header gives them; each is read once."""

    def __init__(self, file: TensorFile):
        self.file = file
        self._read: dict[str, Tensor] = {}

    def at(self, place: _Place, shape: tuple[int, ...] | None = None, kind: str = "F32") -> Tensor:
        """A tensor, checked to be of a kind of numbers and, if given, a shape.

        Raises:
            ConfigError: If it is of another one, or missing.
        """
        entry = self.file.entries.get(place.name)
        if entry is None:
            raise ConfigError(f"found no {plain(place.name)}")
        wanted = place.shape if shape is None else tuple(shape)
        if (
            place.shape != wanted
            or math.prod(entry.shape) != math.prod(wanted)
            or entry.kind != kind
        ):
            raise ConfigError(
                f"found {plain(place.name)} of {entry.kind} and shape {shown(place.shape)}, expected {kind} and {wanted}"
            )
        if place.name not in self._read:
            self._read[place.name] = self.file.read(place.name)
        return self._read[place.name].reshape(wanted)


def _unpacked(file: TensorFile) -> Timeline:
    """A timeline from an open file, after checking its header."""

    def told(part: str, kind: Any, default: str = "") -> Any:
        return parse_json(file.header.get(part, default), kind, part)

    parts, old = _Parts(file), stored.content(file)[1]
    packed = told("steps", _Steps)
    kind, config, weights = stored.field_of(file)
    shape = packed[0].tensors["latent"].shape
    kind.check_latent(config, shape[1:])
    steps = tuple(_step(step, parts, (1, *shape[1:]), old) for step in packed)
    values = {
        name: parts.at(_Place(stored_as, wanted)) for name, (stored_as, wanted) in weights.items()
    }
    field = kind.build(config, values, steps[-1].latent[0])
    views = _views(told("views", _ViewPlaces | None), parts)
    provenance = told("provenance", dict[str, Any])
    start = told("noise", _Place | None, "null")
    noise = None if start is None else parts.at(start, shape[1:])
    kept = _kept(told("kept", _KeptPlaces | None, "null"), parts, shape[1:], field.aabb)
    return Timeline(steps, field, provenance, views, noise, kept)


def _step(packed: _Packed, parts: _Parts, shape: tuple[int, ...], old: bool) -> Step:
    """The inverse of `_packed`; files of format 1 call the noisy latent `x_t`."""
    places = dict(packed.tensors)
    latent = parts.at(places.pop("latent"), shape)
    noisy = places.pop("x_t" if old else "noisy_latent", None)
    if strange := [name for name in places if not name.startswith("state.")]:
        raise ConfigError(f"found a step with an unknown tensor {shown(strange[0])}")
    state = {
        name.removeprefix("state."): _state(name.removeprefix("state."), place, parts)
        for name, place in places.items()
    }
    if not old and ("t" in state) != ("log_snr" in state):
        raise ConfigError("found a timestep without its log-SNR, or the other way round")
    return Step(
        stage=packed.stage,
        index=packed.index,
        total=packed.total,
        t=packed.t,
        log_snr=packed.log_snr,
        scalars=packed.scalars,
        state={**state, **packed.numbers},
        latent=latent,
        noisy_latent=None if noisy is None else parts.at(noisy, shape),
    )


def _state(name: str, place: _Place, parts: _Parts) -> Tensor:
    """A tensor of a step's state, with one row; the method that continues from it checks the rest of its shape."""
    if name in ("t", "log_snr"):
        return parts.at(place, (1,), "I64" if name == "t" else "F32")
    if place.shape[:1] != (1,) or math.prod(place.shape) > MOST_NUMBERS:
        raise ConfigError(
            f"found {plain(place.name)} of shape {shown(place.shape)} in a step's state, expected one row"
        )
    entry = parts.file.entries.get(place.name)
    return parts.at(place, kind="I64" if entry is not None and entry.kind == "I64" else "F32")


def _kept(
    places: _KeptPlaces | None, parts: _Parts, shape: tuple[int, ...], box: Tensor
) -> Kept | None:
    if places is None:
        return None
    aabb = parts.at(places.aabb, (2, 3))
    if not torch.equal(aabb, box):
        raise ConfigError("what it keeps is marked in another box than its field's")
    cells = parts.at(places.cells, (CELLS,) * 3, "BOOL")
    return Kept(parts.at(places.latent, shape), Region(cells, aabb))


def _views(places: _ViewPlaces | None, parts: _Parts) -> Views | None:
    if places is None:
        return None
    count, height, width = from_json(_Pictures, places.images.shape[:3], "views")
    images = parts.at(places.images, (count, height, width, 3))
    c2w = parts.at(places.c2w, (count, 4, 4))
    intrinsics = parts.at(places.intrinsics, (count, 4))
    rotation = c2w[:, :3, :3]
    error = (rotation @ rotation.mT - torch.eye(3)).abs().max()
    if error > 0.05 or not bool((intrinsics[:, :2] > 0).all()):
        raise ConfigError("its pictures have poses or focal lengths that no camera has")
    alpha = None
    if places.alpha is not None:
        alpha = parts.at(places.alpha, (count, height, width, 1))
    return Views(images, Camera(c2w, intrinsics, height, width), alpha)
