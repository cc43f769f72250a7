"""A run kept whole: every step with what it takes to see it again and to go on from it, as one file.

A timeline costs what its codes cost, never renders: `step_bytes` says how much.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.config import from_json, to_json
from engine.errors import ConfigError, TimelineError, one_line
from engine.events import Step
from engine.fields.triplane import DecoderConfig, TriplaneDecoder, TriplaneField
from engine.files import MEGABYTE, regular, replacing
from engine.methods.base import STAGES
from engine.ops.region import CELLS, Region
from engine.scene import Scene
from engine.types import Camera, Views

FORMAT = "ssdnerf-explorer-timeline/1"
MOST_BYTES = 1024 * MEGABYTE
"""Size of a run's file."""
DAMAGE = (LookupError, AttributeError, ArithmeticError, TypeError, RuntimeError, ValueError)
"""What reading a header that somebody has changed can raise."""
KNOWN_STAGES = (*STAGES, "path", "result")
"""Of the steps that a file may hold."""


@dataclass(frozen=True)
class Kept:
    """What a run that draws an object anew was to keep of it.

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
        decoder: Turns their codes into fields.
        provenance: Where it came from, as JSON values: method, checkpoint, seed, settings, cameras (SRN units).
        views: Input pictures, or None.
        noise: What it started from where that was not its seed's, `*latent_shape`, or None.
        kept: What it was to keep of another object, or None.
    """

    steps: Sequence[Step]
    decoder: TriplaneDecoder
    provenance: Mapping[str, Any] = field(default_factory=dict)
    views: Views | None = None
    noise: Tensor | None = None
    kept: Kept | None = None

    def scene(self, place: int = -1) -> Scene:
        """What step `place` predicted."""
        return Scene(TriplaneField(self.decoder, self.steps[place].latent[0]), self.provenance)

    def save(self, path: Path | str) -> Path:
        """Write a self-contained `.safetensors` file, whole or not at all; numbers keep all their bits.

        Raises:
            WriteError: If it cannot be written.
        """
        shelf = _Shelf()
        weights = self.decoder.state_dict()
        for name, value in weights.items():
            shelf.put(f"decoder.{name}", value)
        header = {
            "format": FORMAT,
            "decoder": json.dumps(to_json(self.decoder.config)),
            "shapes": json.dumps({name: list(value.shape) for name, value in weights.items()}),
            "provenance": json.dumps(dict(self.provenance)),
            "views": json.dumps(self._put_views(shelf)),
            "noise": json.dumps(None if self.noise is None else shelf.put("noise", self.noise)),
            "kept": json.dumps(self._put_kept(shelf)),
            "steps": json.dumps([_packed(step, k, shelf) for k, step in enumerate(self.steps)]),
        }
        with replacing(path) as temporary:
            temporary.write_bytes(save(shelf.tensors, metadata=header))
        return Path(path)

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
    def load(cls, path: Path | str) -> Timeline:
        """Read what `save` wrote.

        Raises:
            TimelineError: If the file is missing, damaged or something else.
        """
        expected = "a run saved as .safetensors"
        path = regular(path, TimelineError, expected, MOST_BYTES, name=Path(path).name)
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise TimelineError(
                f"{path.name}: not a readable safetensors file ({one_line(error)}); expected a saved run."
            ) from error
        if header.get("format") != FORMAT:
            raise TimelineError(
                f"{path.name}: found format {header.get('format')!r}, expected {FORMAT!r}; choose a file that was saved "
                "as a run."
            )
        try:
            return _unpacked(header, tensors)
        except (*DAMAGE, ConfigError) as error:
            raise TimelineError(
                f"{path.name}: the run's file is damaged ({one_line(error)}); save it again."
            ) from error


def of_scene(step: Step, scene: int) -> Step:
    """The same step of one scene of its batch."""
    row = _each(step, lambda value: value[scene : scene + 1])
    return replace(row, t=int(row.state["t"][0])) if "t" in row.state else row


def own(step: Step) -> Step:
    """The same step with memory of its own, which keeps no batch alive; what its parts share they still share."""
    return _each(step, _once(Tensor.clone))


