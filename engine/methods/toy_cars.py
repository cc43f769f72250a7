"""Cars of blobs made by hand: what the toy draws like before it is trained."""

from __future__ import annotations

from functools import lru_cache

import torch

from engine.fields.blobs import packed
from engine.methods.training import LatentStatistics, latent_statistics
from engine.noise import Noise

CARS = 64
"""Number of cars whose mean and covariance are the untrained model."""
TYRE, GLASS, LAMP, TAIL = (
    (0.07, 0.07, 0.08),
    (0.2, 0.26, 0.32),
    (0.97, 0.95, 0.75),
    (0.75, 0.1, 0.08),
)
PAINT = (0.0, 0.0, 0.0)
"""In its place each car's own colour stands."""
PARTS = (
    *(((x, y, -0.24), (0.05, 0.13, 0.13), TYRE) for x in (-0.27, 0.27) for y in (-0.48, 0.48)),
    *(((0.0, y, -0.1), (0.27, 0.29, 0.12), PAINT) for y in (-0.45, 0.0, 0.45)),
    *(((0.0, y, 0.08), (0.22, 0.24, 0.11), GLASS) for y in (-0.28, 0.04)),
    ((0.0, -0.14, 0.19), (0.19, 0.32, 0.04), PAINT),
    *(((x, 0.71, -0.08), (0.05, 0.05, 0.04), LAMP) for x in (-0.17, 0.17)),
    *(((x, -0.71, -0.06), (0.05, 0.05, 0.04), TAIL) for x in (-0.17, 0.17)),
)
"""Centre, half axes (engine units) and colour of every blob of the mean car; its front looks along +y."""
CABIN = slice(7, 10)
"""The blobs above the body."""


@lru_cache(1)
def hand_made_cars() -> LatentStatistics:
    """Statistics of some cars that differ in length, width, height, cabin and paint; always the same."""
    with torch.device("cpu"):  # also where a method is only described, on the meta device
        centres, axes, colors = (torch.tensor(column) for column in zip(*PARTS, strict=True))
        knobs = Noise(0).normal((CARS, 8), "cars")
        stretch = torch.exp(knobs[:, :3] * torch.tensor([0.07, 0.1, 0.12]))[:, None]
        centres, axes = centres * stretch, axes * stretch
        centres[:, CABIN, 1] += 0.06 * knobs[:, 3:4]
        axes[:, CABIN, 1] *= torch.exp(0.15 * knobs[:, 4:5])
        paint = torch.sigmoid(1.6 * knobs[:, 5:]).clamp(0.03, 0.97)[:, None]
        colors = torch.where((colors == 0).all(-1)[:, None], paint, colors)
        return latent_statistics(packed(centres, axes, 60.0, colors))
