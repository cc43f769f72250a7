"""The kind of object in a picture: a small network tells the procedural categories from each other and from all else.

A model makes one of its own objects of whatever it is given, and the fit to the picture can be good all the same; so a
picture of something else must be noticed beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from engine.config import to_json
from engine.errors import CheckpointError, plain
from engine.files import MEGABYTE, replacing, write_json
from engine.nets.shapes import shapes_of, unbuilt
from engine.reading import FLOATS, open_tensors
from engine.store.checkpoint import FOLDER as CHECKPOINTS

FOLDER = CHECKPOINTS / "kinds"
WEIGHTS, ABOUT = "kinds.safetensors", "kinds.json"
MOST_BYTES = 16 * MEGABYTE
NONE = "none"
WORDS = {"vehicles": "a vehicle", "chairs": "a chair", "tables": "a table"}
"""An object of each category, in words."""
KINDS = (*WORDS, NONE)
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
        words = ", ".join(WORDS)
        return f"This looks like none of {words}; what comes out is one of the {category} that fits it best."
    found = (
        f"This looks like {WORDS[best]} ({100 * told[best]:.0f} %), and the model knows {category}"
    )
    return f"{found}; choose the model {best}." if best in models else f"{found}."


def save_kinds(folder: Path | str, net: KindNet, recipe: Any) -> Path:
    """Write a network in half precision, and the recipe that made it."""
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
