"""Conventions of camera files other than SRN's. Light to import, since command-line flags are generated from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from engine.errors import DataError

Convention = Literal["opencv", "opengl", "pytorch3d"]
Up = Literal["z", "y", "y-down"]

AXES: dict[str, tuple[str, tuple[int, int, int]]] = {
    "opencv": ("x right, y down, z forward", (1, 1, 1)),
    "opengl": ("x right, y up, z backward", (1, -1, -1)),
    "pytorch3d": ("x left, y up, z forward", (-1, -1, 1)),
}
"""Axes of each convention's cameras, and factors on a pose's columns that convert it to OpenCV's."""

WORLDS: dict[str, Float[np.ndarray, "3 3"]] = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "y-down": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
"""Rotations from worlds of another upward axis to ours: quarter turns about x."""

MIRRORS = {"x": (-1, 1, 1), "y": (1, -1, 1), "z": (1, 1, -1)}


@dataclass(frozen=True)
class CameraReading:
    """Conventions of camera files. The defaults are SRN's and are checked against the pictures."""

    convention: Convention | None = None
    """Axes of the poses' cameras: `opencv` (x right, y down, z forward), `opengl` (x right, y up, z backward: Blender,
    NeRF, nerfstudio) or `pytorch3d` (x left, y up, z forward)."""
    inverse: bool = False
    """The poses map world to camera (COLMAP, OpenCV's extrinsics)."""
    mirror: Literal["x", "y", "z"] | None = None
    """The camera's axis that is negated in poses of determinant -1."""
    scale: float | None = None
    """Factor on the cameras' positions: in SRN units an object's box has diagonal 1 around the origin."""
    up: Up | None = None
    """The world's upward axis."""
    intrinsics_width: float | None = None
    """Width of the picture that the intrinsics are for, in their unit: 1 for normalised ones, pixels otherwise."""
    focal: float | None = None
    """Focal length in pixels of the picture, instead of the file's."""

    def __post_init__(self):
        for name in ("scale", "intrinsics_width", "focal"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                flag = name.replace("_", "-")
                raise DataError(f"Found --{flag} {value:g}, expected a number above 0.")

    def c2w(self, matrix: Float[np.ndarray, "*n 4 4"]) -> Float[np.ndarray, "*n 4 4"]:
        """Camera to world, OpenCV axes, SRN units, z up, of rigid matrices as files hold them."""
        c2w = np.linalg.inv(matrix) if self.inverse else np.array(matrix, np.float64)
        axes = np.array(AXES[self.convention or "opencv"][1], np.float64)
        if self.mirror is not None:
            axes = axes * MIRRORS[self.mirror]
        c2w[..., :3, :3] = c2w[..., :3, :3] * axes
        if self.up is not None:
            c2w[..., :3, :] = WORLDS[self.up] @ c2w[..., :3, :]
        if self.scale is not None:
            c2w[..., :3, 3] *= self.scale
        return c2w

    def intrinsics(
        self,
        values: Float[np.ndarray, "4"],
        resolution: tuple[int, int] | None,
        size: tuple[int, int],
    ) -> Float[np.ndarray, "4"]:
        """fx, fy, cx, cy in pixels of a picture.

        Args:
            values: Intrinsics as in the file.
            resolution: Height and width that the file says they belong to.
            size: Height and width of the picture.
        """
        height, width = size
        rows, cols = resolution or size
        if self.intrinsics_width is not None:
            cols = self.intrinsics_width
            rows = cols * height / width
            if abs(values[3] / cols - 0.5) < abs(values[3] / rows - 0.5):
                rows = cols  # normalised by height and width
        found = np.asarray(values, np.float64) * (
            width / cols,
            height / rows,
            width / cols,
            height / rows,
        )
        if self.focal is not None:
            found = np.array([self.focal, self.focal * found[1] / found[0], *found[2:]])
        return found


SRN = CameraReading()
"""Files as SRN writes them."""
