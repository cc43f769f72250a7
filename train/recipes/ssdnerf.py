"""SSDNeRF on the procedural data: priors for two cores and for a GPU, and a smoke test that learns in a minute.

Chairs and tables start from the prior of vehicles. What takes a denoiser longest to learn is that three planes agree on a
colour; it holds for every category, as long as the decoder that gives the planes their meaning comes along. From scratch,
chairs had clear shapes and muddy colours after 24,000 iterations (192,000 latents seen); from the vehicles' prior, clean
colours after 1,000.
"""

from dataclasses import replace

from engine.data.procedural import categories
from engine.data.procedural.categories import Category
from engine.fields.triplane import DecoderConfig
from engine.methods.ssdnerf.method import TrainOptions
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.nets.unet2d import UNetConfig
from engine.render.march import MarchConfig
from engine.training.recipe import DataOptions, LoopOptions, Recipe

VEHICLES = Recipe(
    name="vehicles",
    model=SSDNeRFConfig(
        rows=40,
        cols=40,
        decoder=DecoderConfig(
            base_widths=(32,), direction="none", density_bias=1.0, aabb=categories.VEHICLES.box
        ),
        unet=UNetConfig(base=32, multipliers=(1, 2, 4), blocks=1, attention_factors=(4,), groups=8),
        march=MarchConfig(max_steps=128),
        dt_gamma_scale=0.0,
        grid_shape=(20, 38, 20),
        density_threshold=0.5,
        dilate_occupancy=True,
        pixel_weight=60.0,
        diffusion_weight=1.0,
    ),
    train=TrainOptions(
        inner_steps=((0, 12), (60, 6)), rays=1024, latent_rate=4e-2, freeze_norm=None
    ),
)
"""An hour of two cores."""

VEHICLES_GPU = VEHICLES.changed(
    name="vehicles-gpu",
    scenes=2000,
    batch=32,
    iterations=15_147,
    first_scenes=256,
    first_iterations=100,
    log_every=100,
    tune_scenes=0,
)
"""The first half of the prior in checkpoints/vehicles: seven minutes of an H200."""

VEHICLES_GPU_2 = VEHICLES_GPU.changed(
    name="vehicles-gpu-2",
    start="runs/vehicles-gpu/checkpoint",
    train=replace(VEHICLES_GPU.train, unet_rate=7e-4),
    first_scene=2000,
    iterations=14_376,
)
"""The second half, on other scenes, from the first's checkpoint."""

VEHICLES_WIDE = VEHICLES.changed(
    name="vehicles-wide",
    start="runs/vehicles-gpu-2/checkpoint",
    train=replace(
        VEHICLES.train, inner_steps=((0, 14), (450, 6)), unet_rate=6e-4, decoder_rate=2e-3
    ),
    augment=True,
    scenes=1200,
    first_scene=4000,
    views=32,
    iterations=9_000,
    first_iterations=0,
    hold=450,
    warmup=200,
    decay_from=0.35,
)
"""Colours, light and proportions outside the generator's, from the GPU's prior: 40 minutes of one core."""

VEHICLES_SHORT = VEHICLES.changed(
    name="vehicles-short", scenes=400, iterations=2_200, preview_every=0, tune_scenes=4
)
"""One stage, ten minutes of one core: what the two-stage model is compared with."""

VEHICLES_TWO_STAGE = VEHICLES_SHORT.changed(
    name="vehicles-two-stage",
    model=replace(VEHICLES.model, tv_weight=0.1, tv_power=1.5),
    train=replace(VEHICLES.train, stage="fields", denoiser_from=1_770),
    iterations=4_000,
)
"""The paper's two-stage ablation in the same CPU seconds: latents and decoder with total variation, then the prior."""

CELL = 0.065
"""Size of the occupancy grid's cells on furniture, engine units."""


def furniture(category: Category, rays: int, iterations: int) -> Recipe:
    """The vehicles' networks on another category, with augmentation.

    Args:
        category: What to train on; its box is the field's.
        rays: Of each scene in an iteration.
        iterations: How long: less and less of each goes into the latents.
    """
    low, high = category.box
    cells = tuple(round((b - a) / CELL) for a, b in zip(low, high, strict=True))
    decoder = replace(VEHICLES.model.decoder, aabb=category.box)
    return VEHICLES.changed(
        name=category.name,
        start="vehicles",
        model=replace(VEHICLES.model, decoder=decoder, grid_shape=cells),
        train=replace(
            VEHICLES.train,
            rays=rays,
            inner_steps=((0, 14), (450, 3), (3000, 2), (5000, 1)),
            unet_rate=7e-4,
            decoder_rate=2e-3,
        ),
        category=category.name,
        augment=True,
        scenes=1000,
        views=40,
        iterations=iterations,
        hold=450,
        warmup=200,
    )


CHAIRS = furniture(categories.CHAIRS, rays=2048, iterations=18_000)
"""From SRN's distance of 2.0 an object fills a quarter of the picture: twice the rays."""

TABLES = furniture(categories.TABLES, rays=1024, iterations=15_000)
"""An hour of one core."""

SMOKE = Recipe(
    name="smoke",
    model=SSDNeRFConfig(
        rows=16,
        cols=16,
        decoder=DecoderConfig(
            channels=4,
            base_widths=(24,),
            direction="none",
            density_bias=1.0,
            aabb=categories.VEHICLES.box,
        ),
        unet=UNetConfig(
            channels=12, base=16, multipliers=(1, 2), blocks=1, attention_factors=(2,), groups=4
        ),
        march=MarchConfig(max_steps=96),
        dt_gamma_scale=0.0,
        grid_shape=(10, 19, 10),
        density_threshold=0.5,
        dilate_occupancy=True,
        pixel_weight=60.0,
        diffusion_weight=1.0,
    ),
    train=TrainOptions(
        inner_steps=((0, 8), (20, 4)),
        rays=512,
        unet_rate=2e-3,
        latent_rate=4e-2,
        freeze_norm=None,
    ),
    data=DataOptions(scenes=16, views=12, size=48),
    loop=LoopOptions(
        batch=4,
        iterations=300,
        first_scenes=0,
        first_iterations=0,
        warmup=5,
        precision="fp32",
        log_every=10,
        preview_every=0,
        tune_scenes=0,
    ),
)
"""Learns visibly in half a minute on one core; what the tests train."""

RECIPES = (
    VEHICLES,
    VEHICLES_GPU,
    VEHICLES_GPU_2,
    VEHICLES_WIDE,
    VEHICLES_SHORT,
    VEHICLES_TWO_STAGE,
    CHAIRS,
    TABLES,
    SMOKE,
)
