"""Baselines of reconstruction, which a model has to beat on the same scenes and views.

`nearest_training_scene` answers with the training scene that looks most like the inputs, `mean_code` with the mean of
the training latents whatever the inputs, `no_prior` fits a latent to the inputs by the rendering loss alone (same
decoder, rays and regulariser). The training scenes are the first 300 seeds, drawn anew, so that the yardstick stays
where it is when the training set grows.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from engine.data.procedural.categories import Category, find_category
from engine.data.procedural.shape import Shape, scene_seed, soups_key
from engine.data.raster import composite_white, rasterise
from engine.errors import DataError
from engine.events import Run, Step, finish
from engine.methods.base import Method, fit_options_for
from engine.noise import Noise
from engine.ops.metrics import evaluation_psnr
from engine.render.frames import RenderOptions, render_views
from engine.types import Camera, Views

NUM_TRAINING_SCENES = 300
"""Candidates for the nearest training scene."""
PLACES_REMEMBERED = 4
"""Places from which the pictures of all candidates are cached, 60 MB each at 128 px."""
RATES = (3e-3, 1e-2, 3e-2, 1e-1)
"""Learning rates that the fit without prior may choose from."""
NUM_RATE_SCENES = 8
"""Validation scenes that decide the rate."""
RATE_STRIDE = 10
"""Every how many views of a validation scene are compared."""


def category_of(method: Method) -> Category:
    """The procedural category that a method was trained on.

    Raises:
        DataError: If it was trained on other data.
    """
    if method.data.category is None:
        raise DataError(
            f"{method.checkpoint}: was trained on pictures from elsewhere, expected a model of a procedural category; "
            "leave the baselines out."
        )
    return find_category(method.data.category)


class TrainingScenes:
    """The first training scenes, rebuilt from their seeds; pictures from a few places are cached."""

    def __init__(self, category: Category, count: int = NUM_TRAINING_SCENES):
        self.category = category
        self._soups = [self.shape(index).soup() for index in range(count)]
        self._looks: dict[bytes, Float[Tensor, "scenes height width 3"]] = {}

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self._soups)

    @property
    def fingerprint(self) -> str:
        """Digest of the scenes, which changes with the generator."""
        return soups_key(self._soups)

    def shape(self, index: int) -> Shape:
        """The object of one scene."""
        return self.category.build(scene_seed("train", index))

    def draw(self, index: int, camera: Camera) -> Float[Tensor, "views height width 3"]:
        """One scene from every camera, on white, float in [0, 1]."""
        rgba = rasterise(
            self._soups[index],
            camera.srn_c2w().double().cpu().numpy(),
            camera.intrinsics[0].double().cpu().numpy(),
            camera.height,
            camera.width,
        )
        return torch.from_numpy(composite_white(rgba)).float() / 255

    def nearest(self, inputs: Views) -> int:
        """The scene whose pictures differ least from the inputs (mean squared error)."""
        errors = torch.zeros(len(self))
        for place in range(len(inputs)):
            looks = self._look(inputs.camera[place : place + 1])
            errors += (looks - inputs.images[place].cpu()).square().mean((1, 2, 3))
        return int(errors.argmin())

    def _look(self, camera: Camera) -> Float[Tensor, "scenes height width 3"]:
        """Pictures of all scenes from one place."""
        key = camera.c2w.cpu().numpy().tobytes() + camera.intrinsics.cpu().numpy().tobytes()
        if key not in self._looks:
            if len(self._looks) == PLACES_REMEMBERED:
                del self._looks[next(iter(self._looks))]
            drawn = [self.draw(index, camera) for index in range(len(self))]
            self._looks[key] = torch.cat(drawn)
        return self._looks[key]


def without_prior(method: Method, inputs: Views, rate: float, seed: int) -> Tensor:
    """The latent that the rendering loss alone finds."""
    options = no_prior_options(method, rate, len(inputs))
    return finish(method.reconstruct(inputs, options, Noise(seed)))


def has_prior(method: Method) -> bool:
    """True if a method can fit without its prior, for comparison."""
    return hasattr(method, "without_prior")


def no_prior_options(method: Method, rate: float, num_views: int) -> Any:
    """Settings of the fit without prior: as many rays as our fit to as many views, and at least as many steps."""
    return method.without_prior(fit_options_for(method, "ours", num_views), rate)


def choose_rate(
    method: Method,
    views: tuple[int, ...],
    *,
    num_scenes: int = NUM_RATE_SCENES,
    size: int = 128,
    seed: int = 0,
) -> Run[float]:
    """The learning rate at which the fit without prior does best on validation scenes.

    Args:
        method: The method that fits.
        views: Views of SRN's test path that are the inputs.
        num_scenes: Number of validation scenes.
        size: Rows and columns of their pictures.
        seed: Randomness of the fits.
    """
    scenes = [category_of(method).views("val", index, size) for index in range(num_scenes)]
    kept = [k for k in range(0, len(scenes[0]), RATE_STRIDE) if k not in views]
    best, best_psnr = RATES[0], -float("inf")
    for tried, rate in enumerate(RATES):
        total = 0.0
        for done, scene in enumerate(scenes):
            latent = without_prior(method, scene[list(views)], rate, seed)
            truth = scene[kept]
            field = method.scene(latent[0]).field
            images = render_views(field, truth.camera, RenderOptions(quality="standard"))
            total += float(evaluation_psnr(images.cpu(), truth.images).mean())
            yield Step(
                stage="learning rate",
                index=tried * num_scenes + done + 1,
                total=len(RATES) * num_scenes,
                scalars={"rate": rate, "psnr": total / (done + 1)},
            )
        if total / num_scenes > best_psnr:
            best, best_psnr = rate, total / num_scenes
    return best
