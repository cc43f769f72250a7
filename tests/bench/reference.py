"""The picture that every PSNR is measured against: float64, an eighth of the training step, no early stop.

Space is left out only where the field's density is below `THIN` at all corners of a cell and of its 26 neighbours, and
a ray ends only where less than `DARK` of the light passes: neither is visible at 80 dB (the tests compare a picture
with one that leaves out nothing).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from engine.fields.triplane import TriplaneField
from engine.types import Camera
from tests.bench.geometry import Chords, chords
from tests.bench.plain import PlainField

STEP = 2 * math.sqrt(3) / 256 / 8
"""Longest step, engine units: an eighth of what training and the standard quality use."""
THIN, DARK = 1e-3, 1e-9
CELLS = 80
"""Cells along each axis of the box: two a texel."""
BLOCK = 32
"""Samples of a ray between two looks at which rays go on."""
CHUNK = 1 << 13
"""Points decoded at a time."""


class Reference:
    """One field, ready for pictures in float64."""

    def __init__(self, field: TriplaneField, *, cull: bool = True):
        """Finds out where the field is empty, unless it shall not `cull`."""
        self.field = PlainField.of(field, torch.float64)
        self.occupied = self._occupied() if cull else None

    @torch.no_grad()
    def picture(self, camera: Camera, step: float = STEP) -> Float[Tensor, "height width 3"]:
        """A picture on white, float64."""
        rays = chords(camera, self.field.aabb)
        length = (rays.far - rays.near).clamp_min(0)
        counts = torch.ceil(length / step).long()
        rgb, passing = torch.zeros_like(rays.dirs), torch.ones_like(length)
        for first in range(0, int(counts.max()), BLOCK):
            (alive,) = torch.nonzero((counts > first) & (passing > DARK), as_tuple=True)
            self._advance(rays, alive, counts, first, rgb, passing)
        return (rgb + passing[:, None]).reshape(camera.height, camera.width, 3).clamp(0, 1)

    def _advance(
        self, rays: Chords, alive: Tensor, counts: Tensor, first: int, rgb: Tensor, passing: Tensor
    ) -> None:
        """Let the living rays pass one block of samples; adds to `rgb` and lowers `passing`."""
        dt = ((rays.far - rays.near) / counts)[alive, None]
        index = first + torch.arange(BLOCK, device=dt.device)
        t = rays.near[alive, None] + (index + 0.5) * dt
        xyz = rays.origin + t[..., None] * rays.dirs[alive, None]
        wanted = index < counts[alive, None]
        if self.occupied is not None:
            wanted &= self.occupied[self._cell(xyz)]
        density, color = torch.zeros_like(t), torch.zeros_like(xyz)
        dirs = rays.dirs[alive, None].expand_as(xyz)[wanted]
        parts = [
            self.field.query(points, along)
            for points, along in zip(xyz[wanted].split(CHUNK), dirs.split(CHUNK), strict=True)
        ]
        density[wanted] = torch.cat([part[0] for part in parts])
        color[wanted] = torch.cat([part[1] for part in parts])
        depth = (density * dt).cumsum(1)
        through = torch.exp(-depth) * passing[alive, None]
        weights = torch.cat([passing[alive, None], through[:, :-1]], 1) - through
        rgb[alive] += (weights[..., None] * color).sum(1)
        passing[alive] = through[:, -1]

    def _cell(self, xyz: Float[Tensor, "*n 3"]) -> tuple[Tensor, ...]:
        low, high = self.field.aabb
        cell = ((xyz - low) * (CELLS / (high - low))).long().clamp(0, CELLS - 1)
        return cell.unbind(-1)

    @torch.no_grad()
    def _occupied(self) -> Bool[Tensor, "gx gy gz"]:
        low, high = self.field.aabb.tolist()
        axes = [
            torch.linspace(a, b, CELLS + 1).to(self.field.aabb)
            for a, b in zip(low, high, strict=True)
        ]
        corners = torch.cartesian_prod(*axes)
        density = torch.cat([self.field.density(part) for part in corners.split(CHUNK)])
        density = density.reshape(1, 1, *(CELLS + 1,) * 3)
        # a cell's own corners and those of its neighbours
        return F.max_pool3d(F.pad(density, (1,) * 6), 4, stride=1)[0, 0] > THIN


def psnr(a: Tensor, b: Tensor) -> float:
    """Decibels between two pictures in [0, 1]."""
    return float(-10 * torch.log10((a.double() - b.double()).square().mean()))
