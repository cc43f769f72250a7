"""Empty space of a triplane field on the CPU: densities on a lattice, and leaps over empty cells."""

from __future__ import annotations

import math
from functools import reduce
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numba import njit

from engine.kernels.kernel_cache import CACHED
from engine.kernels.march_fast import silu

MAX_LEAP = 254
"""Longest leap, cells; the leap grid has bytes."""


@njit(nogil=True, fastmath=True, error_model="numpy", cache=CACHED)
@no_type_check
def _probe(plane_xy, plane_xz, plane_yz, hidden, head, raw):
    """Density on a lattice, before its activation.

    The planes' features are given on the lattice (`xs ys hidden`, `xs zs hidden`, `ys zs hidden`, flat).
    """
    hidden = np.uintp(hidden)
    xs, ys, zs = np.uintp(raw.shape[0]), np.uintp(raw.shape[1]), np.uintp(raw.shape[2])
    for x in range(xs):
        for y in range(ys):
            at_xy = (x * ys + y) * hidden
            for z in range(zs):
                at_xz, at_yz = (x * zs + z) * hidden, (y * zs + z) * hidden
                total = head[hidden]
                for j in range(hidden):
                    base = plane_xy[at_xy + j] + plane_xz[at_xz + j] + plane_yz[at_yz + j]
                    total += head[j] * silu(base)
                raw[x, y, z] = total


@njit(nogil=True, cache=CACHED)
@no_type_check
def _sweep(leaps, backwards):
    """One pass of the two-pass distance transform, over the 13 neighbours already visited."""
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


def extent(
    leaps: UInt8[np.ndarray, "gx gy gz"],
) -> tuple[Float32[np.ndarray, " 3"], Float32[np.ndarray, " 3"]]:
    """Lowest and highest corner of the occupied cells, in cells; equal corners if none is occupied."""
    occupied = leaps == 0
    sides = [np.flatnonzero(occupied.any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
    low = [side[0] if len(side) else 0 for side in sides]
    high = [side[-1] + 1 if len(side) else 0 for side in sides]
    return np.array(low, np.float32), np.array(high, np.float32)


def cell_density(
    planes: Float32[np.ndarray, "3 rows cols hidden"],
    heads: Float32[np.ndarray, " head_values"],
    cells: int,
) -> Float32[np.ndarray, "gx gy gz"]:
    """The largest density found in each of `cells`^3 cells of a field's box.

    Densities are probed at the corners of the cells, and in between where texels are finer than cells.

    Args:
        planes: Planes times the first layer, as in `engine.kernels.triplane_frames.TriplaneOnCpu`.
        heads: The decoder's other numbers, as there.
        cells: Cells along each axis.
    """
    _, rows, cols, hidden = planes.shape
    per_cell = math.ceil(max(rows, cols) / cells)
    count = cells * per_cell + 1
    features = [_on_lattice(plane, count).ravel() for plane in planes]
    features[0] = (features[0].reshape(-1, hidden) + heads[:hidden]).ravel()
    raw = np.empty((count, count, count), np.float32)
    _probe(*features, hidden, np.append(heads[hidden : 2 * hidden], heads[5 * hidden]), raw)
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
