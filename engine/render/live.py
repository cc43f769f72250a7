"""Fields that draw fast: any field as voxels, for moving pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from engine.fields.base import Field
from engine.fields.voxel import VoxelConfig, VoxelField, opacity_channel
from engine.kernels.adapters import frame_kernels
from engine.render.occupancy import cell_points

SIZE = 128
"""Voxels along each axis of a field's box."""
COARSE = 64
"""Cells along each axis in which matter is looked for first."""
THINNEST = 0.01
"""Cells thinner than this everywhere stay empty, per engine unit."""
CHUNK = 1 << 16
"""Points per query."""


def live(field: Field) -> Field:
    """A field that looks alike and draws fast: itself where it has kernels or is made of voxels, else `voxelised`.

    For moving pictures and small ones; what is measured or exported shows the field itself.
    """
    fast = field.kind == VoxelField.kind or frame_kernels(field) is not None
    return field if fast else voxelised(field)


@torch.no_grad()
def voxelised(field: Field, size: int = SIZE, coarse: int = COARSE) -> VoxelField:
    """A field as voxels: density as it is, colour as seen from outside along the radius through each voxel.

    What is thinner than a voxel and how colours change with the view is lost.

    Args:
        field: Any field.
        size: Voxels along each axis of its box.
        coarse: Cells along each axis in which matter is looked for; only voxels there and around are asked for.
    """
    aabb = field.aabb
    config = VoxelConfig(tuple(tuple(corner) for corner in aabb.tolist()))
    near = F.interpolate(_near_matter(field, coarse)[None, None].float(), (size,) * 3)[0, 0] > 0
    grid = aabb.new_zeros(4, size, size, size)
    grid[0] = -1
    (index,) = torch.nonzero(near.flatten(), as_tuple=True)
    xyz = cell_points((size,) * 3, aabb)
    centre, edge = aabb.mean(0), float(((aabb[1] - aabb[0]) / size).min())
    values = grid.permute(0, 3, 2, 1).reshape(4, -1)
    for part in index.split(CHUNK):
        inward = F.normalize(centre - xyz[part], dim=-1)
        density, rgb = field.query(xyz[part], inward)
        values[0, part] = opacity_channel(density, edge)
        values[1:, part] = (2 * rgb - 1).clamp(-1, 1).T
    grid = values.reshape(4, size, size, size).permute(0, 3, 2, 1)
    return VoxelField(config, grid.contiguous())


def _near_matter(field: Field, cells: int) -> Bool[Tensor, "cells cells cells"]:
    """Cells whose centre or a neighbour's holds matter, x slowest."""
    xyz = cell_points((cells,) * 3, field.aabb)
    density: Float[Tensor, " n"] = torch.cat([field.density(part) for part in xyz.split(CHUNK)])
    occupied = (density > THINNEST).float().reshape(1, cells, cells, cells)
    return F.max_pool3d(occupied, 3, stride=1, padding=1)[0] > 0
