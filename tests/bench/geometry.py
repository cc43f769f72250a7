"""Rays of a camera and where they meet a box: written anew, in the precision and on the device of the box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from engine.types import Camera


@dataclass(frozen=True)
class Chords:
    """The rays of a picture, row by row; `near >= far` where one misses the box."""

    origin: Float[Tensor, "3"]
    dirs: Float[Tensor, "rays 3"]
    near: Float[Tensor, " rays"]
    far: Float[Tensor, " rays"]


def chords(camera: Camera, aabb: Float[Tensor, "2 3"], min_near: float = 0.2) -> Chords:
    """Where the ray of every pixel enters and leaves a box."""
    c2w, (fx, fy, cx, cy) = camera.c2w.to(aabb), camera.intrinsics.to(aabb)
    rows = torch.arange(camera.height).to(aabb) + 0.5
    cols = torch.arange(camera.width).to(aabb) + 0.5
    v, u = torch.meshgrid(rows, cols, indexing="ij")
    local = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], -1).reshape(-1, 3)
    dirs = local @ c2w[:3, :3].T
    dirs = dirs / dirs.norm(dim=-1, keepdim=True)
    origin = c2w[:3, 3]
    faces = (aabb[:, None] - origin) / dirs
    near, far = faces.amin(0).amax(-1).clamp_min(min_near), faces.amax(0).amin(-1)
    return Chords(origin, dirs, near, far)
