"""The voxel radiance field: density and colour on a grid, read trilinearly.

A grid is `4 depth height width`: z along depth, y along height, x along width, as volume networks and `grid_sample` have
it. Values lie at the centres of the voxels (`align_corners=False`) and go on unchanged beyond the outermost.

All four channels are meant for [-1, 1], where a diffusion model wants them, and are clamped after the lookup. The first
is the opacity `a = 1 - exp(-density * edge)` of a stretch as long as a voxel's shortest edge, stored as `2 a - 1`: a
bounded map of density, in which surfaces as hard as the grid can hold are near 1. Then come red, green and blue, as
`2 rgb - 1`; colour does not depend on the view. Source: DiffRF (2212.01206) section 3.1 for the representation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from engine.config import Bounds, from_json
from engine.errors import ConfigError
from engine.fields.bare import BareField, BoxConfig

Side = Annotated[int, Bounds(2, 256)]
"""Voxels along an axis."""
MOST_OPAQUE = 0.999
"""Opacity of the densest voxel; 1 would be an infinite density."""


def shortest_edge(aabb: Float[Tensor, "2 3"], grid: Float[Tensor, "4 depth height width"]) -> float:
    """Shortest edge of a voxel, engine units."""
    sides = (aabb[1] - aabb[0]).tolist()
    return min(side / count for side, count in zip(sides, reversed(grid.shape[1:]), strict=True))


def opacity_channel(density: Float[Tensor, "*b"], edge: float) -> Float[Tensor, "*b"]:
    """The first channel of voxels of a density; the densest are capped."""
    return 2 * (-torch.expm1(-density * edge)).clamp(max=MOST_OPAQUE) - 1


def channel_density(channel: Float[Tensor, "*b"], edge: float) -> Float[Tensor, "*b"]:
    """The inverse of `opacity_channel`."""
    return -torch.log1p(-((channel + 1) / 2).clamp(0, MOST_OPAQUE)) / edge


@dataclass(frozen=True)
class VoxelField(BareField):
    """One grid, `4 depth height width`, in its box: a `StoredField`."""

    kind: ClassVar[str] = "voxel"
    config_type: ClassVar[type] = BoxConfig

    def density(self, xyz: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Extinction per engine unit."""
        return self._density(self._read(self.latent[:1], xyz)[0])

    def query(
        self, xyz: Float[Tensor, "n 3"], dirs: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour in [0, 1] of points; the same along all directions."""
        values = self._read(self.latent, xyz)
        return self._density(values[0]), ((values[1:].T + 1) / 2).clamp(0, 1)

    def _density(self, channel: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return channel_density(channel, shortest_edge(self.aabb, self.latent))

    def _read(
        self, grid: Float[Tensor, "channels depth height width"], xyz: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "channels n"]:
        """Trilinear reads."""
        low, high = self.aabb
        unit = (xyz - low) * (2 / (high - low)) - 1
        places = unit.to(grid)[None, None, None]
        read = F.grid_sample(grid[None], places, padding_mode="border", align_corners=False)
        return read[0, :, 0, 0]

    @classmethod
    def check_latent(cls, config: BoxConfig, shape: tuple[int, ...]) -> None:
        """Refuse anything but four channels of a grid."""
        sides = shape[1:] if len(shape) == 4 else ()
        from_json(tuple[Side, Side, Side], sides, "grid")
        if shape[0] != 4:
            raise ConfigError(
                f"found a grid of shape {tuple(shape)}, expected 4, depth, height, width"
            )
