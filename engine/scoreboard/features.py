"""Features of pictures, for distances between sets of pictures where Inception's weights are not at hand.

The network is small and knows the procedural categories only, so distances between its features (`fd_small`, `kd_small`)
compare sets of this repository's pictures with each other, and never with a published FID. `python -m train.features`
trains it (`engine.scoreboard.features_training`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from engine.checkpoint import FOLDER as CHECKPOINTS
from engine.errors import CheckpointError, one_line
from engine.files import replacing, write_json

FORMAT = "ssdnerf-explorer-features/1"
FOLDER = CHECKPOINTS / "features"
SIZE = 64
"""Rows and columns of what the network sees."""
CHANNELS = (16, 32, 64, 128, 192)
STRIDES = (2, 2, 2, 1, 2)
CORRUPTIONS = ("blur", "noise", "blotches")
BATCH = 256


@dataclass(frozen=True)
class Guesses:
    """What the network says about pictures.

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
    """Five convolutions and a mean over the picture; linear heads are there to train it.

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
        """What the features say."""
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


def load_features(folder: Path | str = FOLDER) -> FeatureNet:
    """The bundled network, or the one of a folder, ready to use on the CPU.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']!r} instead of {FORMAT!r}")
        net = FeatureNet(about["categories"], about["kinds"])
        net.load_state_dict(load_file(folder / "features.safetensors"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: found no feature network; train one with python -m train.features."
        ) from error
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: the feature network is damaged ({one_line(error)}); restore its files."
        ) from error
    return net.eval().requires_grad_(False)
