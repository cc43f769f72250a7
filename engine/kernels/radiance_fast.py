"""Colours of rays through triplane fields on the CPU, differentiable: marching, decoder and compositing in one kernel.

Computes the same as `march`, a decoder and `composite` in turn (the oracle, also used on other devices), at the same
samples, but ray by ray: a ray that has ended costs nothing more, and only a sample's distance, density and colour are
kept for the backward pass, which decodes again. Work is split into pieces (scenes, or parts of them) with gradients of
their own, added up in a fixed order, so that results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import njit
from torch import Tensor

from engine.kernels.decode_fast import decode_at, decode_back, density_at, squash
from engine.kernels.kernel_cache import CACHED
from engine.kernels.march_fast import exp

PIECES = 4
"""Least number of pieces; fewer scenes than that are cut."""
KEPT = 7
"""Numbers kept of each sample: distance, length, density, the light that passes, red, green, blue."""

_exact = {"nogil": True, "cache": CACHED, "error_model": "numpy"}
_fast = {**_exact, "fastmath": True}
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@dataclass(frozen=True)
class Lattice:
    """Candidate samples of rays; see `engine.render.march`.

    Attributes:
        rays_o: Origins, engine units, sorted by scene, equally many of each.
        rays_d: Unit directions.
        jitter: Offset of each ray's lattice in steps.
        dt_gamma: Growth of each ray's steps.
        occupied: Cells to sample.
        aabb: The field's box.
        dt: Shortest and longest step.
        max_steps: Most samples of a ray.
        min_near: Smallest distance of a sample from the camera.
    """

    rays_o: Float[Tensor, "rays 3"]
    rays_d: Float[Tensor, "rays 3"]
    jitter: Float[Tensor, " rays"]
    dt_gamma: Float[Tensor, " rays"]
    occupied: Bool[Tensor, "scenes gx gy gz"]
    aabb: Float[Tensor, "2 3"]
    dt: tuple[float, float]
    max_steps: int
    min_near: float


@njit(**_exact)
@no_type_check
def _enter(rays_o, rays_d, ray, low, high, min_near):
    """Distances at which a ray enters and leaves the box, bit-identical to `engine.ops.rays.intersect_box`."""
    near, far = np.float32(-np.inf), np.float32(np.inf)
    for axis in range(3):
        inverse = _ONE / rays_d[ray, axis]
        first = (low[axis] - rays_o[ray, axis]) * inverse
        second = (high[axis] - rays_o[ray, axis]) * inverse
        near, far = max(near, min(first, second)), min(far, max(first, second))
    return (max(near, min_near), far) if near <= far else (far, far)


@njit(**_exact)
@no_type_check
def _point(rays_o, rays_d, ray, t, low, high):
    """The point of a ray at distance `t`, clamped to the box."""
    x = min(max(rays_o[ray, 0] + t * rays_d[ray, 0], low[0]), high[0])
    y = min(max(rays_o[ray, 1] + t * rays_d[ray, 1], low[1]), high[1])
    z = min(max(rays_o[ray, 2] + t * rays_d[ray, 2], low[2]), high[2])
    return x, y, z


@njit(**_exact)
@no_type_check
def _inside(x, low, per_unit, cells):
    """Index of the cell that holds a coordinate."""
    return min(max(np.int64(np.floor((x - low) * per_unit)), 0), cells - 1)


@njit(**_fast)
@no_type_check
def _texel(x, low, per_unit, texels):
    """The texel before a coordinate along one axis of a plane, and the share of the texel after it."""
    u = min(max((x - low) * per_unit - _HALF, _ZERO), np.float32(texels - 1))
    before = min(np.floor(u), np.float32(max(texels - 2, 0)))
    return np.uintp(before), u - before


@njit(**_fast)
@no_type_check
def _reads(x, y, z, low, across, down, rows, cols, hidden):
    """Offsets and weights of the twelve texels around a point; `across`, `down`: texels per unit along each axis."""
    (xc, xs), (yr, ys) = _texel(x, low[0], across[0], cols), _texel(y, low[1], down[1], rows)
    (yc, yt), (zr, zs) = _texel(y, low[1], across[1], cols), _texel(z, low[2], down[2], rows)
    line = np.uintp(cols) * hidden
    plane = np.uintp(rows) * line
    right, below = hidden if cols > 1 else np.uintp(0), line if rows > 1 else np.uintp(0)
    a = yr * line + xc * hidden
    b = plane + zr * line + xc * hidden
    c = plane + plane + zr * line + yc * hidden
    xn, yn, ym, zn = _ONE - xs, _ONE - ys, _ONE - yt, _ONE - zs
    at = (
        *(a, a + right, a + below, a + below + right),
        *(b, b + right, b + below, b + below + right),
        *(c, c + right, c + below, c + below + right),
    )
    by = (
        *(yn * xn, yn * xs, ys * xn, ys * xs),
        *(zn * xn, zn * xs, zs * xn, zs * xs),
        *(zn * ym, zn * yt, zs * ym, zs * yt),
    )
    return at, by


@njit(**_fast)
@no_type_check
def _steps_of(box, rows, cols):
    """Texels per unit along each axis: as columns, as rows."""
    size = box[1] - box[0]
    return np.float32(cols) / size, np.float32(rows) / size


@njit(**_exact)
@no_type_check
def _forward(
    first, last, texels, heads, term, rays_o, rays_d, jitter, gamma, occupied, box, limits,
    saturation, stop, kept, counts, image, opacity,
):  # fmt: skip
    """Render rays `first` to `last` of one scene; their samples go to `kept`, one after the other."""
    _, rows, cols, hidden = texels.shape
    hidden, flat = np.uintp(hidden), texels.ravel()
    low, high = box[0], box[1]
    across, down = _steps_of(box, rows, cols)
    gx, gy, gz = occupied.shape
    cells = (np.float32(gx), np.float32(gy), np.float32(gz))
    sx, sy, sz = (
        cells[0] / (high[0] - low[0]),
        cells[1] / (high[1] - low[1]),
        cells[2] / (high[2] - low[2]),
    )
    dt_min, dt_max, steps, min_near = limits
    wide, total = _ONE + saturation + saturation, 0
    bias = 5 * hidden
    for ray in range(first, last):
        near, far = _enter(rays_o, rays_d, ray, low, high, min_near)
        g = gamma[ray]
        t = near + jitter[ray] * min(max(near * g, dt_min), dt_max)
        through, red, green, blue, count = _ONE, _ZERO, _ZERO, _ZERO, 0
        while t < far and count < steps:
            dt = min(max(t * g, dt_min), dt_max)
            x, y, z = _point(rays_o, rays_d, ray, t, low, high)
            i, j = _inside(x, low[0], sx, gx), _inside(y, low[1], sy, gy)
            if occupied[i, j, _inside(z, low[2], sz, gz)]:
                at, by = _reads(x, y, z, low, across, down, rows, cols, hidden)
                raw, r, g_, b = decode_at(flat, heads, term, np.uintp(ray) * hidden, at, by, hidden)
                r, g_, b = squash(r + heads[bias + 1], g_ + heads[bias + 2], b + heads[bias + 3])
                r, g_, b = r * wide - saturation, g_ * wide - saturation, b * wide - saturation
                density = exp(raw + heads[bias])
                passing = exp(-density * dt)
                weight = through * (_ONE - passing)
                through *= passing
                red, green, blue = red + weight * r, green + weight * g_, blue + weight * b
                row = kept[total]
                row[0], row[1], row[2], row[3] = t, dt, density, passing
                row[4], row[5], row[6] = r, g_, b
                total, count = total + 1, count + 1
                if through < stop:
                    break
            t += dt
        counts[ray] = count
        image[ray, 0], image[ray, 1], image[ray, 2] = red, green, blue
        opacity[ray] = _ONE - through
    return total


@njit(**_fast)
@no_type_check
def _backward(
    first, last, texels, heads, term, rays_o, rays_d, box, saturation, stop, kept, counts,
    image, opacity, d_image, d_opacity, d_texels, d_heads, d_term,
):  # fmt: skip
    """Add the gradients from rays `first` to `last` of one scene; see `engine.render.volume` for the stop."""
    _, rows, cols, hidden = texels.shape
    hidden, flat, pulled = np.uintp(hidden), texels.ravel(), d_texels.ravel()
    low, high = box[0], box[1]
    across, down = _steps_of(box, rows, cols)
    wide, end = _ONE + saturation + saturation, 0
    bias = 5 * hidden
    for ray in range(first, last):
        dr, dg, db, do = d_image[ray, 0], d_image[ray, 1], d_image[ray, 2], d_opacity[ray]
        behind = dr * image[ray, 0] + dg * image[ray, 1] + db * image[ray, 2] + do * opacity[ray]
        through = _ONE
        first_sample, end = end, end + counts[ray]
        for n in range(first_sample, end):
            row = kept[n]
            t, dt, density, passing = row[0], row[1], row[2], row[3]
            weight = through * (_ONE - passing)
            through *= passing
            if through < stop:
                break
            here = dr * row[4] + dg * row[5] + db * row[6] + do
            behind -= weight * here
            d_density = dt * (through * here - behind)
            d_raw = d_density * min(max(density, np.float32(1e-6)), np.float32(1e6))
            r, g, b = (
                (row[4] + saturation) / wide,
                (row[5] + saturation) / wide,
                (row[6] + saturation) / wide,
            )
            share = weight * wide
            d_r, d_g, d_b = (
                share * dr * r * (_ONE - r),
                share * dg * g * (_ONE - g),
                share * db * b * (_ONE - b),
            )
            x, y, z = _point(rays_o, rays_d, ray, t, low, high)
            at, by = _reads(x, y, z, low, across, down, rows, cols, hidden)
            pulls = (d_raw, d_r, d_g, d_b)
            decode_back(
                flat,
                heads,
                term,
                np.uintp(ray) * hidden,
                at,
                by,
                hidden,
                pulls,
                pulled,
                d_heads,
                d_term,
            )
            d_heads[bias] += d_raw
            d_heads[bias + 1] += d_r
            d_heads[bias + 2] += d_g
            d_heads[bias + 3] += d_b


@njit(**_fast)
@no_type_check
def _densities(texels, heads, points, box, out):
    """Density of one scene at points."""
    _, rows, cols, hidden = texels.shape
    hidden, flat = np.uintp(hidden), texels.ravel()
    across, down = _steps_of(box, rows, cols)
    for n in range(len(points)):
        at, by = _reads(
            points[n, 0], points[n, 1], points[n, 2], box[0], across, down, rows, cols, hidden
        )
        out[n] = exp(density_at(flat, heads, at, by, hidden) + heads[5 * hidden])


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="radiance")


def _each(work: Callable[[int], object], count: int) -> None:
    """Call `work(0) .. work(count - 1)` on torch's number of threads."""
    threads = min(torch.get_num_threads(), count)
    if threads == 1:
        for k in range(count):
            work(k)
    else:
        list(_pool(threads).map(work, range(count)))


