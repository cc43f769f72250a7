"""Training of the network that tells kinds of objects apart, on procedural pictures and on heaps of solids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F

from engine.config import Bounds
from engine.data.procedural.builder import Builder
from engine.data.procedural.categories import CATEGORIES, Category
from engine.data.procedural.shape import Shape, finish_shape
from engine.events import Run, Step
from engine.pose.kind import KINDS, NONE, KindNet
from engine.pose.pictures import PictureOptions, draw_pictures
from engine.pose.spoil import spoilt


@dataclass(frozen=True)
class KindRecipe:
    """Training settings: three minutes of one core."""

    scenes: Annotated[int, Bounds(1, 100_000)] = 1000
    """Objects of each kind, five pictures each."""
    iterations: Annotated[int, Bounds(1, 100_000)] = 1500
    batch: Annotated[int, Bounds(2, 4096)] = 64
    rate: Annotated[float, Bounds(1e-6, 1.0)] = 2e-3
    seed: Annotated[int, Bounds(0, 2**31)] = 0


def build_oddment(seed: int) -> Shape:
    """An object of no category: two to seven boxes, ellipsoids and turned solids in one heap."""
    noise = np.random.default_rng([seed, 0x0D])
    mesh = Builder(("oddment",))
    colours = noise.uniform(0.05, 0.95, (3, 3))
    reach = noise.uniform(0.15, 0.6)
    for _ in range(noise.integers(2, 8)):
        middle, radii = noise.normal(0, reach, 3), np.exp(noise.normal(-1.0, 0.5, 3))
        colour = tuple(map(float, colours[noise.integers(3)]))
        form = noise.integers(3)
        if form == 0:
            low, high = middle - radii, middle + radii
            mesh.box(tuple(map(float, low)), tuple(map(float, high)), colour, "oddment")
        elif form == 1:
            mesh.ellipsoid(tuple(map(float, middle)), tuple(map(float, radii)), colour, "oddment")
        else:
            steps = np.linspace(-1, 1, 6)
            profile = np.stack([steps, noise.uniform(0.1, 1.0, 6)], 1)
            profile[[0, -1], 1] = 0.02
            scale = tuple(map(float, radii))
            axis = int(noise.integers(3))
            mesh.revolve(profile, tuple(map(float, middle)), axis, colour, "oddment", 12, scale)
    return finish_shape(mesh, seed, {"type": NONE}, "An oddment.")


ODDMENTS = Category(
    name=NONE,
    build=build_oddment,
    parts=("oddment",),
    kind="type",
    distance=1.3,
    box=((-0.95,) * 3, (0.95,) * 3),
    word="oddment",
)


def train_kinds(recipe: KindRecipe = KindRecipe()) -> Run[KindNet]:
    """Draw pictures of all kinds (stage "dataset") and train on them ("train")."""
    options = PictureOptions(scenes=recipe.scenes, first_scene=30_000, views=5)
    pictures = []
    for category in (*(CATEGORIES[name] for name in KINDS[:-1]), ODDMENTS):
        pictures.append((yield from draw_pictures(category, options)).rgba)
    rgba = torch.cat(pictures)
    label = torch.arange(len(KINDS)).repeat_interleave(len(pictures[0]))
    torch.manual_seed(recipe.seed)
    random = torch.Generator().manual_seed(recipe.seed)
    net = KindNet().train()
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, recipe.iterations)
    for index in range(recipe.iterations):
        which = torch.randint(len(rgba), (recipe.batch,), generator=random)
        given = spoilt(rgba[which].movedim(-1, 1).float() / 255, random)
        loss = F.cross_entropy(net(given), label[which])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        scalars = {"loss": float(loss.detach())}
        yield Step(stage="train", index=index + 1, total=recipe.iterations, scalars=scalars)
    return net.eval().requires_grad_(False)
