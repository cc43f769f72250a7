"""From picked pixels of a scene batch to rays with colours."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from engine.ops.rays import pixel_rays
from engine.types import RayBatch, SceneBatch


def gather_rays(batch: SceneBatch, pixels: Int[Tensor, "scenes n"]) -> RayBatch:
    """Rays and colours of the picked pixels.

    Args:
        batch: The pictures.
        pixels: For each scene, flat indices into its (view, row, column) pixels.
    """
    scenes, _, height, width, _ = batch.images.shape
    count = pixels.shape[1]
    view, inside = pixels // (height * width), pixels % (height * width)
    row, column = inside // width, inside % width
    scene = torch.arange(scenes, device=pixels.device)[:, None].expand(-1, count)
    rgb = batch.images[scene, view, row, column]
    if rgb.dtype == torch.uint8:
        rgb = rgb.float() / 255
    intrinsics = batch.camera.intrinsics
    rays_o, rays_d = pixel_rays(
        batch.camera.c2w[scene, view], intrinsics[scene, view], column + 0.5, row + 0.5
    )
    focal = intrinsics[..., :2].mean((1, 2))[:, None].expand(-1, count)
    return RayBatch(
        rays_o=rays_o.reshape(-1, 3),
        rays_d=rays_d.reshape(-1, 3),
        rgb=rgb.reshape(-1, 3),
        scene=scene.reshape(-1),
        focal=focal.reshape(-1),
        per_scene=count,
    )
