"""Polygons to triangles, concave ones too."""

from __future__ import annotations

import mapbox_earcut
import numpy as np
from jaxtyping import Float, Int

from engine.data.formats.part import MOST_FACES
from engine.errors import DataError


def triangulate(
    vertices: Float[np.ndarray, "v 3"],
    corners: Int[np.ndarray, " c"],
    sizes: Int[np.ndarray, " p"],
) -> tuple[Int[np.ndarray, "f 3"], Int[np.ndarray, " f"]]:
    """Triangles of polygons, as positions in `corners`, and the polygon that each belongs to.

    Args:
        vertices: Positions.
        corners: Vertex indices of all polygons, one after the other.
        sizes: Corners of each polygon; polygons of less than three are left out.

    Raises:
        DataError: If there are more triangles than are read.
    """
    count = int(np.maximum(sizes - 2, 0).sum())
    if count > MOST_FACES:
        raise DataError(f"it has {count:,} triangles, expected at most {MOST_FACES:,}; simplify it")
    starts = np.cumsum(sizes) - sizes
    triangles, owners = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for size in np.unique(sizes[sizes >= 3]).tolist():
        which = np.flatnonzero(sizes == size)
        fans = _fans(starts[which], size)
        concave = _concave(vertices, corners[starts[which, None] + np.arange(size)])
        for row in np.flatnonzero(concave):
            ears = _ears(vertices[corners[starts[which[row]] + np.arange(size)]])
            if ears is not None:
                fans[row] = starts[which[row]] + ears
        triangles.append(fans.reshape(-1, 3))
        owners.append(np.repeat(which, size - 2))
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(triangles)[order], np.concatenate(owners)[order]


def _fans(starts: np.ndarray, size: int) -> np.ndarray:
    """Triangles `p size-2 3` from every polygon's first corner."""
    k = np.arange(size - 2)
    fan = np.stack([np.zeros_like(k), k + 1, k + 2], -1)
    return starts[:, None, None] + fan


def _concave(vertices: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Mask of the polygons, all of one size, that have a reflex corner."""
    if corners.shape[1] == 3:
        return np.zeros(len(corners), bool)
    points = vertices[corners]
    sides = np.roll(points, -1, 1) - points
    turns = np.cross(np.roll(sides, 1, 1), sides)
    normal = _normals(points)
    along = np.einsum("pck,pk->pc", turns, normal)
    return (along < -1e-9 * np.abs(along).max(1, keepdims=True)).any(1)


def _normals(points: np.ndarray) -> np.ndarray:
    """Newell's normals `p 3` of polygons `p c 3`; half their length is a flat polygon's area."""
    centred = points - points.mean(1, keepdims=True)
    return np.cross(centred, np.roll(centred, -1, 1)).sum(1)


def _ears(points: np.ndarray) -> np.ndarray | None:
    """Triangles of a concave polygon, as positions of its corners, by ear clipping; None if it has no plane."""
    normal = _normals(points[None])[0]
    length = np.linalg.norm(normal)
    if not (np.isfinite(length) and length > 0):
        return None
    normal /= length
    across = np.eye(3)[np.abs(normal).argmin()]
    x = np.cross(across, normal)
    x /= np.linalg.norm(x)
    flat = np.stack([points @ x, points @ np.cross(normal, x)], -1)
    ears = mapbox_earcut.triangulate_float64(flat, np.array([len(points)], np.uint32))
    ears = ears.reshape(-1, 3).astype(np.int64)
    if len(ears) != len(points) - 2:
        return None
    a, b, c = (flat[ears[:, k]] for k in range(3))
    turn = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return ears if turn.sum() >= 0 else ears[:, ::-1]
