"""Training of the feature network to predict objects' category, type, pose and colour, and a picture's corruption.

Predicting the corruption makes feature distances grow with blur, noise and blotches, not only with the objects shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from engine.data.procedural.categories import Category
from engine.data.procedural.shape import Shape, scene_seed
from engine.evaluation.features import CORRUPTIONS, SIZE, FeatureNet, Guesses
from engine.events import Run, Step

BLUR_PX, NOISE, BLOTCHES = 3.0, 0.25, 0.35
"""Strongest corruption: standard deviations of the blur in pixels, of the noise and of the blotches in [0, 1]."""
BLOTCH_CELLS = 16
"""Blotches along a side of the picture: the scale of the plaid that planes leave."""
SPOILT = 0.6
"""Share of the pictures that are corrupted."""
COLOUR_WEIGHT = 4.0


@dataclass(frozen=True)
class FeatureRecipe:
    """Training settings of a feature network; about two minutes on one core."""

    scenes: int = 300
    """Training scenes of each category, half of them augmented."""
    views: int = 12
    """Pictures of each scene."""
    validation_scenes: int = 40
    """Validation scenes of each category."""
    iterations: int = 1200
    batch: int = 64
    rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class Pictures:
    """Pictures with their labels.

    Attributes:
        images: RGB on white.
        category: Index of the category.
        kind: Index of the type, -1 where it is not among the known ones.
        azimuth: Cosine and sine of the camera's azimuth.
        colour: Mean colour of the paint, by area.
        kinds: Names of the types.
    """

    images: UInt8[Tensor, "n 64 64 3"]
    category: Int[Tensor, " n"]
    kind: Int[Tensor, " n"]
    azimuth: Float[Tensor, "n 2"]
    colour: Float[Tensor, "n 3"]
    kinds: tuple[str, ...]


def train_features(
    categories: Sequence[Category], recipe: FeatureRecipe = FeatureRecipe()
) -> Run[tuple[FeatureNet, dict[str, float]]]:
    """Render pictures (stage "dataset"), train ("train"), and validate on scenes of the validation split.

    Returns:
        The network, and its `category_accuracy`, `kind_accuracy` and `azimuth_error_deg` (median) on clean pictures.
    """
    data = yield from _draw(categories, "train", recipe.scenes, recipe.views)
    torch.manual_seed(recipe.seed)
    noise = torch.Generator().manual_seed(recipe.seed)
    net = FeatureNet([category.name for category in categories], data.kinds).train()
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, recipe.iterations)
    for index in range(recipe.iterations):
        which = torch.randint(len(data.images), (recipe.batch,), generator=noise)
        images, strength = corrupted(_channels(data.images[which]), noise)
        loss = _loss(net.guess(net(images)), data, which, strength)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        scalars = {"loss": float(loss.detach())}
        yield Step(stage="train", index=index + 1, total=recipe.iterations, scalars=scalars)
    net = net.eval().requires_grad_(False)
    held = yield from _draw(categories, "val", recipe.validation_scenes, 4, data.kinds)
    return net, _judge(net, held)


def corrupted(
    images: Float[Tensor, "n 3 h w"], noise: torch.Generator
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n corruptions"]]:
    """Pictures of which some are corrupted, each in one way, and the strength of each corruption."""
    count, _, height, width = images.shape
    spoilt = torch.rand(count, generator=noise) < SPOILT
    way = torch.randint(len(CORRUPTIONS), (count,), generator=noise)
    level = torch.rand(count, generator=noise) * spoilt
    strength = F.one_hot(way, len(CORRUPTIONS)) * level[:, None]
    blur, grain, blotch = strength.T
    cells = torch.randn(count, 3, BLOTCH_CELLS, BLOTCH_CELLS, generator=noise)
    patches = F.interpolate(cells, (height, width), mode="bilinear")
    images = blurred(images, BLUR_PX * blur)
    images = images + NOISE * grain[:, None, None, None] * torch.randn(
        images.shape, generator=noise
    )
    return (images + BLOTCHES * blotch[:, None, None, None] * patches).clamp(0, 1), strength


def blurred(
    images: Float[Tensor, "n 3 h w"], sigma: Float[Tensor, " n"]
) -> Float[Tensor, "n 3 h w"]:
    """Every picture convolved with a Gaussian of its own width in pixels; 0 leaves it as it is."""
    count, channels, height, width = images.shape
    reach = int(np.ceil(3 * BLUR_PX))
    offset = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offset / sigma.clamp_min(0.05)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = images.reshape(1, count * channels, height, width)
    flat = F.pad(flat, (reach,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=count * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=count * channels)
    return flat.reshape(images.shape)


def _loss(guess: Guesses, data: Pictures, which: Tensor, strength: Tensor) -> Tensor:
    return (
        F.cross_entropy(guess.category, data.category[which])
        + F.cross_entropy(guess.kind, data.kind[which])
        + F.mse_loss(guess.azimuth, data.azimuth[which])
        + COLOUR_WEIGHT * F.mse_loss(guess.colour, data.colour[which])
        + F.mse_loss(guess.corruption, strength) * len(CORRUPTIONS)
    )


@torch.no_grad()
def _judge(net: FeatureNet, held: Pictures) -> dict[str, float]:
    """Accuracy of the network on undistorted images."""
    guess = net.guess(net(_channels(held.images)))
    turn = torch.atan2(guess.azimuth[:, 1], guess.azimuth[:, 0])
    turn = turn - torch.atan2(held.azimuth[:, 1], held.azimuth[:, 0])
    error = torch.rad2deg(torch.atan2(turn.sin(), turn.cos()).abs())
    return {
        "category_accuracy": float((guess.category.argmax(1) == held.category).float().mean()),
        "kind_accuracy": float((guess.kind.argmax(1) == held.kind).float().mean()),
        "azimuth_error_deg": float(error.median()),
    }


def _channels(images: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n 3 h w"]:
    return images.movedim(-1, 1).float() / 255


def _draw(
    categories: Sequence[Category],
    split: str,
    scenes: int,
    views: int,
    kinds: Sequence[str] | None = None,
) -> Run[Pictures]:
    """Pictures of all categories; types that are not in `kinds` (None for all) get -1."""
    images, names, azimuth, colour = [], [], [], []
    for number, category in enumerate(categories):
        for index in range(scenes):
            seed = scene_seed(split, index)
            shape, c2w = category.shape(seed, augment=True), category.cameras(seed, views)
            images.append(category.pictures(shape, c2w, SIZE))
            flat = c2w[:, :2, 3] / np.linalg.norm(c2w[:, :2, 3], axis=1, keepdims=True)
            azimuth.append(flat)
            colour.append(np.tile(_mean_colour(shape), (views, 1)))
            names.append(f"{category.name}: {shape.attributes[category.kind]}")
            done = number * scenes + index + 1
            yield Step(stage="dataset", index=done, total=scenes * len(categories))
    known = tuple(kinds) if kinds is not None else tuple(sorted(set(names)))
    kind = [known.index(name) if name in known else -1 for name in names]
    return Pictures(
        images=torch.from_numpy(np.concatenate(images)),
        category=torch.arange(len(categories)).repeat_interleave(scenes * views),
        kind=torch.tensor(kind).repeat_interleave(views),
        azimuth=torch.from_numpy(np.concatenate(azimuth)).float(),
        colour=torch.from_numpy(np.concatenate(colour)).float(),
        kinds=known,
    )


def _mean_colour(shape: Shape) -> Float[np.ndarray, "3"]:
    corners = shape.vertices[shape.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.average(shape.face_rgb, 0, np.linalg.norm(cross, axis=1))
