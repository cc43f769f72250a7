"""The kind of object in a picture: a small network tells the procedural categories from each other and from all else.

A model makes one of its own objects of whatever it is given, and the fit to the picture can be good all the same; so a
picture of something else must be noticed beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from engine.config import Bounds, to_json
from engine.data.procedural.builder import Builder
from engine.data.procedural.categories import CATEGORIES, Category
from engine.data.procedural.shape import Shape, finish_shape
from engine.errors import CheckpointError, plain
from engine.events import Run, Step
from engine.files import MEGABYTE, replacing, write_json
from engine.nets.shapes import shapes_of, unbuilt
from engine.pose.pictures import PictureOptions, draw_pictures
from engine.pose.spoil import spoilt
from engine.reading import FLOATS, open_tensors
from engine.store.checkpoint import FOLDER as CHECKPOINTS

FOLDER = CHECKPOINTS / "kinds"
WEIGHTS, ABOUT = "kinds.safetensors", "kinds.json"
MOST_BYTES = 16 * MEGABYTE
NONE = "none"
KINDS = (*CATEGORIES, NONE)
CHANNELS = (24, 48, 96, 128)
SURE = 0.8
"""Probability from which a picture is said to show something else than the model's objects."""


class KindNet(nn.Module):
    """Four convolutions and a mean over the picture, 0.2 M parameters."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((4, *CHANNELS), CHANNELS, strict=False):
            layers.append(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(CHANNELS[-1], len(KINDS))

    def forward(self, pictures: Float[Tensor, "n 4 64 64"]) -> Float[Tensor, "n kinds"]:
        """Logits of `KINDS` for centred pictures (see `engine.pose.guess.network_picture`)."""
        return self.head(self.trunk(2 * pictures - 1).mean((-2, -1)))


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
    for category in (*CATEGORIES.values(), ODDMENTS):
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


@torch.no_grad()
def kind_of(net: KindNet, picture: Float[Tensor, "4 64 64"]) -> dict[str, float]:
    """Probabilities of `KINDS`: the mean over a picture and its mirror image."""
    told = net(torch.stack([picture, picture.flip(-1)])).softmax(1).mean(0)
    return dict(zip(KINDS, told.tolist(), strict=True))


def doubt_about_kind(
    net: KindNet, picture: Float[Tensor, "4 64 64"], category: str, models: Sequence[str]
) -> str | None:
    """A sentence if a picture shows something else than a model's objects, with what to do; None if it may be one.

    Args:
        net: See `load_kinds`.
        picture: See `engine.pose.guess.network_picture`.
        category: The model's category.
        models: Models that can be chosen.
    """
    told = kind_of(net, picture)
    best = max(told, key=told.__getitem__)
    if best == category or told[best] < SURE:
        return None
    if best == NONE:
        words = ", ".join(CATEGORIES)
        return f"This looks like none of {words}; what comes out is one of the {category} that fits it best."
    found = (
        f"This looks like {_one(best)} ({100 * told[best]:.0f} %), and the model knows {category}"
    )
    return f"{found}; choose the model {best}." if best in models else f"{found}."


def _one(category: str) -> str:
    return f"a {CATEGORIES[category].word}"


def save_kinds(folder: Path | str, net: KindNet, recipe: KindRecipe) -> Path:
    """Write a network in half precision, and how it was made."""
    folder = Path(folder)
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }
    with replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(tensors))
    write_json(folder / ABOUT, {"kinds": KINDS, "recipe": to_json(recipe)})
    return folder / WEIGHTS


@lru_cache
def load_kinds(folder: Path = FOLDER) -> KindNet | None:
    """The bundled network, or a folder's, read once; None if it is not there.

    Raises:
        CheckpointError: If it is damaged.
    """
    path = folder / WEIGHTS
    if not path.exists():
        return None
    with open_tensors(path, CheckpointError, "a network's weights", MOST_BYTES) as file:
        wanted = shapes_of(unbuilt(KindNet))
        if problem := file.problem(wanted, FLOATS | {"I64"}):
            raise CheckpointError(
                f"{plain(path)}: the network of kinds is damaged ({problem}); restore the file or remove it."
            )
        net = KindNet()
        net.load_state_dict({name: file.read(name) for name in wanted})
    return net.eval().requires_grad_(False)
