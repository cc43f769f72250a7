"""A recipe: model, data and schedule of a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from engine.config import to_json


@dataclass(frozen=True)
class DataOptions:
    """Procedural scenes to train on; a folder of pictures is taken whole instead."""

    category: str = "vehicles"
    """Procedural category of the training scenes."""
    augment: bool = False
    """Give half of the scenes other colours, light and proportions."""
    scenes: int = 1000
    """Training scenes."""
    first_scene: int = 0
    """Number of the first training scene in the category."""
    views: int = 50
    """Views of each scene."""
    size: int = 128
    """Rows and columns of each picture, pixels."""


@dataclass(frozen=True)
class LoopOptions:
    """Settings of the trainer, common to all methods."""

    start: str | None = None
    """Checkpoint whose weights a fresh run starts from, its name under checkpoints/ or a folder; latents are fitted
    anew."""
    batch: int = 8
    """Scenes in each iteration."""
    iterations: int = 14_000
    """Iterations of the whole run."""
    seed: int = 2021
    """Seed of the weights, the latents, the order of the scenes and every draw."""
    warmup: int = 50
    """Iterations over which the networks' rates rise linearly; every stage has its own."""
    hold: int = 0
    """Iterations in which the networks stay as they are while latents find their places (for runs that start from a
    checkpoint)."""
    decay_from: float = 0.5
    """Share of a stage after which every rate falls along a cosine."""
    final_rate: float = 0.05
    """Share of the rates that is left at the end of a stage."""
    first_scenes: int = 64
    """Scenes that are trained alone at first; the others start from their mean latent."""
    first_iterations: int = 50
    """Iterations with the first scenes alone (0: all scenes from the start)."""
    half_bank: bool = False
    """Keep the latents of scenes outside the batch in half precision."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Arithmetic of the networks while training, for methods that have a choice."""
    save_every_s: float = 240.0
    """Seconds between two saved states."""
    log_every: int = 20
    """Iterations between two lines of the log."""
    preview_every: int = 1000
    """Iterations between two previews (0: none)."""
    tune_scenes: int = 8
    """Validation scenes on which test-time settings are chosen at the end (0: they stay as they are)."""


@dataclass(frozen=True)
class Recipe:
    """A model to train, its data, and the length of training."""

    name: str
    """Name of the run."""
    model: Any
    """Networks and losses: the config of a method; its type selects the method."""
    train: Any
    """The method's own settings of training, with its rates."""
    data: DataOptions = field(default_factory=DataOptions)
    """Scenes."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """Iterations, schedules and files."""

    def changed(self, **settings: Any) -> Recipe:
        """The same with other settings; those of `data` and `loop` go by their own names.

        Raises:
            TypeError: If there is no such setting.
        """
        parts = {}
        for name in ("data", "loop"):
            part = settings.pop(name, getattr(self, name))
            own = {f.name: settings.pop(f.name) for f in fields(part) if f.name in settings}
            parts[name] = replace(part, **own)
        return replace(self, **parts, **settings)


OWN = {part.name for kind in (Recipe, DataOptions, LoopOptions) for part in fields(kind)}
"""Names of a recipe's own settings; a method's are inside `model` and `train`."""


def settings_of(recipe: Any) -> dict[str, Any]:
    """All settings of a recipe stored as JSON, by name; empty if there are none.

    Settings of `data` and `loop` go by their own names, as on the command line, the method's as `model.unet.base`. Older
    files hold all but `model` and `train` side by side, the rates of the method's optimisers among them.
    """
    if not isinstance(recipe, Mapping):
        return {}
    flat = dict(recipe)
    for part in ("data", "loop"):
        inner = flat.pop(part, {})
        flat |= inner if isinstance(inner, Mapping) else {}
    of_method = {f"train.{name}": flat.pop(name) for name in flat.keys() - OWN}
    return dict(_dotted(flat)) | of_method


def differences(before: Any, recipe: Recipe) -> dict[str, str]:
    """Differences of a recipe from a file's, by name: "iterations 300 -> 900"."""
    known, now = settings_of(before), settings_of(to_json(recipe))
    return {
        name: f"{name} {known[name]} -> {value}"
        for name, value in now.items()
        if name in known and known[name] != value
    }


def _dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
