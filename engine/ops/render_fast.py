"""Numba kernels that render a triplane field on the CPU.

The first layer is linear and the lookup bilinear, so the planes are multiplied by the layer once and a point costs
three bilinear reads that are added, one activation and one dot product. Rays leap through empty space on a grid of
Chebyshev distances. A colour is evaluated only when enough weight has gathered since the last one.

Kernels are compiled per width of the base feature (`hidden`) and cached on disk. They keep three rules, each worth a
factor of two or more: loops over `hidden` store nothing (stores alias), read at unsigned offsets, and call no library
exponential. Scalar helpers are globals and not closures, without which the disk cache would never be hit, and
`no_type_check` keeps the tests' run-time type checker out of compiled code.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

TILE = 8
"""Rays are traced in square tiles of this many pixels, for the sake of the caches."""
FIRST_SHARE = np.float32(0.125)
"""A ray's first colour is evaluated at this share of the usual weight, so that thin silhouettes have one."""
MAX_LEAP = 254
"""Longest leap, cells; the leap grid has bytes."""
MIN_BATCHES, MAX_BATCH = 24, 64
"""Batches of tiles in a picture, at least; tiles in a batch, at most."""

_options = {"fastmath": True, "error_model": "numpy", "cache": True}
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@intrinsic
@no_type_check
def _float_of_bits(typing_context, bits):
    """The float32 with the given 32 bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(**_options)
@no_type_check
def _exp(x):
    """Exp to 3e-7 relative, clamped to |x| <= 87: Cody-Waite reduction and a polynomial."""
    x = min(max(x, np.float32(-87)), np.float32(87))
    n = np.floor(x * np.float32(1.4426950408889634) + _HALF)
    r = x - n * np.float32(0.693145751953125)
    r -= n * np.float32(1.428606820309417e-06)
    p = np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + _HALF
    p = p * r + _ONE
    p = p * r + _ONE
    return p * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))


@njit(**_options)
@no_type_check
def _sigmoid(x):
    return _ONE / (_ONE + _exp(-x))


@njit(**_options)
@no_type_check
def _silu(x):
    return x / (_ONE + _exp(-x))


@njit(**_options)
@no_type_check
def _pixel_direction(camera, row, col):
    """Unit world direction through a pixel's centre, and its share along the view axis.

    `camera` is c2w's upper three rows, then fx fy cx cy.
    """
    x = (np.float32(col) + _HALF - camera[14]) / camera[12]
    y = (np.float32(row) + _HALF - camera[15]) / camera[13]
    scale = _ONE / np.sqrt(x * x + y * y + _ONE)
    return (
        (camera[0] * x + camera[1] * y + camera[2]) * scale,
        (camera[4] * x + camera[5] * y + camera[6]) * scale,
        (camera[8] * x + camera[9] * y + camera[10]) * scale,
        scale,
    )


@njit(**_options)
@no_type_check
def _inverse(v):
    return _ONE / v if abs(v) > np.float32(1e-9) else np.float32(1e9)


@njit(**_options)
@no_type_check
def _clamped_cell(x, size):
    """A position kept in [0, size], and the lower face of its cell."""
    x = min(max(x, _ZERO), size)
    return x, min(np.floor(x), size - _ONE)


@njit(**_options)
@no_type_check
def _leave(x, cell, reach, inverse):
    """Distance to where a ray leaves the cells within `reach` of its own, along one axis."""
    face = cell + _ONE + reach if inverse > _ZERO else cell - reach
    return (face - x) * inverse


@njit(**_options)
@no_type_check
def _texel(x, per_cell, last):
    """The two texels next to a position, and the second's share."""
    u = min(max(x * per_cell - _HALF, _ZERO), last)
    low = np.floor(u)
    return np.uintp(low), np.uintp(min(low + _ONE, last)), u - low


@njit(**_options)
@no_type_check
def _corners(col, row, cols, hidden, start):
    """Offsets and weights of the four texels around a point of one plane."""
    top = start + row[0] * cols * hidden
    bottom = start + row[1] * cols * hidden
    left, right = col[0] * hidden, col[1] * hidden
    offsets = (top + left, top + right, bottom + left, bottom + right)
    below, beside = row[2], col[2]
    above, before = _ONE - below, _ONE - beside
    return offsets, (above * before, above * beside, below * before, below * beside)


