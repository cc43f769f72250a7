"""Cameras against pictures: right ones pass, each misreading is told with the flag that mends it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from engine.data.camera_check import SRN, check_views, refuse, see
from engine.data.cameras import orbit_cameras, srn_intrinsics, training_cameras
from engine.data.poses import right_handed
from engine.data.procedural.categories import CATEGORIES, CHAIRS, VEHICLES
from engine.data.raster import rasterise
from engine.data.reading import CameraReading
from engine.data.sights import Sight, hull_cover
from engine.errors import DataError

SIZE = 96
OPENGL = np.diag([1.0, -1, -1, 1])
PYTORCH3D = np.diag([-1.0, -1, 1, 1])
Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""From our world to one whose y points up."""


def moved(c2w: np.ndarray, factor: float) -> np.ndarray:
    c2w = c2w.copy()
    c2w[:3, 3] *= factor
    return c2w


def sights(category, seed: int, c2w: np.ndarray, intrinsics=None, size=(SIZE, SIZE)) -> list[Sight]:
    """A category's object from cameras, with masks."""
    values = srn_intrinsics(SIZE) if intrinsics is None else np.array(intrinsics, float)
    pictures = rasterise(category.build(seed).soup(), c2w, values, *size)
    found = []
    for index, (picture, pose) in enumerate(zip(pictures, c2w, strict=True)):
        sight, problems = see(
            Sight(f"{index}.txt", pose, values, None, size), picture, SRN, "p.png"
        )
        assert not problems
        found.append(sight)
    return found


def singly_and_together(found: list[Sight]) -> list[list[Sight]]:
    return [[sight] for sight in found] + [found]


@pytest.mark.parametrize("category", CATEGORIES.values(), ids=CATEGORIES)
@pytest.mark.parametrize(
    ("distance", "zoom", "size"),
    [
        (None, 1.0, (96, 96)),
        (0.6, 1.0, (96, 96)),  # close: the object is cut on all sides
        (1.3, 2.5, (96, 96)),
        (8.0, 1.0, (96, 96)),
        (8.0, 6.0, (72, 96)),
    ],
)
def test_right_cameras_are_never_refused_nor_doubted(category, distance, zoom, size):
    distance = distance or category.distance
    focal = srn_intrinsics(SIZE)[0] * zoom
    for seed in (2, 31):
        c2w = training_cameras(seed, 5, distance)
        found = sights(category, seed, c2w, (focal, focal, size[1] / 2, size[0] / 2), size)
        found = [sight for sight in found if sight.mask.any()]
        for views in singly_and_together(found):
            assert check_views(views, distance=category.distance) == []
        assert hull_cover(found, SRN) > 0.99


@pytest.mark.parametrize("kind", ["tilted", "aimed beside", "from below"])
def test_unusual_cameras_are_not_refused(kind):
    noise = np.random.default_rng(3)
    c2w = training_cameras(4, 12)
    if kind == "from below":
        c2w = orbit_cameras(noise.uniform(0.3, 1.2, 12), noise.uniform(-1.5, -0.3, 12), 1.3)
    for pose in c2w:
        angle = np.radians(noise.uniform(-8, 8))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if kind == "tilted":
            pose[:3, :2] = pose[:3, :2] @ turn
        if kind == "aimed beside":
            pose[:3, 1:3] = pose[:3, 1:3] @ turn
    for views in singly_and_together(sights(VEHICLES, 4, c2w)):
        assert not [finding for finding in check_views(views) if finding.certain]


K = srn_intrinsics(SIZE)
MISREADINGS = {
    "opengl": (lambda p: p @ OPENGL, K, "--convention opengl"),
    "pytorch3d": (lambda p: p @ PYTORCH3D, K, "--convention pytorch3d"),
    "world to camera": (np.linalg.inv, K, "--inverse"),
    "opengl world to camera": (
        lambda p: np.linalg.inv(p @ OPENGL),
        K,
        "--convention opengl --inverse",
    ),
    "y up": (lambda p: Y_UP @ p, K, "--up y (or --up z if the cameras do stand like this)"),
    "opengl y up": (lambda p: Y_UP @ p @ OPENGL, K, "--convention opengl --up y"),
    "NeRF's units": (lambda p: moved(p, 4.03 / 1.3), K, "--scale 0.3226"),
    "decimetres": (lambda p: moved(p, 0.1), K, "--scale 10"),
    "opengl in NeRF's units": (
        lambda p: moved(p @ OPENGL, 4.03 / 1.3),
        K,
        "--convention opengl --scale 0.3226",
    ),
    "normalised": (lambda p: p, K / SIZE, "--intrinsics-width 1"),
    "of a larger picture": (lambda p: p, K * 4, "--intrinsics-width 384"),
    "all in millimetres": (lambda p: p, K * 36 / SIZE, "--intrinsics-width 36"),
    "focal in millimetres": (
        lambda p: p,
        np.array([*K[:2] * 36 / SIZE, *K[2:]]),
        "--focal 98.44",
    ),
}


def reading_of(flags: str) -> CameraReading:
    """What flags mean."""
    words = flags.split(" (")[0].split()
    values: dict = {}
    while words:
        name = words.pop(0)[2:].replace("-", "_")
        if name == "inverse":
            values[name] = True
        else:
            value = words.pop(0)
            values[name] = value if name in ("convention", "up") else float(value)
    return CameraReading(**values)


