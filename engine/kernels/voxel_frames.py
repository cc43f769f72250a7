"""Pictures of voxel fields on the CPU: arrays for the Numba kernel of `engine.kernels.voxel_fast`, and occupancy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from engine.fields.voxel import MOST_OPAQUE, VoxelField, channel_density, shortest_edge
from engine.kernels import render_fast
from engine.kernels.base import FrameKernels, Limits
from engine.kernels.render_fast import Space, flat
from engine.types import Camera


@dataclass(frozen=True)
class VoxelOnCpu(FrameKernels):
    """A voxel field as the kernel reads it.

    Attributes:
        grid: Channels of every voxel, density first, channels last.
        edge: Shortest edge of a voxel, engine units.
        box: Lower and upper corner, engine units.
    """

    grid: Float32[np.ndarray, "depth height width 4"]
    edge: float
    box: Float32[np.ndarray, " 6"]
    prepared: ClassVar[bool] = True

    @staticmethod
    def suit(field: VoxelField) -> bool:
        """True for a float32 grid on the CPU."""
        grid = field.latent
        return grid.device.type == "cpu" and grid.dtype == torch.float32 and min(grid.shape) >= 2

    @classmethod
    def of(cls, field: VoxelField) -> VoxelOnCpu:
        """The kernel's arrays for a suitable field."""
        grid = field.latent.detach().permute(1, 2, 3, 0).contiguous().numpy()
        return cls(grid, shortest_edge(field.aabb, field.latent), flat(field.aabb))

    def cell_density(self, cells: int) -> Float[Tensor, "gx gy gz"]:
        """The largest density of the voxels that each of `cells`^3 cells of the box reads."""
        channel = torch.from_numpy(self.grid[..., 0]).permute(2, 1, 0)
        for axis in range(3):
            channel = _largest(channel, axis, cells)
        return channel_density(channel, self.edge).contiguous()

    def space(self, occupied: Bool[Tensor, "gx gy gz"]) -> Space:
        """Leaps over empty cells."""
        return Space.of(occupied)

    def draw(
        self,
        space: Space,
        camera: Camera,
        limits: Limits,
        *,
        threads: int,
        stop: Callable[[], bool] | None,
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Colour over black, opacity and opacity-weighted z-depth of every pixel; None if it was given up."""
        from engine.kernels.voxel_fast import trace_voxel_tiles  # numba

        pose = flat(camera.c2w[:3], camera.intrinsics)
        tiles = partial(
            trace_voxel_tiles,
            *(self.grid.ravel(), self.grid.shape[2::-1], np.float32(limits.step / self.edge)),
            *(np.float32(MOST_OPAQUE), *space.parts(), self.box, pose),
            *(np.float32(limit) for limit in limits),
        )
        return render_fast.trace(tiles, self.box, space, pose, camera, threads=threads, stop=stop)


def _largest(values: Float[Tensor, "nx ny nz"], axis: int, cells: int) -> Float[Tensor, "gx gy gz"]:
    """Largest value of the voxels that points in each of `cells` slices along an axis interpolate."""
    count = values.shape[axis]
    edges = torch.arange(cells + 1, dtype=torch.float64) * (count / cells) - 0.5
    first, last = edges[:-1].floor().long(), edges[1:].ceil().long()
    reach = range(int((last - first).max()) + 1)
    picked = (torch.minimum(first + k, last).clamp(0, count - 1) for k in reach)
    return torch.stack([values.index_select(axis, index) for index in picked]).amax(0)
