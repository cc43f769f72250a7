"""Triton helpers and a kernel for triplane fields on a GPU: lattice points, lookups and their adjoint, densities.

One lane per hidden channel. As in `engine.kernels.trace_fast` the planes come multiplied by the first layer, which torch
does (and differentiates).

The module needs Triton, which comes with torch's CUDA builds; `TRITON_INTERPRET=1` runs it on a CPU, slowly.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl
from torch import Tensor

POINTS = 16
"""Points that a program of `densities` takes."""

# ------------------------------------------------------------------------------------- geometry


@triton.jit
@no_type_check
def _slab(origin, direction, low, high):
    """Distances at which a line enters and leaves a slab of the box along one axis."""
    inverse = tl.div_rn(1.0, direction)
    first, second = (low - origin) * inverse, (high - origin) * inverse
    return tl.minimum(first, second), tl.maximum(first, second)


@triton.jit
@no_type_check
def interval(ox, oy, oz, dx, dy, dz, box, min_near):
    """Distances at which a ray enters and leaves the box; the second is -1 for a ray that misses."""
    x0, x1 = _slab(ox, dx, tl.load(box), tl.load(box + 3))
    y0, y1 = _slab(oy, dy, tl.load(box + 1), tl.load(box + 4))
    z0, z1 = _slab(oz, dz, tl.load(box + 2), tl.load(box + 5))
    near = tl.maximum(tl.maximum(x0, y0), z0)
    far = tl.minimum(tl.minimum(x1, y1), z1)
    far = tl.where(near > far, -1.0, far)
    return tl.maximum(near, min_near), far


@triton.jit
@no_type_check
def stride(t, gamma, dt_min, dt_max):
    """Length of the step at a distance."""
    return tl.minimum(tl.maximum(t * gamma, dt_min), dt_max)


@triton.jit
@no_type_check
def _cell(x, low, high, cells):
    """Index of the cell around a position along one axis."""
    x = tl.minimum(tl.maximum(x, low), high)
    place = tl.floor((x - low) * tl.div_rn(cells * 1.0, high - low)).to(tl.int32)
    return tl.minimum(tl.maximum(place, 0), cells - 1)


@triton.jit
@no_type_check
def is_occupied(occupied, ox, oy, oz, dx, dy, dz, t, valid, box, gx, gy, gz):
    """Mask of the points at distances `t` that lie in occupied cells."""
    i = _cell(ox + t * dx, tl.load(box), tl.load(box + 3), gx)
    j = _cell(oy + t * dy, tl.load(box + 1), tl.load(box + 4), gy)
    k = _cell(oz + t * dz, tl.load(box + 2), tl.load(box + 5), gz)
    return (tl.load(occupied + (i * gy + j) * gz + k, mask=valid, other=0) != 0) & valid


@triton.jit
@no_type_check
def chunk(t, gamma, dt_min, dt_max, CHUNK: tl.constexpr):
    """The next `CHUNK` lattice points from `t` on, and the one after them."""
    lane = tl.arange(0, CHUNK)
    points = tl.zeros([CHUNK], tl.float32)
    for k in tl.static_range(CHUNK):
        points = tl.where(lane == k, t, points)
        t = t + stride(t, gamma, dt_min, dt_max)
    return points, t


@triton.jit
@no_type_check
def bits_of(flags, CHUNK: tl.constexpr):
    """Flags packed into the bits of one integer."""
    ones = tl.full([CHUNK], 1, tl.int64) << tl.arange(0, CHUNK).to(tl.int64)
    return tl.sum(tl.where(flags, ones, 0))


@triton.jit
@no_type_check
def place_of(power):
    """Index of the single set bit of a power of two, read from the exponent of its float32 value."""
    return (power.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127


# --------------------------------------------------------------------------------------- lookup


@triton.jit
@no_type_check
def _texel(x, low, high, texels):
    """The texels around a position along one axis, and the share of the second one."""
    place = (tl.minimum(tl.maximum(x, low), high) - low) * (texels / (high - low)) - 0.5
    place = tl.minimum(tl.maximum(place, 0.0), texels - 1.0)
    first = place.to(tl.int32)
    return first, tl.minimum(first + 1, texels - 1), place - first


@triton.jit
@no_type_check
def _read(plane, c0, c1, fc, r0, r1, fr, cols, hidden, H: tl.constexpr):
    """A bilinear read of `H` channels at one point of a plane."""
    valid = hidden < H
    top = tl.load(plane + (r0 * cols + c0) * H + hidden, mask=valid, other=0.0) * (1 - fc)
    top += tl.load(plane + (r0 * cols + c1) * H + hidden, mask=valid, other=0.0) * fc
    bottom = tl.load(plane + (r1 * cols + c0) * H + hidden, mask=valid, other=0.0) * (1 - fc)
    bottom += tl.load(plane + (r1 * cols + c1) * H + hidden, mask=valid, other=0.0) * fc
    return top * (1 - fr) + bottom * fr


@triton.jit
@no_type_check
def _spread(plane, c0, c1, fc, r0, r1, fr, cols, hidden, values, H: tl.constexpr):
    """The adjoint of `_read`: add `values` to the four texels."""
    valid = hidden < H
    top, bottom = values * (1 - fr), values * fr
    at = plane + hidden
    tl.atomic_add(at + (r0 * cols + c0) * H, top * (1 - fc), mask=valid, sem="relaxed")
    tl.atomic_add(at + (r0 * cols + c1) * H, top * fc, mask=valid, sem="relaxed")
    tl.atomic_add(at + (r1 * cols + c0) * H, bottom * (1 - fc), mask=valid, sem="relaxed")
    tl.atomic_add(at + (r1 * cols + c1) * H, bottom * fc, mask=valid, sem="relaxed")


@triton.jit
@no_type_check
def _texels(x, y, z, box, rows, cols):
    """Results of `_texel` for x along columns, y along rows and along columns, and z along rows."""
    lx, ly, lz = tl.load(box), tl.load(box + 1), tl.load(box + 2)
    hx, hy, hz = tl.load(box + 3), tl.load(box + 4), tl.load(box + 5)
    xc0, xc1, xcf = _texel(x, lx, hx, cols)
    yr0, yr1, yrf = _texel(y, ly, hy, rows)
    yc0, yc1, ycf = _texel(y, ly, hy, cols)
    zr0, zr1, zrf = _texel(z, lz, hz, rows)
    return xc0, xc1, xcf, yr0, yr1, yrf, yc0, yc1, ycf, zr0, zr1, zrf


@triton.jit
@no_type_check
def base_at(features, x, y, z, box, rows, cols, hidden, H: tl.constexpr):
    """The base feature at a point, before the bias."""
    xc0, xc1, xcf, yr0, yr1, yrf, yc0, yc1, ycf, zr0, zr1, zrf = _texels(x, y, z, box, rows, cols)
    size = rows * cols * H
    base = _read(features, xc0, xc1, xcf, yr0, yr1, yrf, cols, hidden, H)
    base += _read(features + size, xc0, xc1, xcf, zr0, zr1, zrf, cols, hidden, H)
    return base + _read(features + 2 * size, yc0, yc1, ycf, zr0, zr1, zrf, cols, hidden, H)


@triton.jit
@no_type_check
def base_back(gradient, values, x, y, z, box, rows, cols, hidden, H: tl.constexpr):
    """The adjoint of `base_at`."""
    xc0, xc1, xcf, yr0, yr1, yrf, yc0, yc1, ycf, zr0, zr1, zrf = _texels(x, y, z, box, rows, cols)
    size = rows * cols * H
    _spread(gradient, xc0, xc1, xcf, yr0, yr1, yrf, cols, hidden, values, H)
    _spread(gradient + size, xc0, xc1, xcf, zr0, zr1, zrf, cols, hidden, values, H)
    _spread(gradient + 2 * size, yc0, yc1, ycf, zr0, zr1, zrf, cols, hidden, values, H)


@triton.jit
@no_type_check
def heads_of(heads, hidden, H: tl.constexpr):
    """Bias of the base feature, density weights and three rows of colour weights."""
    valid = hidden < H
    bias = tl.load(heads + hidden, mask=valid, other=0.0)
    density = tl.load(heads + H + hidden, mask=valid, other=0.0)
    red = tl.load(heads + 2 * H + hidden, mask=valid, other=0.0)
    green = tl.load(heads + 3 * H + hidden, mask=valid, other=0.0)
    blue = tl.load(heads + 4 * H + hidden, mask=valid, other=0.0)
    return bias, density, red, green, blue


# ------------------------------------------------------------------------------------ densities


@triton.jit
@no_type_check
def _densities(
    xyz, box, features, heads, density, points, rows, cols,
    H: tl.constexpr, LANES: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """Densities of some points in one scene."""
    scene = tl.program_id(1).to(tl.int64)
    point = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    valid = point < points
    x = tl.load(xyz + 3 * point, mask=valid, other=0.0)[:, None]
    y = tl.load(xyz + 3 * point + 1, mask=valid, other=0.0)[:, None]
    z = tl.load(xyz + 3 * point + 2, mask=valid, other=0.0)[:, None]
    hidden = tl.arange(0, LANES)[None, :]
    bias, weights, _, _, _ = heads_of(heads, hidden, H)
    base = bias + base_at(
        features + scene * 3 * rows * cols * H, x, y, z, box, rows, cols, hidden, H
    )
    raw = tl.sum(weights * base * tl.sigmoid(base), 1) + tl.load(heads + 5 * H)
    tl.store(density + scene * points + point, tl.exp(raw), mask=valid)


def densities(features: Tensor, heads: Tensor, aabb: Tensor, xyz: Tensor) -> Tensor:
    """Densities `scenes points` of the same points in every scene, not differentiable.

    Args:
        features: As for `engine.kernels.rays_triton.render_rays`.
        heads: As for `engine.kernels.rays_triton.render_rays`.
        aabb: The field's box.
        xyz: Points, engine units.
    """
    scenes, _, rows, cols, hidden = features.shape
    density = features.new_empty(scenes, len(xyz))
    grid = (triton.cdiv(len(xyz), POINTS), scenes)
    _densities[grid](
        xyz.contiguous(), aabb.flatten().contiguous(), features.contiguous(), heads, density,
        len(xyz), rows, cols, H=hidden, LANES=triton.next_power_of_2(hidden), POINTS=POINTS,
    )  # fmt: skip
    return density
