"""Numba kernels that march the rays of a picture through any field: set up, gather samples, composite, write.

Rays go in tiles, and all rays of a tile take turns: without data-dependent branches between the evaluations the processor
overlaps them. They leap through empty space on a grid of Chebyshev distances. A colour is evaluated only when enough
weight has gathered since the last one. Samples are decoded by the kernels of each kind of field
(`engine.kernels.trace_fast`).

Exponentials are implemented here to be inlined; a library's would be a call. `no_type_check` keeps the tests' run-time
type checker out of compiled code.
"""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from engine.kernels.kernel_cache import CACHED
from engine.kernels.lattice_fast import RUN, occupied_points
from engine.kernels.render_fast import TILE

NEAR = 2
"""If the next occupied cell is at most this many cells away, lattice points are tested run by run instead of leaping."""
ROUND = RUN
"""Samples of a ray in one round, at most."""
FIRST_SHARE = np.float32(0.125)
"""A ray's first colour is evaluated at this share of the usual weight, so that thin silhouettes have one."""

OPTIONS = {"fastmath": True, "error_model": "numpy", "cache": CACHED}
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@intrinsic
@no_type_check
def _float_of_bits(typing_context, bits):
    """The float32 with the given 32 bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(**OPTIONS)
@no_type_check
def exp(x):
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


@njit(**OPTIONS)
@no_type_check
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return _ONE / (_ONE + exp(-x))


@njit(**OPTIONS)
@no_type_check
def silu(x):
    """The activation: x * sigmoid(x)."""
    return x / (_ONE + exp(-x))


@njit(**OPTIONS)
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


@njit(**OPTIONS)
@no_type_check
def _inverse(v):
    return _ONE / v if abs(v) > np.float32(1e-9) else np.float32(1e9)


@njit(**OPTIONS)
@no_type_check
def _clamped_cell(x, size):
    """A position clamped to [0, size], and the lower face of its cell."""
    x = min(max(x, _ZERO), size)
    return x, min(np.floor(x), size - _ONE)


@njit(**OPTIONS)
@no_type_check
def _leave(x, cell, reach, inverse):
    """Distance to where a ray leaves the cells within `reach` of its own, along one axis."""
    face = cell + _ONE + reach if inverse > _ZERO else cell - reach
    return (face - x) * inverse


class Lattice(NamedTuple):
    """Candidate sample positions: in cells from the box's lower corner; distances are in engine units.

    All occupied cells lie between `low` and `high`.
    """

    leaps: np.ndarray
    cells: tuple[int, int, int]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    scale: tuple[float, float, float]
    origin: tuple[float, float, float]
    longest: float
    step: float
    min_near: float


class Rays(NamedTuple):
    """The rays of one tile.

    `waiting` is weight that has no colour yet, `colored` weight that has, `reached` the weighted distance; `next` and
    `end` are lattice indices; `term` holds the direction's share of the hidden layer where `has_term`, and is None where
    directions have none.
    """

    direction: np.ndarray
    along: np.ndarray
    near: np.ndarray
    next: np.ndarray
    end: np.ndarray
    through: np.ndarray
    waiting: np.ndarray
    colored: np.ndarray
    reached: np.ndarray
    rgb: np.ndarray
    has_term: np.ndarray
    term: np.ndarray | None


class Picks(NamedTuple):
    """Samples to be coloured: index, ray and weight of each, and its colour once known."""

    sample: np.ndarray
    ray: np.ndarray
    weight: np.ndarray
    rgb: np.ndarray


@njit(**OPTIONS)
@no_type_check
def lattice_of(leaps, cells, low, high, box, camera, step, min_near):
    """The lattice of a box (lower and upper corner) seen by a camera (its 3x4 pose, then intrinsics)."""
    gx, gy, gz = np.float32(cells[0]), np.float32(cells[1]), np.float32(cells[2])
    wide, deep, tall = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    sx, sy, sz = gx / wide, gy / deep, gz / tall
    ox, oy, oz = (camera[3] - box[0]) * sx, (camera[7] - box[1]) * sy, (camera[11] - box[2]) * sz
    longest = np.sqrt(wide * wide + deep * deep + tall * tall)
    return Lattice(leaps, cells, low, high, (sx, sy, sz), (ox, oy, oz), longest, step, min_near)


@njit(**OPTIONS)
@no_type_check
def room_for_rays(term):
    """Buffers for the rays of a tile."""
    size = TILE * TILE
    return Rays(
        direction=np.empty((3, size), np.float32),
        along=np.empty(size, np.float32),
        near=np.empty(size, np.float32),
        next=np.empty(size, np.int64),
        end=np.empty(size, np.int64),
        through=np.empty(size, np.float32),
        waiting=np.empty(size, np.float32),
        colored=np.empty(size, np.float32),
        reached=np.empty(size, np.float32),
        rgb=np.empty((3, size), np.float32),
        has_term=np.empty(size, np.bool_),
        term=term,
    )


@njit(**OPTIONS)
@no_type_check
def room_for_picks():
    """Buffers for the coloured samples of a tile's round."""
    capacity = TILE * TILE * ROUND
    return Picks(
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int64),
        np.empty(capacity, np.float32),
        np.empty((3, capacity), np.float32),
    )


