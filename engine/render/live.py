"""Fast stand-ins for slow fields: any field as voxels, for moving pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from engine.fields.bare import BoxConfig
from engine.fields.base import Field
from engine.fields.voxel import MOST_OPAQUE, VoxelField, opacity_channel
from engine.kernels.adapters import frame_kernels
from engine.render.occupancy import cell_points

SIZE = 128
"""Voxels along each axis of a field's box."""
SMALL = 64
"""Voxels along each axis for pictures of about a hundred pixels."""
THINNEST = 0.01
"""Cells thinner than this everywhere stay empty, per engine unit."""
OPAQUE_DEPTH = 3.0
"""Optical depth of a cell (two voxels long) from which a shell hides the inside: 1/400 of the light passes two cells."""
CHUNK = 1 << 13
"""Points per query: few enough that a layer's values stay in a core's cache."""


def live(field: Field, size: int = SIZE) -> Field:
    """A field that looks the same and renders fast: itself if it has kernels or is a voxel grid, else `voxelised`.

    For moving and small pictures; measurements and exports use the field itself.

    Args:
        field: Any field.
        size: Voxels along each axis; fewer for a kind of field that is as smooth as its `voxels` says.
    """
    fast = field.kind == VoxelField.kind or frame_kernels(field) is not None
    return field if fast else voxelised(field, min(size, getattr(field, "voxels", size)))


@torch.no_grad()
def voxelised(field: Field, size: int = SIZE) -> VoxelField:
    """A field as voxels: density as it is, colour as seen from outside along the radius through each voxel.

    Details thinner than a voxel and the view dependence of colours are lost. Matter is looked for in cells of two
    voxels' length; the field is queried in and around cells that hold some, and not deep inside an object.

    Args:
        field: Any field.
        size: Voxels along each axis of its box, even.
    """
    aabb = field.aabb
    config = BoxConfig(tuple(tuple(corner) for corner in aabb.tolist()))
    seen, deep = (_voxels(cells) for cells in _seen_and_deep(field, size // 2))
    centre, edge = aabb.mean(0), float(((aabb[1] - aabb[0]) / size).min())
    values = aabb.new_zeros(4, size**3)
    values[0] = torch.where(deep, 2 * MOST_OPAQUE - 1, -1.0)
    (index,) = torch.nonzero(seen, as_tuple=True)
    xyz = cell_points((size,) * 3, aabb)
    for part in index.split(CHUNK):
        density, rgb = field.query(xyz[part], F.normalize(centre - xyz[part], dim=-1))
        values[0, part] = opacity_channel(density, edge)
        values[1:, part] = (2 * rgb - 1).clamp(-1, 1).T
    grid = values.reshape(4, size, size, size).permute(0, 3, 2, 1)
    return VoxelField(config, grid.contiguous())


def _seen_and_deep(
    field: Field, cells: int
) -> tuple[Bool[Tensor, "cells cells cells"], Bool[Tensor, "cells cells cells"]]:
    """Cells in or beside matter that light reaches, and cells that lie two solid cells deep; x slowest."""
    xyz = cell_points((cells,) * 3, field.aabb)
    density: Float[Tensor, " n"] = torch.cat([field.density(part) for part in xyz.split(CHUNK)])
    density = density.reshape(1, cells, cells, cells)
    near = F.max_pool3d((density > THINNEST).float(), 3, stride=1, padding=1)[0] > 0
    thin = density * float(((field.aabb[1] - field.aabb[0]) / cells).min()) < OPAQUE_DEPTH
    deep = F.max_pool3d(thin.float(), 5, stride=1, padding=2)[0] == 0
    return near & ~deep, deep


def _voxels(cells: Bool[Tensor, "cells cells cells"]) -> Bool[Tensor, " voxels"]:
    """The voxels of cells, eight of each."""
    return F.interpolate(cells[None, None].float(), scale_factor=2).flatten() > 0
