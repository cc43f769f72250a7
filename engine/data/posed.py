"""Pictures with cameras from files or programs, read, checked and turned into `Views` in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from engine.data.camera_check import check_views, refuse, see
from engine.data.cameras import SRN_DISTANCE
from engine.data.poses import right_handed
from engine.data.reading import SRN, CameraReading
from engine.data.sights import Sight
from engine.types import Views
from engine.vision.images import Source, open_sized, posed_view


@dataclass(frozen=True)
class Posed:
    """A picture with its camera as files hold it.

    Attributes:
        picture: See `engine.vision.images.open_sized`.
        matrix: A rigid matrix (`engine.data.poses.read_matrix`).
        values: fx, fy, cx, cy.
        resolution: Height and width that those belong to; None if unknown.
        name: Name of the camera in messages.
        picture_name: Name of the picture in messages.
    """

    picture: Source
    matrix: Float[np.ndarray, "4 4"]
    values: Float[np.ndarray, "4"]
    resolution: tuple[int, int] | None
    name: str
    picture_name: str


def posed_views(
    given: Sequence[Posed], reading: CameraReading = SRN, distance: float = SRN_DISTANCE
) -> tuple[list[Views], list[str]]:
    """Pictures of one object as views: pixels as they are, transparent ones white.

    Args:
        given: Pictures with their cameras.
        reading: Conventions of the cameras.
        distance: Usual distance of the model's cameras, SRN units.

    Returns:
        One view per picture, and doubts about them, one sentence each.

    Raises:
        ImageError: If a picture cannot be used or is of other proportions than its intrinsics.
        DataError: If cameras and pictures do not fit each other; suggests a reading that does.
    """
    if not given:
        return [], []
    pictures = [open_sized(one.picture, one.picture_name) for one in given]
    poses = [right_handed(one.matrix, reading, one.name) for one in given]
    sights, findings = [], []
    for one, (rgba, size) in zip(given, pictures, strict=True):
        camera = Sight(one.name, one.matrix, one.values, one.resolution, size)
        pixels = (rgba * 255).round().astype(np.uint8)
        sight, found = see(camera, pixels, reading, one.picture_name)
        sights.append(sight)
        findings += found
    if not any(finding.certain for finding in findings):
        findings += check_views(sights, reading, distance)
    doubts = refuse(findings)
    views = [
        _view(rgba, size, pose, one, reading)
        for (rgba, size), pose, one in zip(pictures, poses, given, strict=True)
    ]
    return views, doubts


def _view(
    rgba: np.ndarray,
    size: tuple[int, int],
    pose: torch.Tensor,
    one: Posed,
    reading: CameraReading,
) -> Views:
    """One picture's view, of the height and width that its file has; intrinsics are in pixels of that."""
    values = torch.tensor(one.values, dtype=torch.float32)
    resolution = one.resolution
    if reading.intrinsics_width is not None or reading.focal is not None:
        found = reading.intrinsics(one.values, one.resolution, size)
        values, resolution = torch.tensor(found, dtype=torch.float32), None
    return posed_view(rgba, size, pose, values, resolution)