@njit(**OPTIONS)
@no_type_check
def aim(rays, lattice, camera, tile, height, width, alive):
    """Initialise the rays of a tile; returns the number of those that meet the box, their indices in `alive`."""
    tiles_across = (width + TILE - 1) // TILE
    ox, oy, oz = lattice.origin
    sx, sy, sz = lattice.scale
    gx, gy, gz = lattice.cells
    living = 0
    for ray in range(TILE * TILE):
        row = tile // tiles_across * TILE + ray // TILE
        col = tile % tiles_across * TILE + ray % TILE
        dx, dy, dz, along = _pixel_direction(camera, row, col)
        ix, iy, iz = _inverse(dx * sx), _inverse(dy * sy), _inverse(dz * sz)
        x0, x1 = -ox * ix, (np.float32(gx) - ox) * ix
        y0, y1 = -oy * iy, (np.float32(gy) - oy) * iy
        z0, z1 = -oz * iz, (np.float32(gz) - oz) * iz
        near = max(max(min(x0, x1), min(y0, y1)), max(min(z0, z1), lattice.min_near))
        far = min(min(max(x0, x1), max(y0, y1)), max(z0, z1))
        rays.direction[0, ray], rays.direction[1, ray], rays.direction[2, ray] = dx, dy, dz
        rays.along[ray], rays.near[ray] = along, near
        rays.through[ray], rays.has_term[ray] = _ONE, False
        rays.waiting[ray], rays.colored[ray], rays.reached[ray] = _ZERO, _ZERO, _ZERO
        rays.rgb[0, ray], rays.rgb[1, ray], rays.rgb[2, ray] = _ZERO, _ZERO, _ZERO
        if far > near and row < height and col < width:
            chord = min(far - near, lattice.longest)
            (lx, ly, lz), (hx, hy, hz) = lattice.low, lattice.high
            x0, x1 = (lx - ox) * ix, (hx - ox) * ix
            y0, y1 = (ly - oy) * iy, (hy - oy) * iy
            z0, z1 = (lz - oz) * iz, (hz - oz) * iz
            enter = max(max(min(x0, x1), min(y0, y1)), min(z0, z1)) - near
            leave = min(min(max(x0, x1), max(y0, y1)), max(z0, z1)) - near
            # a point more at either end: what is occupied has been rounded
            first = max(int(enter / lattice.step - _HALF), 0)
            last = int(np.ceil(min(chord, leave + lattice.step) / lattice.step - _HALF))
            if enter <= leave and first < last:
                rays.next[ray], rays.end[ray] = first, last
                alive[living] = ray
                living += 1
    return living


