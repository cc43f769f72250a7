"""The arithmetic that a picture needs: its samples counted by a plain march on the renderer's lattice.

Counted are the lattice points in occupied cells that light reaches (density), and the points at which enough weight has
gathered for a colour. A kernel may evaluate more than that, in rounds; it need not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.ops.rays import camera_rays
from engine.render.frames import TIERS, Baked
from engine.render.march import MarchConfig, march
from engine.types import Camera

FIRST_SHARE = 0.125
"""The share of the usual weight at which a ray's first colour is evaluated."""
SILU, SIGMOID = 14, 14
"""Flops of one activation."""


@dataclass(frozen=True)
class Needs:
    """Samples of one picture and what they cost at least."""

    pixels: int
    density_samples: int
    colors: int
    flops: float

    @property
    def samples_per_pixel(self) -> float:
        """Density samples over pixels."""
        return self.density_samples / self.pixels


def flops_per_sample(hidden: int, directed: bool) -> tuple[float, float]:
    """Flops of a density and of a colour, with the first layer already multiplied into the planes.

    A density: three planes of four corners, the activation, one dot product. A colour reuses its sample's hidden units,
    or where it depends on the direction adds that term and activates them anew; then three dot products.
    """
    density = (3 * 4 * 2 + SILU + 2) * hidden
    again = (1 + SILU) * hidden if directed else 0
    return density, again + 6 * hidden + 3 * SIGMOID


@torch.no_grad()
def count(baked: Baked, camera: Camera, quality: str) -> Needs:
    """The samples of a picture at one of the renderer's qualities."""
    tier, field = TIERS[quality], baked.field
    rays_o, rays_d = (rays.reshape(-1, 3) for rays in camera_rays(camera))
    config = MarchConfig(max_steps=tier.max_steps)
    occupied = baked.cell_density[None] > tier.density
    middle = torch.full_like(rays_o[:, 0], 0.5)
    samples = march(rays_o, rays_d, occupied, field.aabb, config, jitter=middle)
    density = torch.cat([field.density(xyz) for xyz in samples.xyz.split(1 << 14)])
    column = torch.arange(len(density)) - (samples.counts.cumsum(0) - samples.counts)[samples.ray]
    depth = density.new_zeros(len(rays_o), int(samples.counts.max()))
    depth[samples.ray, column] = density * samples.dt
    wanted, colors = _walk(depth, samples.counts, tier.stop, tier.carry)
    config = field.decoder.config
    a, b = flops_per_sample(config.base_widths[0], config.direction != "none")
    return Needs(len(rays_o), wanted, colors, wanted * a + colors * b)


def _walk(depth: torch.Tensor, counts: torch.Tensor, stop: float, carry: float) -> tuple[int, int]:
    """Densities and colours that are needed, all rays walking in step through their optical depths."""
    passing, waiting = torch.ones_like(depth[:, 0]), torch.zeros_like(depth[:, 0])
    begun = torch.zeros_like(passing, dtype=torch.bool)
    densities = colors = 0
    for column in range(depth.shape[1]):
        alive = (counts > column) & (passing >= stop)
        densities += int(alive.sum())
        after = torch.where(alive, passing * torch.exp(-depth[:, column]), passing)
        waiting += passing - after
        passing = after
        painted = alive & (waiting > torch.where(begun, carry, FIRST_SHARE * carry))
        colors += int(painted.sum())
        waiting[painted] = 0
        begun |= painted
    return densities, colors
