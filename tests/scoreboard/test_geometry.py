"""Geometry: solids, surfaces and clouds whose volumes and distances have closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from engine.data.cameras import orbit_cameras
from engine.data.light import corner_normals
from engine.data.procedural.shape import Shape
from engine.data.procedural.vehicles import build_vehicle
from engine.errors import DataError, ExportError
from engine.evaluation import geometry
from engine.evaluation.geometry import (
    _solid,
    chamfer,
    cloud_distance,
    coverage_and_mmd,
    iou,
    surface_of,
    surface_points,
)


@pytest.fixture(autouse=True)
def coarse_meshes(monkeypatch):
    """These fields' densities are exponential in depth, so that a coarse lattice has their surfaces exactly."""
    monkeypatch.setattr(geometry, "MESH_RESOLUTION", 56)


class Solid:
    """A field that is dense where `depth` (SRN units below the surface) is positive, with a thin soft skin."""

    kind = "solid"

    def __init__(self, depth):
        self.aabb = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
        self.depth = depth

    def density(self, xyz):
        return 10 * torch.exp((200 * self.depth(xyz / 2)).clamp(-20, 3))

    def query(self, xyz, dirs):
        return self.density(xyz), torch.full_like(xyz, 0.5)


def ball(radius, centre=(0.0, 0.0, 0.0), hollow=0.0):
    def depth(xyz):
        distance = (xyz - torch.tensor(centre)).norm(dim=-1)
        return torch.minimum(radius - distance, distance - hollow)

    return Solid(depth)


def box(low, high):
    low, high = torch.tensor(low), torch.tensor(high)
    return Solid(lambda xyz: torch.minimum(xyz - low, high - xyz).amin(-1))


def shape_of(*bodies) -> Shape:
    mesh = trimesh.util.concatenate(bodies)
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)
    return Shape(
        vertices=vertices,
        faces=faces,
        face_rgb=np.full((len(faces), 3), 0.5, np.float32),
        corner_normals=corner_normals(vertices, faces).astype(np.float32),
        part=np.zeros(len(faces), np.int32),
        parts=("body",),
        seed=0,
        attributes={},
        caption="",
    )


def sphere_mesh(radius):
    return trimesh.creation.icosphere(4, radius)


def box_mesh(low, high):
    return trimesh.creation.box(bounds=[low, high])


def test_concentric_balls_overlap_by_the_ratio_of_their_volumes():
    truth = surface_of(shape_of(sphere_mesh(0.4)))
    assert iou(ball(0.4), truth) > 0.97
    assert iou(ball(0.3), truth) == pytest.approx((0.3 / 0.4) ** 3, abs=0.015)


def test_shifted_balls_overlap_by_their_lens():
    radius, shift = 0.3, 0.2
    lens = np.pi * (4 * radius + shift) * (2 * radius - shift) ** 2 / 12
    expected = lens / (2 * 4 / 3 * np.pi * radius**3 - lens)
    found = iou(ball(radius, (shift, 0.0, 0.0)), shape_of(sphere_mesh(radius)))
    assert found == pytest.approx(expected, abs=0.015)


def test_boxes_that_do_not_meet_share_nothing():
    field = box((-0.4, -0.2, -0.2), (-0.1, 0.2, 0.2))
    assert iou(field, shape_of(box_mesh((0.1, -0.2, -0.2), (0.4, 0.2, 0.2)))) == 0


def test_a_hollow_shell_is_as_solid_as_a_ball():
    full = shape_of(sphere_mesh(0.4))
    assert iou(ball(0.4, hollow=0.3), full) == pytest.approx(iou(ball(0.4), full), abs=1e-3)
    nested = shape_of(sphere_mesh(0.4), sphere_mesh(0.3))
    assert iou(nested, full) == 1


def test_overlapping_pieces_with_a_crack_between_them_are_one_solid():
    left = box_mesh((-0.4, -0.2, -0.2), (-0.0005, 0.2, 0.2))
    right = box_mesh((0.0005, -0.2, -0.2), (0.4, 0.2, 0.2))
    inner = box_mesh((-0.3, -0.1, -0.1), (0.3, 0.15, 0.15))
    opened = left.copy()
    opened.update_faces(np.abs(opened.face_normals[:, 0] - 1) > 1e-6)  # no wall at the crack
    whole = shape_of(box_mesh((-0.4, -0.2, -0.2), (0.4, 0.2, 0.2)))
    assert iou(shape_of(opened, right, inner), whole) > 0.97


def test_a_thing_that_can_be_seen_through_is_not_filled():
    """A frame: its opening is empty, also from below."""
    frame = shape_of(
        box_mesh((-0.4, -0.4, -0.1), (0.4, -0.2, 0.1)),
        box_mesh((-0.4, 0.2, -0.1), (0.4, 0.4, 0.1)),
        box_mesh((-0.4, -0.2, -0.1), (-0.2, 0.2, 0.1)),
        box_mesh((0.2, -0.2, -0.1), (0.4, 0.2, 0.1)),
    )
    plate = shape_of(box_mesh((-0.4, -0.4, -0.1), (0.4, 0.4, 0.1)))
    assert iou(frame, plate) == pytest.approx(0.75, abs=0.02)


