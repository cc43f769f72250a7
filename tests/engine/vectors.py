"""The official vectors of `tests/fixtures/vectors`, and the randomness they were made with.

Uniform noise is the constant 0.5 and permutations are the identity; gaussians and timesteps come from the files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.nets.unet2d import UNetConfig
from engine.noise import Noise
from engine.render.march import MarchConfig
from engine.store.morton import from_morton, unpack_bits
from engine.store.official import import_official
from engine.types import Camera, SceneBatch

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "vectors"
RTOL, ATOL = 1e-4, 1e-5
TINY = SSDNeRFConfig(
    rows=16,
    cols=16,
    unet=UNetConfig(base=32, multipliers=(1, 2), blocks=1, attention_factors=(2,)),
    march=MarchConfig(max_steps=64, grid=16),
    grid_shape=(16, 16, 16),
    pixel_coefficient=0.1 / 256,
)
"""The toy of `e2e_tiny`."""


def arrays(name: str) -> dict[str, Tensor]:
    """All arrays of one file."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def settings(name: str) -> dict:
    """The configs and logs beside a file of arrays."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def under(values: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


def key_list(model: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an official checkpoint's tensors."""
    lines = (FOLDER / f"ckpt_keys_{model}.txt").read_text().splitlines()
    split = (line.split(" ", 1) for line in lines if line)
    return {
        name: tuple(int(n) for n in shape.strip("() ").split(",") if n.strip())
        for name, shape in split
    }


def close(found: Tensor, expected: Tensor, rtol: float = RTOL, atol: float = ATOL) -> None:
    """Equal to the tolerance of the parity tests."""
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def grids(cells: Tensor) -> Tensor:
    """Official density grids `scenes cells` as ours."""
    return from_morton(cells)


def occupancy(bitfield: Tensor) -> Tensor:
    """Official bitfields `scenes bytes` as ours."""
    return from_morton(unpack_bits(bitfield))


def same_densities(found: Tensor, expected: Tensor) -> None:
    """Equal grids but for the last bit of float16 where a float32 density lay between two of its values."""
    torch.testing.assert_close(found.float(), expected.float(), rtol=2**-10, atol=ATOL)
    assert (found != expected).float().mean() < 2e-3


def toy(tiny: Mapping[str, Tensor]) -> SSDNeRF:
    """The method of `e2e_tiny` with its initial weights, imported as a checkpoint."""
    state = {f"diffusion.denoising.{k}": v for k, v in under(arrays("unet_A"), "sd::").items()}
    state |= {f"decoder.{k}": v for k, v in under(tiny, "decoder_sd::").items()}
    state["diffusion.ddpm_loss.norm_factor"] = torch.ones(1)
    return import_official(state, TINY).requires_grad_(True)


def toy_batch(tiny: Mapping[str, Tensor], views: int) -> SceneBatch:
    """The first views of the toy's two scenes."""
    camera = Camera(tiny["in::c2w"][:, :views], tiny["in::intrinsics"][:, :views], 16, 16)
    return SceneBatch(tiny["in::imgs"][:, :views], camera)


@dataclass(frozen=True)
class FileNoise(Noise):
    """Noise read from a file, keyed by (stage, step)."""

    seed: int = 0
    normals: Mapping[tuple[str, int], Tensor] = field(default_factory=dict)
    timesteps: Mapping[tuple[str, int], Tensor] = field(default_factory=dict)

    def batch(self, count):
        return self

    def normal(self, shape, stage, step=0, *, device="cpu"):
        return self.normals[stage, step]

    def integers(self, low, high, shape, stage, step=0, *, device="cpu"):
        return self.timesteps[stage, step]

    def uniform(self, shape, stage, step=0, *, device="cpu"):
        return torch.full(tuple(shape), 0.5)

    def permutation(self, count, stage, step=0):
        return torch.arange(count)
