"""The procedural chairs: pure functions of their seeds, standing upright, with a rear that view 64 never sees."""

import json
from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats.contingency import crosstab, expected_freq

from engine.data.cameras import orbit_cameras, spiral_cameras, srn_intrinsics
from engine.data.procedural.categories import CHAIRS
from engine.data.procedural.chairs import PARTS, build_chair
from engine.data.procedural.shape import render_shape, scene_seed
from engine.data.raster import Soup, rasterise
from engine.errors import DataError

SEEDS = range(200)
FROZEN_CAPTION = "a silver bar stool with pedestal, round seat, foot ring"
FROZEN_FACES = 1784
FROZEN_KINDS = ["armchair", "dining chair", "armchair", "bar stool"]
FROZEN_MEAN = (0.079096, 0.100936, 0.264090)
FROZEN_RGB = (0.358852, 0.344780, 0.301135)
SIZE = 128
RED = "a red shell chair"


@pytest.fixture(scope="module")
def chairs():
    return [build_chair(seed) for seed in SEEDS]


def corners(chair, *names):
    """All corners of the parts' faces."""
    return chair.vertices[chair.faces[chair.labelled(names)]].reshape(-1, 3)


def paint(chair, chosen, c2w):
    """Pictures in which the chosen faces are white and all others black."""
    rgb = np.zeros((len(chair.faces), 3, 3), np.float32)
    rgb[chosen] = 1
    soup = Soup(chair.vertices, chair.faces, rgb)
    return rasterise(soup, c2w, srn_intrinsics(SIZE), SIZE, SIZE)


def hidden_pixels(chair, c2w):
    """How many pixels of each picture show something of the hidden part."""
    pictures = paint(chair, chair.labelled(["hidden"]), c2w)
    return ((pictures[..., 0] > 0) & (pictures[..., 3] > 0)).sum((1, 2))