@njit(**_options)
@no_type_check
def _blend(planes, at, by, j):
    """Component `j` of one plane's feature."""
    return (
        by[0] * planes[at[0] + j]
        + by[1] * planes[at[1] + j]
        + by[2] * planes[at[2] + j]
        + by[3] * planes[at[3] + j]
    )


@njit(**_options)
@no_type_check
def _harmonics(x, y, z, out):
    """The 16 harmonics of `engine.ops.harmonics`, in place."""
    xx, yy, zz = x * x, y * y, z * z
    out[0] = 0.28209479177387814
    out[1] = -0.48860251190291987 * y
    out[2] = 0.48860251190291987 * z
    out[3] = -0.48860251190291987 * x
    out[4] = 1.0925484305920792 * x * y
    out[5] = -1.0925484305920792 * y * z
    out[6] = 0.94617469575755997 * zz - 0.31539156525251999
    out[7] = -1.0925484305920792 * x * z
    out[8] = 0.54627421529603959 * (xx - yy)
    out[9] = 0.59004358992664352 * y * (yy - 3 * xx)
    out[10] = 2.8906114426405538 * x * y * z
    out[11] = 0.45704579946446572 * y * (1 - 5 * zz)
    out[12] = 0.3731763325901154 * z * (5 * zz - 3)
    out[13] = 0.45704579946446572 * x * (1 - 5 * zz)
    out[14] = 1.4453057213202769 * z * (xx - yy)
    out[15] = 0.59004358992664352 * x * (3 * yy - xx)


