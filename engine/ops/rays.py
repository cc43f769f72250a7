"""Rays of cameras and where they meet a box."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from engine.types import Camera

MISS = torch.finfo(torch.float32).max
"""`near` and `far` of a ray that misses the box."""
SLOWEST = 1e-12
"""Share of a direction along an axis that counts as a motion; no box is so wide that a ray would cross it with less."""


def pixel_rays(
    c2w: Float[Tensor, "*b 4 4"],
    intrinsics: Float[Tensor, "*b 4"],
    cols: Float[Tensor, "*b"],
    rows: Float[Tensor, "*b"],
) -> tuple[Float[Tensor, "*b 3"], Float[Tensor, "*b 3"]]:
    """Origins and unit directions through image points (pixel centres lie at +0.5)."""
    fx, fy, cx, cy = intrinsics.unbind(-1)
    local = torch.stack([(cols - cx) / fx, (rows - cy) / fy, torch.ones_like(fx)], -1)
    rays_d = (c2w[..., :3, :3] @ local[..., None])[..., 0]
    rays_d = rays_d / rays_d.norm(dim=-1, keepdim=True)
    return c2w[..., :3, 3], rays_d


def camera_rays(
    camera: Camera,
) -> tuple[Float[Tensor, "*b height width 3"], Float[Tensor, "*b height width 3"]]:
    """Rays through every pixel of every camera."""
    height, width, device = camera.height, camera.width, camera.c2w.device
    rows, cols = torch.meshgrid(
        torch.arange(height, device=device) + 0.5,
        torch.arange(width, device=device) + 0.5,
        indexing="ij",
    )
    batch = camera.c2w.shape[:-2]
    c2w = camera.c2w[..., None, None, :, :].expand(*batch, height, width, 4, 4)
    intrinsics = camera.intrinsics[..., None, None, :].expand(*batch, height, width, 4)
    return pixel_rays(
        c2w, intrinsics, cols.expand(*batch, height, width), rows.expand(*batch, height, width)
    )


def intersect_box(
    rays_o: Float[Tensor, "*rays 3"],
    rays_d: Float[Tensor, "*rays 3"],
    aabb: Float[Tensor, "2 3"],
    min_near: float = 0.2,
) -> tuple[Float[Tensor, "*rays"], Float[Tensor, "*rays"]]:
    """Distances at which rays enter and leave the box; both `MISS` where they do not meet it.

    Args:
        rays_o: Origins.
        rays_d: Unit directions, so that the results are distances.
        aabb: Lower and upper corner.
        min_near: Entries nearer than this are raised to it.

    Differentiable in origins and directions, also where a ray runs along an axis.

    Source: slab method as in torch-ngp's `near_far_from_aabb`.
    """
    slow = rays_d.abs() < SLOWEST
    inverse = 1 / torch.where(slow, torch.copysign(rays_d.new_tensor(SLOWEST), rays_d), rays_d)
    first = (aabb[0] - rays_o) * inverse
    second = (aabb[1] - rays_o) * inverse
    near = torch.minimum(first, second).amax(-1)
    far = torch.maximum(first, second).amin(-1)
    miss = near > far
    near = near.clamp_min(min_near)
    near = torch.where(miss, torch.full_like(near, MISS), near)
    far = torch.where(miss, torch.full_like(far, MISS), far)
    return near, far
