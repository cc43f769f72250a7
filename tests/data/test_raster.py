"""The rasteriser against closed forms: planes, spheres, edges, perspective interpolation, textures."""

import numpy as np
import trimesh

from engine.data.cameras import orbit_cameras, srn_intrinsics
from engine.data.raster import Soup, composite_white, rasterise, rasterise_depth

FRONT = np.eye(4)
FRONT[2, 3] = -2.0


def _rays(c2w, intrinsics, size):
    v, u = np.mgrid[:size, :size] + 0.5
    local = np.stack(
        [(u - intrinsics[2]) / intrinsics[0], (v - intrinsics[3]) / intrinsics[1], 0 * u + 1], -1
    )
    return c2w[:3, 3], local @ c2w[:3, :3].T


def _quad(corners, rgb):
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return np.asarray(corners, np.float32), faces, np.asarray(rgb, np.float32)[faces]


def test_a_tilted_plane_has_the_depth_of_its_equation():
    size = 48
    corners = [[-3, -3, 0.9], [3, -3, 0.3], [3, 3, 0.3], [-3, 3, 0.9]]
    vertices, faces, rgb = _quad(corners, np.ones((4, 3)))
    k = srn_intrinsics(size)
    depth = rasterise_depth(Soup(vertices, faces, rgb), FRONT, k, size, size)
    origin, rays = _rays(FRONT, k, size)
    normal = np.array([0.1, 0, 1.0])
    expected = (0.6 - normal @ origin) / (rays @ normal)
    np.testing.assert_allclose(depth, expected, rtol=1e-5)


def test_a_sphere_has_the_depth_of_its_equation_and_the_area_of_its_outline():
    size, radius = 96, 0.5
    ball = trimesh.creation.icosphere(5, radius)
    soup = Soup(
        np.asarray(ball.vertices),
        np.asarray(ball.faces),
        np.ones((len(ball.faces), 3, 3), np.float32),
    )
    c2w = orbit_cameras(np.array([0.7]), np.array([0.4]), 1.3)
    k = srn_intrinsics(size)
    depth = rasterise_depth(soup, c2w[0], k, size, size)
    origin, rays = _rays(c2w[0], k, size)
    a, b, c = (rays**2).sum(-1), rays @ origin, origin @ origin - radius**2
    disc = b * b - a * c
    inside = disc > 0.02
    expected = (-b - np.sqrt(np.maximum(disc, 0))) / a
    np.testing.assert_allclose(depth[inside], expected[inside], atol=2e-3)
    assert np.isinf(depth[disc < -0.001]).all()
    alpha = rasterise(soup, c2w, k, size, size)[0, ..., 3].sum() / 255
    outline = np.pi * k[0] ** 2 * radius**2 / (1.3**2 - radius**2)
    np.testing.assert_allclose(alpha, outline, rtol=3e-3)


def test_colours_are_interpolated_in_space_and_not_on_the_screen():
    size = 40
    corners = np.array([[-3, -3, 2.0], [3, -3, -0.5], [3, 3, -0.5], [-3, 3, 2.0]])
    colour = (corners + 3) / 8
    vertices, faces, rgb = _quad(corners, colour)
    k = srn_intrinsics(size)
    soup = Soup(vertices, faces, rgb)
    picture = rasterise(soup, FRONT[None], k, size, size, samples=1)[0]
    origin, rays = _rays(FRONT, k, size)
    points = origin + rays * rasterise_depth(soup, FRONT, k, size, size)[..., None]
    np.testing.assert_allclose(picture[..., :3], (points + 3) / 8 * 255, atol=0.6)


def test_an_edge_covers_pixels_by_its_share():
    k = np.array([10.0, 10.0, 5, 5])
    vertices, faces, rgb = _quad(
        [[-1, -1, 0], [0.1, -1, 0], [0.1, 1, 0], [-1, 1, 0]], np.zeros((4, 3))
    )
    picture = rasterise(Soup(vertices, faces, rgb), FRONT[None], k, 10, 10, samples=8)[0]
    np.testing.assert_array_equal(picture[5, :5, 3], 255)
    np.testing.assert_allclose(picture[5, 5, 3], 127.5, atol=0.6)
    np.testing.assert_array_equal(picture[5, 6:, 3], 0)
    np.testing.assert_array_equal(picture[5, 6:, :3], 255)


def test_the_nearer_surface_wins_in_either_order():
    near, faces, red = _quad(
        [[-2, -2, -0.1], [2, -2, -0.1], [2, 2, -0.1], [-2, 2, -0.1]], np.tile([1, 0, 0], (4, 1))
    )
    far, _, blue = _quad(
        [[-2, -2, 0.1], [2, -2, 0.1], [2, 2, 0.1], [-2, 2, 0.1]], np.tile([0, 0, 1], (4, 1))
    )
    for first, second in (((near, red), (far, blue)), ((far, blue), (near, red))):
        soup = Soup(
            np.concatenate([first[0], second[0]]),
            np.concatenate([faces, faces + 4]),
            np.concatenate([first[1], second[1]]),
        )
        picture = rasterise(soup, FRONT[None], srn_intrinsics(16), 16, 16)[0]
        assert (picture == [255, 0, 0, 255]).all()


def test_what_is_behind_the_camera_is_not_seen():
    vertices, faces, rgb = _quad(
        [[-2, -2, -3], [2, -2, -3], [2, 2, -3], [-2, 2, -3]], np.zeros((4, 3))
    )
    assert (
        rasterise(Soup(vertices, faces, rgb), FRONT[None], srn_intrinsics(16), 16, 16)[..., 3] == 0
    ).all()


def test_compositing_on_white_is_the_usual_formula():
    rgba = np.random.default_rng(1).integers(0, 256, (3, 5, 7, 4)).astype(np.uint8)
    alpha = rgba[..., 3:] / 255
    np.testing.assert_allclose(
        composite_white(rgba), rgba[..., :3] * alpha + 255 * (1 - alpha), atol=0.51
    )