@lru_cache
@no_type_check
def ray_kernel(hidden: int, directed: bool):
    """The kernel that traces tiles of rays, for one width, with or without a direction term.

    Its arguments: premultiplied planes (flat `3 rows cols hidden`, bias included) and their rows and cols; density
    head (`hidden` weights, bias), colour head (`3 hidden` weights, 3 biases), direction layer (`16 hidden` weights,
    `hidden` biases); leaps (flat, 0 where occupied) and their grid's shape; box (low, high); camera (as in
    `_pixel_direction`), height, width; first and last tile; step, stop and carry as in `engine.render.Tier`, nearest
    distance; and what it writes: colour over black before saturation, opacity, opacity-weighted z-depth.
    """
    sixteen = np.uintp(16)

    @njit(nogil=True, **_options)
    def trace(
        planes, rows, cols, density_head, color_head, direction,
        leaps, grid, box, camera, height, width, first, last, dt, stop, carry, min_near,
        rgb, opacity, depth,
    ):  # fmt: skip
        width_in = np.uintp(hidden)
        columns = np.uintp(cols)
        plane_1 = np.uintp(rows) * columns * width_in
        plane_2 = plane_1 + plane_1
        bias_at = width_in + width_in + width_in
        last_col, last_row = np.float32(cols - 1), np.float32(rows - 1)
        gx, gy, gz = np.float32(grid[0]), np.float32(grid[1]), np.float32(grid[2])
        sx, sy, sz = gx / (box[3] - box[0]), gy / (box[4] - box[1]), gz / (box[5] - box[2])
        cols_x, cols_y = np.float32(cols) / gx, np.float32(cols) / gy
        rows_y, rows_z = np.float32(rows) / gy, np.float32(rows) / gz
        # Positions are in cells from here on, distances stay in engine units.
        ox, oy, oz = (
            (camera[3] - box[0]) * sx,
            (camera[7] - box[1]) * sy,
            (camera[11] - box[2]) * sz,
        )
        per_dt = _ONE / dt
        term = np.zeros(hidden, np.float32)
        basis = np.empty(16, np.float32)
        tiles_across = (width + TILE - 1) // TILE
        for index in range(first * TILE * TILE, last * TILE * TILE):
            tile, pixel = index // (TILE * TILE), index % (TILE * TILE)
            row = tile // tiles_across * TILE + pixel // TILE
            col = tile % tiles_across * TILE + pixel % TILE
            if row >= height or col >= width:
                continue
            dx, dy, dz, along = _pixel_direction(camera, row, col)
            vx, vy, vz = dx * sx, dy * sy, dz * sz
            ix, iy, iz = _inverse(vx), _inverse(vy), _inverse(vz)
            x0, x1 = -ox * ix, (gx - ox) * ix
            y0, y1 = -oy * iy, (gy - oy) * iy
            z0, z1 = -oz * iz, (gz - oz) * iz
            near = max(max(min(x0, x1), min(y0, y1)), max(min(z0, z1), min_near))
            far = min(min(max(x0, x1), max(y0, y1)), max(z0, z1))
            count = int(np.ceil((far - near) * per_dt - _HALF)) if far > near else 0
            through, waiting, colored = _ONE, _ZERO, _ZERO
            red, green, blue, reached = _ZERO, _ZERO, _ZERO, _ZERO
            has_term = False
            k = 0
            while k < count:
                t = near + (np.float32(k) + _HALF) * dt
                x, cx = _clamped_cell(ox + t * vx, gx)
                y, cy = _clamped_cell(oy + t * vy, gy)
                z, cz = _clamped_cell(oz + t * vz, gz)
                cell = (np.uintp(cx) * np.uintp(grid[1]) + np.uintp(cy)) * np.uintp(grid[2])
                leap = leaps[cell + np.uintp(cz)]
                k += 1
                if leap > 0:
                    reach = np.float32(leap) - _ONE
                    away = min(_leave(x, cx, reach, ix), _leave(y, cy, reach, iy))
                    away = min(away, _leave(z, cz, reach, iz))
                    k = max(k, int(np.ceil((t + away - near) * per_dt - _HALF)))
                    continue
                u, v = _texel(x, cols_x, last_col), _texel(y, rows_y, last_row)
                s, w = _texel(y, cols_y, last_col), _texel(z, rows_z, last_row)
                at_0, by_0 = _corners(u, v, columns, width_in, np.uintp(0))
                at_1, by_1 = _corners(u, w, columns, width_in, plane_1)
                at_2, by_2 = _corners(s, w, columns, width_in, plane_2)
                raw = density_head[width_in]
                for j in range(width_in):
                    base = _blend(planes, at_0, by_0, j) + _blend(planes, at_1, by_1, j)
                    raw += density_head[j] * _silu(base + _blend(planes, at_2, by_2, j))
                passing = _exp(-_exp(raw) * dt)
                weight = through * (_ONE - passing)
                through *= passing
                waiting += weight
                reached += weight * t
                if waiting > carry or (colored == _ZERO and waiting > FIRST_SHARE * carry):
                    if directed and not has_term:
                        has_term = True
                        _harmonics(dx, dy, dz, basis)
                        for j in range(width_in):
                            term[j] = direction[sixteen * width_in + j]
                        for n in range(sixteen):
                            for j in range(width_in):
                                term[j] += basis[n] * direction[n * width_in + j]
                    raw_r, raw_g, raw_b = _ZERO, _ZERO, _ZERO
                    for j in range(width_in):
                        base = _blend(planes, at_0, by_0, j) + _blend(planes, at_1, by_1, j)
                        unit = _silu(base + _blend(planes, at_2, by_2, j) + term[j])
                        raw_r += color_head[j] * unit
                        raw_g += color_head[width_in + j] * unit
                        raw_b += color_head[width_in + width_in + j] * unit
                    red += waiting * _sigmoid(raw_r + color_head[bias_at])
                    green += waiting * _sigmoid(raw_g + color_head[bias_at + np.uintp(1)])
                    blue += waiting * _sigmoid(raw_b + color_head[bias_at + np.uintp(2)])
                    colored += waiting
                    waiting = _ZERO
                if through < stop:
                    break
            total = colored + waiting
            if colored > _ZERO:
                covered = _ONE if through < stop else total
                rgb[row, col, 0] = red * covered / colored
                rgb[row, col, 1] = green * covered / colored
                rgb[row, col, 2] = blue * covered / colored
                opacity[row, col] = covered
                depth[row, col] = along * reached * covered / total
            else:
                rgb[row, col, 0] = _ZERO
                rgb[row, col, 1] = _ZERO
                rgb[row, col, 2] = _ZERO
                opacity[row, col] = _ZERO
                depth[row, col] = _ZERO

    return trace


