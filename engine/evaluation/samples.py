"""Unconditional samples: distances of their pictures to held-out renders, and coverage of held-out shapes.

All sets of pictures are taken from the same places on the test path. `training` is the lower bound: as many training
scenes against the same held-out ones, which no model can be expected to beat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from engine.data.procedural.categories import Category
from engine.data.procedural.shape import Shape, scene_seed
from engine.errors import ExportError
from engine.evaluation.baselines import TrainingScenes
from engine.evaluation.distances import frechet, kernel
from engine.evaluation.geometry import coverage_and_mmd, surface_points
from engine.evaluation.intervals import DIGITS
from engine.evaluation.measure import save_rgb
from engine.evaluation.protocol import BoardOptions
from engine.events import Run, Step
from engine.fields.base import Field
from engine.methods.base import Method, options_of
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import RenderOptions, render_views
from engine.types import Camera, Views

SIDES = ((40.0, 18.0), (130.0, 18.0), (220.0, 22.0), (310.0, 40.0))
"""Azimuth and elevation of the four views of a sample, degrees."""
PLACES = tuple(range(4, 251, 16))
"""Places on the test path from which sets of pictures are compared."""
HELD_OUT_SCENES = 256
"""Test scenes that samples are compared with."""
NEIGHBOURS = 8
"""Number of samples that are shown with their nearest training scene."""
CLOUD = 2048
"""Points of each object for coverage and MMD."""
CHUNK = 8
"""Samples drawn at once."""

Features = Callable[[Float[Tensor, "n height width 3"]], Float[np.ndarray, "n d"]]
DISTANCES = {"small": ("fd_small", "kd_small"), "inception": ("fid", "kid")}
"""Names of the Frechet and the kernel distance on each network's features."""


@dataclass(frozen=True)
class Gauge:
    """Measurement of sets of objects, rendered from the same places and compared by the same networks.

    Attributes:
        category: Category of the true objects.
        options: Size, quality and seed.
        networks: Features of pictures; keys of `DISTANCES`.
    """

    category: Category
    options: BoardOptions
    networks: Mapping[str, Features]

    def camera(self) -> Camera:
        """Cameras at the places."""
        return self.category.views("test", 0, self.options.size, PLACES).camera

    def look(self, thing: Field | Shape, camera: Camera) -> Float[Tensor, "views height width 3"]:
        """A field or a true object from every place."""
        if isinstance(thing, Shape):
            c2w = camera.srn_c2w().double().numpy()
            images = self.category.pictures(thing, c2w, self.options.size)
            return torch.from_numpy(images).float() / 255
        options = RenderOptions(quality=self.options.quality, threads=torch.get_num_threads())
        return render_views(thing, camera, options).cpu()

    def features(
        self, things: Iterable[Field | Shape], count: int, stage: str
    ) -> Run[dict[str, np.ndarray]]:
        """Features of a set of `count` objects, by network."""
        camera = self.camera()
        found: dict[str, list[np.ndarray]] = {name: [] for name in self.networks}
        for index, thing in enumerate(things):
            images = self.look(thing, camera)
            for name, network in self.networks.items():
                found[name].append(network(images))
            yield Step(stage=stage, index=index + 1, total=count)
        return {name: np.concatenate(rows) for name, rows in found.items()}

    def distances(
        self, found: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
    ) -> dict[str, float]:
        """Frechet and kernel distance by every network."""
        distances = {}
        for name, (spread, other) in DISTANCES.items():
            if name in found:
                distances[spread] = frechet(found[name], reference[name])
                distances[other] = kernel(found[name], reference[name], self.options.seed)
        return {name: round(value, 6) for name, value in distances.items()}


def measure_samples(
    method: Method,
    gauge: Gauge,
    *,
    training: TrainingScenes,
    small: Mapping[str, Method],
    pictures: Path,
) -> Run[dict[str, Any]]:
    """Distances of samples to held-out renders, coverage and matching distance; writes the samples' pictures.

    Args:
        method: The method that samples.
        gauge: The measurement.
        training: Training scenes, of which the nearest are shown beside some samples.
        small: Other models by the names of their sets, whose pictures are measured in the same way.
        pictures: Folder of the pictures.
    """
    count = gauge.options.samples
    fields = yield from drawn(method, gauge.options, "samples")
    keep_pictures(fields, gauge, training, pictures)
    held_out = yield from gauge.features(
        _true(gauge.category, "test", HELD_OUT_SCENES), HELD_OUT_SCENES, "held-out renders"
    )
    sets: dict[str, Iterable[Field | Shape]] = {
        "ours": fields,
        "training": _true(gauge.category, "train", count),
    }
    for name, other in small.items():
        sets[name] = yield from drawn(other, gauge.options, f"samples of {name}")
    results: dict[str, Any] = {"count": count, "held_out": HELD_OUT_SCENES, "views": len(PLACES)}
    for name, things in sets.items():
        found = yield from gauge.features(things, count, f"pictures of {name}")
        results[name] = gauge.distances(found, held_out)
    shape = yield from _shape_distances(fields, gauge)
    return {**results, **shape}


def drawn(method: Method, options: BoardOptions, stage: str) -> Run[list[Field]]:
    """Fields of samples of a model."""
    settings, fields = options_of(method, "generate", options.mode), []
    for first in range(0, options.samples, CHUNK):
        count = min(CHUNK, options.samples - first)
        latents = yield from method.generate(count, settings, Noise(options.seed + first))
        fields += [method.scene(latent).field for latent in latents]
        yield Step(stage=stage, index=len(fields), total=options.samples)
    return fields


def keep_pictures(
    fields: list[Field], gauge: Gauge, training: TrainingScenes, folder: Path
) -> None:
    """Every sample from four sides, and the training scenes nearest to the first."""
    side, top = (torch.tensor(values) for values in zip(*SIDES, strict=True))
    cameras = orbit_camera(side, top, gauge.category.distance, gauge.options.size)
    for k, field in enumerate(fields):
        images = gauge.look(field, cameras)
        for number, image in enumerate(images):
            save_rgb(folder / f"sample-{k:03d}-{number}.png", image)
        if k < NEIGHBOURS:
            first = Views(images[:1], cameras[0:1])
            nearest = training.draw(training.nearest(first), first.camera)
            save_rgb(folder / f"nearest-{k:03d}.png", nearest[0])


def _true(category: Category, split: str, count: int) -> Iterable[Shape]:
    """The first objects of a split."""
    return (category.build(scene_seed(split, index)) for index in range(count))


def _shape_distances(fields: list[Field], gauge: Gauge) -> Run[dict[str, float]]:
    """Coverage and MMD against as many held-out objects; a sample without a surface covers nothing."""
    clouds, references = [], []
    things = zip(fields, _true(gauge.category, "test", len(fields)), strict=True)
    for index, (field, shape) in enumerate(things):
        references.append(surface_points(shape, CLOUD, index))
        clouds += _clouds(field, index)
        yield Step(stage="shapes of samples", index=index + 1, total=len(fields))
    if not clouds:
        return {}
    coverage, mmd = coverage_and_mmd(clouds, references)
    return {"coverage": round(coverage, DIGITS), "mmd": round(mmd, 6)}


def _clouds(field: Field, seed: int) -> list[np.ndarray]:
    """Points on a field's surface; empty if it has none."""
    try:
        return [surface_points(field, CLOUD, seed)]
    except ExportError:
        return []
