"""Cameras, rays and the box they meet, against closed forms and brute force."""

import math

import numpy as np
import pytest
import torch

from engine.ops.cameras import look_at, orbit, orbit_camera, pose_angles, srn_intrinsics
from engine.ops.rays import MISS, camera_rays, intersect_box, pixel_rays
from engine.types import Camera


def spiral(k: int) -> np.ndarray:
    """The k-th of SRN's 251 test poses, in closed form."""
    el, phi = math.radians(90 * k / 250), 20 * (1 - k / 250)
    centre = 1.3 * np.array(
        [math.cos(el) * math.cos(phi), math.cos(el) * math.sin(phi), math.sin(el)]
    )
    c2w = np.eye(4)
    c2w[:3, 0] = [-math.sin(phi), math.cos(phi), 0]
    c2w[:3, 1] = [math.cos(phi) * math.sin(el), math.sin(phi) * math.sin(el), -math.cos(el)]
    c2w[:3, 2] = -centre / 1.3
    c2w[:3, 3] = centre
    return c2w


def test_orbits_pass_through_the_poses_of_the_srn_spiral():
    k = torch.arange(251, dtype=torch.float64)
    azimuth, elevation = 20 * (1 - k / 250) - math.pi / 2, torch.deg2rad(90 * k / 250)
    found = orbit(azimuth, elevation, torch.full_like(k, 1.3))
    expected = torch.from_numpy(np.stack([spiral(i) for i in range(251)]))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("azimuth", "place"), [(0, (0, 1)), (90, (-1, 0)), (180, (0, -1)), (270, (1, 0))]
)
def test_azimuth_runs_from_the_front_over_the_left_side(azimuth, place):
    camera = orbit_camera(float(azimuth), 0.0, 1.0)
    torch.testing.assert_close(
        camera.srn_c2w()[:2, 3], torch.tensor(place).float(), atol=1e-6, rtol=0
    )


