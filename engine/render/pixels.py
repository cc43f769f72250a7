"""From picked pixels of a scene batch to rays with colours."""

from __future__ import annotations

import numpy as np
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
    gather = _gather_fast if batch.images.device.type == "cpu" else _gather_torch
    rays_o, rays_d, rgb = gather(batch, pixels)
    scenes, count = pixels.shape
    focal = batch.camera.intrinsics[..., :2].mean((1, 2))
    return RayBatch(
        rays_o=rays_o,
        rays_d=rays_d,
        rgb=rgb,
        scene=torch.arange(scenes, device=pixels.device).repeat_interleave(count),
        focal=focal.repeat_interleave(count),
        per_scene=count,
    )


def _gather_torch(batch: SceneBatch, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Origins, directions and colours."""
    height, width = batch.images.shape[2:4]
    view, inside = pixels // (height * width), pixels % (height * width)
    row, column = inside // width, inside % width
    scene = torch.arange(len(pixels), device=pixels.device)[:, None]
    rays_o, rays_d = pixel_rays(
        batch.camera.c2w[scene, view],
        batch.camera.intrinsics[scene, view],
        column + 0.5,
        row + 0.5,
    )
    place = scene if batch.scene is None else batch.scene[:, None]
    rgb = batch.images[place, view, row, column]
    rgb = rgb.float() / 255 if rgb.dtype == torch.uint8 else rgb
    return rays_o.reshape(-1, 3), rays_d.reshape(-1, 3), rgb.reshape(-1, 3)


def _gather_fast(batch: SceneBatch, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same, pixel by pixel."""
    from engine.kernels import pixels_fast

    total = pixels.numel()
    rays_o, rays_d, rgb = (torch.empty(total, 3) for _ in range(3))
    scene = torch.arange(len(pixels)) if batch.scene is None else batch.scene
    c2w, intrinsics = batch.camera.c2w, batch.camera.intrinsics
    one = 255 if batch.images.dtype == torch.uint8 else 1
    pixels_fast.gather(
        *(batch.images.numpy(), scene.numpy(), pixels.contiguous().numpy()),
        *(c2w.contiguous().numpy(), intrinsics.contiguous().numpy(), np.float32(one)),
        *(rays_o.numpy(), rays_d.numpy(), rgb.numpy()),
    )
    return rays_o, rays_d, rgb
