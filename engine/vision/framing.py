"""Framing: the place of an object in a model's images, and moving it there without fringes.

Frames are boxes in an image: left, top, right, bottom, in pixels with the first pixel's corner at 0.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from engine.errors import CutoutError, ImageError
from engine.types import WORLD_PER_SRN, Camera

ASPECT_SPREAD = 0.05
"""Scale (in log) of the difference in proportions at which an object's weight falls off."""
CHUNK = 256
"""Columns processed at once: sums over a large picture take much memory."""
SMALLEST_OBJECT = 8
"""Pixels that an object needs along its longer side."""


def extreme_points(
    vertices: Float[np.ndarray, "vertices 3"], count: int = 64
) -> Float[np.ndarray, "count 3"]:
    """Vertices that are extreme in `count` directions spread over the sphere, which suffice for any outline."""
    k = np.arange(count) + 0.5
    height = 1 - 2 * k / count
    angle = np.pi * (1 + np.sqrt(5)) * k
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height])
    return vertices[(vertices @ directions).argmax(0)].astype(np.float32)


def generic_objects() -> Float[np.ndarray, "n points 3"]:
    """Outlines of rounded bodies of diagonal 1, for models whose training objects are unknown."""
    extents = np.array([[1, 1, 1], [1, 2, 1], [2, 1, 1], [1, 1, 2], [2, 5, 2], [1, 2.5, 0.7]])
    extents /= np.linalg.norm(extents, axis=1, keepdims=True)
    ball = extreme_points(np.random.default_rng(0).normal(size=(20_000, 3)))
    # A superellipsoid of exponent 4 lies halfway between an ellipsoid and its box.
    ball /= (ball**4).sum(1, keepdims=True) ** 0.25
    return (ball * extents[:, None] / 2).astype(np.float32)


def outline(alpha: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "4"]:
    """The frame around the object, to a fraction of a pixel where its edges are soft.

    Raises:
        ImageError: If there is no object, or one of a few pixels.
    """
    cols, rows = alpha.max(0), alpha.max(1)
    if alpha.max() < 0.5:
        raise CutoutError("There is no object in the picture")
    left, right = _span(cols)
    top, bottom = _span(rows)
    if max(right - left, bottom - top) < SMALLEST_OBJECT:
        raise ImageError(
            f"The object is {right - left:.0f} x {bottom - top:.0f} pixels; "
            f"expected at least {SMALLEST_OBJECT} along one side."
        )
    return np.array([left, top, right, bottom], np.float32)


def _span(profile: np.ndarray) -> tuple[float, float]:
    covered = np.flatnonzero(profile > 0.05)
    first, last = covered[0], covered[-1]
    return float(first + 1 - profile[first]), float(last + profile[last])


def expected_frame(
    found: Float[np.ndarray, "4"], camera: Camera, objects: Float[np.ndarray, "n points 3"]
) -> Float[np.ndarray, "4"]:
    """Box in the camera's image of an object of the model with the found proportions.

    Args:
        found: The frame around the object in the picture.
        camera: One camera at the model's image size.
        objects: Outermost points of training objects, SRN units (see `extreme_points`).

    Returns:
        A frame of the found proportions, sized and placed as the mean of the objects that look most alike.
    """
    frames = project_frames(camera, objects)
    sizes = np.log(frames[:, 2:] - frames[:, :2])
    centres = (frames[:, :2] + frames[:, 2:]) / 2
    size = np.log(found[2:] - found[:2])
    miss = (sizes[:, 0] - sizes[:, 1]) - (size[0] - size[1])
    closeness = -0.5 * (miss / ASPECT_SPREAD) ** 2
    weight = np.exp(closeness - closeness.max())
    weight /= weight.sum()
    scale = (weight @ sizes).mean() - size.mean()
    half = np.exp(size + scale) / 2
    centre = weight @ centres
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def project_frames(
    camera: Camera, objects: Float[np.ndarray, "n points 3"]
) -> Float[np.ndarray, "n 4"]:
    """The frame around each object in the camera's image."""
    points = torch.as_tensor(objects, dtype=torch.float32) * WORLD_PER_SRN
    rotation, centre = camera.c2w[:3, :3], camera.c2w[:3, 3]
    local = (points - centre) @ rotation
    fx, fy, cx, cy = camera.intrinsics
    cols = local[..., 0] / local[..., 2] * fx + cx
    rows = local[..., 1] / local[..., 2] * fy + cy
    frames = torch.stack([cols.amin(-1), rows.amin(-1), cols.amax(-1), rows.amax(-1)], -1)
    return frames.numpy().astype(np.float64)


def place(
    rgba: Float[np.ndarray, "height width 4"],
    found: Float[np.ndarray, "4"],
    wanted: Float[np.ndarray, "4"],
    size: int,
) -> Float[np.ndarray, "size size 4"]:
    """Move and scale a picture so that its frame `found` falls on `wanted`, keeping its proportions.

    Each new pixel is the mean of the area it covers, in premultiplied alpha, so edges get no fringes; where the
    picture is enlarged, pixels are interpolated linearly. Outside the picture all is transparent.

    Returns:
        Straight alpha, `size` x `size`.
    """
    scale = np.sqrt(np.prod(found[2:] - found[:2]) / np.prod(wanted[2:] - wanted[:2]))
    centre_found = (found[:2] + found[2:]) / 2
    centre_wanted = (wanted[:2] + wanted[2:]) / 2
    start = centre_found - scale * centre_wanted
    parts = np.array_split(rgba, max(rgba.shape[1] // CHUNK, 1), axis=1)
    solid = np.concatenate([_resample(_solid(part), start[1], scale, size) for part in parts], 1)
    solid = _resample(solid.swapaxes(0, 1), start[0], scale, size).swapaxes(0, 1)
    alpha = solid[..., 3:].clip(0, 1)
    color = solid[..., :3] / np.maximum(alpha, 1e-6)
    return np.concatenate([color.clip(0, 1), alpha], -1).astype(np.float32)


def _solid(rgba: np.ndarray) -> np.ndarray:
    """The picture in premultiplied alpha and double precision."""
    return np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1).astype(np.float64)


def _resample(values: np.ndarray, start: np.floating, scale: np.floating, size: int) -> np.ndarray:
    """Means over `size` windows along the first axis, `scale` apart from `start` on and at least one pixel wide."""
    length = len(values)
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), values.cumsum(0)])
    width = max(scale, 1.0)
    middles = start + (np.arange(size) + 0.5) * scale
    return (_at(sums, middles + width / 2, length) - _at(sums, middles - width / 2, length)) / width


def _at(sums: np.ndarray, position: np.ndarray, length: int) -> np.ndarray:
    position = position.clip(0, length)
    lower = np.minimum(position.astype(int), length - 1)
    share = (position - lower).reshape(-1, *[1] * (sums.ndim - 1))
    return sums[lower] * (1 - share) + sums[lower + 1] * share
