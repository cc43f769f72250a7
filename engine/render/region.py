"""Parts of a field's box, marked to be kept.

A region is a grid of cells over the field's box, as fine as the renderer's own occupancy grid, so that boxes, brushed
surfaces and unions of them are the same thing. Everything is in engine units: multiply a box in SRN units by
`WORLD_PER_SRN` first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from engine.ops.rays import camera_rays
from engine.render.occupancy import cell_points
from engine.types import Camera

CELLS = 64
"""Cells along each axis."""


@dataclass(frozen=True)
class Region:
    """Part of a field's box.

    Attributes:
        cells: Mask of its cells, x slowest.
        aabb: Lower and upper corner of the box that the cells fill, engine units.
    """

    cells: Bool[Tensor, "gx gy gz"]
    aabb: Float[Tensor, "2 3"]

    @classmethod
    def from_box(
        cls, box: Float[Tensor, "2 3"], aabb: Float[Tensor, "2 3"], size: int = CELLS
    ) -> Region:
        """The cells whose centres lie in a box.

        Args:
            box: Two opposite corners, engine units, in any order along each axis; may reach beyond `aabb`.
            aabb: The field's box, engine units.
            size: Cells along each axis.
        """
        low, high = box.to(aabb).sort(dim=0).values
        centres = cell_points((size, size, size), aabb)
        inside = ((centres >= low) & (centres <= high)).all(-1)
        return cls(inside.reshape(size, size, size), aabb)

    @classmethod
    def from_surface(
        cls,
        points: Float[Tensor, "n 3"],
        radius: float,
        aabb: Float[Tensor, "2 3"],
        size: int = CELLS,
    ) -> Region:
        """The cells whose centres lie within `radius` of a point, and the cells that hold one: a brush's stroke.

        Args:
            points: On surfaces, engine units (`surface_points`); those outside `aabb` are left out.
            radius: Half the thickness, engine units.
            aabb: The field's box, engine units.
            size: Cells along each axis.
        """
        cells = torch.zeros(size, size, size, dtype=torch.bool, device=aabb.device)
        index, inside = _cells_of(points.to(aabb), aabb, size)
        held = index[inside].unique(dim=0)
        cells[tuple(held.T)] = True
        edge = (aabb[1] - aabb[0]) / size
        reach = (radius / edge).int()
        axes = [torch.arange(-int(r), int(r) + 1, device=aabb.device) for r in reach]
        offsets = torch.cartesian_prod(*axes)
        offsets = offsets[(offsets * edge).norm(dim=-1) <= radius]
        # From the centre of a point's cell: the cell is half a cell wide at most, less than a stroke's own thickness.
        near = (held[:, None] + offsets).reshape(-1, 3)
        near = near[((near >= 0) & (near < size)).all(-1)]
        cells[tuple(near.T)] = True
        return cls(cells, aabb)

    def __or__(self, other: Region) -> Region:
        """Union of two regions of the same box and resolution."""
        return Region(self.cells | other.cells, self.aabb)

    def to(self, device: torch.device | str) -> Region:
        """The same region on `device`."""
        return Region(self.cells.to(device), self.aabb.to(device))

    def contains(self, xyz: Float[Tensor, "*b 3"]) -> Bool[Tensor, "*b"]:
        """Mask of the points (engine units) that lie in it; False outside the field's box."""
        index, inside = _cells_of(xyz, self.aabb, *self.cells.shape[:1])
        found = self.cells[tuple(index.clamp(0, len(self.cells) - 1).unbind(-1))]
        return found & inside

    def pixels(
        self, depth: Float[Tensor, "height width"], camera: Camera
    ) -> Bool[Tensor, "height width"]:
        """The pixels of a picture whose first surface lies in it.

        Args:
            depth: Z-depth, engine units (`engine.render.frames.RenderOutput.depth`).
            camera: The picture's camera.
        """
        return self.contains(surface_points(depth, camera))


def surface_points(
    depth: Float[Tensor, "height width"], camera: Camera
) -> Float[Tensor, "height width 3"]:
    """Surface point of each pixel, engine units; far outside any field's box where nothing is seen.

    Args:
        depth: Z-depth, engine units (`engine.render.frames.RenderOutput.depth`).
        camera: The picture's camera.
    """
    rays_o, rays_d = camera_rays(camera.to(depth.device))
    forward = camera.c2w[..., :3, 2].to(depth.device)
    return rays_o + (depth / (rays_d @ forward))[..., None] * rays_d


def texel_shares(
    matter: Float[Tensor, "gx gy gz"], region: Region, rows: int, cols: int
) -> Float[Tensor, "3 rows cols"]:
    """Share of the matter in each texel's column (along the axis that its plane lacks) that lies in the region.

    Where a column holds no matter it is the share of the column itself.

    Args:
        matter: Amount of matter in every cell, over the same box and in as many cells as the region.
        region: The region.
        rows: Rows of each plane.
        cols: Columns of each plane.

    Returns:
        In [0, 1], for planes xy, xz, yz as in `engine.fields.planes` (the first coordinate along the width).
    """
    inside = region.cells.float()
    shares = []
    for axis in (2, 1, 0):
        both = torch.stack([(matter * inside).sum(axis), matter.sum(axis)])
        both = torch.cat([both, inside.mean(axis)[None]])
        part, whole, empty = F.adaptive_avg_pool2d(both.transpose(-1, -2)[None], (rows, cols))[0]
        shares.append(torch.where(whole > 0, part / whole.clamp_min(1e-12), empty))
    return torch.stack(shares)


def _cells_of(
    xyz: Float[Tensor, "*b 3"], aabb: Float[Tensor, "2 3"], size: int
) -> tuple[Tensor, Tensor]:
    """Cell of every point, and mask of the points inside the box."""
    unit = (xyz - aabb[0]) / (aabb[1] - aabb[0])
    return (unit * size).floor().clamp(-1, size).long(), ((unit >= 0) & (unit < 1)).all(-1)