@lru_cache
@no_type_check
def probe_kernel(hidden: int):
    """The kernel that evaluates the raw density on a lattice, for one width.

    Its arguments: features of the three planes on the lattice (`xs ys hidden`, `xs zs hidden`, `ys zs hidden`, flat),
    density head (`hidden` weights, bias), and what it writes, `xs ys zs`.
    """

    @njit(nogil=True, **_options)
    def probe(plane_xy, plane_xz, plane_yz, density_head, raw):
        width_in = np.uintp(hidden)
        xs, ys, zs = np.uintp(raw.shape[0]), np.uintp(raw.shape[1]), np.uintp(raw.shape[2])
        for x in range(xs):
            for y in range(ys):
                at_xy = (x * ys + y) * width_in
                for z in range(zs):
                    at_xz, at_yz = (x * zs + z) * width_in, (y * zs + z) * width_in
                    total = density_head[width_in]
                    for j in range(width_in):
                        base = plane_xy[at_xy + j] + plane_xz[at_xz + j] + plane_yz[at_yz + j]
                        total += density_head[j] * _silu(base)
                    raw[x, y, z] = total

    return probe


@njit(nogil=True, cache=True)
@no_type_check
def _sweep(leaps, backwards):
    """One half of the two-pass distance transform: look at the 13 neighbours already visited."""
    gx, gy, gz = leaps.shape
    step = -1 if backwards else 1
    one = np.int16(1)
    for i in range(gx):
        x = gx - 1 - i if backwards else i
        for n in range(gy):
            y = gy - 1 - n if backwards else n
            here = leaps[x, y]
            for c in range(4):
                nx = x - step if c < 3 else x
                ny = y + c - 1 if c < 3 else y - step
                if 0 <= nx < gx and 0 <= ny < gy:
                    there = leaps[nx, ny]
                    here[0] = min(here[0], there[0] + one, there[min(1, gz - 1)] + one)
                    for z in range(1, gz - 1):
                        nearest = min(min(there[z - 1], there[z]), there[z + 1])
                        here[z] = min(here[z], nearest + one)
                    here[gz - 1] = min(
                        here[gz - 1], there[gz - 1] + one, there[max(gz - 2, 0)] + one
                    )
            for m in range(1, gz):
                z = gz - 1 - m if backwards else m
                here[z] = min(here[z], here[z - step] + one)


def leap_grid(occupied: Bool[np.ndarray, "gx gy gz"]) -> UInt8[np.ndarray, "gx gy gz"]:
    """Chebyshev distance of every cell to the nearest occupied one, at most `MAX_LEAP`; 0 where occupied."""
    leaps = np.where(occupied, 0, MAX_LEAP).astype(np.int16)
    _sweep(leaps, False)
    _sweep(leaps, True)
    return leaps.astype(np.uint8)


@dataclass(frozen=True)
class Tables:
    """A triplane field as the kernels read it.

    Attributes:
        planes: Planes times the first layer, bias included: `3 rows cols hidden`.
        density_head: `hidden` weights, then the bias.
        color_head: Three rows of `hidden` weights, then three biases.
        direction: 16 rows of `hidden` weights, then `hidden` biases; None where colour ignores the direction.
        saturation: How far colours reach beyond [0, 1].
        box: Lower and upper corner, engine units.
    """

    planes: Float32[np.ndarray, "3 rows cols hidden"]
    density_head: Float32[np.ndarray, " density_values"]
    color_head: Float32[np.ndarray, " color_values"]
    direction: Float32[np.ndarray, " direction_values"] | None
    saturation: float
    box: Float32[np.ndarray, " 6"]


