"""Pictures of an object with their cameras as files hold them: outlines, their rays' distances, and their visual hull.

An object's box has diagonal 1 around the origin, so a ray that meets the object passes the origin within 0.5 (SRN units).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from engine.data.reading import CameraReading

CHECKED_SIDE = 96
"""Longer side to which masks are reduced for the checks, pixels."""
REACH = 0.5
"""Greatest distance of an object's point from the origin where its box has diagonal 1."""
MOST_HULL_VIEWS = 8
GRID = 40


@dataclass(frozen=True)
class Sight:
    """One picture and its camera as files hold them.

    Attributes:
        name: Name of the camera in messages.
        matrix: Matrix of the pose's file.
        values: fx, fy, cx, cy of the intrinsics' file.
        resolution: Height and width that those belong to, where the file says.
        size: Height and width of the picture's file, which the mask may have fewer pixels than.
        mask: True on the object; None if not computed.
    """

    name: str
    matrix: Float[np.ndarray, "4 4"]
    values: Float[np.ndarray, "4"]
    resolution: tuple[int, int] | None
    size: tuple[int, int]
    mask: Bool[np.ndarray, "h w"] | None = None

    @cached_property
    def small(self) -> Bool[np.ndarray, "rows cols"] | None:
        """The mask at reduced size."""
        if self.mask is None:
            return None
        factor = CHECKED_SIDE / max(self.size)
        if factor >= 1:
            return self.mask
        rows, cols = (max(1, round(side * factor)) for side in self.size)
        share = cv2.resize(self.mask.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
        return share > 0.5

    @property
    def whole(self) -> bool:
        """True if the object is not cut by the picture's border."""
        return self.small is None or not border(self.small).any()

    def intrinsics(self, reading: CameraReading) -> Float[np.ndarray, "4"]:
        """fx, fy, cx, cy in pixels of the small mask (of the picture where there is none)."""
        found = reading.intrinsics(self.values, self.resolution, self.size)
        if self.small is None:
            return found
        rows, cols = self.small.shape
        x, y = cols / self.size[1], rows / self.size[0]
        return found * (x, y, x, y)


@dataclass(frozen=True)
class Look:
    """Geometry of one view and the object under a reading of its camera.

    Attributes:
        ahead: Cosine of the angle between the view and the origin's direction.
        roll: Degrees by which the image is turned about the view, 0 for an upright camera, 180 upside down.
        elevation: Degrees above the horizon.
        distance: Distance from the origin, SRN units.
        near: Smallest distance of the mask's rays from the origin; None without a mask.
        reach: Distance that all but the outermost 2 % of the mask's rays keep to.
        off: Distance of the mask's middle from the projected origin, in radii of the object's bounding sphere; 0 for an
            object that is cut off.
        misses: True if the object's bounding sphere lies outside of the picture.
    """

    ahead: float
    roll: float
    elevation: float
    distance: float
    near: float | None
    reach: float | None
    off: float
    misses: bool


def looked_at(sight: Sight, reading: CameraReading) -> Look:
    """The geometry of a view and the object under a reading of its camera."""
    c2w = reading.c2w(sight.matrix)
    focal_x, focal_y, cx, cy = k = sight.intrinsics(reading)
    centre = c2w[:3, 3]
    distance = max(float(np.linalg.norm(centre)), 1e-9)
    origin = -c2w[:3, :3].T @ centre
    upright = float(np.degrees(np.arcsin(np.clip(abs(c2w[2, 0]), 0, 1))))
    near = reach = None
    off, misses = 0.0, origin[2] <= 0
    rows, cols = sight.size if sight.small is None else sight.small.shape
    if origin[2] > 0:
        x, y = origin[0] / origin[2] * focal_x + cx, origin[1] / origin[2] * focal_y + cy
        radius = REACH / np.sqrt(max(distance**2 - REACH**2, 1e-6)) * max(focal_x, focal_y)
        misses = bool(np.hypot(x - np.clip(x, 0, cols), y - np.clip(y, 0, rows)) > radius)
        if sight.small is not None and sight.small.any() and sight.whole:
            ys, xs = np.nonzero(sight.small)
            middle = (xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2
            off = float(np.hypot(middle[0] - x, middle[1] - y) / radius)
    if sight.small is not None and sight.small.any():
        passing = passing_distances(sight.small, k, origin)
        near, reach = float(passing.min()), float(np.quantile(passing, 0.98))
    return Look(
        ahead=float(origin[2] / distance),
        roll=180 - upright if c2w[2, 1] > 0.1 else upright,
        elevation=float(np.degrees(np.arcsin(np.clip(centre[2] / distance, -1, 1)))),
        distance=distance,
        near=near,
        reach=reach,
        off=off,
        misses=bool(misses),
    )


def passing_distances(
    mask: Bool[np.ndarray, "h w"], k: Float[np.ndarray, "4"], origin: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " n"]:
    """Distances at which the rays of a mask pass the origin (given in the camera's frame)."""
    ys, xs = np.nonzero(mask)
    rays = np.stack([(xs + 0.5 - k[2]) / k[0], (ys + 0.5 - k[3]) / k[1], np.ones(len(xs))], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    along = np.maximum(rays @ origin, 0)
    return np.linalg.norm(origin - along[:, None] * rays, axis=-1)


def border(mask: np.ndarray) -> np.ndarray:
    """The values along a picture's four sides, corners twice."""
    return np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])


def hull_cover(sights: Sequence[Sight], reading: CameraReading) -> float:
    """Share of the outlines that the visual hull fills.

    The outlines' convex hulls are carved from a grid; for right cameras what remains fills each of them.

    Returns:
        Mean share over the views, 1 for fewer than two masks.
    """
    seen = [sight for sight in sights if sight.small is not None and sight.small.any()]
    if len(seen) < 2:
        return 1.0
    picked = np.unique(np.linspace(0, len(seen) - 1, MOST_HULL_VIEWS).round().astype(int))
    seen = [seen[index] for index in picked]
    reach = max(looked_at(sight, reading).reach for sight in seen)
    axis = np.linspace(-1.1, 1.1, GRID) * reach
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    cell = axis[1] - axis[0]
    outlines = [_convex(sight.small) for sight in seen]
    kept = np.ones(len(points), bool)
    projected = []
    for sight, outline in zip(seen, outlines, strict=True):
        pixels, inside, blur = _project(points, cell, sight, reading)
        wide = cv2.dilate(outline, np.ones((2 * blur + 1, 2 * blur + 1), np.uint8)) > 0
        hit = np.zeros(len(points), bool)
        hit[inside] = wide[pixels[inside, 1], pixels[inside, 0]]
        kept &= hit if sight.whole else hit | ~inside
        projected.append((pixels, inside, blur))
    shares = []
    for outline, (pixels, inside, blur) in zip(outlines, projected, strict=True):
        filled = np.zeros_like(outline)
        index = kept & inside
        filled[pixels[index, 1], pixels[index, 0]] = 1
        filled = cv2.dilate(filled, np.ones((2 * blur + 1, 2 * blur + 1), np.uint8))
        shares.append(float(filled[outline > 0].mean()))
    return float(np.mean(shares))


def _project(
    points: Float[np.ndarray, "n 3"], cell: float, sight: Sight, reading: CameraReading
) -> tuple[np.ndarray, Bool[np.ndarray, " n"], int]:
    """Pixels of points, mask of those inside the picture, and width of a grid cell in pixels."""
    c2w, k = reading.c2w(sight.matrix), sight.intrinsics(reading)
    local = (points - c2w[:3, 3]) @ c2w[:3, :3]
    depth = np.maximum(local[:, 2], 1e-6)
    pixels = np.floor(local[:, :2] / depth[:, None] * k[:2] + k[2:])
    rows, cols = sight.small.shape
    inside = (local[:, 2] > 0) & ((pixels >= 0) & (pixels < (cols, rows))).all(1)
    distance = max(float(np.linalg.norm(c2w[:3, 3])), 1e-3)
    blur = int(np.clip(np.ceil(0.75 * cell * max(k[0], k[1]) / distance), 1, 8))
    return np.where(inside[:, None], pixels, 0).astype(int), inside, blur


def _convex(mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The convex hull of a mask: holes, and white parts on white, are filled."""
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    filled = np.zeros(mask.shape, np.uint8)
    return cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
