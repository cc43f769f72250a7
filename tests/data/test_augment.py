"""Augmentation: other colours, light and proportions, as pure functions of the seed, inside the field's box."""

import colorsys

import numpy as np
import pytest

from engine.data.light import DAYLIGHT
from engine.data.procedural.augment import augmented, recoloured
from engine.data.procedural.categories import CATEGORIES
from engine.types import WORLD_PER_SRN


@pytest.fixture(scope="module", params=sorted(CATEGORIES))
def pairs(request):
    category = CATEGORIES[request.param]
    shapes = [category.shape(seed) for seed in range(40)]
    return category, [(shape, augmented(shape, category.box)) for shape in shapes]


def test_about_half_of_the_shapes_stay_as_they_are(pairs):
    _, shapes = pairs
    assert 10 <= sum(changed is shape for shape, changed in shapes) <= 30


def test_a_seed_always_gives_the_same_variation(pairs):
    category, shapes = pairs
    for shape, changed in shapes[:12]:
        again = category.shape(shape.seed, augment=True)
        assert again.vertices.tobytes() == changed.vertices.tobytes()
        assert again.face_rgb.tobytes() == changed.face_rgb.tobytes()
        assert again.light == changed.light


def test_variations_stay_in_the_box_with_diagonal_one(pairs):
    category, shapes = pairs
    low, high = np.array(category.box)
    stretches = []
    for shape, changed in shapes:
        np.testing.assert_allclose(np.linalg.norm(np.ptp(changed.vertices, axis=0)), 1, rtol=1e-5)
        assert (changed.vertices * WORLD_PER_SRN >= low - 1e-5).all()
        assert (changed.vertices * WORLD_PER_SRN <= high + 1e-5).all()
        stretches.append(np.ptp(changed.vertices, axis=0) / np.ptp(shape.vertices, axis=0))
    spread = np.std(stretches, axis=0)
    assert spread.min() > 0.02
    assert spread.max() > 0.07


def test_light_and_colours_vary_and_stay_displayable(pairs):
    _, shapes = pairs
    changed = [varied for shape, varied in shapes if varied is not shape]
    assert len({varied.light for varied in changed}) == len(changed)
    for varied in changed:
        assert varied.light != DAYLIGHT
        assert varied.light.ambient + varied.light.sky + varied.light.diffuse <= 1.05 + 1e-9
        assert varied.face_rgb.min() >= 0
        assert varied.face_rgb.max() <= 1
        lit = varied.soup().corner_rgb
        assert np.isfinite(lit).all()
        assert lit.min() >= 0
        assert lit.max() <= 1


def test_normals_follow_the_stretch(pairs):
    """Flat faces: the corner normals of a stretched shape are the normals of its stretched triangles."""
    _, shapes = pairs
    shape, changed = next(pair for pair in shapes if pair[0] is not pair[1])
    corners = shape.vertices[shape.faces].astype(float)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    flat = (np.abs(shape.corner_normals - normal[:, None]) < 1e-4).all((1, 2))
    corners = changed.vertices[changed.faces].astype(float)
    expected = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert flat.sum() > 20
    difference = np.abs(changed.corner_normals[:, 0] - expected)[flat].max(1)
    assert np.percentile(difference, 95) < 1e-3


@pytest.mark.parametrize(
    ("turn", "saturation", "gamma"), [(0.0, 1.0, 1.0), (0.3, 0.7, 1.4), (0.9, 1.2, 0.8)]
)
def test_recolouring_is_the_hsv_transform(turn, saturation, gamma):
    rgb = np.random.default_rng(0).uniform(0, 1, (64, 3)).astype(np.float32)
    rgb[:3] = ((0.4, 0.4, 0.4), (0, 0, 0), (1, 1, 1))
    expected = []
    for colour in rgb.tolist():
        hue, strength, value = colorsys.rgb_to_hsv(*colour)
        varied = ((hue + turn) % 1, min(strength * saturation, 1), value**gamma)
        expected.append(colorsys.hsv_to_rgb(*varied))
    np.testing.assert_allclose(recoloured(rgb, turn, saturation, gamma), expected, atol=1e-5)
