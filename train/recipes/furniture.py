"""SSDNeRF on the procedural chairs and tables: priors that two cores train side by side in an hour and a half.

Latents of furniture are learned long before the denoiser is: after 7,000 joint iterations chairs fit at 36 dB, and samples
are heaps. So the denoiser goes on alone, at 40 % of an iteration's cost.
"""

import dataclasses

from engine.data import procedural
from engine.data.procedural import Category
from engine.methods.ssdnerf_model import SSDNeRFConfig
from engine.training.loop import Recipe
from train.recipes.vehicles import VEHICLES

CELL = 0.065
"""Size of the occupancy grid's cells, engine units."""


def furniture(category: Category, **changes) -> Recipe:
    """The vehicles' recipe on another category, with augmentation: half the cameras of theirs on other scenes."""
    low, high = category.box
    cells = tuple(round((b - a) / CELL) for a, b in zip(low, high, strict=True))
    decoder = dataclasses.replace(VEHICLES.model.decoder, aabb=category.box)
    model: SSDNeRFConfig = dataclasses.replace(
        VEHICLES.model, decoder=decoder, grid_shape=cells, **changes.pop("model", {})
    )
    return dataclasses.replace(
        VEHICLES,
        name=category.name,
        category=category.name,
        augment=True,
        model=model,
        scenes=1000,
        views=40,
        iterations=24_000,
        denoiser_from=7_000,
        **changes,
    )


CHAIRS = furniture(procedural.CHAIRS, train=dataclasses.replace(VEHICLES.train, rays=2048))
"""From SRN's distance of 2.0 an object fills a quarter of the picture: twice the rays."""

TABLES = furniture(procedural.TABLES)
