"""SSDNeRF on the procedural chairs and tables, from the prior of vehicles.

What takes a denoiser longest to learn is that three planes agree on a colour; it holds for every category, as long as the
decoder that gives the planes their meaning comes along. From scratch, chairs had clear shapes and muddy colours after
24,000 iterations (192,000 latents seen); from the vehicles' prior, clean colours after 1,000.
"""

import dataclasses

from engine.data.procedural import categories
from engine.data.procedural.categories import Category
from engine.training.loop import Recipe
from train.recipes.vehicles import VEHICLES

CELL = 0.065
"""Size of the occupancy grid's cells, engine units."""


def furniture(category: Category, rays: int, iterations: int) -> Recipe:
    """The vehicles' networks on another category, with augmentation.

    Args:
        category: What to train on; its box is the field's.
        rays: Of each scene in an iteration.
        iterations: How long: less and less of each goes into the latents.
    """
    low, high = category.box
    cells = tuple(round((b - a) / CELL) for a, b in zip(low, high, strict=True))
    decoder = dataclasses.replace(VEHICLES.model.decoder, aabb=category.box)
    inner_steps = ((0, 14), (450, 3), (3000, 2), (5000, 1))
    return dataclasses.replace(
        VEHICLES,
        name=category.name,
        category=category.name,
        augment=True,
        start="vehicles",
        model=dataclasses.replace(VEHICLES.model, decoder=decoder, grid_shape=cells),
        train=dataclasses.replace(VEHICLES.train, rays=rays, inner_steps=inner_steps),
        scenes=1000,
        views=40,
        iterations=iterations,
        hold=450,
        warmup=200,
        unet_rate=7e-4,
        decoder_rate=2e-3,
    )


CHAIRS = furniture(categories.CHAIRS, rays=2048, iterations=18_000)
"""From SRN's distance of 2.0 an object fills a quarter of the picture: twice the rays."""

TABLES = furniture(categories.TABLES, rays=1024, iterations=15_000)
"""An hour of one core."""