def on_cpu(step: Step) -> Step:
    """The same step with its tensors in the machine's memory; what they share they still share."""
    return _each(step, _once(lambda value: value.detach().cpu()))


def _each(step: Step, change: Callable[[Tensor], Tensor]) -> Step:
    """The same step with each of its tensors changed."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, Tensor) else value

    state = {name: changed(value) for name, value in step.state.items()}
    return replace(step, latent=changed(step.latent), x_t=changed(step.x_t), state=state)


def _once(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A change that is made once for all tensors that are the same memory."""
    made: dict[tuple[int, int], Tensor] = {}

    def changed(value: Tensor) -> Tensor:
        key = value.data_ptr(), value.nbytes
        if key not in made:
            made[key] = change(value)
        return made[key].view_as(value)

    return changed


def noisy(step: Step) -> bool:
    """Whether a step has a noisy state beside what it predicted."""
    return step.x_t is not None and step.stage not in ("finetune", "result")


def result_step(latents: Tensor) -> Step:
    """The step of what a run returned."""
    latents = latents.detach().cpu().float()
    return Step(stage="result", index=1, total=1, latent=latents)


def step_bytes(steps: Sequence[Step]) -> int:
    """Memory that the codes of steps take; what several of them share is counted once."""
    tensors = [t for step in steps for t in (step.latent, step.x_t, *step.state.values())]
    found = (tensor for tensor in tensors if isinstance(tensor, Tensor))
    return sum({(t.data_ptr(), t.nbytes): t.nbytes for t in found}.values())


class _Shelf:
    """Tensors by name; what lies there already, in whatever shape, is not stored again."""

    def __init__(self):
        self.tensors: dict[str, Tensor] = {}
        self._known: dict[tuple[int, int, torch.dtype], str] = {}
        self._held: list[Tensor] = []

    def put(self, name: str, tensor: Tensor) -> dict[str, Any]:
        """Where a tensor lies, as JSON."""
        flat = tensor.detach().cpu().contiguous().flatten()
        key = (flat.data_ptr(), flat.numel(), flat.dtype)
        if key not in self._known:
            self._known[key] = name
            self._held.append(flat)  # its address must not be another's while this shelf is filled
            self.tensors[name] = flat.clone()
        return {"name": self._known[key], "shape": list(tensor.shape)}


def _packed(step: Step, place: int, shelf: _Shelf) -> dict[str, Any]:
    """A step as JSON, its tensors on the shelf."""
    parts = {"latent": step.latent, "x_t": step.x_t}
    parts |= {f"state.{name}": value for name, value in step.state.items()}
    tensors = {name: value for name, value in parts.items() if isinstance(value, Tensor)}
    return {
        "stage": step.stage,
        "index": step.index,
        "total": step.total,
        "t": step.t,
        "scalars": dict(step.scalars),
        "numbers": {k: v for k, v in step.state.items() if not isinstance(v, Tensor)},
        "tensors": {
            name: shelf.put(f"steps.{place:05d}.{name}", value) for name, value in tensors.items()
        },
    }


