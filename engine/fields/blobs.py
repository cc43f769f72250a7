"""A radiance field of a few soft, coloured blobs: ellipsoids along the axes, of one density and colour each.

Blob k's density at `x` is `d exp(-r^4)`, where `r` is the distance from its centre in its half axes, so that it is nearly
even inside and ends softly. Densities add up, and a point's colour is that of its blobs by their share of its density.

An object is `blobs 10` numbers of about unit size, as diffusion and Adam want them: centre (3), half axes (3), density and
colour (3), on the scales below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from engine.config import Bounds
from engine.errors import ConfigError
from engine.fields.bare import BareField, BoxConfig
from engine.fields.box import Box

NUMBERS = 10
"""Numbers that describe a blob."""
CENTRE_SCALE = 0.4
"""Engine units in one unit of a centre's numbers."""
AXIS_LOG, AXIS_SCALE = -1.8, 0.6
"""Logarithm of half an axis, engine units, at 0, and its change with its number."""
DENSITY_LOG = 4.0
"""Logarithm of the density, per engine unit, at 0."""
COLOR_SCALE = 2.0
"""Change of a colour's logit with its number."""
LEAST_LOG = -20.0
"""Logarithm of the density that a blob has everywhere: nothing, but exponentials beyond are slow."""
MOST = 8.0
"""Largest size of the numbers that is told apart: beyond, a blob would be a point or fill everything."""


def packed(
    centres: Float[Tensor, "*objects blobs 3"],
    axes: Float[Tensor, "*objects blobs 3"],
    density: float,
    colors: Float[Tensor, "*objects blobs 3"],
) -> Float[Tensor, "*objects blobs 10"]:
    """Numbers of blobs.

    Args:
        centres: Engine units.
        axes: Half axes, engine units.
        density: Of them all, per engine unit.
        colors: sRGB strictly between 0 and 1.
    """
    sizes = (axes.log() - AXIS_LOG) / AXIS_SCALE
    densities = torch.full_like(sizes[..., :1], math.log(density) - DENSITY_LOG)
    parts = [centres / CENTRE_SCALE, sizes, densities, colors.logit() / COLOR_SCALE]
    return torch.cat(parts, -1)


@dataclass(frozen=True)
class BlobConfig(BoxConfig):
    """Number of blobs, and where they are; what reaches beyond the box is cut off."""

    aabb: Box = ((-0.5, -0.95, -0.49), (0.5, 0.95, 0.49))
    blobs: Annotated[int, Bounds(1, 256)] = 14
    """Number of blobs."""


@dataclass(frozen=True)
class BlobField(BareField):
    """The blobs of one object, `blobs 10`: a `StoredField`."""

    kind: ClassVar[str] = "blobs"
    voxels: ClassVar[int] = 64
    """Voxels along each axis that show it well."""
    config_type: ClassVar[type] = BlobConfig

    @property
    def centres(self) -> Float[Tensor, "blobs 3"]:
        """Middles of the blobs, engine units."""
        return self._numbers[:, :3] * CENTRE_SCALE

    def density(self, xyz: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Extinction per engine unit."""
        return self._densities(xyz).sum(1)

    def query(
        self, xyz: Float[Tensor, "n 3"], dirs: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour in [0, 1] of points; the same along all directions."""
        each = self._densities(xyz)
        density = each.sum(1)
        colors = torch.sigmoid(COLOR_SCALE * self._numbers[:, 7:])
        return density, each @ colors / density[:, None]

    @property
    def _numbers(self) -> Float[Tensor, "blobs 10"]:
        return self.latent.clamp(-MOST, MOST)

    def _densities(self, xyz: Float[Tensor, "n 3"]) -> Float[Tensor, "n blobs"]:
        """Density of every blob at every point."""
        numbers, centres = self._numbers, self.centres
        weight = torch.exp(-2 * (AXIS_LOG + AXIS_SCALE * numbers[:, 3:6]))  # 1 / half axis^2
        square = torch.addmm(
            (weight * centres.square()).sum(1),
            torch.cat([xyz.square(), xyz], 1),
            torch.cat([weight, -2 * weight * centres], 1).T,
        )
        exponent = DENSITY_LOG + numbers[:, 6] - square.square()
        return exponent.clamp_min(LEAST_LOG).exp()

    @classmethod
    def check_latent(cls, config: BlobConfig, shape: tuple[int, ...]) -> None:
        """Refuse anything but as many blobs of ten numbers."""
        if tuple(shape) != (config.blobs, NUMBERS):
            raise ConfigError(
                f"found blobs of shape {tuple(shape)}, expected {config.blobs}, {NUMBERS}"
            )