def test_from_the_left_side_the_front_points_left_and_the_roof_up():
    w2c = orbit_camera(90.0, 0.0).c2w.inverse()
    front, up = w2c[:3, :3] @ torch.tensor([0.0, 1, 0]), w2c[:3, :3] @ torch.tensor([0.0, 0, 1])
    torch.testing.assert_close(front, torch.tensor([-1.0, 0, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(up, torch.tensor([0.0, -1, 0]), atol=1e-6, rtol=0)


def test_angles_of_a_pose_are_those_it_was_made_from():
    azimuth = (torch.rand(100, dtype=torch.float64) - 0.5) * 2 * math.pi
    elevation = (torch.rand(100, dtype=torch.float64) - 0.5) * (math.pi - 0.02)
    distance = 1 + torch.rand(100, dtype=torch.float64)
    pose = orbit(azimuth, elevation, distance)
    for found, expected in zip(pose_angles(pose), (azimuth, elevation, distance), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(look_at(pose[:, :3, 3]), pose)


def test_poses_are_right_handed_rotations_even_at_the_poles():
    elevation = torch.tensor([-math.pi / 2, 0.0, 0.7, math.pi / 2])
    rotation = orbit(torch.full((4,), 0.3), elevation, torch.ones(4))[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(4, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(4))


def test_users_cameras_are_srns():
    camera = orbit_camera(torch.tensor([0.0, 10.0]), 20.0, 1.3, size=64)
    assert len(camera) == 2
    assert (camera.height, camera.width) == (64, 64)
    torch.testing.assert_close(camera.c2w[:, :3, 3].norm(dim=-1), torch.full((2,), 2.6))
    assert camera.intrinsics[1].tolist() == pytest.approx([131.25 / 2, 131.25 / 2, 32, 32])
    assert srn_intrinsics(128).tolist() == [131.25, 131.25, 64, 64]


def random_camera(height=5, width=7) -> Camera:
    c2w = orbit(torch.rand(2, 3) * 6, torch.rand(2, 3) - 0.5, 2 + torch.rand(2, 3))
    intrinsics = torch.tensor([9.0, 11.0, 3.2, 2.9]) + torch.rand(2, 3, 4)
    return Camera(c2w, intrinsics, height, width)


def test_points_on_a_ray_project_onto_the_middle_of_its_pixel():
    camera = random_camera()
    rays_o, rays_d = camera_rays(camera)
    assert rays_o.shape == rays_d.shape == (2, 3, 5, 7, 3)
    torch.testing.assert_close(rays_d.norm(dim=-1), torch.ones(2, 3, 5, 7))
    points = rays_o + 1.7 * rays_d
    w2c = camera.c2w.inverse()[..., None, None, :, :]
    local = (w2c[..., :3, :3] @ points[..., None])[..., 0] + w2c[..., :3, 3]
    fx, fy, cx, cy = camera.intrinsics[..., None, None, :].unbind(-1)
    cols = local[..., 0] / local[..., 2] * fx + cx
    rows = local[..., 1] / local[..., 2] * fy + cy
    torch.testing.assert_close(cols, (torch.arange(7) + 0.5).expand(2, 3, 5, 7))
    torch.testing.assert_close(rows, (torch.arange(5) + 0.5)[:, None].expand(2, 3, 5, 7))


def test_a_resized_camera_sees_the_same_directions():
    camera = random_camera(4, 6)
    coarse, fine = camera_rays(camera)[1], camera_rays(camera.resized(12, 18))[1]
    torch.testing.assert_close(fine[..., 1::3, 1::3, :], coarse)


def test_boxes_are_met_where_points_along_the_ray_lie_inside():
    torch.manual_seed(0)
    aabb = torch.tensor([[-0.5, -1.0, -0.3], [0.7, 0.9, 0.4]])
    rays_o = torch.randn(400, 3) * 2
    rays_d = torch.nn.functional.normalize(torch.randn(400, 3) * 0.4 - rays_o, dim=-1)
    rays_d[:20] = -rays_d[:20]
    near, far = intersect_box(rays_o, rays_d, aabb, min_near=0.05)
    t = torch.linspace(0.05, 12, 20_000)
    points = rays_o[:, None] + t[:, None] * rays_d[:, None]
    inside = ((points > aabb[0]) & (points < aabb[1])).all(-1)
    met = inside.any(1)
    assert 100 < met.sum() < 380
    first = t[inside.int().argmax(1)]
    last = t[len(t) - 1 - inside.flip(1).int().argmax(1)]
    spacing = float(t[1] - t[0]) * 1.01
    assert ((near - first).abs()[met] <= spacing).all()
    assert ((far - last).abs()[met] <= spacing).all()
    grazes = (far - near).abs() < 2 * spacing
    assert ((near >= far) | grazes)[~met].all()


def test_rays_along_an_axis_meet_or_miss_the_box():
    aabb = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
    rays_o = torch.tensor([[-3.0, 0.5, 0.5], [-3.0, 1.5, 0.5], [0.0, 0.0, 0.0]])
    near, far = intersect_box(rays_o, torch.tensor([1.0, 0, 0]).expand(3, 3), aabb, 0.2)
    assert near.tolist() == pytest.approx([2, MISS, 0.2])
    assert far.tolist() == pytest.approx([4, MISS, 1])


def test_pixels_are_picked_one_camera_each():
    camera = random_camera()
    full_o, full_d = camera_rays(camera)
    c2w, intrinsics = camera.c2w.flatten(0, 1), camera.intrinsics.flatten(0, 1)
    cols, rows = torch.tensor([0, 1, 2, 3, 4, 6]), torch.tensor([4, 3, 2, 1, 0, 2])
    rays_o, rays_d = pixel_rays(c2w, intrinsics, cols + 0.5, rows + 0.5)
    index = torch.arange(6)
    torch.testing.assert_close(rays_o, full_o.flatten(0, 1)[index, rows, cols])
    torch.testing.assert_close(rays_d, full_d.flatten(0, 1)[index, rows, cols])