class _Radiance(torch.autograd.Function):
    """See `render_rays`."""

    @staticmethod
    def forward(ctx, texels, heads, term, lattice: Lattice, saturation: float, stop: float):
        scenes, rays = len(texels), len(lattice.rays_o)
        pieces = scenes * -(-PIECES // scenes)
        edges = [rays * k // pieces for k in range(pieces + 1)]
        low, high = lattice.aabb.numpy()
        width = min(lattice.max_steps, int(np.ceil(np.linalg.norm(high - low) / lattice.dt[0])) + 1)
        box, saturation, stop = np.stack([low, high]), np.float32(saturation), np.float32(stop)
        limits = (
            np.float32(lattice.dt[0]),
            np.float32(lattice.dt[1]),
            width,
            np.float32(lattice.min_near),
        )
        planes, weights = texels.detach().numpy(), heads.detach().numpy()
        terms = None if term is None else term.detach().contiguous().numpy().ravel()
        paths = tuple(
            part.contiguous().numpy()
            for part in (lattice.rays_o, lattice.rays_d, lattice.jitter, lattice.dt_gamma)
        )
        cells = lattice.occupied.numpy()
        image, opacity = np.empty((rays, 3), np.float32), np.empty(rays, np.float32)
        counts = np.empty(rays, np.int64)
        kept: list[np.ndarray] = [np.empty(0)] * pieces

        def work(k: int) -> None:
            scene = k * scenes // pieces
            room = np.empty(((edges[k + 1] - edges[k]) * width, KEPT), np.float32)
            results = (saturation, stop, room, counts, image, opacity)
            total = _forward(
                edges[k],
                edges[k + 1],
                planes[scene],
                weights,
                terms,
                *paths,
                cells[scene],
                box,
                limits,
                *results,
            )
            kept[k] = room[:total]

        _each(work, pieces)
        results = torch.from_numpy(image), torch.from_numpy(opacity)
        ctx.save_for_backward(texels, heads, term, *results)
        ctx.given = (edges, paths[:2], box, saturation, stop, kept, counts)
        return results

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_image, d_opacity):
        texels, heads, term, image, opacity = ctx.saved_tensors
        edges, paths, box, saturation, stop, kept, counts = ctx.given
        pieces, scenes = len(kept), len(texels)
        planes, weights = texels.detach().numpy(), heads.detach().numpy()
        terms = None if term is None else term.detach().contiguous().numpy().ravel()
        pulls = tuple(
            part.detach().contiguous().numpy() for part in (image, opacity, d_image, d_opacity)
        )
        d_texels = np.zeros((pieces, *planes.shape[1:]), np.float32)
        d_heads = np.zeros((pieces, len(weights)), np.float32)
        d_terms = None if terms is None else np.zeros_like(terms)

        def work(k: int) -> None:
            scene = k * scenes // pieces
            _backward(
                edges[k], edges[k + 1], planes[scene], weights, terms, *paths, box, saturation, stop, kept[k],
                counts, *pulls, d_texels[k], d_heads[k], d_terms,
            )  # fmt: skip

        _each(work, pieces)
        by_scene = d_texels.reshape(scenes, -1, *planes.shape[1:]) if pieces > scenes else d_texels
        total = torch.from_numpy(by_scene.sum(1) if pieces > scenes else by_scene)
        d_term = None if term is None else torch.from_numpy(d_terms).reshape(term.shape)
        return total, torch.from_numpy(d_heads.sum(0)), d_term, None, None, None


def render_rays(
    texels: Float[Tensor, "scenes 3 rows cols hidden"],
    heads: Float[Tensor, " weights"],
    term: Float[Tensor, "rays hidden"] | None,
    lattice: Lattice,
    *,
    saturation: float,
    stop: float,
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
    """Colours over black and opacities of rays; differentiable in everything but the lattice.

    Args:
        texels: Planes times the decoder's first layer.
        heads: That layer's bias and the weights of density, red, green, blue, `hidden` each; then these four's biases.
        term: Contribution of each ray's direction to the base feature before colour, or None.
        lattice: The rays and where their samples may lie.
        saturation: Amount by which colours may exceed [0, 1].
        stop: A ray ends once less than this share of light passes.
    """
    return _Radiance.apply(texels.contiguous(), heads.contiguous(), term, lattice, saturation, stop)


@torch.no_grad()
def densities(
    texels: Float[Tensor, "scenes 3 rows cols hidden"],
    heads: Float[Tensor, " weights"],
    xyz: Float[Tensor, "points 3"],
    aabb: Float[Tensor, "2 3"],
) -> Float[Tensor, "scenes points"]:
    """Densities of several scenes at the same points, engine units (arguments as in `render_rays`)."""
    planes, weights, points = texels.contiguous().numpy(), heads.numpy(), xyz.contiguous().numpy()
    out, box = np.empty((len(planes), len(points)), np.float32), aabb.numpy()
    _each(lambda k: _densities(planes[k], weights, points, box, out[k]), len(planes))
    return torch.from_numpy(out)
