"""The Numba kernel that traces rays through a voxel field; `engine.kernels.voxel_frames` drives it.

All fields share the march (`engine.kernels.march_fast`). A voxel's density and colour are adjacent in memory, so both
are read at once.
"""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit

from engine.kernels.march_fast import (
    OPTIONS,
    ROUND,
    aim,
    composite,
    exp,
    gather,
    lattice_of,
    room_for_picks,
    room_for_rays,
    write,
)
from engine.kernels.render_fast import TILE

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


class _Samples(NamedTuple):
    """Samples of one round: distance, position in cells, transmittance, colour."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    passing: np.ndarray
    rgb: np.ndarray


@njit(**OPTIONS)
@no_type_check
def _voxel(x, per_cell, count):
    """The voxel before a position along one axis, and the share of the one after it."""
    u = min(max(x * per_cell - _HALF, _ZERO), np.float32(count - 1))
    before = min(np.floor(u), np.float32(count - 2))
    return np.uintp(before), u - before


@njit(**OPTIONS)
@no_type_check
def _mixed(grid, at, row, sheet, fx, fy, fz):
    """A trilinear read of the channel at `at` in the first of eight voxels."""
    four = np.uintp(4)
    a = grid[at] + fx * (grid[at + four] - grid[at])
    b = grid[at + row] + fx * (grid[at + row + four] - grid[at + row])
    above = at + sheet
    c = grid[above] + fx * (grid[above + four] - grid[above])
    d = grid[above + row] + fx * (grid[above + row + four] - grid[above + row])
    a += fy * (b - a)
    c += fy * (d - c)
    return a + fz * (c - a)


@njit(**OPTIONS)
@no_type_check
def _read(grid, counts, cells, samples, count, per_edge, most):
    """Transmittance and colour of each sample."""
    width, height, depth = counts
    per_x = np.float32(width) / np.float32(cells[0])
    per_y = np.float32(height) / np.float32(cells[1])
    per_z = np.float32(depth) / np.float32(cells[2])
    row = np.uintp(4) * np.uintp(width)
    sheet = row * np.uintp(height)
    for i in range(count):
        x, fx = _voxel(samples.x[i], per_x, width)
        y, fy = _voxel(samples.y[i], per_y, height)
        z, fz = _voxel(samples.z[i], per_z, depth)
        at = z * sheet + y * row + np.uintp(4) * x
        raw = _mixed(grid, at, row, sheet, fx, fy, fz)
        red = _mixed(grid, at + np.uintp(1), row, sheet, fx, fy, fz)
        green = _mixed(grid, at + np.uintp(2), row, sheet, fx, fy, fz)
        blue = _mixed(grid, at + np.uintp(3), row, sheet, fx, fy, fz)
        samples.passing[i] = _ONE - min(max(_HALF + _HALF * raw, _ZERO), most)
        samples.rgb[0, i] = min(max(_HALF + _HALF * red, _ZERO), _ONE)
        samples.rgb[1, i] = min(max(_HALF + _HALF * green, _ZERO), _ONE)
        samples.rgb[2, i] = min(max(_HALF + _HALF * blue, _ZERO), _ONE)
    for i in range(count):
        samples.passing[i] = exp(np.log(samples.passing[i]) * per_edge)


@njit(**OPTIONS)
@no_type_check
def _paint(rays, samples, picks, wanted):
    """Add the colours of the picked samples to their rays."""
    for channel in range(3):
        for pick in range(wanted):
            color = picks.weight[pick] * samples.rgb[channel, picks.sample[pick]]
            rays.rgb[channel, picks.ray[pick]] += color


@njit(nogil=True, **OPTIONS)
@no_type_check
def trace_voxel_tiles(
    grid, counts, per_edge, most, leaps, cells, low, high, box, camera, step, min_near, stop, carry,
    tiles, first, last, rgb, opacity, depth,
):  # fmt: skip
    """Trace `tiles[first:last]` of a picture, in rounds: gather samples, read, composite, paint."""
    lattice = lattice_of(leaps, cells, low, high, box, camera, step, min_near)
    size, capacity = TILE * TILE, TILE * TILE * ROUND
    rays, picks = room_for_rays(None), room_for_picks()
    samples = _Samples(
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
        np.empty((3, capacity), np.float32),
    )
    alive, ends = np.empty(size, np.int64), np.empty(size, np.int64)
    height, width = opacity.shape
    for n in range(first, last):
        tile = tiles[n]
        living = aim(rays, lattice, camera, tile, height, width, alive)
        while living > 0:
            still = gather(rays, lattice, samples, alive, living, ends)
            if still == 0:
                break
            count = ends[still - 1]
            _read(grid, counts, cells, samples, count, per_edge, most)
            living, wanted = composite(rays, samples, picks, alive, still, ends, stop, carry)
            _paint(rays, samples, picks, wanted)
        write(rays, tile, stop, _ZERO, rgb, opacity, depth)
