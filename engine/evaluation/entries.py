"""Entries of the scoreboard: our settings, the paper's, baselines, and the paper's ablation.

An entry reconstructs a scene from some of its views; its `settings` are all that the result depends on beside the
scene. Results that entries or scenes share (training scenes, their mean pictures, learning rates) are computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor

from engine.config import to_json
from engine.evaluation.baselines import TrainingScenes, has_prior, no_prior_options
from engine.evaluation.protocol import BoardOptions
from engine.evaluation.scenes import Answer, Scene, TestScene, look
from engine.events import Run, Step, finish
from engine.methods.base import Method, fit_options_for
from engine.noise import Noise
from engine.render.frames import Quality
from engine.store.checkpoint import digest, fingerprint, model_key


@runtime_checkable
class Entry(Protocol):
    """One row of the scoreboard."""

    name: str
    """Key in files."""
    title: str
    """Name for people."""

    def settings(self, num_views: int) -> dict[str, Any]:
        """All settings that the result depends on beside the scene; plain JSON values."""
        ...

    def answer(self, scene: Scene, places: tuple[int, ...]) -> Answer:
        """Reconstruction of a scene from its pictures at some places, rendered from all places."""
        ...


@dataclass(frozen=True)
class Contender:
    """A method with the digest of its weights and the content key of their use (`model_key`)."""

    method: Method
    weights: str
    model: str

    @classmethod
    def of(cls, method: Method) -> Contender:
        """A method as a contender."""
        return cls(method, fingerprint(method), model_key(method))


@dataclass(frozen=True)
class Fit:
    """A method that fits the given views."""

    name: str
    title: str
    contender: Contender
    options: Callable[[int], Any]
    """Settings for a number of views."""
    seed: int
    quality: Quality

    def settings(self, num_views: int) -> dict[str, Any]:
        """Weights and test-time settings."""
        return {
            "weights": self.contender.weights,
            "model": self.contender.model,
            "fit": to_json(self.options(num_views)),
            "seed": self.seed,
            "quality": self.quality,
        }

    def answer(self, scene: Scene, places: tuple[int, ...]) -> Answer:
        """Reconstruct and render."""
        method, begun = self.contender.method, time.process_time()
        run = method.reconstruct(scene.given(places), self.options(len(places)), Noise(self.seed))
        latent = finish(run)[0]
        seconds = time.process_time() - begun
        field = method.scene(latent).field
        return Answer(look(field, scene, self.quality), field, seconds)


class MeanCode:
    """The mean of the training latents, independent of the views."""

    name, title = "mean_code", "mean latent"

    def __init__(self, contender: Contender, quality: Quality):
        self.contender, self.quality = contender, quality
        self._seen: tuple[str, Tensor] | None = None

    def settings(self, num_views: int) -> dict[str, Any]:
        """The weights."""
        contender = self.contender
        return {"weights": contender.weights, "model": contender.model, "quality": self.quality}

    def answer(self, scene: Scene, places: tuple[int, ...]) -> Answer:
        """The same pictures from the same places."""
        method = self.contender.method
        field = method.scene(method.mean_latent).field
        camera = scene.views.camera
        places_seen = digest(camera.c2w, camera.intrinsics)
        if self._seen is None or self._seen[0] != places_seen:
            self._seen = places_seen, look(field, scene, self.quality)
        return Answer(self._seen[1], field, 0.0)


class MeanImage:
    """The mean picture of the training scenes from the same place."""

    name, title = "mean_image", "mean training image"

    def __init__(self, data: str, images: UInt8[Tensor, "places height width 3"]):
        self.data, self._images = data, images

    def settings(self, num_views: int) -> dict[str, Any]:
        """The training scenes."""
        return {"data": self.data}

    def answer(self, scene: Scene, places: tuple[int, ...]) -> Answer:
        """Always the same pictures."""
        return Answer(self._images.float() / 255, None, 0.0)


class Nearest:
    """The training scene whose pictures differ least from the given ones."""

    name, title = "nearest_training_scene", "nearest training scene"

    def __init__(self, training: TrainingScenes, data: str):
        self.training, self.data = training, data

    def settings(self, num_views: int) -> dict[str, Any]:
        """The training scenes."""
        return {"data": self.data}

    def answer(self, scene: Scene, places: tuple[int, ...]) -> Answer:
        """Find and render it."""
        begun = time.process_time()
        index = self.training.nearest(scene.given(places))
        seconds = time.process_time() - begun
        images = self.training.draw(index, scene.views.camera)
        return Answer(images, self.training.shape(index), seconds)


def own_entries(method: Method) -> tuple[str, ...]:
    """Names of the entries that a method's weights support: see `fitting_entries`."""
    return (
        "ours",
        "paper",
        *(["no_prior"] if has_prior(method) else []),
        *getattr(method, "ABLATION", {}),
    )


def fitting_entries(
    contender: Contender, options: BoardOptions, rates: dict[int, float]
) -> list[Entry]:
    """Entries that use a model's own weights, ours first.

    Args:
        contender: The model.
        options: Mode, seed and quality.
        rates: Learning rate of the fit without prior for every number of views.
    """
    method = contender.method

    def tuned(mode: str) -> Callable[[int], Any]:
        return lambda count: fit_options_for(method, mode, count)

    def changed(mode: str, parts: Mapping[str, Any]) -> Callable[[int], Any]:
        return lambda count: replace(fit_options_for(method, mode, count), **parts)

    title = method.info.title
    kinds: list[tuple[str, str, Callable[[int], Any]]] = [
        ("ours", f"{title}, mode {options.mode}", tuned(options.mode)),
        ("paper", f"{title}, mode paper", tuned("paper")),
    ]
    if has_prior(method):
        kinds.append(
            (
                "no_prior",
                "fit without prior",
                lambda count: no_prior_options(method, rates[count], count),
            )
        )
    for name, (told, mode, parts) in getattr(method, "ABLATION", {}).items():
        kinds.append((name, told, changed(mode or options.mode, parts)))
    return [
        Fit(name, told, contender, settings, options.seed, options.quality)
        for name, told, settings in kinds
    ]


def equal_entries(
    one_stage: Contender, two_stage: Contender, options: BoardOptions
) -> tuple[Fit, Fit]:
    """The paper's procedure with two models trained with equal compute."""
    pairs = (("A0_equal", "one stage", one_stage), ("A1_equal", "two stages", two_stage))

    def paper(contender: Contender) -> Callable[[int], Any]:
        return lambda count: fit_options_for(contender.method, "paper", count)

    first, second = (
        Fit(
            name,
            f"{title}, equal compute",
            contender,
            paper(contender),
            options.seed,
            options.quality,
        )
        for name, title, contender in pairs
    )
    return first, second


def mean_pictures(training: TrainingScenes, size: int) -> Run[UInt8[Tensor, "places h w 3"]]:
    """Mean picture of the training scenes at every place on the test path."""
    camera = TestScene(training.category, 0, size).views.camera
    total = torch.zeros(len(camera), size, size, 3)
    for index in range(len(training)):
        total += training.draw(index, camera)
        yield Step(stage="mean training image", index=index + 1, total=len(training))
    return (total / len(training) * 255).round().to(torch.uint8)
