"""The procedural tables: pure functions of their seeds, with a factor that only the rear shows."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import chi2_contingency

from engine.data.cameras import orbit_cameras, spiral_cameras, srn_intrinsics, training_cameras
from engine.data.procedural.categories import TABLES
from engine.data.procedural.shape import render_shape, scene_seed
from engine.data.procedural.tables import PARTS, build_table
from engine.errors import DataError

SEEDS = range(48)
INPUT_VIEW = 64
FROZEN_CAPTION = "a round black iron side table with beige curved legs and a checked pattern"
FROZEN_FACES = 702
FROZEN_MEAN = (0.12408, 0.136032, 0.238847)
FROZEN_RGB = (0.375011, 0.408545, 0.3464)


@pytest.fixture(scope="module")
def tables():
    return [build_table(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def attributes():
    return [build_table(scene_seed("val", index)).attributes for index in range(300)]


def corners(table, *names):
    """Corners `f 3 3` of the faces of some parts."""
    return table.vertices[table.faces[table.labelled(names)]].astype(np.float64)


def test_a_seed_always_gives_the_same_bytes():
    for seed in (7, 1_000_003):
        one, two = build_table(seed), build_table(seed)
        for name in ("vertices", "faces", "face_rgb", "corner_normals", "part"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
        assert (one.attributes, one.caption) == (two.attributes, two.caption)
        pictures = [
            render_shape(t, training_cameras(seed, 2), srn_intrinsics(32), 32) for t in (one, two)
        ]
        assert pictures[0].tobytes() == pictures[1].tobytes()


def test_the_box_is_centred_its_diagonal_is_one_and_the_field_holds_it(tables):
    lower, upper = np.array(TABLES.box)
    for table in tables:
        low, high = table.vertices.min(0), table.vertices.max(0)
        np.testing.assert_allclose((low + high) / 2, 0, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(high - low), 1, rtol=1e-5)
        assert (2 * low > lower).all(), table.seed
        assert (2 * high < upper).all(), table.seed


def test_tables_stand_on_their_feet_and_the_top_is_on_top(tables):
    for table in tables:
        floor = table.vertices[:, 2].min()
        standing = np.unique(
            table.part[(table.vertices[table.faces][..., 2] < floor + 1e-6).any(1)]
        )
        assert {PARTS[index] for index in standing} <= {"leg", "base", "cabinet", "hidden"}
        top = corners(table, "top")
        under = corners(table, "leg", "apron", "base", "drawer", "cabinet", "stretcher", "bench")
        assert top[..., 2].max() > under[..., 2].max(), table.seed
        footing = table.vertices[table.vertices[:, 2] < floor + 1e-6][:, :2]
        assert (footing.min(0) < -0.02).all(), table.seed
        assert (footing.max(0) > 0.02).all(), table.seed


def test_a_table_is_a_slab_wide_enough_to_put_something_on(tables):
    for table in tables:
        top = corners(table, "top")
        extent = np.ptp(top.reshape(-1, 3), axis=0)
        assert (extent[:2] > 0.15).all()
        assert extent[2] > 0.01


def test_drawers_open_towards_the_user(tables):
    found = 0
    for table in tables:
        drawers, handles = corners(table, "drawer"), corners(table, "handle")
        assert bool(len(drawers)) == bool(table.attributes["drawers"])
        if len(drawers):
            found += 1
            assert handles[..., 1].max() > drawers[..., 1].max() > 0
    assert found > 10


def test_frames_are_mirror_symmetric(tables):
    for table in tables:
        if table.attributes["table_type"] == "desk":
            continue
        for name in ("leg", "apron", "base", "stretcher", "bench"):
            points = corners(table, name).reshape(-1, 3)
            if len(points):
                distance, _ = cKDTree(points).query(points * [-1, 1, 1])
                assert distance.max() < 1e-5, (table.seed, name)


def test_solids_are_closed_and_face_outwards(tables):
    for table in tables:
        for name in PARTS:
            points = corners(table, name)
            if not len(points) or name in ("apron", "base", "cloth", "hidden"):
                continue
            normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]) / 2
            area = np.linalg.norm(normals, axis=-1).sum()
            assert np.linalg.norm(normals.sum(0)) < 4e-3 * area, (table.seed, name)
            assert np.sum(points[:, 0] * normals) > 0, (table.seed, name)
        points = table.vertices[table.faces].astype(np.float64)
        normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]) / 2
        assert np.linalg.norm(normals.sum(0)) < 2e-3 * np.linalg.norm(normals, axis=-1).sum()
        flat = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
        assert np.mean(np.sum(flat * table.corner_normals.mean(1), -1) > 0.7) > 0.99


def test_all_types_shapes_colours_patterns_and_extras_occur(attributes):
    kinds = Counter(a["table_type"] for a in attributes)
    assert len(kinds) == 15
    assert kinds.most_common(1)[0][1] < 75
    assert len({a["top"] for a in attributes}) == 8
    assert len({a["colour"] for a in attributes}) >= 30
    assert len({a["pattern"] for a in attributes}) == 11
    assert len({extra for a in attributes for extra in a["extras"]}) >= 14
    assert {a["frame_material"] for a in attributes} == {"wood", "paint", "metal"}
    assert len({a["hidden"] for a in attributes}) == 9


def test_captions_and_attributes_describe_the_table(tables):
    for table in tables:
        facts = table.attributes
        for name in ("table_type", "colour", "top"):
            assert facts[name] in table.caption
        assert facts["pattern"] == "plain" or facts["pattern"] in table.caption
        assert json.loads(json.dumps(facts)) == facts
        assert 50 < len(table.faces) < 6000
        assert np.isfinite(table.corner_normals).all()


def test_a_plain_top_has_its_colour_seen_from_above(tables):
    seen = 0
    camera = orbit_cameras(np.array([2.3]), np.array([1.5]), 1.3)
    for table in tables:
        facts = table.attributes
        if facts["pattern"] != "plain" or facts["extras"] or max(facts["rgb"]) < 0.3:
            continue
        picture = render_shape(table, camera, srn_intrinsics(64), 64)[0]
        inside = np.median(picture[picture[..., 3] == 255][:, :3] / 255, 0)
        expected = np.array(facts["rgb"]) / max(facts["rgb"])
        np.testing.assert_allclose(inside / inside.max(), expected, atol=0.03)
        seen += 1
    assert seen >= 5


def test_only_the_rear_shows_the_hidden_factor(tables):
    size = 128
    behind = orbit_cameras(np.deg2rad([-60.0]), np.deg2rad([12.0]), 1.3)
    cameras = np.concatenate([spiral_cameras()[INPUT_VIEW : INPUT_VIEW + 1], behind])
    for table in tables:
        pictures = []
        for value in (0.0, 1.0):
            rgb = table.face_rgb.copy()
            rgb[table.labelled(("hidden",))] = value
            painted = dataclasses.replace(table, face_rgb=rgb)
            pictures.append(render_shape(painted, cameras, srn_intrinsics(size), size))
        assert pictures[0][0].tobytes() == pictures[1][0].tobytes(), table.seed
        changed = (pictures[0][1] != pictures[1][1]).any(-1).sum()
        assert changed > 0.01 * (pictures[0][1][..., 3] == 255).sum() > 0, table.seed


def test_the_rear_panel_has_the_colour_it_is_said_to_have(tables):
    by_name = {}
    for table in tables:
        rgb = table.face_rgb[table.labelled(("hidden",))]
        if table.attributes["hidden"] == "none":
            if "a tablecloth" not in table.attributes["extras"]:
                np.testing.assert_allclose(
                    rgb, [table.attributes["frame_rgb"]] * len(rgb), atol=1e-4
                )
        else:
            colours = by_name.setdefault(table.attributes["hidden"], set())
            colours.update(map(tuple, np.unique(rgb, axis=0).tolist()))
    assert len(by_name) == 8
    assert all(len(colours) == 1 for colours in by_name.values())
    assert len(set.union(*by_name.values())) == 8


@pytest.mark.parametrize("name", ["table_type", "material", "frame_material"])
def test_the_hidden_factor_does_not_depend_on_what_is_seen(attributes, name):
    kinds, hidden = (sorted({a[key] for a in attributes}) for key in (name, "hidden"))
    counts = np.zeros((len(kinds), len(hidden)))
    for a in attributes:
        counts[kinds.index(a[name]), hidden.index(a["hidden"])] += 1
    assert chi2_contingency(counts).pvalue > 0.01


@pytest.mark.parametrize("seed", [-1, 3_000_000])
def test_a_seed_outside_the_splits_is_an_error(seed):
    with pytest.raises(DataError, match="expected 0 to 2999999"):
        build_table(seed)


def test_the_generator_is_frozen():
    """The bundled prior and its figures depend on these shapes."""
    table = build_table(4)
    assert table.caption == FROZEN_CAPTION
    assert len(table.faces) == FROZEN_FACES
    np.testing.assert_allclose(np.abs(table.vertices).mean(0), FROZEN_MEAN, atol=1e-5)
    np.testing.assert_allclose(table.soup().corner_rgb.mean((0, 1)), FROZEN_RGB, atol=1e-4)
