"""Checks of an SRN folder before training on it; each fault is reported in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.camera_check import Finding, check_views, refuse, see
from engine.data.cameras import SRN_DISTANCE
from engine.data.poses import read_matrix, right_handed
from engine.data.reading import SRN, CameraReading
from engine.data.sights import Sight
from engine.data.srn import SRNDataset, read_picture, scene_intrinsics
from engine.errors import DataError

MOST_DOUBTS = 3
"""Sentences about a folder that are worth reading."""


@dataclass(frozen=True)
class SRNReport:
    """Contents of a sound SRN folder.

    Attributes:
        scenes: Number of scenes.
        pictures: Number of pictures in all scenes.
        height: Rows of every picture.
        width: Columns of every picture.
        intrinsics: fx, fy, cx, cy of the first scene.
        distance: Smallest and largest distance of a camera from the origin, SRN units.
        doubts: Possible faults, one sentence each; the first few.
    """

    scenes: int
    pictures: int
    height: int
    width: int
    intrinsics: tuple[float, float, float, float]
    distance: tuple[float, float]
    doubts: tuple[str, ...] = ()


def check_srn(
    root: str | Path,
    pictures_per_scene: int | None = None,
    *,
    reading: CameraReading = SRN,
    distance: float = SRN_DISTANCE,
    limit: int | None = None,
    one_camera: bool = True,
    given: Sequence[int] = (),
) -> SRNReport:
    """Check a whole SRN folder.

    Args:
        root: The folder.
        pictures_per_scene: Number of pictures of each scene to decode, evenly spread; None for all. Poses,
            intrinsics and pairing are checked everywhere.
        reading: Conventions of its cameras.
        distance: Usual distance of the cameras, SRN units.
        limit: Number of scenes to check, from the first; None for all.
        one_camera: True if all scenes must have the same intrinsics and picture size.
        given: Views requested by number.

    Returns:
        Contents of the folder, with doubts about it.

    Raises:
        DataError: At the first fault: where it is, what was found, what was expected.
    """
    dataset = SRNDataset(root, reading)
    first, count, distances, doubts = None, 0, [], []
    ids = dataset.ids[:limit]
    for index, name in enumerate(ids):
        intrinsics, size = dataset.intrinsics(index)
        setting = (tuple(float(value) for value in intrinsics), size)
        first = first or setting
        if one_camera:
            _check_same(dataset.root / name, setting, first)
        sights, found = _scene(dataset, index, pictures_per_scene)
        if not any(finding.certain for finding in found):
            found += check_views(sights, reading, distance)
        doubts += refuse(found)
        misnumbered = dataset.misnumbered(index, given)
        doubts += [] if misnumbered is None else [misnumbered]
        distances += [float(np.linalg.norm(reading.c2w(sight.matrix)[:3, 3])) for sight in sights]
        count += len(sights)
    intrinsics, (height, width) = first
    span = (min(distances), max(distances))
    told = doubts[:MOST_DOUBTS]
    if len(doubts) > len(told):
        told[-1] += f" So it is with {len(doubts) - len(told)} more."
    return SRNReport(len(ids), count, height, width, intrinsics, span, tuple(told))


def _scene(
    dataset: SRNDataset, index: int, pictures: int | None
) -> tuple[list[Sight], list[Finding]]:
    """All cameras of a scene, some with their pictures' masks, and findings about those pictures."""
    frames = dataset.frames(index)
    values, size = scene_intrinsics(dataset.root / dataset.ids[index])
    chosen = range(len(frames))
    if pictures is not None and pictures < len(frames):
        chosen = np.unique(np.linspace(0, len(frames) - 1, pictures).round().astype(int))
    sights, found = [], []
    for position, (picture, pose) in enumerate(frames):
        matrix = read_matrix(pose)
        right_handed(matrix, dataset.reading, str(pose))
        sight = Sight(str(pose), matrix, values.double().numpy(), size, size)
        if position in chosen:
            rgba = read_picture(picture)
            if rgba.shape[:2] != size:
                raise DataError(
                    f"{picture}: found {rgba.shape[0]} x {rgba.shape[1]} pixels, expected {size[0]} x {size[1]} as in "
                    "intrinsics.txt."
                )
            sight, wrong = see(sight, rgba, dataset.reading, str(picture))
            found += wrong
        sights.append(sight)
    return sights, found


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


def _listed(values: object) -> str:
    return " ".join(f"{float(value):.4g}" for value in values)
