"""Cameras in files: poses and intrinsics as text, and the pairing of poses with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from engine.data.names import in_order
from engine.data.reading import SRN, CameraReading
from engine.errors import DataError, plain
from engine.files import MEGABYTE, regular


def read_matrix(path: Path | str, name: str | None = None) -> Float[np.ndarray, "4 4"]:
    """A rigid matrix from a text file of 16 numbers, or of 12 (3 x 4), row by row; perhaps mirrored.

    Args:
        path: The file.
        name: Its name in messages; default: its path.

    Raises:
        DataError: If the file is missing or is not such a matrix.
    """
    called = plain(path if name is None else name)
    numbers = _read_numbers(path, called, "a pose")
    if len(numbers) not in (12, 16):
        raise DataError(
            f"{called}: found {len(numbers)} numbers, expected the 16 of a 4 x 4 camera-to-world matrix, or the 12 of "
            "its first three rows."
        )
    matrix = np.eye(4)
    matrix[: len(numbers) // 4] = np.array(numbers).reshape(-1, 4)
    return rigid(matrix, called)


def rigid(matrix: Float[np.ndarray, "4 4"], name: str) -> Float[np.ndarray, "4 4"]:
    """The matrix, if it is a rotation (perhaps mirrored) with a translation.

    Raises:
        DataError: If it is not; the message calls it `name`.
    """
    if not np.isfinite(matrix).all():
        raise DataError(
            f"{name}: the pose holds a number that is not finite; expected plain numbers."
        )
    rotation = matrix[:3, :3]
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-4):
        raise DataError(
            f"{name}: the last row is {_listed(matrix[3])}, expected 0 0 0 1; write the matrix row by row."
        )
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-2):
        raise DataError(
            f"{name}: the upper left 3 x 3 is not a rotation; expected a camera-to-world matrix without scale."
        )
    return matrix


def read_pose(
    path: Path | str, reading: CameraReading = SRN, name: str | None = None
) -> Float[torch.Tensor, "4 4"]:
    """A camera-to-world matrix from a text file: OpenCV axes, SRN units.

    Raises:
        DataError: If the file is missing, is not a rigid matrix, or is mirrored.
    """
    called = plain(path if name is None else name)
    return right_handed(read_matrix(path, name), reading, called)


def right_handed(
    matrix: Float[np.ndarray, "4 4"], reading: CameraReading, name: str
) -> Float[torch.Tensor, "4 4"]:
    """Camera to world of a file's rigid matrix.

    Raises:
        DataError: If it is mirrored; the message calls it `name`.
    """
    c2w = reading.c2w(matrix)
    if np.linalg.det(c2w[:3, :3]) < 0:
        if reading.mirror is not None:
            raise DataError(
                f"{name}: the rotation is not mirrored (determinant 1); leave --mirror out."
            )
        raise DataError(
            f"{name}: the rotation is mirrored (determinant -1), expected right-handed axes; give --mirror "
            f"{_mirrored_axis(c2w)} if it is this axis of the camera that is negated, or write the poses anew."
        )
    return torch.tensor(c2w, dtype=torch.float32)


def _mirrored_axis(c2w: Float[np.ndarray, "4 4"]) -> str:
    """The axis of a mirrored camera to negate so that it stands upright and looks at the origin."""
    if c2w[:3, 2] @ c2w[:3, 3] > 0:
        return "z"
    return "y" if c2w[2, 1] > 0 else "x"


def read_intrinsics(
    path: Path | str, name: str | None = None
) -> tuple[Float[torch.Tensor, "4"], tuple[int, int] | None]:
    """fx, fy, cx, cy and, where the file tells, the height and width they belong to.

    Reads SRN's `intrinsics.txt` (f cx cy _, barycentre, scale, height width) and plain 3 x 3 or 4 x 4 matrices.

    Raises:
        DataError: If the file is missing or is neither.
    """
    called = plain(path if name is None else name)
    numbers = _read_numbers(path, called, "intrinsics")
    resolution = None
    if len(numbers) == 10:
        fx = fy = numbers[0]
        cx, cy = numbers[1:3]
        if any(value != int(value) for value in numbers[8:]):
            raise DataError(
                f"{called}: the picture's size is {_listed(numbers[8:])}, expected whole numbers."
            )
        resolution = (int(numbers[8]), int(numbers[9]))
    elif len(numbers) in (9, 16):
        side = 3 if len(numbers) == 9 else 4
        matrix = np.array(numbers).reshape(side, side)
        (fx, skew, cx), (_, fy, cy) = matrix[:2, :3]
        if not np.allclose((matrix[1, 0], *matrix[2, :3]), (0, 0, 0, 1), atol=1e-6):
            raise DataError(
                f"{called}: not a camera's matrix, expected fx 0 cx, 0 fy cy, 0 0 1, row by row."
            )
        if abs(skew) > 1e-3 * abs(fx):
            raise DataError(
                f"{called}: found a skew of {skew:g}, expected none; undistort the pictures first."
            )
    else:
        raise DataError(
            f"{called}: found {len(numbers)} numbers, expected SRN's intrinsics.txt (10) "
            "or a 3 x 3 or 4 x 4 matrix."
        )
    if min(fx, fy) <= 0 or (resolution and min(resolution) <= 0):
        raise DataError(
            f"{called}: focal lengths {fx:g} and {fy:g}, image {resolution or 'unknown'}; expected positive numbers."
        )
    return torch.tensor([fx, fy, cx, cy], dtype=torch.float32), resolution


def pair_poses(pictures: Sequence[Path], poses: Sequence[Path]) -> Sequence[Path]:
    """The poses in the order of their pictures: by name where both have the same names, as given where none is shared.

    Raises:
        DataError: If only some names are shared, so that a pose of that name belongs to another picture.
    """
    names, found = [path.stem for path in pictures], {path.stem: path for path in poses}
    shared = set(names) & found.keys()
    if not shared or len(poses) == 1:
        return poses
    if len(found) != len(poses) or shared != set(names) or shared != found.keys():
        odd = in_order(list(found.keys() ^ set(names))) or names
        raise DataError(
            f"Found pictures and poses of partly equal names ({odd[0]} has no partner), expected equal names for all, or none "
            "in common; rename them in pairs."
        )
    return [found[name] for name in names]


def _read_numbers(path: Path | str, called: str, what: str) -> list[float]:
    regular(path, DataError, f"{what} as a text file", MEGABYTE, name=called)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise DataError(
            f"{called}: cannot be read ({reason}); expected {what} as a text file."
        ) from None
    if text.lstrip()[:1] == "{":
        raise DataError(
            f"{called}: found JSON (as NeRF's transforms.json), expected {what} as plain numbers, one text file for each "
            "picture."
        )
    try:
        numbers = [float(word) for word in text.translate(BRACKETS).split()]
    except ValueError as error:
        raise DataError(f"{called}: {plain(error)}; expected {what} as plain numbers.") from None
    if not np.isfinite(numbers).all():
        raise DataError(
            f"{called}: holds a number that is not finite; expected {what} as plain numbers."
        )
    return numbers


BRACKETS = str.maketrans("[],;", "    ")
"""Matrices as Python, MATLAB and spreadsheets print them."""


def _listed(values: object) -> str:
    return " ".join(f"{value:g}" for value in values)
