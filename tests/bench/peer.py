"""The honest peer: what the public triplane projects do for a picture.

As many samples on every ray, evenly between where it enters and leaves the field's box, and `grid_sample` and the MLP
on all of them, in chunks of samples; rays that miss the box cost nothing. Plain float32 torch on all the threads that
torch has. `best_chunk` finds the chunk size that suits the machine's caches.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from engine.types import Camera
from tests.bench.geometry import chords
from tests.bench.plain import PlainField
from tests.bench.timing import interleaved

SAMPLES = 96
"""Samples of a ray in the public projects."""
CPU_CHUNKS = (2048, 4096, 8192, 16384, 32768, 131072)
GPU_CHUNKS = (1 << 18, 1 << 20, 1 << 22)


@torch.no_grad()
def picture(
    field: PlainField,
    camera: Camera,
    samples: int = SAMPLES,
    chunk: int = 8192,
    *,
    cube: bool = False,
) -> Float[Tensor, "height width 3"]:
    """A picture on white.

    Args:
        field: What is rendered.
        camera: One camera.
        samples: Samples of each ray.
        chunk: Samples that are decoded at a time.
        cube: Whether rays are sampled through all of [-1, 1]^3, as the projects do whose planes span a cube, and not
            through the field's own box only.
    """
    low, high = field.aabb
    rays = chords(
        camera, torch.stack([-torch.ones_like(low), torch.ones_like(high)]) if cube else field.aabb
    )
    rgb = torch.ones_like(rays.dirs)
    share = (torch.arange(samples, device=rgb.device, dtype=rgb.dtype) + 0.5) / samples
    (hit,) = torch.nonzero(rays.far > rays.near, as_tuple=True)
    for part in hit.split(max(chunk // samples, 1)):
        length, dirs = rays.far[part] - rays.near[part], rays.dirs[part]
        t = rays.near[part, None] + length[:, None] * share
        xyz = rays.origin + t[..., None] * dirs[:, None]
        directed = field.decoder.direction is not None
        along = dirs[:, None].expand_as(xyz).reshape(-1, 3) if directed else None
        density, color = field.query(xyz.reshape(-1, 3), along)
        depth = density.reshape(t.shape) * (length / samples)[:, None]
        if cube:
            depth = depth * ((xyz >= low) & (xyz <= high)).all(-1)
        weights = torch.exp(depth - depth.cumsum(1)) * -torch.expm1(-depth)
        seen = (weights[..., None] * color.reshape(xyz.shape)).sum(1)
        rgb[part] = seen + (1 - weights.sum(1, keepdim=True))
    return rgb.reshape(camera.height, camera.width, 3).clamp(0, 1)


def best_chunk(field: PlainField, camera: Camera, repeats: int = 2) -> int:
    """The chunk size that renders fastest here, with torch's present number of threads."""
    sizes = GPU_CHUNKS if field.planes.is_cuda else CPU_CHUNKS
    works = {str(size): lambda s=size: picture(field, camera, chunk=s) for size in sizes}
    times = interleaved(works, repeats)
    return int(min(times, key=times.__getitem__))
