"""The ground under the object: a round grid that fades into the background, drawn into the picture.

It is not drawn by the browser, because a grid costs a software-rendering browser more than everything else.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from engine.fields.base import SURFACE
from engine.render.frames import Baked
from engine.types import WORLD_PER_SRN, Camera

RADIUS, CELL, PIECES = 0.8, 0.1, 16
"""SRN units, SRN units, and pieces of each line, whose colours fade outwards."""
MARK_COLOR = (79, 110, 247)
SOLID = SURFACE / 5
"""Largest density found in a cell, per engine unit, from which the ground stays below it: less than what holds matter, for the
undersides of tyres are thin."""
LAYER = 4
"""Solid cells that make a layer of the object."""
SHARP_ROWS = 512
"""Pictures of fewer rows are enlarged later and with them their lines, which are drawn fainter to make up for it."""
NEAREST = 0.05
"""Lines nearer to the camera's plane are left out, engine units."""


def lay_ground(
    rgb: UInt8[np.ndarray, "height width 3"],
    opacity: Float[np.ndarray, "height width"],
    camera: Camera,
    height: float,
    background: tuple[float, float, float],
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture with the ground behind its object; unchanged where the camera is under the ground.

    Args:
        rgb: The object over the background.
        opacity: Share of each pixel that the object covers.
        camera: The picture's camera.
        height: The ground's z, engine units.
        background: Colour behind everything, [0, 1].
    """
    if float(camera.c2w[2, 3]) <= height:
        return rgb
    paper = np.round(np.array(background, np.float32) * 255)
    drawn = np.empty_like(rgb)
    cv2.rectangle(drawn, (0, 0), (camera.width, camera.height), paper.tolist(), cv2.FILLED)
    points, colors = lines(background)
    for (start, end), color in zip(*_seen(points, colors, camera, height), strict=True):
        cv2.line(drawn, start, end, color, 1, cv2.LINE_AA, shift=4)
    inked = np.flatnonzero(cv2.inRange(drawn, paper, paper) == 0)
    strength = min(camera.height / SHARP_ROWS, 1.0)
    ground = strength * (drawn.reshape(-1, 3)[inked] - paper) * (1 - opacity.ravel()[inked, None])
    laid = rgb.reshape(-1, 3).copy()
    laid[inked] = (laid[inked] + ground).round().clip(0, 255)
    return laid.reshape(rgb.shape)


@lru_cache(maxsize=4)
def lines(
    background: tuple[float, float, float],
) -> tuple[Float[np.ndarray, "n 2 2"], Float[np.ndarray, "n 3"]]:
    """Segments of the grid, x and y in SRN units, with a mark towards the object's front, and their colours."""
    offsets = np.arange(-RADIUS, RADIUS + 1e-6, CELL)
    half = np.sqrt(np.maximum(RADIUS**2 - offsets**2, 0))
    along = np.linspace(-1, 1, PIECES + 1) * half[:, None]
    across = np.broadcast_to(offsets[:, None], along.shape)
    both = np.stack([np.stack([along, across], -1), np.stack([across, along], -1)])
    points = np.stack([both[..., :-1, :], both[..., 1:, :]], -2).reshape(-1, 2, 2)
    paper = np.array(background)
    ink = paper + (0.62 - paper) * 0.5
    fade = np.clip(1 - (np.linalg.norm(points.mean(1), axis=-1) / RADIUS) ** 2, 0, 1)[:, None]
    mark = np.array([[[-0.035, 0.7], [0, 0.76]], [[0.035, 0.7], [0, 0.76]]])
    colors = np.concatenate([255 * (paper * (1 - fade) + ink * fade), [MARK_COLOR] * len(mark)])
    return np.concatenate([points, mark]), colors


def _seen(
    points: np.ndarray, colors: np.ndarray, camera: Camera, height: float
) -> tuple[list[tuple[tuple[int, int], tuple[int, int]]], list[tuple[float, ...]]]:
    """Segments in front of the camera in sixteenths of a pixel, and their colours."""
    xyz = np.full((*points.shape[:2], 3), height, np.float64)
    xyz[..., :2] = points * WORLD_PER_SRN
    c2w = camera.c2w.double().numpy()
    local = (xyz - c2w[:3, 3]) @ c2w[:3, :3]
    fx, fy, cx, cy = camera.intrinsics.tolist()
    ahead = (local[..., 2] > NEAREST).all(-1)
    local, colors = local[ahead], colors[ahead]
    pixels = local[..., :2] / local[..., 2:] * (fx, fy) + (cx - 0.5, cy - 0.5)
    near = (np.abs(pixels) < 4 * max(camera.height, camera.width)).all((-1, -2))
    fixed = np.round(pixels[near] * 16).astype(int)
    return [tuple(map(tuple, pair)) for pair in fixed.tolist()], list(map(tuple, colors[near]))


def lowest(baked: Baked) -> float:
    """Lowest height of the object, engine units; that of its box if it is empty."""
    low, high = baked.field.aabb[:, 2].tolist()
    solid = baked.cell_density > SOLID
    layers = torch.nonzero(solid.sum((0, 1)) >= LAYER)
    first = float(layers[0]) / solid.shape[2] if len(layers) else 0.0
    return low + first * (high - low)
