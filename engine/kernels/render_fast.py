"""Pictures on the CPU: empty space, the tiles that show a field, and the threads that trace them."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from engine.types import Camera

TILE = 8
"""Rays are traced in square tiles of this many pixels, for the sake of the caches."""
MIN_BATCHES, MAX_BATCH = 12, 64
"""Least number of batches of tiles in a picture; most tiles in a batch. A picture that one thread traces without `stop`
is one batch."""


def flat(*tensors: Tensor) -> Float32[np.ndarray, " values"]:
    """All values of some tensors in one float32 array, in order."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).float().numpy()


class Space(NamedTuple):
    """Occupied space of a field.

    Attributes:
        leaps: From `engine.kernels.occupancy_fast.leap_grid`, over the field's box.
        low: Lowest corner of the occupied cells, in cells.
        high: Its highest corner.
    """

    leaps: UInt8[np.ndarray, "gx gy gz"]
    low: Float32[np.ndarray, " 3"]
    high: Float32[np.ndarray, " 3"]

    @classmethod
    def of(cls, occupied: Bool[Tensor, "gx gy gz"]) -> Space:
        """Leap grid and bounds of a grid of occupied cells."""
        from engine.kernels import occupancy_fast  # numba

        leaps = occupancy_fast.leap_grid(occupied.numpy())
        return cls(leaps, *occupancy_fast.extent(leaps))

    def parts(self) -> tuple:
        """Leaps, cells along each axis, lowest and highest corner, as kernels take them."""
        return self.leaps.ravel(), self.leaps.shape, tuple(self.low), tuple(self.high)

    def within(self, box: Float32[np.ndarray, " 6"]) -> Float32[np.ndarray, " 6"]:
        """Bounds of the occupied cells within the field's `box`, engine units."""
        low, high = box.reshape(2, 3)
        cell = (high - low) / np.array(self.leaps.shape, np.float32)
        return np.concatenate([low + self.low * cell, low + self.high * cell])


def trace(
    trace_tiles: Callable[..., None],
    box: Float32[np.ndarray, " 6"],
    space: Space,
    pose: Float32[np.ndarray, "16"],
    camera: Camera,
    *,
    threads: int,
    stop: Callable[[], bool] | None = None,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Trace a picture on several threads, which take turns at batches of tiles.

    Args:
        trace_tiles: A kernel, called with tiles, the first and last of them to trace, and the three results.
        box: Lower and upper corner of the field, engine units.
        space: Its occupied space.
        pose: c2w's upper three rows, then fx fy cx cy.
        camera: The same with the picture's size.
        threads: Threads to use, the caller's included.
        stop: Called by the caller's thread between its batches; if it returns True, the picture is abandoned.

    Returns:
        Colour over black (`height width 3`), opacity, opacity-weighted z-depth; None if it was abandoned.
    """
    height, width = camera.height, camera.width
    rgb = np.zeros((height, width, 3), np.float32)
    opacity, depth = np.zeros((2, height, width), np.float32)
    tiles = tiles_in_view(space.within(box), pose, height, width)
    alone = threads == 1 and stop is None
    batch = len(tiles) if alone else min(math.ceil(len(tiles) / MIN_BATCHES), MAX_BATCH)
    turn = itertools.count()
    given_up = threading.Event()

    def work(stop: Callable[[], bool] | None) -> None:
        while not given_up.is_set():
            if stop is not None and stop():
                given_up.set()
                return
            first = next(turn) * batch
            if first >= len(tiles):
                return
            last = min(first + batch, len(tiles))
            trace_tiles(tiles, first, last, rgb, opacity, depth)

    helpers = [_pool().submit(work, None) for _ in range(threads - 1)]
    work(stop)
    for helper in helpers:
        helper.result()
    if given_up.is_set():
        return None
    return torch.from_numpy(rgb), torch.from_numpy(opacity), torch.from_numpy(depth)


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