def test_an_empty_field_overlaps_nothing_and_is_infinitely_far():
    empty, truth = Solid(lambda xyz: torch.full(xyz.shape[:-1], -1.0)), shape_of(sphere_mesh(0.4))
    assert iou(empty, truth) == 0
    assert chamfer(empty, truth) == float("inf")
    with pytest.raises(ExportError, match="empty"):
        surface_points(empty, 10, 0)


@pytest.fixture(scope="module")
def vehicle():
    return build_vehicle(3)


def first_hit(mesh: Shape, origin, towards) -> float:
    """Distance along a ray to the nearest triangle (Moeller and Trumbore); infinite for none."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    across = np.cross(towards, c - a)
    scale = np.einsum("fk,fk->f", b - a, across)
    scale = np.where(np.abs(scale) < 1e-12, np.inf, scale)
    u = ((origin - a) * across).sum(-1) / scale
    turned = np.cross(origin - a, b - a)
    v = turned @ towards / scale
    t = np.einsum("fk,fk->f", c - a, turned) / scale
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & np.isfinite(scale)
    return float(t[hit].min()) if hit.any() else np.inf


def test_a_vehicle_is_solid_behind_its_skin_and_not_before_it(vehicle):
    """Along rays from all around, traced by the textbook."""
    cells = np.argwhere(_solid(surface_of(vehicle), 64))
    taken = {tuple(cell) for cell in cells}
    noise = np.random.default_rng(0)
    pose = orbit_cameras(noise.uniform(0, 6.28, 60), noise.uniform(-1.5, 1.5, 60), 3.0)
    early, behind = [], []
    for origin in pose[:, :3, 3]:
        aim = noise.uniform(-0.5, 0.5, 3) * np.ptp(vehicle.vertices, axis=0)
        towards = (aim - origin) / np.linalg.norm(aim - origin)
        first = min(first_hit(vehicle, origin, towards), 6.0)
        along = np.linspace(0, first - 0.03, 500)[:, None]
        before = np.floor((origin + along * towards + 0.5) * 64).astype(int)
        early.append(bool(taken & set(map(tuple, before))))
        if first < 6:
            inner = np.floor((origin + (first + 0.03) * towards + 0.5) * 64).astype(int)
            behind.append(tuple(inner) in taken)
    assert np.mean(early) < 0.1  # those that pass an edge through its cells
    assert len(behind) > 20
    assert np.mean(behind) > 0.6  # the rest cut a corner
    extent = np.ptp(vehicle.vertices, axis=0)
    assert 0.3 < len(cells) / 64**3 / extent.prod() < 0.95


def test_points_of_a_sphere_are_even_and_on_its_skin():
    nested = shape_of(sphere_mesh(0.4), sphere_mesh(0.2))
    points = surface_points(nested, 2000, 0)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 0.4, atol=2e-3)
    assert np.abs(points.mean(0)).max() < 0.02
    np.testing.assert_allclose((points**2).mean(0), 0.4**2 / 3, rtol=0.06)
    found = surface_points(ball(0.4, hollow=0.2), 2000, 0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 0.4, atol=4e-3)


def test_points_repeat_with_their_seed(vehicle):
    surface = surface_of(vehicle)
    np.testing.assert_array_equal(surface_points(surface, 50, 1), surface_points(surface, 50, 1))
    assert not np.array_equal(surface_points(surface, 50, 1), surface_points(surface, 50, 2))


def test_clouds_on_shifted_planes_are_as_far_apart_as_the_planes():
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0), [0.0]), -1).reshape(-1, 3)
    assert cloud_distance(grid, grid) == 0
    assert cloud_distance(grid, grid + np.array([0, 0, 0.37])) == pytest.approx(0.37)
    assert cloud_distance(grid[:1], np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])) == pytest.approx(
        ((5 + 1) / 2 + 1) / 2
    )


def test_spheres_are_as_far_apart_as_their_radii():
    found = chamfer(ball(0.4), shape_of(sphere_mesh(0.3)), points=8192)
    assert found == pytest.approx(0.1, abs=0.004)


def test_coverage_and_matching_distance_of_clouds_made_by_hand():
    def at(x):
        return np.array([[x, 0.0, 0.0]])

    samples = [at(0.0), at(1.0), at(9.0)]
    reference = [at(0.5), at(4.0), at(10.0), at(11.0)]
    coverage, mmd = coverage_and_mmd(samples, reference)
    assert coverage == 2 / 4  # 0 and 1 go to 0.5, 9 goes to 10
    assert mmd == pytest.approx((0.5 + 3.0 + 1.0 + 2.0) / 4)
    assert coverage_and_mmd(reference, reference) == (1.0, 0.0)


def test_no_samples_are_an_error():
    with pytest.raises(DataError, match="expected some of both"):
        coverage_and_mmd([], [np.zeros((1, 3))])
