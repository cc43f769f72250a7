"""Pictures of triplane fields on the CPU: what the kernels of `engine.kernels.trace_fast` read, and the threads they run on."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Int64, UInt8

TILE = 8
"""Rays are traced in square tiles of this many pixels, for the sake of the caches."""
MIN_BATCHES, MAX_BATCH = 12, 64
"""Batches of tiles in a picture, at least; tiles in a batch, at most. Nobody waits for a picture that one thread makes
without asking whether to stop: that is one batch."""


@dataclass(frozen=True)
class Tables:
    """A triplane field as the kernels read it.

    Attributes:
        planes: Planes times the first layer: `3 rows cols hidden`.
        heads: Bias of the first layer, weights of density and colours (`hidden` each), then their four biases.
        direction: 16 rows of `hidden` weights, then `hidden` biases; None where colour ignores the direction.
        saturation: How far colours reach beyond [0, 1].
        box: Lower and upper corner, engine units.
    """

    planes: Float32[np.ndarray, "3 rows cols hidden"]
    heads: Float32[np.ndarray, " head_values"]
    direction: Float32[np.ndarray, " direction_values"] | None
    saturation: float
    box: Float32[np.ndarray, " 6"]


@dataclass(frozen=True)
class March:
    """How rays run.

    Attributes:
        leaps: From `engine.kernels.occupancy_fast.leap_grid`, over the field's box.
        low: Lowest corner of what is occupied, in cells.
        high: Its highest corner.
        step: Distance between lattice points, engine units.
        stop: A ray ends once less than this share of light passes.
        carry: A colour is evaluated whenever this much weight has gathered.
        min_near: Nothing is sampled nearer to the camera than this.
    """

    leaps: UInt8[np.ndarray, "gx gy gz"]
    low: Float32[np.ndarray, " 3"]
    high: Float32[np.ndarray, " 3"]
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
    from engine.kernels.trace_fast import trace_tiles  # numba

    _, rows, cols, hidden = tables.planes.shape
    rgb = np.zeros((height, width, 3), np.float32)
    opacity, depth = np.zeros((2, height, width), np.float32)
    tiles = tiles_in_view(_occupied_box(tables, march), camera, height, width)
    alone = threads == 1 and stop is None
    batch = len(tiles) if alone else min(math.ceil(len(tiles) / MIN_BATCHES), MAX_BATCH)
    turn = itertools.count()
    given_up = threading.Event()
    lengths = (march.step, march.min_near, march.stop, march.carry)
    fixed = (
        *(tables.planes.ravel(), rows, cols, hidden),
        *(tables.heads, tables.direction),
        *(march.leaps.ravel(), march.leaps.shape, tuple(march.low), tuple(march.high)),
        *(tables.box, camera, np.float32(tables.saturation)),
        *(np.float32(length) for length in lengths),
    )

    def work(stop: Callable[[], bool] | None) -> None:
        while not given_up.is_set():
            if stop is not None and stop():
                given_up.set()
                return
            first = next(turn) * batch
            if first >= len(tiles):
                return
            last = min(first + batch, len(tiles))
            trace_tiles(*fixed, tiles, first, last, rgb, opacity, depth)

    helpers = [_pool().submit(work, None) for _ in range(threads - 1)]
    work(stop)
    for helper in helpers:
        helper.result()
    if given_up.is_set():
        return None
    return rgb, opacity, depth


def _occupied_box(tables: Tables, march: March) -> Float32[np.ndarray, " 6"]:
    low, high = tables.box.reshape(2, 3)
    cell = (high - low) / np.array(march.leaps.shape, np.float32)
    return np.concatenate([low + march.low * cell, low + march.high * cell])


def tiles_in_view(
    box: Float32[np.ndarray, " 6"], camera: Float32[np.ndarray, "16"], height: int, width: int
) -> Int64[np.ndarray, " tiles"]:
    """Tiles that may show the box, row by row; all of them where a corner is beside or behind the camera."""
    corners = np.stack(np.meshgrid(*box.reshape(2, 3).T, indexing="ij"), -1).reshape(-1, 3)
    c2w, (fx, fy, cx, cy) = camera[:12].reshape(3, 4), camera[12:]
    x, y, z = ((corners - c2w[:, 3]) @ c2w[:, :3]).T
    rows, cols = np.arange(math.ceil(height / TILE)), np.arange(math.ceil(width / TILE))
    if z.min() > 1e-3:
        u, v = fx * x / z + cx, fy * y / z + cy
        rows = rows[((rows + 1) * TILE >= v.min() - 1) & (rows * TILE <= v.max() + 1)]
        cols = cols[((cols + 1) * TILE >= u.min() - 1) & (cols * TILE <= u.max() + 1)]
    return (rows[:, None] * math.ceil(width / TILE) + cols).ravel()


@lru_cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="render")
