"""Checks of an SRN folder: says in one sentence what is wrong, instead of training on nonsense."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.data.srn import SRNDataset, read_picture, scene_intrinsics
from engine.errors import DataError
from engine.images import read_pose

BACKGROUND = 245
"""Lightest grey that counts as object."""

OUTSIDE_SHARE = 0.02
"""Share of an object's pixels that may lie outside the projected box (noise, soft shadows)."""

CORNERS = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5]), -1).reshape(-1, 3)


@dataclass(frozen=True)
class SRNReport:
    """What a sound SRN folder holds.

    Attributes:
        scenes: Number of scenes.
        pictures: Number of pictures in all scenes.
        height: Rows of every picture.
        width: Columns of every picture.
        intrinsics: fx, fy, cx, cy of every scene.
        distance: Smallest and largest distance of a camera from the origin, SRN units.
    """

    scenes: int
    pictures: int
    height: int
    width: int
    intrinsics: tuple[float, float, float, float]
    distance: tuple[float, float]


def check_srn(root: str | Path, pictures_per_scene: int | None = None) -> SRNReport:
    """Looks at a whole SRN folder.

    Args:
        root: The folder.
        pictures_per_scene: How many pictures of each scene are decoded, evenly spread; None for all. Poses,
            intrinsics and pairing are checked everywhere.

    Returns:
        What it holds.

    Raises:
        DataError: At the first thing that is wrong: where, what was found, what was expected.
    """
    dataset = SRNDataset(root)
    first, count, distances = None, 0, []
    for index, name in enumerate(dataset.ids):
        scene = dataset.root / name
        frames = dataset.frames(index)
        intrinsics, size = scene_intrinsics(scene)
        setting = (tuple(float(value) for value in intrinsics), size)
        if first is None:
            first = setting
        _check_same(scene, setting, first)
        poses = [_checked_pose(path) for _, path in frames]
        distances += [float(np.linalg.norm(pose[:3, 3])) for pose in poses]
        count += len(frames)
        chosen = range(len(frames))
        if pictures_per_scene is not None and pictures_per_scene < len(frames):
            chosen = np.unique(
                np.linspace(0, len(frames) - 1, pictures_per_scene).round().astype(int)
            )
        for i in chosen:
            _check_picture(frames[i][0], poses[i], intrinsics.numpy(), size)
    intrinsics, (height, width) = first
    span = (min(distances), max(distances))
    return SRNReport(len(dataset), count, height, width, intrinsics, span)


def _check_same(scene: Path, setting: tuple, first: tuple) -> None:
    (intrinsics, size), (expected, expected_size) = setting, first
    if size != expected_size:
        raise DataError(
            f"{scene}: found pictures of {size[0]} x {size[1]}, expected {expected_size[0]} x {expected_size[1]} as in "
            f"the first scene; a folder holds one size."
        )
    if not np.allclose(intrinsics, expected, atol=1e-3):
        raise DataError(
            f"{scene}: found intrinsics {_listed(intrinsics)}, expected {_listed(expected)} as in the first scene; "
            f"a folder holds one camera."
        )


def _checked_pose(path: Path) -> np.ndarray:
    """A pose whose camera looks at the object from outside."""
    pose = read_pose(path).double().numpy()
    centre, forward = pose[:3, 3], pose[:3, 2]
    distance = np.linalg.norm(centre)
    if np.all(np.abs(centre) < 0.5):
        raise DataError(
            f"{path}: the camera stands inside the object box [-0.5, 0.5]^3, at {_listed(centre)}; expected SRN units, "
            f"in which an object's box has diagonal 1 and cameras stand about 1.3 away."
        )
    if forward @ centre > 0:
        raise DataError(
            f"{path}: the camera looks away from the origin; expected OpenCV axes (x right, y down, z forward), so "
            f"negate the second and third column of poses in OpenGL or Blender axes."
        )
    if -(forward @ centre) < 0.5 * distance:
        raise DataError(
            f"{path}: the camera looks past the origin; expected poses that look at the object at the origin."
        )
    if pose[2, 1] > 0.1:
        raise DataError(
            f"{path}: the camera is upside down, expected OpenCV axes (y down) in a world whose z points up."
        )
    return pose


def _check_picture(
    path: Path, pose: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> None:
    rgba = read_picture(path)
    if rgba.shape[:2] != size:
        raise DataError(
            f"{path}: found {rgba.shape[0]} x {rgba.shape[1]} pixels, expected {size[0]} x {size[1]} as in intrinsics.txt."
        )
    alpha = rgba[..., 3:].astype(np.float32) / 255
    on_white = rgba[..., :3] * alpha + 255 * (1 - alpha)
    shown = on_white.min(-1) < BACKGROUND
    if not shown.any():
        raise DataError(f"{path}: the picture is empty (all white), expected an object on white.")
    border = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    if border.mean() > 0.5:
        raise DataError(
            f"{path}: the background is not white, expected an object on white or transparent ground; cut it out."
        )
    if border.any():
        raise DataError(
            f"{path}: the object touches the picture's border, expected the whole object; scale it to a box diagonal of 1."
        )
    outside = shown & ~_box_mask(pose, intrinsics, size)
    if outside.sum() > OUTSIDE_SHARE * shown.sum():
        raise DataError(
            f"{path}: the object reaches outside the box [-0.5, 0.5]^3, expected its box centred at the origin with "
            f"diagonal 1; check the unit of the poses."
        )


def _box_mask(pose: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels that the box [-0.5, 0.5]^3 covers, one pixel wider."""
    local = (CORNERS - pose[:3, 3]) @ pose[:3, :3]
    depth = np.maximum(local[:, 2:], 1e-3)
    pixels = (local[:, :2] / depth * intrinsics[:2] + intrinsics[2:] - 0.5).astype(np.float32)
    mask = np.zeros(size, np.uint8)
    hull = cv2.convexHull(np.clip(pixels, -1e4, 1e4)).round().astype(np.int32)
    cv2.fillConvexPoly(mask, hull, 1)
    return cv2.dilate(mask, np.ones((5, 5), np.uint8)).astype(bool)


def _listed(values: object) -> str:
    return " ".join(f"{float(value):.4g}" for value in values)
