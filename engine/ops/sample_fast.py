"""Numba kernels behind marching, triplane lookup and compositing on the CPU.

Each computes what the torch code beside it computes (`march.py`, `planes.py`, `volume.py`), which stays the oracle
and serves other devices and precisions. They release the GIL; work is split by ray or by scene, never by atomics, so
results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import no_type_check

import numpy as np
import torch
from numba import njit
from torch import Tensor

_options = {"nogil": True, "cache": True, "error_model": "numpy"}
_fast = {**_options, "fastmath": True}


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="samples")


def _split(work: Callable[[int, int], object], total: int, smallest: int) -> None:
    """Call `work(start, stop)` over pieces of `range(total)` on torch's number of threads."""
    threads = min(torch.get_num_threads(), max(1, total // smallest))
    if threads == 1:
        work(0, total)
        return
    edges = [total * k // threads for k in range(threads + 1)]
    list(_pool(threads).map(work, edges[:-1], edges[1:]))


# ------------------------------------------------------------------------------------- marching


@njit(**_options)
@no_type_check
def _march(
    start, stop, near, far, rays_o, rays_d, jitter, gamma, occupied, scene, low, high, dt_min, dt_max, steps, t_out, dt_out, counts
):  # fmt: skip
    gx, gy, gz = occupied.shape[1], occupied.shape[2], occupied.shape[3]
    sx = np.float32(gx) / (high[0] - low[0])
    sy = np.float32(gy) / (high[1] - low[1])
    sz = np.float32(gz) / (high[2] - low[2])
    for ray in range(start, stop):
        grid = occupied[scene[ray]]
        g, end = gamma[ray], far[ray]
        t = near[ray]
        t = t + jitter[ray] * min(max(t * g, dt_min), dt_max)
        count = 0
        while t < end and count < steps:
            dt = min(max(t * g, dt_min), dt_max)
            x = min(max(rays_o[ray, 0] + t * rays_d[ray, 0], low[0]), high[0])
            y = min(max(rays_o[ray, 1] + t * rays_d[ray, 1], low[1]), high[1])
            z = min(max(rays_o[ray, 2] + t * rays_d[ray, 2], low[2]), high[2])
            i = min(max(np.int64(np.floor((x - low[0]) * sx)), 0), gx - 1)
            j = min(max(np.int64(np.floor((y - low[1]) * sy)), 0), gy - 1)
            k = min(max(np.int64(np.floor((z - low[2]) * sz)), 0), gz - 1)
            if grid[i, j, k]:
                t_out[ray, count] = t
                dt_out[ray, count] = dt
                count += 1
            t = t + dt
        counts[ray] = count


@njit(**_options)
@no_type_check
def _pack(
    start,
    stop,
    rays_o,
    rays_d,
    low,
    high,
    t_in,
    dt_in,
    counts,
    offsets,
    xyz,
    ray_out,
    t_out,
    dt_out,
):
    for ray in range(start, stop):
        at = offsets[ray]
        for k in range(counts[ray]):
            t = t_in[ray, k]
            for axis in range(3):
                p = rays_o[ray, axis] + t * rays_d[ray, axis]
                xyz[at + k, axis] = min(max(p, low[axis]), high[axis])
            ray_out[at + k] = ray
            t_out[at + k] = t
            dt_out[at + k] = dt_in[ray, k]


def march_rays(
    near: Tensor,
    far: Tensor,
    rays_o: Tensor,
    rays_d: Tensor,
    occupied: Tensor,
    aabb: Tensor,
    scene: Tensor,
    jitter: Tensor,
    gamma: Tensor,
    limits: tuple[float, float, int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Samples of rays that meet the box.

    Args:
        near: Where each ray enters.
        far: Where it leaves.
        rays_o: Origins.
        rays_d: Unit directions.
        occupied: Cells by scene.
        aabb: The box.
        scene: Scene of each ray.
        jitter: Lattice offset of each ray in steps.
        gamma: Step growth of each ray.
        limits: Shortest step, longest step, most samples.

    Returns:
        xyz, ray, t_starts, dt of the samples, and samples per ray.
    """
    dt_min, dt_max, steps = np.float32(limits[0]), np.float32(limits[1]), limits[2]
    rays = len(near)
    longest = max(float((far - near).max()), 0.0) if rays else 0.0
    width = min(steps, int(np.ceil(longest / limits[0])) + 1)
    t = np.empty((rays, width), np.float32)
    dt = np.empty((rays, width), np.float32)
    counts = np.zeros(rays, np.int64)
    low, high = aabb.numpy()
    o, d = rays_o.numpy(), rays_d.numpy()
    arguments = (near.numpy(), far.numpy(), o, d, jitter.numpy(), gamma.numpy(), occupied.numpy())
    arguments += (scene.numpy(), low, high, dt_min, dt_max, width)
    _split(lambda a, b: _march(a, b, *arguments, t, dt, counts), rays, 512)
    offsets = counts.cumsum() - counts
    total = int(counts.sum())
    xyz = np.empty((total, 3), np.float32)
    ray = np.empty(total, np.int64)
    t_out, dt_out = np.empty(total, np.float32), np.empty(total, np.float32)
    packed = (o, d, low, high, t, dt, counts, offsets, xyz, ray, t_out, dt_out)
    _split(lambda a, b: _pack(a, b, *packed), rays, 512)
    return tuple(torch.from_numpy(part) for part in (xyz, ray, t_out, dt_out, counts))


# --------------------------------------------------------------------------------------- lookup


@njit(**_fast)
@no_type_check
def _corners(u, v, rows, cols):
    """Texel offsets and weights of a bilinear read at (u along cols, v along rows), clamped to the border."""
    half = np.float32(0.5)
    x = min(max((u + 1) * half * cols - half, np.float32(0)), np.float32(cols - 1))
    y = min(max((v + 1) * half * rows - half, np.float32(0)), np.float32(rows - 1))
    c0, r0 = int(x), int(y)
    fx, fy = x - np.float32(c0), y - np.float32(r0)
    c1, r1 = min(c0 + 1, cols - 1), min(r0 + 1, rows - 1)
    return r0 * cols + c0, r0 * cols + c1, r1 * cols + c0, r1 * cols + c1, fx, fy


@njit(**_fast)
@no_type_check
def _lookup(first, last, planes, rows, cols, xyz, starts, out):
    channels = planes.shape[3]
    for scene in range(first, last):
        for n in range(starts[scene], starts[scene + 1]):
            for plane in range(3):
                u = xyz[n, 1] if plane == 2 else xyz[n, 0]
                v = xyz[n, 1] if plane == 0 else xyz[n, 2]
                a, b, c, d, fx, fy = _corners(u, v, rows, cols)
                texels = planes[scene, plane]
                wa, wb = (1 - fx) * (1 - fy), fx * (1 - fy)
                wc, wd = (1 - fx) * fy, fx * fy
                for k in range(channels):
                    out[n, 3 * k + plane] = (
                        wa * texels[a, k]
                        + wb * texels[b, k]
                        + wc * texels[c, k]
                        + wd * texels[d, k]
                    )


@njit(**_fast)
@no_type_check
def _lookup_back(first, last, gradient, rows, cols, xyz, starts, out):
    channels = out.shape[3]
    for scene in range(first, last):
        for n in range(starts[scene], starts[scene + 1]):
            for plane in range(3):
                u = xyz[n, 1] if plane == 2 else xyz[n, 0]
                v = xyz[n, 1] if plane == 0 else xyz[n, 2]
                a, b, c, d, fx, fy = _corners(u, v, rows, cols)
                texels = out[scene, plane]
                for k in range(channels):
                    g = gradient[n, 3 * k + plane]
                    texels[a, k] += (1 - fx) * (1 - fy) * g
                    texels[b, k] += fx * (1 - fy) * g
                    texels[c, k] += (1 - fx) * fy * g
                    texels[d, k] += fx * fy * g


class Lookup(torch.autograd.Function):
    """Bilinear triplane features of points sorted by scene; differentiable in the planes alone."""

    @staticmethod
    def forward(ctx, triplanes: Tensor, xyz: Tensor, starts: Tensor) -> Tensor:
        """Features of the points `starts[k] .. starts[k + 1]` in scene k's planes."""
        scenes, _, channels, rows, cols = triplanes.shape
        texels = triplanes.detach().permute(0, 1, 3, 4, 2).reshape(scenes, 3, rows * cols, channels)
        texels = texels.contiguous().numpy()
        points, edges = xyz.detach().contiguous().numpy(), starts.numpy()
        out = np.empty((len(points), 3 * channels), np.float32)
        _split(lambda a, b: _lookup(a, b, texels, rows, cols, points, edges, out), scenes, 1)
        ctx.save_for_backward(xyz, starts)
        ctx.shape = triplanes.shape
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        """Gradient of the planes."""
        xyz, starts = ctx.saved_tensors
        scenes, _, channels, rows, cols = ctx.shape
        points, edges = xyz.detach().contiguous().numpy(), starts.numpy()
        incoming = gradient.contiguous().numpy()
        out = np.zeros((scenes, 3, rows * cols, channels), np.float32)
        _split(lambda a, b: _lookup_back(a, b, incoming, rows, cols, points, edges, out), scenes, 1)
        planes = torch.from_numpy(out).reshape(scenes, 3, rows, cols, channels)
        return planes.permute(0, 1, 4, 2, 3).contiguous(), None, None


# ---------------------------------------------------------------------------------- compositing


@njit(**_options)
@no_type_check
def _composite(start, stop, density, rgb, t, dt, offsets, limit, image, opacity, depth):
    one = np.float32(1)
    for ray in range(start, stop):
        passed = one
        for n in range(offsets[ray], offsets[ray + 1]):
            alpha = one - np.exp(-density[n] * dt[n])
            weight = alpha * passed
            for c in range(3):
                image[ray, c] += weight * rgb[n, c]
            opacity[ray] += weight
            depth[ray] += weight * t[n]
            passed *= one - alpha
            if passed < limit:
                break


@njit(**_options)
@no_type_check
def _composite_back(
    start, stop, density, rgb, dt, offsets, limit, image, opacity, g_image, g_opacity, g_density, g_rgb
):  # fmt: skip
    one = np.float32(1)
    for ray in range(start, stop):
        passed, gone = one, np.float32(0)
        r, g, b = np.float32(0), np.float32(0), np.float32(0)
        gr, gg, gb, go = g_image[ray, 0], g_image[ray, 1], g_image[ray, 2], g_opacity[ray]
        for n in range(offsets[ray], offsets[ray + 1]):
            alpha = one - np.exp(-density[n] * dt[n])
            weight = alpha * passed
            passed *= one - alpha
            if passed < limit:
                break
            r += weight * rgb[n, 0]
            g += weight * rgb[n, 1]
            b += weight * rgb[n, 2]
            gone += weight
            g_rgb[n, 0] = weight * gr
            g_rgb[n, 1] = weight * gg
            g_rgb[n, 2] = weight * gb
            behind = gr * (image[ray, 0] - r) + gg * (image[ray, 1] - g) + gb * (image[ray, 2] - b)
            behind += go * (opacity[ray] - gone)
            here = gr * rgb[n, 0] + gg * rgb[n, 1] + gb * rgb[n, 2] + go
            g_density[n] = dt[n] * (passed * here - behind)


class Composite(torch.autograd.Function):
    """Colour, opacity and depth of rays; no gradient to the sample that ends a ray, nor through depth."""

    @staticmethod
    def forward(
        ctx, density: Tensor, rgb: Tensor, t: Tensor, dt: Tensor, counts: Tensor, limit: float
    ):
        """Image, opacity and depth of rays with `counts` samples each; a ray ends below `limit`."""
        rays = len(counts)
        offsets = np.zeros(rays + 1, np.int64)
        np.cumsum(counts.numpy(), out=offsets[1:])
        image, opacity = np.zeros((rays, 3), np.float32), np.zeros(rays, np.float32)
        depth = np.zeros(rays, np.float32)
        inputs = (density.detach().contiguous().numpy(), rgb.detach().contiguous().numpy())
        inputs += (t.contiguous().numpy(), dt.contiguous().numpy(), offsets, np.float32(limit))
        _split(lambda a, b: _composite(a, b, *inputs, image, opacity, depth), rays, 2048)
        results = tuple(torch.from_numpy(part) for part in (image, opacity, depth))
        ctx.save_for_backward(density, rgb, dt, *results[:2])
        ctx.offsets, ctx.limit = offsets, limit
        ctx.mark_non_differentiable(results[2])
        return results

    @staticmethod
    def backward(ctx, g_image: Tensor, g_opacity: Tensor, _):
        """Gradients of density and colour."""
        density, rgb, dt, image, opacity = (
            part.detach().contiguous().numpy() for part in ctx.saved_tensors
        )
        g_density, g_rgb = np.zeros_like(density), np.zeros_like(rgb)
        inputs = (density, rgb, dt, ctx.offsets, np.float32(ctx.limit), image, opacity)
        inputs += (g_image.contiguous().numpy(), g_opacity.contiguous().numpy())
        _split(lambda a, b: _composite_back(a, b, *inputs, g_density, g_rgb), len(image), 2048)
        return torch.from_numpy(g_density), torch.from_numpy(g_rgb), None, None, None, None