@pytest.mark.parametrize("name", MISREADINGS)
def test_a_misreading_is_refused_with_the_flags_that_mend_it(name):
    change, values, flags = MISREADINGS[name]
    c2w = orbit_cameras(np.array([0.5, 2.0, 3.9, 5.5]), np.array([0.1, 0.4, 0.7, 1.33]), 1.3)
    right = sights(VEHICLES, 31, c2w)
    wrong = [replace(sight, matrix=change(sight.matrix), values=values) for sight in right]
    for views in singly_and_together(wrong):
        with pytest.raises(DataError, match=re.escape(f"give {flags}.")) as caught:
            refuse(check_views(views))
        assert str(caught.value).count(". ") == 0
    reading = reading_of(flags)
    for before, after in zip(right, wrong, strict=True):
        np.testing.assert_allclose(reading.c2w(after.matrix), before.matrix, atol=2e-4)
        pixels = reading.intrinsics(after.values, None, after.size)
        np.testing.assert_allclose(pixels, before.values, rtol=1e-3)
    assert check_views(wrong, reading) == []


def test_what_cannot_be_decided_is_a_doubt():
    c2w = training_cameras(2, 4)
    right = sights(CHAIRS, 31, c2w)
    for factor in (0.5, 1.7):
        for views in singly_and_together(
            [replace(s, matrix=moved(s.matrix, factor)) for s in right]
        ):
            (finding,) = check_views(views)
            assert not finding.certain
            assert "if that is not meant" in finding.text
            assert "give --scale" in finding.text
            scale = float(finding.text.split("--scale ")[1].rstrip("."))
            assert check_views(views, CameraReading(scale=scale)) == []


def test_what_is_said_outright_is_not_asked_again():
    """A camera held on its side looks as one of a world whose y points up."""
    c2w = orbit_cameras(np.array([0.0]), np.array([0.2]), 1.3)
    c2w[0, :3, :2] = c2w[0, :3, :2] @ np.array([[0.0, -1], [1, 0]])
    (sight,) = sights(VEHICLES, 31, c2w)
    (finding,) = check_views([sight])
    assert "or --up z if the cameras do stand like this" in finding.text
    assert check_views([sight], CameraReading(up="z")) == []
    (finding,) = check_views([replace(sight, matrix=sight.matrix @ OPENGL)], CameraReading(up="z"))
    assert finding.certain


def test_flags_that_do_not_hold_are_named():
    (sight,) = sights(VEHICLES, 31, training_cameras(3, 1))
    (finding,) = check_views([sight], CameraReading(convention="opengl"))
    assert finding.certain
    assert finding.text.endswith("--convention seems not to hold: give no --convention.")


def test_poses_of_other_pictures_are_noticed():
    right = sights(VEHICLES, 31, training_cameras(5, 8))
    mixed = [replace(a, matrix=b.matrix) for a, b in zip(right, right[1:] + right[:1], strict=True)]
    (finding,) = check_views(mixed)
    assert "no object has the outlines" in finding.text
    assert hull_cover(mixed, SRN) < 0.97 < hull_cover(right, SRN)


def picture(rgb=(200, 40, 40), ground=(255, 255, 255), alpha=None) -> np.ndarray:
    pixels = np.full((64, 64, 4), (*ground, 255), np.uint8)
    pixels[20:44, 24:40, :3] = rgb
    if alpha is not None:
        pixels[..., 3] = alpha
    return pixels


def seen(pixels: np.ndarray, distance: float = 1.3):
    c2w = training_cameras(0, 1, distance)[0]
    return see(Sight("a.txt", c2w, srn_intrinsics(64), None, (64, 64)), pixels, SRN, "a.png")


def test_masks_come_from_alpha_or_from_white_ground():
    inside = np.zeros((64, 64), bool)
    inside[20:44, 24:40] = True
    for pixels in (picture(), picture(ground=(90, 90, 90), alpha=inside * 255)):
        sight, problems = seen(pixels)
        assert problems == []
        np.testing.assert_array_equal(sight.mask, inside)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (picture(alpha=128), "a.png: its alpha is 50% everywhere"),
        (picture(alpha=0), "its alpha is 0% everywhere"),
        (picture(ground=(120, 120, 120)), "background is not white"),
        (picture(rgb=(255, 255, 255)), "the picture is empty"),
        (picture(alpha=np.pad(np.zeros((24, 24), np.uint8), 20, constant_values=255)), "inverted"),
    ],
)
def test_pictures_that_show_no_object_are_refused(pixels, words):
    _, problems = seen(pixels)
    with pytest.raises(DataError, match=words):
        refuse(problems)


def test_an_object_that_fills_the_picture_of_a_near_camera_is_a_doubt_only():
    noise = np.random.default_rng(0).integers(0, 200, (64, 64, 4)).astype(np.uint8)
    noise[..., 3] = 255
    for distance, certain in ((0.6, False), (1.6, True)):
        _, (finding,) = seen(noise, distance)
        assert finding.certain is certain


@pytest.mark.parametrize("axis", "xyz")
def test_mirrored_poses_are_refused_with_the_axis_that_mends_them(axis):
    c2w = training_cameras(1, 1)[0]
    flip = np.diag([-1.0 if name == axis else 1.0 for name in "xyz"] + [1.0])
    with pytest.raises(DataError, match=f"--mirror {axis}"):
        right_handed(c2w @ flip, SRN, "a.txt")
    mended = right_handed(c2w @ flip, CameraReading(mirror=axis), "a.txt")
    np.testing.assert_allclose(mended.numpy(), c2w, atol=1e-6)
    with pytest.raises(DataError, match="leave --mirror out"):
        right_handed(c2w, CameraReading(mirror=axis), "a.txt")
