"""The light of every rendered data set: a sun and a sky, diffuse only, so colour does not depend on the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from engine.kernels.kernel_cache import CACHED


@dataclass(frozen=True)
class Light:
    """A sun and a sky.

    Attributes:
        sun: Direction towards the sun, any length.
        ambient: Brightness of a vertical surface in shadow.
        sky: Brightness that facing up adds and facing down takes away.
        diffuse: Brightness that facing the sun adds.
    """

    sun: tuple[float, float, float] = (0.42, 0.50, 0.76)
    ambient: float = 0.60
    sky: float = 0.09
    diffuse: float = 0.36


DAYLIGHT = Light()
"""The light of every data set that is not augmented: the sun above, from the front right."""

SMOOTH_COSINE = np.cos(np.deg2rad(48))
"""Faces that meet at a smaller angle than 48 degrees share a normal."""
MOST_SHARED = 512
"""Most corners at one point that are smoothed together; beyond, each keeps its own face's normal."""


def brightness(
    normals: Float[np.ndarray, "*n 3"], light: Light = DAYLIGHT
) -> Float[np.ndarray, "*n"]:
    """Lambert's law plus a sky that is brighter above; in daylight about 0.51 to 1.03."""
    sun = np.asarray(light.sun) / np.linalg.norm(light.sun)
    facing = np.maximum(normals @ sun, 0)
    return light.ambient + light.sky * normals[..., 2] + light.diffuse * facing


def corner_normals(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    group: Int[np.ndarray, " f"] | None = None,
) -> Float[np.ndarray, "f 3 3"]:
    """Unit normals of every corner, smooth over shallow edges and sharp over steep ones.

    Args:
        vertices: Positions; equal positions (to 1e-5 of the extent) count as one point.
        faces: Counter-clockwise seen from outside.
        group: Faces of different groups never share a normal.
    """
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    extent = max(float(np.ptp(vertices, axis=0).max()), 1e-12)
    key = _cells(corners, extent * 1e-5)
    del corners
    if group is not None:
        key = key * 31 + np.repeat(group, 3).astype(np.int64) * 0x9E3779B97F4A7
    order = np.argsort(key, kind="stable")
    return _smooth(normals, key, order, SMOOTH_COSINE)


def _cells(corners: np.ndarray, side: float) -> np.ndarray:
    """A number for the cube of some side that a corner lies in; corners of one cube have equal ones."""
    cells = np.round(corners / side).astype(np.int64).reshape(-1, 3)
    return cells @ np.array([1, 1 << 20, 1 << 40], np.int64)


@njit(nogil=True, cache=CACHED)
@no_type_check
def _smooth(normals, key, order, cosine):
    """Sums area-weighted normals over corners of equal key whose faces meet at a shallow angle."""
    unit = np.empty_like(normals)
    for f in range(len(normals)):
        length = np.sqrt(normals[f, 0] ** 2 + normals[f, 1] ** 2 + normals[f, 2] ** 2)
        unit[f] = normals[f] / max(length, 1e-20)
    smooth = np.empty((len(normals), 3, 3))
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and key[order[end]] == key[order[start]]:
            end += 1
        last = end if end - start <= MOST_SHARED else start
        for i in range(start, end):
            mine = order[i] // 3
            total = np.zeros(3)
            for j in range(start, last):
                other = order[j] // 3
                dot = 0.0
                for k in range(3):
                    dot += unit[mine, k] * unit[other, k]
                if dot > cosine:
                    total += normals[other]
            length = np.sqrt(total[0] ** 2 + total[1] ** 2 + total[2] ** 2)
            if length < 1e-20:
                smooth[mine, order[i] % 3] = unit[mine]
            else:
                smooth[mine, order[i] % 3] = total / length
        start = end
    return smooth
