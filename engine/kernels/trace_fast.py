"""Numba kernels that trace rays through a triplane field; `engine.kernels.triplane_frames` drives them.

The first layer is linear and the lookup bilinear, so the planes are multiplied by the layer once and a point costs
three bilinear reads that are added, one activation and one dot product. The loops over the decoder's hidden layer are
intrinsics (`engine.kernels.decode_fast`), the march is that of all fields (`engine.kernels.march_fast`).
"""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit, types
from numba.extending import overload

from engine.kernels.decode_fast import color_at, decode_at, density_at
from engine.kernels.lattice_fast import texels_around
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
    sigmoid,
    write,
)
from engine.kernels.render_fast import TILE


@njit(**OPTIONS)
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


class _Layers(NamedTuple):
    """Arrays of a triplane field: see `engine.kernels.triplane_frames.TriplaneOnCpu`."""

    planes: np.ndarray
    rows: int
    cols: int
    hidden: int
    heads: np.ndarray
    direction: np.ndarray | None


class _Samples(NamedTuple):
    """Samples of one round: distance, position, texels and their weights, transmittance, colour.

    Colours are set only if they do not depend on directions; `at` and `by` come from `lattice_fast.texels_around`.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    at: np.ndarray
    by: np.ndarray
    passing: np.ndarray
    rgb: np.ndarray


@njit(**OPTIONS)
@no_type_check
def _place(layers, lattice, samples, count):
    """Compute the texels and weights of all samples on the planes."""
    texels_around(
        samples.x, samples.y, samples.z, count, lattice.cells,
        layers.rows, layers.cols, layers.hidden, samples.at, samples.by,
    )  # fmt: skip


@njit(**OPTIONS)
@no_type_check
def _reads(layers, samples, i):
    """Offsets and weights of the twelve texels around a sample."""
    at, by, hidden = samples.at, samples.by, np.uintp(layers.hidden)
    below = np.uintp(layers.cols) * hidden
    a, b, c = np.uintp(at[0, i]), np.uintp(at[1, i]), np.uintp(at[2, i])
    places = (
        *(a, a + hidden, a + below, a + below + hidden),
        *(b, b + hidden, b + below, b + below + hidden),
        *(c, c + hidden, c + below, c + below + hidden),
    )
    weights = (
        *(by[0, i], by[1, i], by[2, i], by[3, i]),
        *(by[4, i], by[5, i], by[6, i], by[7, i]),
        *(by[8, i], by[9, i], by[10, i], by[11, i]),
    )
    return places, weights


@njit(**OPTIONS)
@no_type_check
def _absorb(direction, layers, samples, count, step):
    """Transmittance of each sample; also its colour if directions play no part, since that costs little more."""
    hidden, heads, rgb = np.uintp(layers.hidden), layers.heads, samples.rgb
    bias = 5 * hidden
    for i in range(count):
        at, by = _reads(layers, samples, i)
        if direction is None:
            raw, red, green, blue = decode_at(layers.planes, heads, None, bias, at, by, hidden)
            rgb[0, i], rgb[1, i], rgb[2, i] = red, green, blue
        else:
            raw = density_at(layers.planes, heads, at, by, hidden)
        samples.passing[i] = raw + heads[bias]
    for i in range(count):
        samples.passing[i] = exp(-exp(samples.passing[i]) * step)


@no_type_check
def _room_for_terms(direction, size):
    """Buffer for the directions' contributions in a tile; None if colour ignores directions."""
    return None if direction is None else np.empty(size, np.float32)


@overload(_room_for_terms)
@no_type_check
def _typed_room_for_terms(direction, size):
    if isinstance(direction, types.NoneType):
        return lambda direction, size: None
    return lambda direction, size: np.empty(size, np.float32)


@njit(**OPTIONS)
@no_type_check
def _turn(direction, hidden, rays, ray, basis):
    """Compute the direction's contribution to a ray's hidden layer, if colour depends on directions."""
    if direction is not None:
        start = np.uintp(ray) * hidden
        _harmonics(rays.direction[0, ray], rays.direction[1, ray], rays.direction[2, ray], basis)
        for j in range(hidden):
            rays.term[start + j] = direction[np.uintp(16) * hidden + j]
        for n in range(16):
            at = np.uintp(n) * hidden
            for j in range(hidden):
                rays.term[start + j] += basis[n] * direction[at + j]
        rays.has_term[ray] = True


@njit(**OPTIONS)
@no_type_check
def _paint(direction, layers, rays, samples, picks, wanted, basis):
    """Add the colours of the picked samples to their rays."""
    hidden, heads, term = np.uintp(layers.hidden), layers.heads, rays.term
    bias = 5 * hidden
    for pick in range(wanted):
        i, ray = picks.sample[pick], picks.ray[pick]
        if direction is None:
            for channel in range(3):
                raw = samples.rgb[channel, i] + heads[bias + np.uintp(1 + channel)]
                picks.rgb[channel, pick] = raw
            continue
        if not rays.has_term[ray]:
            _turn(direction, hidden, rays, ray, basis)
        at, by = _reads(layers, samples, i)
        start = np.uintp(ray) * hidden
        red, green, blue = color_at(layers.planes, heads, term, start, at, by, hidden)
        picks.rgb[0, pick] = red + heads[bias + np.uintp(1)]
        picks.rgb[1, pick] = green + heads[bias + np.uintp(2)]
        picks.rgb[2, pick] = blue + heads[bias + np.uintp(3)]
    for channel in range(3):
        colors = picks.rgb[channel]
        for pick in range(wanted):
            colors[pick] = picks.weight[pick] * sigmoid(colors[pick])
        for pick in range(wanted):
            rays.rgb[channel, picks.ray[pick]] += colors[pick]


@njit(nogil=True, **OPTIONS)
@no_type_check
def trace_tiles(
    planes, rows, cols, hidden, heads, direction,
    leaps, cells, low, high, box, camera, saturation, step, min_near, stop, carry,
    tiles, first, last, rgb, opacity, depth,
):  # fmt: skip
    """Trace `tiles[first:last]` of a picture, in rounds: gather samples, absorb, composite, paint."""
    layers = _Layers(planes, rows, cols, hidden, heads, direction)
    lattice = lattice_of(leaps, cells, low, high, box, camera, step, min_near)
    size, capacity = TILE * TILE, TILE * TILE * ROUND
    rays, picks = room_for_rays(_room_for_terms(direction, TILE * TILE * hidden)), room_for_picks()
    samples = _Samples(
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
        np.empty(capacity, np.float32),
        np.empty((3, capacity), np.int32),
        np.empty((12, capacity), np.float32),
        np.empty(capacity, np.float32),
        np.empty((3, capacity), np.float32),
    )
    alive, ends = np.empty(size, np.int64), np.empty(size, np.int64)
    basis = np.empty(16, np.float32)
    height, width = opacity.shape
    for n in range(first, last):
        tile = tiles[n]
        living = aim(rays, lattice, camera, tile, height, width, alive)
        while living > 0:
            still = gather(rays, lattice, samples, alive, living, ends)
            if still == 0:
                break
            count = ends[still - 1]
            _place(layers, lattice, samples, count)
            _absorb(direction, layers, samples, count, step)
            living, wanted = composite(rays, samples, picks, alive, still, ends, stop, carry)
            _paint(direction, layers, rays, samples, picks, wanted, basis)
        write(rays, tile, stop, saturation, rgb, opacity, depth)
