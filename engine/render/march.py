"""Ray marching through occupied cells: packed samples for the torch paths of training and inference.

The fused kernels have marches of their own, for which these samples are the oracle.

Each ray has a fixed lattice of sample distances, `t = near + jitter * dt` and on by `dt(t)`; culling drops the
lattice points that lie in empty cells and changes nothing else. Source: torch-ngp's marcher as 2304.06714 uses it
(official code); equal to its samples exactly (tested).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from engine.config import Bounds
from engine.ops.rays import MISS, intersect_box

UNIT_DIAGONAL = 2 * math.sqrt(3)
"""Diagonal of the engine's [-1, 1]^3; `dt = UNIT_DIAGONAL / max_steps` whatever the field's box."""


@dataclass(frozen=True)
class MarchConfig:
    """Settings of sampling along rays."""

    max_steps: Annotated[int, Bounds(1, 4096)] = 256
    """Samples along the diagonal of [-1, 1]^3, and the most a ray may have."""
    dt_gamma: Annotated[float, Bounds(0.0, 1.0)] = 0.0
    """Growth of the step with distance: `dt = clamp(t * dt_gamma, dt_min, dt_max)`. Used where `march` is given none
    ray by ray; 2304.06714 always gives its own, `dt_gamma_scale` over the focal length."""
    grid: Annotated[int, Bounds(1, 512)] = 64
    """Occupancy resolution that bounds the largest step, `UNIT_DIAGONAL / grid`."""
    min_near: Annotated[float, Bounds(0.0, 100.0)] = 0.2
    """Nothing is sampled nearer to the camera than this."""

    @property
    def dt_min(self) -> float:
        """Shortest step."""
        return UNIT_DIAGONAL / self.max_steps

    @property
    def dt_max(self) -> float:
        """Longest step."""
        return UNIT_DIAGONAL / self.grid


@dataclass(frozen=True)
class Samples:
    """Samples of many rays in one list, sorted by ray, then by distance.

    Attributes:
        xyz: Points, engine units.
        ray: Ray of each sample.
        scene: Scene of each sample, ascending, or None where there is one.
        t_starts: Distance at which each sample begins.
        dt: Length of each sample.
        counts: Samples of each ray.
    """

    xyz: Float[Tensor, "n 3"]
    ray: Int[Tensor, " n"]
    scene: Int[Tensor, " n"] | None
    t_starts: Float[Tensor, " n"]
    dt: Float[Tensor, " n"]
    counts: Int[Tensor, " rays"]

    def __len__(self) -> int:
        """Number of samples."""
        return self.xyz.shape[0]


def cell_of(
    xyz: Float[Tensor, "*n 3"], aabb: Float[Tensor, "2 3"], shape: tuple[int, int, int]
) -> Int[Tensor, "*n"]:
    """Flat index of the grid cell that holds each point (x slowest, z fastest), clamped to the grid."""
    size = xyz.new_tensor(shape)
    cell = ((xyz - aabb[0]) * (size / (aabb[1] - aabb[0]))).floor()
    x, y, z = torch.minimum(cell.clamp_min(0), size - 1).long().unbind(-1)
    return (x * shape[1] + y) * shape[2] + z


def march(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    occupied: Bool[Tensor, "scenes gx gy gz"],
    aabb: Float[Tensor, "2 3"],
    config: MarchConfig,
    *,
    scene: Int[Tensor, " rays"] | None = None,
    jitter: Float[Tensor, " rays"] | None = None,
    dt_gamma: Float[Tensor, " rays"] | None = None,
) -> Samples:
    """Samples of rays inside occupied cells, differentiable in origins, directions and growth of the steps.

    A lattice moves with the point where its ray enters the box; which of its points are samples has no gradient.

    Args:
        rays_o: Origins.
        rays_d: Unit directions.
        occupied: Cells that may hold matter, one grid per scene over `aabb`.
        aabb: The field's box.
        config: Steps.
        scene: Grid of each ray, ascending; None if there is only one.
        jitter: Offset of each ray's lattice in steps, [0, 1); None for none.
        dt_gamma: Overrides `config.dt_gamma` ray by ray.
    """
    near, far = intersect_box(rays_o, rays_d, aabb, config.min_near)
    (ray,) = torch.nonzero(far < MISS, as_tuple=True)
    none = near.new_zeros(len(ray))
    hits = Hits(
        near=near[ray],
        far=far[ray],
        rays_o=rays_o[ray],
        rays_d=rays_d[ray],
        scene=torch.zeros_like(ray) if scene is None else scene[ray],
        jitter=none if jitter is None else jitter[ray],
        dt_gamma=none + config.dt_gamma if dt_gamma is None else dt_gamma[ray],
    )
    xyz, hit, t_starts, dt, hit_counts = _sample(hits, occupied, aabb, config)
    counts = torch.zeros(len(rays_o), dtype=torch.long, device=rays_o.device)
    counts[ray] = hit_counts
    ray = ray[hit]
    return Samples(xyz, ray, None if scene is None else scene[ray], t_starts, dt, counts)


@dataclass(frozen=True)
class Hits:
    """Rays that meet the box, one row each.

    Attributes:
        near: Distances at which they enter.
        far: Distances at which they leave.
        rays_o: Origins.
        rays_d: Unit directions.
        scene: Their grids.
        jitter: Offsets of their lattices in steps.
        dt_gamma: Growth of their steps.
    """

    near: Float[Tensor, " hits"]
    far: Float[Tensor, " hits"]
    rays_o: Float[Tensor, "hits 3"]
    rays_d: Float[Tensor, "hits 3"]
    scene: Int[Tensor, " hits"]
    jitter: Float[Tensor, " hits"]
    dt_gamma: Float[Tensor, " hits"]


def _sample(
    hits: Hits, occupied: Tensor, aabb: Tensor, config: MarchConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """xyz, hit, t_starts and dt of the samples, and samples per hit."""
    lattice, steps = _lattice(hits, config)
    hit, column, counts = _kept(hits, lattice, occupied, aabb, config)
    t_starts = lattice[hit, column]
    xyz = hits.rays_o[hit] + t_starts[:, None] * hits.rays_d[hit]
    xyz = torch.minimum(torch.maximum(xyz, aabb[0]), aabb[1])
    return xyz, hit, t_starts, steps[hit, column], counts


@torch.no_grad()
def _kept(
    hits: Hits, lattice: Tensor, occupied: Tensor, aabb: Tensor, config: MarchConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Hit and column of the lattice points in occupied cells, and their number by hit."""
    xyz = hits.rays_o[:, None] + lattice[..., None] * hits.rays_d[:, None]
    cell = cell_of(xyz, aabb, tuple(occupied.shape[1:]))
    cell = cell + hits.scene[:, None] * occupied[0].numel()
    keep = occupied.flatten()[cell] & (lattice < hits.far[:, None])
    keep &= torch.cumsum(keep, 1) <= config.max_steps
    hit, column = torch.nonzero(keep, as_tuple=True)
    return hit, column, keep.sum(1)


def _lattice(hits: Hits, config: MarchConfig) -> tuple[Tensor, Tensor]:
    """Distances and lengths of every lattice point of every ray, `hits points`, the last ones beyond `far`."""

    def step(t: Tensor) -> Tensor:
        return (t * hits.dt_gamma).clamp(config.dt_min, config.dt_max)

    t = hits.near + hits.jitter * step(hits.near)
    longest = max(float((hits.far - hits.near).detach().max()), 0.0) if len(t) else 0.0
    distances, steps = [], []
    for _ in range(math.ceil(longest / config.dt_min) + 1):
        dt = step(t)
        distances.append(t)
        steps.append(dt)
        t = t + dt
    return torch.stack(distances, 1), torch.stack(steps, 1)