def _step(packed: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Step:
    """The inverse of `_packed`."""
    found = {
        name: tensors[place["name"]].reshape(place["shape"])
        for name, place in packed["tensors"].items()
    }
    kept = {k.removeprefix("state."): v for k, v in found.items() if k.startswith("state.")}
    return Step(
        stage=str(packed["stage"]),
        index=int(packed["index"]),
        total=int(packed["total"]),
        t=None if packed["t"] is None else int(packed["t"]),
        scalars={str(k): float(v) for k, v in packed["scalars"].items()},
        state={**kept, **packed["numbers"]},
        latent=found["latent"],
        x_t=found.get("x_t"),
    )


def _unpacked(header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Timeline:
    """A timeline from what its file holds."""
    config = from_json(DecoderConfig, json.loads(header["decoder"]), "decoder")
    with torch.device("meta"):  # nothing is allocated for what the file does not hold
        wanted = {k: v.shape for k, v in TriplaneDecoder(config).state_dict().items()}
    start = "decoder."
    weights = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    shapes = json.loads(header["shapes"])
    loaded = {k: _finite(v.reshape(shapes[k])) for k, v in weights.items()}
    if {k: v.shape for k, v in loaded.items()} != wanted:
        raise ValueError("its decoder's weights do not fit their description")
    decoder = TriplaneDecoder(config)
    decoder.load_state_dict(loaded)
    steps = tuple(_step(packed, tensors) for packed in json.loads(header["steps"]))
    if not steps:
        raise ValueError("it holds no step")
    wanted = (1, 3, decoder.config.channels)
    for step in steps:
        _check(step, steps[0].latent.shape, wanted)
    views = _views(json.loads(header["views"]), tensors)
    provenance = json.loads(header["provenance"])
    if not isinstance(provenance, dict):
        raise ValueError("its provenance is no table")
    shape = steps[0].latent.shape[1:]
    start = json.loads(header.get("noise", "null"))
    noise = None if start is None else _code(tensors[start["name"]], start["shape"], shape)
    kept = _kept(json.loads(header.get("kept", "null")), tensors, shape, decoder.aabb)
    return Timeline(steps, decoder.eval().requires_grad_(False), provenance, views, noise, kept)


def _check(step: Step, shape: torch.Size, wanted: tuple[int, int, int]) -> None:
    """Refuse a step that no run can have taken."""
    where = f"{step.stage} {step.index}"
    if step.stage not in KNOWN_STAGES:
        raise ValueError(f"it has a stage {step.stage!r}")
    codes = [step.latent] if step.x_t is None else [step.latent, step.x_t]
    for code in codes:
        good = code.ndim == 5 and code.shape[:3] == wanted and min(code.shape[3:]) > 0
        if not good or code.shape != shape:
            raise ValueError(f"{where} has planes of shape {tuple(code.shape)}")
        _finite(code)
    for name, value in step.state.items():
        if isinstance(value, Tensor):
            if not value.isfinite().all():
                raise ValueError(f"{where} has a {name} that is not finite")
        elif not isinstance(value, int):
            raise ValueError(f"{where} has a {name} that is no whole number")


def _finite(tensor: Tensor) -> Tensor:
    """The same tensor, if it holds numbers as codes and weights have them."""
    if tensor.dtype != torch.float32 or not tensor.isfinite().all():
        raise ValueError("it holds numbers that are not finite, or of another kind")
    return tensor


def _code(tensor: Tensor, found: Sequence[int], shape: torch.Size) -> Tensor:
    """A code that stands beside the steps and is shaped as theirs are."""
    if tuple(found) != shape:
        raise ValueError(f"it has a code of shape {tuple(found)} beside its steps")
    return _finite(tensor.reshape(shape))


def _kept(
    places: Mapping[str, Any] | None,
    tensors: Mapping[str, Tensor],
    shape: torch.Size,
    box: Tensor,
) -> Kept | None:
    if places is None:
        return None
    found = {k: tensors[place["name"]].reshape(place["shape"]) for k, place in places.items()}
    latent, cells, aabb = found["latent"], found["cells"], _finite(found["aabb"])
    if cells.dtype != torch.bool or tuple(cells.shape) != (CELLS,) * 3:
        raise ValueError(f"what it keeps is marked in cells of shape {tuple(cells.shape)}")
    if not torch.equal(aabb, box):
        raise ValueError("what it keeps is marked in another box than its field's")
    return Kept(_code(latent, latent.shape, shape), Region(cells, aabb))


def _views(places: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]) -> Views | None:
    if places is None:
        return None
    found = {k: tensors[place["name"]].reshape(place["shape"]) for k, place in places.items()}
    count, height, width = found["images"].shape[:3]
    shapes = {"images": (count, height, width, 3), "c2w": (count, 4, 4), "intrinsics": (count, 4)}
    shapes["alpha"] = (count, height, width, 1)
    for name, value in found.items():
        if tuple(_finite(value).shape) != shapes[name]:
            raise ValueError(f"its pictures have {name} of shape {tuple(value.shape)}")
    camera = Camera(found["c2w"], found["intrinsics"], height, width)
    return Views(found["images"], camera, found.get("alpha"))
