"""The toy on the procedural vehicles: blobs fitted to a few of them in seconds, and their Gaussian."""

from engine.methods.toy import ToyConfig
from engine.methods.toy_options import TrainOptions
from engine.training.recipe import DataOptions, LoopOptions, Recipe

TOY = Recipe(
    name="toy",
    model=ToyConfig(),
    train=TrainOptions(),
    data=DataOptions(scenes=16, views=12, size=48),
    loop=LoopOptions(
        batch=4,
        iterations=300,
        first_scenes=0,
        first_iterations=0,
        log_every=10,
        preview_every=0,
        tune_scenes=0,
    ),
)

RECIPES = (TOY,)
