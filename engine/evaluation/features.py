"""Features of pictures, for distances between sets of pictures when Inception's weights are not available.

The network is small and knows the procedural categories only, so distances between its features (`fd_small`, `kd_small`)
compare sets of this repository's pictures with each other, and never with a published FID. `launch.py features`
trains it (`engine.evaluation.features_training`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from engine import NAME
from engine.config import Bounds
from engine.errors import CheckpointError, plain
from engine.files import MEGABYTE, replacing, write_json
from engine.nets.shapes import shapes_of, unbuilt
from engine.reading import FLOATS, open_tensors, read_json
from engine.store.checkpoint import FOLDER as CHECKPOINTS

FORMAT = f"{NAME}-features/1"
FOLDER = CHECKPOINTS / "features"
MOST_BYTES = 64 * MEGABYTE
_Names = Annotated[tuple[str, ...], Bounds(0, 1000)]
SIZE = 64
"""Rows and columns of the network's input."""
CHANNELS = (16, 32, 64, 128, 192)
STRIDES = (2, 2, 2, 1, 2)
CORRUPTIONS = ("blur", "noise", "blotches")
BATCH = 256


@dataclass(frozen=True)
class Guesses:
    """The network's predictions for images.

    Attributes:
        category: Scores of the categories.
        kind: Scores of the types of all categories.
        azimuth: Cosine and sine of the camera's azimuth.
        colour: Mean colour of the object's paint, sRGB.
        corruption: Strength of each of `CORRUPTIONS`, 0 for none to 1.
    """

    category: Float[Tensor, "n categories"]
    kind: Float[Tensor, "n kinds"]
    azimuth: Float[Tensor, "n 2"]
    colour: Float[Tensor, "n 3"]
    corruption: Float[Tensor, "n corruptions"]


class FeatureNet(nn.Module):
    """Five convolutions and a mean over the picture, with linear heads used in training only.

    Args:
        categories: Names of the categories that it tells apart.
        kinds: Names of the types, as "category: type".
    """

    def __init__(self, categories: Sequence[str], kinds: Sequence[str]):
        super().__init__()
        self.categories, self.kinds = tuple(categories), tuple(kinds)
        layers: list[nn.Module] = []
        for inputs, outputs, stride in zip((3, *CHANNELS), CHANNELS, STRIDES, strict=False):
            layers.append(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.widths = (len(self.categories), len(self.kinds), 2, 3, len(CORRUPTIONS))
        self.heads = nn.Linear(CHANNELS[-1], sum(self.widths))

    def forward(self, images: Float[Tensor, "n 3 64 64"]) -> Float[Tensor, "n features"]:
        """Features of pictures in [0, 1]."""
        return self.trunk(2 * images - 1).mean((-2, -1))

    def guess(self, features: Float[Tensor, "n features"]) -> Guesses:
        """Predictions from features."""
        return Guesses(*self.heads(features).split(self.widths, -1))


@torch.no_grad()
def features(
    net: FeatureNet, images: Float[Tensor, "n height width 3"]
) -> Float[np.ndarray, "n features"]:
    """Features of pictures, in float64.

    Args:
        net: From `load_features`.
        images: RGB in [0, 1] on white, square; averaged over areas down to `SIZE`.
    """
    found = []
    for batch in images.to(net.heads.weight.device).split(BATCH):
        small = F.interpolate(batch.movedim(-1, 1).float(), (SIZE, SIZE), mode="area")
        found.append(net(small).double().cpu().numpy())
    return np.concatenate(found)


def save_features(folder: Path | str, net: FeatureNet, provenance: Mapping[str, Any]) -> Path:
    """Write a network in half precision, and what it was trained on."""
    folder = Path(folder)
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }
    with replacing(folder / "features.safetensors") as temporary:
        temporary.write_bytes(save(tensors))
    about = {"format": FORMAT, "categories": net.categories, "kinds": net.kinds}
    write_json(folder / "network.json", about | {"provenance": dict(provenance)})
    return folder


@dataclass(frozen=True)
class _About:
    """Contents of `network.json`."""

    format: Literal[FORMAT]
    categories: _Names
    kinds: _Names
    provenance: dict[str, Any] = field(default_factory=dict)


def load_features(folder: Path | str = FOLDER) -> FeatureNet:
    """The bundled network, or the one of a folder, ready to use on the CPU.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    folder = Path(folder)
    if not (folder / "network.json").exists():
        raise CheckpointError(
            f"{plain(folder)}: found no feature network; train one with launch.py features."
        )
    about = read_json(folder / "network.json", _About, CheckpointError, "a feature network's names")
    path, expected = folder / "features.safetensors", "a feature network's weights"
    with open_tensors(path, CheckpointError, expected, MOST_BYTES) as file:
        wanted = shapes_of(unbuilt(lambda: FeatureNet(about.categories, about.kinds)))
        if problem := file.problem(wanted, FLOATS | {"I64"}):
            raise CheckpointError(
                f"{plain(folder)}: the feature network is damaged ({problem}); restore its files."
            )
        net = FeatureNet(about.categories, about.kinds)
        net.load_state_dict({name: file.read(name) for name in wanted})
    return net.eval().requires_grad_(False)
