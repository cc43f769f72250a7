"""Occupancy grids: the cells of a field's box that may hold matter.

A grid keeps the largest density seen in each cell, decaying, `scenes gx gy gz` over the field's box (x slowest).
Source: torch-ngp's density grid as 2304.06714 uses it. Morton order exists only in `engine.store.morton`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def cell_points(
    shape: tuple[int, int, int],
    aabb: Float[Tensor, "2 3"],
    jitter: Float[Tensor, "cells 3"] | None = None,
) -> Float[Tensor, "cells 3"]:
    """The centre of every cell, moved within the cell by `jitter` in [0, 1) (0.5 is the centre)."""
    axes = [torch.arange(size, device=aabb.device, dtype=aabb.dtype) for size in shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    inside = 0.5 if jitter is None else jitter
    widths = (aabb[1] - aabb[0]).unbind()
    cell = torch.stack([width / size for width, size in zip(widths, shape, strict=True)])
    return aabb[0] + (index + inside) * cell


@torch.no_grad()
def update_grid(
    grid: Float[Tensor, "scenes gx gy gz"],
    density: Callable[[Tensor], Tensor],
    aabb: Float[Tensor, "2 3"],
    *,
    decay: float,
    jitter: Float[Tensor, "cells 3"] | None = None,
) -> Float[Tensor, "scenes gx gy gz"]:
    """The grid after one update: `max(grid * decay, density)`, in the grid's own dtype.

    Args:
        grid: Values so far.
        density: Densities `scenes cells` of points `cells 3`, the same points for every scene.
        aabb: The field's box.
        decay: Kept share of the old values.
        jitter: Position of each query within its cell.
    """
    shape = tuple(grid.shape[1:])
    seen = density(cell_points(shape, aabb, jitter)).clamp(max=torch.finfo(grid.dtype).max)
    return torch.maximum(grid * decay, seen.reshape(grid.shape).to(grid.dtype))


@torch.no_grad()
def occupied_cells(
    grid: Float[Tensor, "scenes gx gy gz"],
    threshold: float,
    *,
    per_scene: bool = False,
    dilate: bool = False,
) -> Bool[Tensor, "scenes gx gy gz"]:
    """Cells whose density exceeds `min(mean of the grid, threshold)`.

    Args:
        grid: Densities.
        threshold: Upper bound of the threshold.
        per_scene: Each scene has its own mean (else, as published, the batch shares one).
        dilate: Also the 26 neighbours of such cells. A scene with no occupied cell counts as wholly
            occupied then, since an empty grid would never receive a gradient again.
    """
    values = grid.float()
    mean = (
        values.clamp_min(0).mean((1, 2, 3), keepdim=True)
        if per_scene
        else values.clamp_min(0).mean()
    )
    occupied = values > torch.clamp(mean, max=threshold)
    if dilate:
        occupied = _dilated(occupied)
        occupied |= ~occupied.flatten(1).any(1)[:, None, None, None]
    return occupied


def _dilated(cells: Bool[Tensor, "scenes gx gy gz"]) -> Bool[Tensor, "scenes gx gy gz"]:
    """Cells that are set or have a neighbour that is."""
    for axis in (1, 2, 3):
        last, grown = cells.shape[axis] - 1, cells.clone()
        grown.narrow(axis, 1, last).logical_or_(cells.narrow(axis, 0, last))
        grown.narrow(axis, 0, last).logical_or_(cells.narrow(axis, 1, last))
        cells = grown
    return cells
