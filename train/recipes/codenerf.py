"""CodeNeRF on the procedural vehicles: a model for two cores, and a smoke test that learns in seconds."""

import dataclasses

from engine.data.procedural.categories import VEHICLES as CATEGORY
from engine.fields.conditional import ConditionalConfig
from engine.methods.codenerf.model import CodeNeRFConfig
from engine.methods.codenerf.options import TrainOptions
from engine.render.march import MarchConfig
from engine.training.recipe import DataOptions, LoopOptions, Recipe

VEHICLES = Recipe(
    name="codenerf-vehicles",
    model=CodeNeRFConfig(
        net=ConditionalConfig(
            width=96, code=128, position_frequencies=8, direction_frequencies=2, aabb=CATEGORY.box
        )
    ),
    train=TrainOptions(fine_from=9_600),
    data=DataOptions(scenes=800, views=32),
    loop=LoopOptions(
        batch=64,
        iterations=16_000,
        warmup=100,
        decay_from=0.0,
        final_rate=0.02,
        first_scenes=0,
        first_iterations=0,
        log_every=100,
        preview_every=0,
        tune_scenes=0,
    ),
)
"""Half an hour of one core."""

SMOKE = dataclasses.replace(
    VEHICLES,
    name="codenerf-smoke",
    model=CodeNeRFConfig(
        net=ConditionalConfig(
            width=32, code=16, position_frequencies=5, direction_frequencies=1, aabb=CATEGORY.box
        ),
        march=MarchConfig(max_steps=48),
        grid_shape=(10, 19, 10),
    ),
    train=TrainOptions(rays=64, coarse_steps=48, fine_from=0),
    data=DataOptions(scenes=8, views=8, size=32),
    loop=dataclasses.replace(VEHICLES.loop, batch=4, iterations=200, warmup=10, precision="fp32"),
)
"""Learns visibly in seconds; what the tests train."""

RECIPES = (VEHICLES, SMOKE)