@dataclass(frozen=True)
class March:
    """How rays run.

    Attributes:
        leaps: From `leap_grid`, over the field's box.
        step: Distance between lattice points, engine units.
        stop: A ray ends once less than this share of light passes.
        carry: A colour is evaluated whenever this much weight has gathered.
        min_near: Nothing is sampled nearer to the camera than this.
    """

    leaps: UInt8[np.ndarray, "gx gy gz"]
    step: float
    stop: float
    carry: float
    min_near: float


def trace(
    tables: Tables,
    march: March,
    camera: Float32[np.ndarray, "16"],
    height: int,
    width: int,
    *,
    threads: int,
    stop: Callable[[], bool] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Trace a picture on several threads, which take turns at batches of tiles.

    Args:
        tables: The field.
        march: How rays run.
        camera: c2w's upper three rows, then fx fy cx cy.
        height: Rows of the picture.
        width: Columns of the picture.
        threads: Threads to use, the caller's included.
        stop: Asked by the caller's thread between its batches; True gives the picture up.

    Returns:
        Colour over black (`height width 3`), opacity, opacity-weighted z-depth; or None if it was given up.
    """
    shape = tables.planes.shape
    kernel = ray_kernel(shape[3], tables.direction is not None)
    rgb = np.empty((height, width, 3), np.float32)
    opacity, depth = np.empty((2, height, width), np.float32)
    tiles = math.ceil(height / TILE) * math.ceil(width / TILE)
    batch = min(math.ceil(tiles / MIN_BATCHES), MAX_BATCH)
    turn = itertools.count()
    given_up = threading.Event()

    def work(stop: Callable[[], bool] | None) -> None:
        while not given_up.is_set():
            if stop is not None and stop():
                given_up.set()
                return
            first = next(turn) * batch
            if first >= tiles:
                return
            kernel(
                tables.planes.ravel(),
                shape[1],
                shape[2],
                tables.density_head,
                tables.color_head,
                tables.density_head if tables.direction is None else tables.direction,
                march.leaps.ravel(),
                march.leaps.shape,
                tables.box,
                camera,
                height,
                width,
                first,
                min(first + batch, tiles),
                np.float32(march.step),
                np.float32(march.stop),
                np.float32(march.carry),
                np.float32(march.min_near),
                rgb,
                opacity,
                depth,
            )

    helpers = [_pool().submit(work, None) for _ in range(threads - 1)]
    work(stop)
    for helper in helpers:
        helper.result()
    if given_up.is_set():
        return None
    saturation = np.float32(tables.saturation)
    rgb *= 1 + 2 * saturation
    rgb -= saturation * opacity[..., None]
    return rgb, opacity, depth


@lru_cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="render")


def cell_density(tables: Tables, cells: int) -> Float32[np.ndarray, "gx gy gz"]:
    """The largest density found in each of `cells`^3 cells of the box.

    Densities are probed at the corners of the cells, and in between where texels are finer than cells.
    """
    _, rows, cols, hidden = tables.planes.shape
    per_cell = math.ceil(max(rows, cols) / cells)
    count = cells * per_cell + 1
    features = [_on_lattice(plane, count).ravel() for plane in tables.planes]
    raw = np.empty((count, count, count), np.float32)
    probe_kernel(hidden)(*features, tables.density_head, raw)
    for _ in range(3):
        slices = [raw[i : i + count - per_cell : per_cell] for i in range(per_cell + 1)]
        raw = np.moveaxis(reduce(np.maximum, slices), 0, -1)
    return np.exp(np.minimum(raw, 80))


def _on_lattice(
    plane: Float32[np.ndarray, "rows cols hidden"], count: int
) -> Float32[np.ndarray, "count count hidden"]:
    """A plane read at `count` x `count` points from edge to edge, its first coordinate (the columns) first."""
    for axis in (1, 0):
        size = plane.shape[axis]
        place = np.clip(np.linspace(0, size, count) - 0.5, 0, size - 1)
        low = np.minimum(place.astype(np.int64), max(size - 2, 0))
        share = (place - low).astype(np.float32)
        share = share.reshape([-1 if a == axis else 1 for a in range(3)])
        high = np.minimum(low + 1, size - 1)
        plane = plane.take(low, axis) * (1 - share) + plane.take(high, axis) * share
    return np.ascontiguousarray(plane.swapaxes(0, 1))
