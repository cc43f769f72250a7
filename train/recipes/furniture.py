"""SSDNeRF on the procedural chairs and tables: priors that two cores train side by side in an hour and a half.

Latents of furniture are learned long before the denoiser is: after 7,000 joint iterations chairs fit at 36 dB, and samples
are heaps. So the denoiser goes on alone, at 40 % of an iteration's cost.
"""

import dataclasses

from engine.data import procedural
from engine.data.procedural import Category
from engine.methods.ssdnerf import TrainOptions
from engine.methods.ssdnerf_model import SSDNeRFConfig
from engine.training.loop import Recipe
from train.recipes.vehicles import VEHICLES

CELL = 0.065
"""Size of the occupancy grid's cells, engine units."""


def furniture(category: Category, model: SSDNeRFConfig, train: TrainOptions, **numbers) -> Recipe:
    """The vehicles' recipe on another category, with augmentation; the denoiser goes on alone in the end.

    Args:
        category: What to train on; its box is the field's.
        model: Networks and losses, apart from the box and its occupancy grid.
        train: Algorithm 1's settings.
        numbers: Other fields of the recipe.
    """
    low, high = category.box
    cells = tuple(round((b - a) / CELL) for a, b in zip(low, high, strict=True))
    decoder = dataclasses.replace(model.decoder, aabb=category.box)
    return dataclasses.replace(
        VEHICLES,
        name=category.name,
        category=category.name,
        augment=True,
        model=dataclasses.replace(model, decoder=decoder, grid_shape=cells),
        train=train,
        scenes=1000,
        views=40,
        iterations=24_000,
        **numbers,
    )


CHAIRS = furniture(
    procedural.CHAIRS,
    VEHICLES.model,
    dataclasses.replace(VEHICLES.train, rays=2048),
    denoiser_from=7_000,
)
"""From SRN's distance of 2.0 an object fills a quarter of the picture: twice the rays."""

TABLES = furniture(
    procedural.TABLES,
    dataclasses.replace(VEHICLES.model, rows=28, cols=28, tv_weight=0.15),
    dataclasses.replace(VEHICLES.train, inner_steps=((0, 12), (60, 4))),
    denoiser_from=6_500,
)
"""Coarser, smoother planes: tables vary more than a small denoiser learns on planes of 40 x 40."""
