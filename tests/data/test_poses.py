"""Cameras in files: every layout that says one thing is read, everything else is one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engine.data.cameras import training_cameras
from engine.data.poses import pair_poses, read_intrinsics, read_pose
from engine.data.reading import CameraReading
from engine.errors import DataError

POSE = training_cameras(5, 1)[0]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(map(str, POSE.ravel())),
        "\n".join(",".join(map(str, row)) for row in POSE),
        str(POSE[:3].tolist()),
        "\ufeff" + " ".join(map(str, POSE[:3].ravel())),
        "[" + "; ".join(" ".join(map(str, row)) for row in POSE) + "]",
    ],
)
def test_a_matrix_is_read_however_it_is_printed(tmp_path, text):
    path = tmp_path / "pose.txt"
    path.write_text(text, encoding="utf-8")
    np.testing.assert_allclose(read_pose(path).numpy(), POSE, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"camera_angle_x": 0.9, "frames": []}', "JSON"),
        ("", "empty"),
        ("1 0 0 0 0 1 0", "found 7 numbers"),
        (" ".join(map(str, POSE.T.ravel())), "row by row"),
        ("inf " * 16, "not finite"),
        ("nan " * 12, "not finite"),
        ("0 " * 15 + "1", "not a rotation"),
        ("1e400 " + "0 " * 15, "not finite"),
        ("x " * 16, "plain numbers"),
        ("\x1b[31m " * 16, "plain numbers"),
        ("1 " * 1_000_000, "MB"),
    ],
)
def test_what_is_no_pose_is_refused_in_one_sentence(tmp_path, text, words):
    path = tmp_path / "pose.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_pose(path, name="pose.txt")
    message = str(caught.value)
    assert message.startswith("pose.txt")
    assert message.endswith(".")
    assert not {"\n", "\x1b"} & set(message)


def test_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pose.txt")
    with pytest.raises(DataError, match="not an ordinary file"):
        read_pose(tmp_path / "pose.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("100 3 50 0 100 50 0 0 1", "skew"),
        ("100 0 0 0 100 0 50 50 1", "row by row"),
        ("131 64 64 0 0 0 0 1 128.5 128", "whole numbers"),
    ],
)
def test_intrinsics_that_say_something_else_are_refused(tmp_path, text, words):
    path = tmp_path / "intrinsics.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_intrinsics(path)


@pytest.mark.parametrize("field", ["scale", "focal", "intrinsics_width"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_make_no_sense_are_named(field, value):
    with pytest.raises(DataError, match=f"--{field.replace('_', '-')}"):
        CameraReading(**{field: value})


def test_normalised_intrinsics_of_oblong_pictures():
    by_both = CameraReading(intrinsics_width=1.0).intrinsics(
        np.array([1.0, 2.0, 0.5, 0.5]), None, (50, 100)
    )
    np.testing.assert_allclose(by_both, [100, 100, 50, 25])
    by_width = CameraReading(intrinsics_width=1.0).intrinsics(
        np.array([1.0, 1.0, 0.5, 0.25]), None, (50, 100)
    )
    np.testing.assert_allclose(by_width, [100, 100, 50, 25])


def paths(names: str, ending: str) -> list[Path]:
    return [Path("a") / f"{name}{ending}" for name in names.split()]


def test_poses_are_paired_by_name_or_refused():
    pictures = paths("2 10 1", ".png")
    assert pair_poses(pictures, paths("1 10 2", ".txt")) == paths("2 10 1", ".txt")
    assert pair_poses(pictures, paths("p r q", ".txt")) == paths("p r q", ".txt")
    for other in ("1 10 3", "2 q r", "1 1 2"):
        with pytest.raises(DataError, match="partly equal names"):
            pair_poses(pictures, paths(other, ".txt"))