def test_a_seed_always_gives_the_same_bytes():
    for seed in (7, 1_000_003):
        one, two = build_chair(seed), build_chair(seed)
        for name in ("vertices", "faces", "face_rgb", "corner_normals", "part"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
        assert (one.attributes, one.caption) == (two.attributes, two.caption)
    assert build_chair(7).caption != build_chair(8).caption


def test_chairs_fill_a_centred_box_of_diagonal_one_inside_the_fields_box(chairs):
    low_limit, high_limit = np.asarray(CHAIRS.box) / 2
    for chair in chairs:
        low, high = chair.vertices.min(0), chair.vertices.max(0)
        np.testing.assert_allclose((low + high) / 2, 0, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(high - low), 1, rtol=1e-5)
        assert (low > low_limit).all()
        assert (high < high_limit).all()
    extent = np.max([chair.vertices.max(0) for chair in chairs], 0)
    assert (extent > 0.85 * high_limit).all()


def test_chairs_stand_on_their_feet_and_look_forward(chairs):
    feet = ("leg", "base", "castor", "rocker")
    for chair in chairs:
        attributes = chair.attributes
        floor = chair.vertices[:, 2].min()
        assert corners(chair, *feet)[:, 2].min() == floor, chair.caption
        sitting = corners(chair, "seat", "cushion")
        if attributes["legs"] != "none":
            assert sitting[:, 2].min() > floor + 0.08, chair.caption
        if attributes["back"] in ("none", "shell"):
            continue
        back = corners(chair, "back", "hidden")
        assert back[:, 1].mean() < sitting[:, 1].mean() - 0.05, chair.caption
        assert back[:, 2].max() > floor + 0.85 * np.ptp(chair.vertices[:, 2]), chair.caption


def test_arms_stand_on_both_sides_where_the_attributes_say_so(chairs):
    for chair in chairs:
        kind, arms = chair.attributes["chair_type"], corners(chair, "arm")
        if kind in ("shell chair", "armchair"):
            continue
        assert bool(len(arms)) == chair.attributes["arms"], chair.caption
        if len(arms):
            assert np.quantile(abs(arms[:, 0]), 0.6) > 0.1
            np.testing.assert_allclose(arms[:, 0].mean(), 0, atol=0.01)


def test_chairs_are_mirror_symmetric(chairs):
    """But for crossed braces and the seams of rings, every corner has a partner on the other side."""
    for chair in chairs[:80]:
        points = chair.vertices
        if chair.attributes["chair_type"] == "director's chair":
            points = corners(chair, "seat", "arm", "back", "hidden")
        distance, _ = cKDTree(points).query(points * np.array([-1, 1, 1], np.float32))
        assert np.mean(distance < 2e-3) > 0.9, (chair.seed, chair.caption)


def test_no_face_is_ever_seen_from_its_inside(chairs):
    """All solids are closed, and their corners run counter-clockwise seen from outside."""
    azimuth = np.array([0.4, 1.7, 2.9, 4.2, 5.4, 0.0])
    elevation = np.array([0.1, 0.5, -0.08, 0.3, 0.9, 1.5])
    cameras = orbit_cameras(azimuth, elevation, CHAIRS.distance)
    for chair in chairs[:40]:
        a, b, c = (chair.vertices[chair.faces[:, k]].astype(float) for k in range(3))
        normal = np.cross(b - a, c - a)
        for c2w in cameras:
            inside = ((c2w[:3, 3] - a) * normal).sum(-1) < -1e-9
            pictures = paint(chair, inside, c2w[None])
            covered = pictures[..., 3] == 255
            wrong = (pictures[..., 0] > 128) & covered
            assert wrong.sum() < 0.005 * covered.sum(), (chair.seed, chair.caption)


def test_normals_have_length_one_and_agree_with_the_faces(chairs):
    for chair in chairs[:60]:
        a, b, c = (chair.vertices[chair.faces[:, k]].astype(float) for k in range(3))
        flat = np.cross(b - a, c - a)
        flat /= np.linalg.norm(flat, axis=-1, keepdims=True)
        np.testing.assert_allclose(np.linalg.norm(chair.corner_normals, axis=-1), 1, atol=1e-4)
        assert np.mean((chair.corner_normals * flat[:, None]).sum(-1) > 0.2) > 0.99


def test_all_types_colours_patterns_and_extras_occur(chairs):
    def values(name):
        return Counter(chair.attributes[name] for chair in chairs)

    assert len(values("chair_type")) == 12
    assert values("chair_type").most_common(1)[0][1] < 70
    assert len(values("colour")) >= 24
    assert len(values("pattern")) == 9
    assert len(values("back")) >= 14
    assert len(values("legs")) >= 14
    assert set(values("frame_material")) >= {"wood", "painted wood", "metal", "plastic"}
    assert set(values("material")) >= {"wood", "fabric", "leather"}
    assert len({extra for chair in chairs for extra in chair.attributes["extras"]}) >= 14
    for chair in chairs:
        assert chair.attributes["chair_type"] in chair.caption
        assert chair.attributes["colour"] in chair.caption
        assert json.loads(json.dumps(chair.attributes)) == chair.attributes
        assert 300 <= len(chair.faces) <= 6000


def test_a_red_chair_is_red(chairs):
    red = next(c for c in chairs if c.caption.startswith(RED))
    cameras = orbit_cameras(np.array([1.6]), np.array([0.5]), CHAIRS.distance)
    picture = render_shape(red, cameras, srn_intrinsics(64), 64)[0]
    pixels = picture[picture[..., 3] == 255][:, :3].astype(int)
    assert np.mean((pixels[:, 0] > 90) & (pixels[:, 0] > 3 * pixels[:, 1])) > 0.4


def test_the_hidden_factor_shows_from_behind_and_never_from_view_64(chairs):
    front = spiral_cameras(CHAIRS.distance)[64:65]
    rear = orbit_cameras(np.array([-np.pi / 2]), np.array([0.3]), CHAIRS.distance)
    seen = []
    for chair in chairs[:150]:
        ahead, behind = hidden_pixels(chair, np.concatenate([front, rear]))
        assert ahead == 0, chair.caption
        assert (behind > 0) == (chair.attributes["hidden"] != "none"), chair.caption
        if behind:
            seen.append(behind)
    assert min(seen) > 50
    assert np.median(seen) > 200


def test_the_hidden_factor_is_the_colour_of_its_faces(chairs):
    channel = {"red": 0, "green": 1, "blue": 2}
    for chair in chairs:
        rgb = chair.face_rgb[chair.labelled(["hidden"])]
        assert np.ptp(rgb, axis=0).max() < 1e-6 if len(rgb) else True
        name = chair.attributes["hidden"]
        if name in channel:
            assert rgb[0].argmax() == channel[name]
        elif name != "none":
            level = {"white": (0.9, 0.9), "black": (0.05, 0.1), "yellow": (0.9, 0.1)}[name]
            np.testing.assert_allclose([rgb[0].max(), rgb[0].min()], level, atol=0.07)


@pytest.mark.parametrize("name", ["chair_type", "colour", "pattern", "frame_material"])
def test_the_hidden_factor_depends_on_nothing_else(chairs, name):
    """Pearson's statistic stays within 4 standard deviations of independence."""
    table = crosstab(
        [chair.attributes[name] for chair in chairs],
        [chair.attributes["hidden"] for chair in chairs],
    ).count
    expected = expected_freq(table)
    statistic = ((table - expected) ** 2 / expected).sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    assert table.shape[1] == 7
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("seed", [-1, 3_000_000])
def test_a_seed_outside_the_splits_is_an_error(seed):
    with pytest.raises(DataError, match="expected 0 to 2999999"):
        build_chair(seed)


def test_the_generator_is_frozen():
    """The bundled prior is trained on these shapes; a change of the generator re-measures everything."""
    chair = build_chair(0)
    assert chair.parts == PARTS
    assert chair.caption == FROZEN_CAPTION
    assert len(chair.faces) == FROZEN_FACES
    np.testing.assert_allclose(np.abs(chair.vertices).mean(0), FROZEN_MEAN, atol=1e-5)
    np.testing.assert_allclose(chair.soup().corner_rgb.mean((0, 1)), FROZEN_RGB, atol=1e-4)
    kinds = [build_chair(scene_seed("val", k)).attributes["chair_type"] for k in range(4)]
    assert kinds == FROZEN_KINDS
