"""Camera paths against the numbers of the specification and a second way of computing them."""

import numpy as np
import pytest

from engine.data.cameras import spiral_cameras, srn_intrinsics, training_cameras


def _angles(c2w):
    x, y, z = c2w[:, 0, 3], c2w[:, 1, 3], c2w[:, 2, 3]
    return np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arcsin(z / 1.3))


def test_the_spiral_has_251_views_and_its_known_angles():
    phi, elevation = _angles(spiral_cameras())
    assert len(phi) == 251
    np.testing.assert_allclose([phi[64], elevation[64]], [132.6, 23.0], atol=0.06)
    np.testing.assert_allclose([phi[104], elevation[104]], [309.2, 37.4], atol=0.06)
    np.testing.assert_allclose(elevation[[0, 250]], [0, 90], atol=1e-5)


@pytest.mark.parametrize(
    "c2w", [spiral_cameras(), training_cameras(3, 200)], ids=["spiral", "random"]
)
def test_cameras_are_upright_rotations_that_look_at_the_origin(c2w):
    rotation, centre = c2w[:, :3, :3], c2w[:, :3, 3]
    np.testing.assert_allclose(
        rotation.transpose(0, 2, 1) @ rotation, np.tile(np.eye(3), (len(c2w), 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1)
    np.testing.assert_allclose(np.linalg.norm(centre, axis=1), 1.3)
    np.testing.assert_allclose(rotation[:, :, 2], -centre / 1.3, atol=1e-12)
    np.testing.assert_allclose(rotation[:, 2, 0], 0, atol=1e-12)
    assert (rotation[:, 2, 1] <= 1e-9).all()


def test_random_elevations_are_uniform_in_their_sine():
    sine = training_cameras(0, 20_000)[:, 2, 3] / 1.3
    low = np.sin(np.deg2rad(-5))
    assert low <= sine.min() < low + 0.001
    assert 0.999 < sine.max() <= 1
    counts, _ = np.histogram(sine, 10, (low, 1))
    assert np.abs(counts - 2000).max() < 200


def test_every_scene_has_its_own_cameras_and_keeps_them():
    np.testing.assert_array_equal(training_cameras(5), training_cameras(5))
    assert np.abs(training_cameras(5) - training_cameras(6)).max() > 0.1


def test_the_focal_length_follows_the_picture_size():
    np.testing.assert_allclose(srn_intrinsics(128), [131.25, 131.25, 64, 64])
    np.testing.assert_allclose(srn_intrinsics(64), [65.625, 65.625, 32, 32])
