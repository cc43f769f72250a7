"""The procedural vehicles: pure functions of their seeds, in SRN's frame, lit independently of the view."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from engine.data.cameras import orbit_cameras, srn_intrinsics, training_cameras
from engine.data.light import corner_normals
from engine.data.procedural.shape import SPLITS, render_shape, scene_seed
from engine.data.procedural.vehicles import PARTS, build_vehicle
from engine.data.raster import rasterise, rasterise_depth
from engine.errors import DataError

SEEDS = range(40)
FROZEN_FACES = 4442
FROZEN_MEAN = (0.126456, 0.287807, 0.057666)
FROZEN_RGB = (0.403547, 0.380842, 0.38802)


@pytest.fixture(scope="module")
def vehicles():
    return [build_vehicle(seed) for seed in SEEDS]


def test_a_seed_always_gives_the_same_bytes():
    for seed in (7, 1_000_003):
        one, two = build_vehicle(seed), build_vehicle(seed)
        for name in ("vertices", "faces", "face_rgb", "corner_normals", "part"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
        assert (one.attributes, one.caption) == (two.attributes, two.caption)
        pictures = [
            render_shape(v, training_cameras(seed, 2), srn_intrinsics(32), 32) for v in (one, two)
        ]
        assert pictures[0].tobytes() == pictures[1].tobytes()


def test_the_box_is_centred_and_its_diagonal_is_one(vehicles):
    for vehicle in vehicles:
        low, high = vehicle.vertices.min(0), vehicle.vertices.max(0)
        np.testing.assert_allclose((low + high) / 2, 0, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(high - low), 1, rtol=1e-5)


def test_vehicles_stand_on_wheels_and_look_forward(vehicles):
    for vehicle in vehicles:
        middle = {}
        for name in ("headlight", "taillight", "tyre", "roof"):
            faces = vehicle.faces[vehicle.part == PARTS.index(name)]
            assert len(faces), (vehicle.seed, name)
            middle[name] = vehicle.vertices[faces].mean((0, 1))
        assert middle["headlight"][1] > 0.1 > -0.1 > middle["taillight"][1]
        assert middle["tyre"][2] < middle["headlight"][2] < middle["roof"][2]
        extent = np.ptp(vehicle.vertices, axis=0)
        assert extent[1] > extent[0] > 0.2


def test_vehicles_are_mirror_symmetric_but_for_their_extras(vehicles):
    for vehicle in vehicles[:10]:
        body = vehicle.vertices[vehicle.faces[vehicle.part == PARTS.index("body")]].reshape(-1, 3)
        np.testing.assert_allclose(body[:, 0].min(), -body[:, 0].max(), atol=1e-5)


def test_normals_point_outwards(vehicles):
    for vehicle in vehicles[:12]:
        chosen = np.isin(vehicle.part, [PARTS.index("roof"), PARTS.index("headlight")])
        normals = vehicle.corner_normals[chosen].mean(1)
        roof = vehicle.part[chosen] == PARTS.index("roof")
        assert np.mean(normals[roof][:, 2] > -0.2) > 0.85
        assert np.mean(normals[~roof][:, 1] > -0.2) > 0.95


def test_normals_are_smooth_on_a_sphere_and_sharp_on_a_cube():
    import trimesh

    ball = trimesh.creation.icosphere(3)
    normals = corner_normals(np.asarray(ball.vertices), np.asarray(ball.faces))
    np.testing.assert_allclose(normals, np.asarray(ball.vertices)[ball.faces], atol=0.02)
    cube = trimesh.creation.box()
    normals = corner_normals(np.asarray(cube.vertices), np.asarray(cube.faces))
    np.testing.assert_allclose(normals, np.repeat(cube.face_normals[:, None], 3, 1), atol=1e-9)


def test_all_body_types_colours_and_extras_occur():
    vehicles = [build_vehicle(scene_seed("val", index)) for index in range(150)]
    kinds = Counter(v.attributes["body_type"] for v in vehicles)
    assert len(kinds) >= 10
    assert kinds.most_common(1)[0][1] < 75
    assert len({v.attributes["colour"] for v in vehicles}) >= 14
    assert len({extra for v in vehicles for extra in v.attributes["extras"]}) >= 12
    for vehicle in vehicles:
        assert vehicle.attributes["body_type"] in vehicle.caption
        assert vehicle.attributes["colour"] in vehicle.caption
        assert json.loads(json.dumps(vehicle.attributes)) == vehicle.attributes
        assert 500 < len(vehicle.faces) < 7000
        assert np.isfinite(vehicle.corner_normals).all()


def test_a_red_vehicle_is_red(vehicles):
    red = next(v for v in vehicles if v.attributes["colour"] == "red")
    picture = render_shape(
        red, orbit_cameras(np.array([2.5]), np.array([0.4]), 1.3), srn_intrinsics(64), 64
    )[0]
    pixels = picture[picture[..., 3] == 255][:, :3].astype(int)
    assert np.mean((pixels[:, 0] > 90) & (pixels[:, 0] > 3 * pixels[:, 1])) > 0.3


def test_colour_does_not_depend_on_the_view(vehicles):
    size = 256
    k = srn_intrinsics(size)
    cameras = orbit_cameras(np.array([2.2, 2.5]), np.array([0.3, 0.5]), 1.3)
    for vehicle in vehicles[:4]:
        soup = vehicle.soup()
        pictures = rasterise(soup, cameras, k, size, size, samples=1).astype(int)
        depth = [rasterise_depth(soup, c2w, k, size, size) for c2w in cameras]
        v, u = np.nonzero(np.isfinite(depth[0]))
        local = (
            np.stack([(u + 0.5 - k[2]) / k[0], (v + 0.5 - k[3]) / k[1], 0 * u + 1], -1)
            * depth[0][v, u][:, None]
        )
        world = local @ cameras[0, :3, :3].T + cameras[0, :3, 3]
        other = (world - cameras[1, :3, 3]) @ cameras[1, :3, :3]
        x = (other[:, 0] / other[:, 2] * k[0] + k[2]).astype(int)
        y = (other[:, 1] / other[:, 2] * k[1] + k[3]).astype(int)
        visible = np.abs(depth[1][y, x] - other[:, 2]) < 2e-3
        difference = np.abs(pictures[0][v, u] - pictures[1][y, x])[visible].max(-1)
        assert visible.mean() > 0.5
        assert np.percentile(difference, 80) <= 3


def test_uncovered_pixels_are_white_and_transparent(vehicles):
    picture = render_shape(vehicles[0], training_cameras(0, 3), srn_intrinsics(48), 48)
    assert (picture[:, 0] == [255, 255, 255, 0]).all()
    assert (picture[..., 3] == 255).any()


def test_splits_never_share_a_seed():
    spans = [(scene_seed(split, 0), scene_seed(split, 999_999)) for split in SPLITS]
    spans.sort()
    assert [first for first, _ in spans] == [0, 1_000_000, 2_000_000]
    assert all(one[1] < two[0] for one, two in pairwise(spans))


@pytest.mark.parametrize(("split", "index"), [("train", -1), ("val", 1_000_000), ("holdout", 0)])
def test_a_scene_outside_its_split_is_an_error(split, index):
    with pytest.raises(DataError, match=r"expected"):
        scene_seed(split, index)


@pytest.mark.parametrize("seed", [-1, 3_000_000])
def test_a_seed_outside_the_splits_is_an_error(seed):
    with pytest.raises(DataError, match="expected 0 to 2999999"):
        build_vehicle(seed)


def test_the_generator_is_frozen():
    """All published figures depend on these shapes; a change of the generator re-measures everything."""
    vehicle = build_vehicle(0)
    assert vehicle.caption == "a silver SUV with dark sills, roof rails"
    assert len(vehicle.faces) == FROZEN_FACES
    np.testing.assert_allclose(np.abs(vehicle.vertices).mean(0), FROZEN_MEAN, atol=1e-5)
    np.testing.assert_allclose(vehicle.soup().corner_rgb.mean((0, 1)), FROZEN_RGB, atol=1e-4)