@njit(**OPTIONS)
@no_type_check
def gather(rays, lattice, samples, alive, living, ends):
    """The next samples of every living ray, at most `ROUND` of each.

    Returns the number of rays that had any, with their indices in `alive` and the end of each one's samples in `ends`.
    """
    ox, oy, oz = lattice.origin
    sx, sy, sz = lattice.scale
    gx, gy, gz = lattice.cells
    per_step = _ONE / lattice.step
    count, still = 0, 0
    for place in range(living):
        ray = alive[place]
        near, k, end = rays.near[ray], rays.next[ray], rays.end[ray]
        vx, vy = rays.direction[0, ray] * sx, rays.direction[1, ray] * sy
        vz = rays.direction[2, ray] * sz
        ix, iy, iz = _inverse(vx), _inverse(vy), _inverse(vz)
        found = 0
        while k < end and found == 0:
            t = near + (np.float32(k) + _HALF) * lattice.step
            x, cx = _clamped_cell(ox + t * vx, np.float32(gx))
            y, cy = _clamped_cell(oy + t * vy, np.float32(gy))
            z, cz = _clamped_cell(oz + t * vz, np.float32(gz))
            cell = (np.uintp(cx) * np.uintp(gy) + np.uintp(cy)) * np.uintp(gz) + np.uintp(cz)
            leap = lattice.leaps[cell]
            if leap > NEAR:
                reach = np.float32(leap) - _ONE
                away = min(_leave(x, cx, reach, ix), _leave(y, cy, reach, iy))
                away = min(away, _leave(z, cz, reach, iz))
                k = max(k + 1, int(np.ceil((t + away - near) * per_step - _HALF)))
            else:
                found = occupied_points(
                    lattice.leaps, lattice.cells, k, end, near, lattice.step, lattice.origin, (vx, vy, vz),
                    samples.t, samples.x, samples.y, samples.z, count,
                )  # fmt: skip
                k += RUN
        rays.next[ray] = k
        if found > 0:
            count += found
            alive[still], ends[still] = ray, count
            still += 1
    return still


@njit(**OPTIONS)
@no_type_check
def composite(rays, samples, picks, alive, still, ends, stop, carry):
    """Composite every ray's samples; returns the number of rays that go on (in `alive`) and of colours to evaluate."""
    wanted, living, i = 0, 0, 0
    for place in range(still):
        ray = alive[place]
        through, waiting = rays.through[ray], rays.waiting[ray]
        colored, reached = rays.colored[ray], rays.reached[ray]
        while i < ends[place] and through >= stop:
            weight = through * (_ONE - samples.passing[i])
            through *= samples.passing[i]
            waiting += weight
            reached += weight * samples.t[i]
            if waiting > (carry if colored > _ZERO else FIRST_SHARE * carry):
                picks.sample[wanted], picks.ray[wanted], picks.weight[wanted] = i, ray, waiting
                wanted += 1
                colored += waiting
                waiting = _ZERO
            i += 1
        i = ends[place]
        rays.through[ray], rays.waiting[ray] = through, waiting
        rays.colored[ray], rays.reached[ray] = colored, reached
        if through >= stop and rays.next[ray] < rays.end[ray]:
            alive[living] = ray
            living += 1
    return living, wanted


@njit(**OPTIONS)
@no_type_check
def write(rays, tile, stop, saturation, rgb, opacity, depth):
    """Write a finished tile to the picture. A ray that was stopped early counts as opaque."""
    wide = _ONE + saturation + saturation
    height, width = opacity.shape
    tiles_across = (width + TILE - 1) // TILE
    for ray in range(TILE * TILE):
        row = tile // tiles_across * TILE + ray // TILE
        col = tile % tiles_across * TILE + ray % TILE
        if row >= height or col >= width:
            continue
        covered, per_color, per_weight = _ZERO, _ZERO, _ZERO
        if rays.colored[ray] > _ZERO:
            total = rays.colored[ray] + rays.waiting[ray]
            covered = _ONE if rays.through[ray] < stop else total
            per_color, per_weight = covered / rays.colored[ray], covered / total
        for channel in range(3):
            rgb[row, col, channel] = (
                wide * rays.rgb[channel, ray] * per_color - saturation * covered
            )
        opacity[row, col] = covered
        depth[row, col] = rays.reached[ray] * per_weight * rays.along[ray]
