"""Paths between objects: what blends are by geometry, and what the prior makes of them."""

import math
import time

import numpy as np
import pytest
import torch

from engine.config import to_json
from engine.errors import ConfigError, SceneError
from engine.events import finish
from engine.explore.interpolate import (
    Corner,
    between,
    blend,
    corner_return,
    grid_points,
    likeness,
    path,
    path_options,
    scene_corner,
    seed_corner,
    slerp,
    with_noise,
)
from engine.methods.ssdnerf.options import RenoiseOptions, SampleOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.ops.metrics import psnr
from engine.render.frames import RenderOptions, bake, render
from engine.store.checkpoint import open_checkpoint

PAPER = SampleOptions(mode="paper", steps=4)
A, B, C, D = Noise(0).normal((4, 2, 3, 5), "corners")


def official(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The official `spherical_linear` in numpy: weights from the angle between the flattened vectors, which keep their lengths."""
    cosine = (a.ravel() @ b.ravel()) / np.linalg.norm(a) / np.linalg.norm(b)
    theta = np.arccos(cosine)
    return (np.sin((1 - share) * theta) * a + np.sin(share * theta) * b) / np.sin(theta)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.73, 1.0])
def test_slerp_is_the_official_one(share):
    expected = official(A.double().numpy(), 3 * B.double().numpy(), share)
    np.testing.assert_allclose(slerp(A, 3 * B, share).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_slerp_stays_on_the_sphere_and_goes_at_even_speed_where_lerp_cuts_through():
    a, b = A / A.norm(), B / B.norm()
    way = torch.stack([slerp(a, b, share / 8) for share in range(9)])
    torch.testing.assert_close(way.flatten(1).norm(dim=1), torch.ones(9))
    strides = (way[1:] - way[:-1]).flatten(1).norm(dim=1)
    torch.testing.assert_close(strides, strides[:1].expand(8), rtol=1e-4, atol=1e-5)
    assert float(blend(torch.stack([a, b]), 0.5, kind="lerp").norm()) < 0.95


@pytest.mark.parametrize("other", [A, -A, 0 * A])
def test_slerp_is_lerp_where_there_is_no_circle(other):
    assert torch.equal(slerp(A, other, 0.25), torch.lerp(A, other, 0.25))
    assert torch.equal(slerp(A, other, 1.0), other)


@pytest.mark.parametrize("kind", ["slerp", "lerp"])
def test_corners_and_edges_of_the_pad_are_exact(kind):
    four, three, two = torch.stack([A, B, C, D]), torch.stack([A, B, C]), torch.stack([A, B])
    corners = {(0.0, 0.0): A, (1.0, 0.0): B, (0.0, 1.0): C, (1.0, 1.0): D}
    for (u, v), corner in corners.items():
        assert torch.equal(blend(four, u, v, kind), corner)
    for share in (0.0, 0.3, 1.0):
        assert torch.equal(blend(three, share, 1.0, kind), C)
        assert torch.equal(blend(four, share, 0.0, kind), blend(two, share, kind=kind))
        lower = blend(torch.stack([C, D]), share, kind=kind)
        assert torch.equal(blend(four, share, 1.0, kind), lower)
    assert torch.equal(blend(three, 1.0, 0.0, kind), B)


def test_the_straight_pad_is_bilinear():
    u, v = 0.3, 0.8
    found = blend(torch.stack([A, B, C, D]), u, v, "lerp")
    expected = (1 - v) * ((1 - u) * A + u * B) + v * ((1 - u) * C + u * D)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("count", [1, 5])
def test_too_few_or_too_many_corners_are_refused(count):
    with pytest.raises(ConfigError, match=f"Found {count} corners of a path, expected 2 to 4"):
        blend(torch.zeros(count, 2), 0.5)


def test_between_is_exact_at_keyframes_and_bilinear_in_the_cells():
    keyframes = Noise(1).normal((3, 5, 2, 4), "keyframes")
    for (u, v), code in zip(grid_points(3, 5), keyframes.flatten(0, 1), strict=True):
        torch.testing.assert_close(between(keyframes, u, v), code, rtol=0, atol=1e-6)
    u, v = (2 + 0.25) / 4, (1 + 0.6) / 2
    cell = keyframes[1:3, 2:4]
    weights = torch.tensor([[0.4 * 0.75, 0.4 * 0.25], [0.6 * 0.75, 0.6 * 0.25]])
    expected = (weights[:, :, None, None] * cell).sum((0, 1))
    torch.testing.assert_close(between(keyframes, u, v), expected)


def test_between_works_on_one_row_and_stops_at_the_edges():
    row = Noise(1).normal((1, 9, 6), "keyframes")
    torch.testing.assert_close(between(row, 0.5), row[0, 4])
    torch.testing.assert_close(between(row, 1.5, 0.7), row[0, 8])
    torch.testing.assert_close(between(row, -0.5), row[0, 0])
    assert torch.equal(between(row[:, :1], 0.4), row[0, 0])
    assert grid_points(1, 3) == [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)]


def test_between_is_quick_enough_for_a_drag():
    keyframes = torch.zeros(5, 5, 3, 6, 40, 40)
    between(keyframes, 0.3, 0.3)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        between(keyframes, 0.37, 0.61)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1e-3


@pytest.fixture(scope="module")
def vehicles():
    return open_checkpoint("vehicles")


@pytest.fixture(scope="module")
def corners(vehicles):
    return [finish(seed_corner(vehicles, seed, PAPER)) for seed in (0, 3)]


def test_a_path_ends_at_its_corners_bit_for_bit_and_has_a_step_for_each_point(vehicles, corners):
    points, steps = [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)], []
    codes = finish(path(vehicles, corners, points, options=PAPER, seed=9), steps.append)
    assert torch.equal(codes[0], corners[0].latent)
    assert torch.equal(codes[2], corners[1].latent)
    assert [(step.stage, step.index, step.total) for step in steps] == [
        ("path", k, 3) for k in (1, 2, 3)
    ]
    assert all(torch.equal(step.latent[0], code) for step, code in zip(steps, codes, strict=True))
    x_T = slerp(corners[0].x_T, corners[1].x_T, 0.5)[None]
    drawn = finish(vehicles.generate(1, PAPER, Noise(9), x_T=x_T))
    assert torch.equal(codes[1], drawn[0])
    straight = path(vehicles, corners, points[1:2], options=PAPER, seed=9, kind="lerp")
    assert not torch.equal(finish(straight)[0], codes[1])


def test_all_points_share_their_draws(vehicles, corners):
    random = SampleOptions(steps=3, eta=1.0, renoise=RenoiseOptions(steps=2))
    own = finish(seed_corner(vehicles, 4, random))
    points = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.0)]
    codes = finish(path(vehicles, [own, corners[1]], points, options=random, seed=4))
    assert torch.equal(codes[0], codes[2])
    assert torch.equal(codes[0], own.latent)


def test_code_space_is_straight_and_draws_nothing(vehicles, corners):
    plain = [Corner(corner.latent) for corner in corners]
    points = [(0.0, 0.0), (0.25, 0.0), (1.0, 0.0)]
    codes = finish(path(vehicles, plain, points, options=PAPER, seed=0, space="code"))
    a, b = (corner.latent for corner in corners)
    assert torch.equal(codes[0], a)
    assert torch.equal(codes[2], b)
    torch.testing.assert_close(codes[1], 0.75 * a + 0.25 * b)


def test_paths_that_cannot_be_walked_are_refused(vehicles, corners):
    without = Corner(corners[0].latent, title="From a photo")
    refused = {
        "no starting noise of From a photo": ([without, corners[1]], (0.0, 0.0)),
        "the point 1.5, 0": (corners, (1.5, 0.0)),
        "Found 1 corners": (corners[:1], (0.5, 0.0)),
    }
    for message, (ends, point) in refused.items():
        with pytest.raises(ConfigError, match=message):
            finish(path(vehicles, ends, [point], options=PAPER, seed=0))


def test_likeness_is_the_mean_psnr_of_eight_views(vehicles, corners):
    a, b = (corner.latent for corner in corners)
    values = []
    for k in range(8):
        camera = orbit_camera(45.0 * k, 20.0, 1.3, 128)
        pair = [
            render(bake(vehicles.scene(code).field), camera, RenderOptions("high")).rgb
            for code in (a, b)
        ]
        values.append(float(psnr(*pair)))
    assert likeness(vehicles, a, b) == pytest.approx(sum(values) / 8, abs=1e-3)
    assert likeness(vehicles, a, a) == math.inf


def test_noise_is_found_for_a_corner_that_has_none(vehicles, corners):
    options, steps = SampleOptions(mode="paper", steps=20), []
    latent = finish(seed_corner(vehicles, 1, options)).latent
    found = finish(with_noise(vehicles, Corner(latent, None, "x"), 20), steps.append)
    assert found.title == "x"
    assert found.returned > 30
    stages = [step.stage for step in steps]
    assert stages == ["invert"] * 20 + ["denoise"] * 20
    shown = finish(corner_return(vehicles, found, options, 5))
    assert shown == pytest.approx(found.returned, abs=1e-3)
    assert (
        path_options(vehicles, vehicles.presets["generate"]["paper"], [corners[0], found])
        == options
    )
    assert finish(with_noise(vehicles, corners[0], 10)) is corners[0]
    assert finish(corner_return(vehicles, corners[1], PAPER, 5)) == math.inf


def test_a_path_through_an_inverted_corner_walks_the_inversions_noise_levels(vehicles):
    drawn, found = Corner(A, A), Corner(B, B, steps=50, returned=40.0)
    ours = SampleOptions(sampler="unipc", steps=10)
    assert path_options(vehicles, ours, [drawn, drawn]) == ours
    assert path_options(vehicles, ours, [drawn, found]) == SampleOptions(sampler="ddim", steps=50)


def test_a_scene_keeps_its_noise_only_where_its_seed_still_gives_it(vehicles, corners):
    drawn = corners[1]
    settings = to_json(PAPER)
    scene = vehicles.scene(drawn.latent, seed=3, settings=settings)
    assert torch.equal(finish(scene_corner(vehicles, scene, "a")).x_T, drawn.x_T)
    for provenance in (
        {"seed": 2, "settings": settings},
        {"seed": 3, "settings": to_json(vehicles.presets["reconstruct"]["ours"])},
        {"seed": 3},
        {},
    ):
        other = finish(
            scene_corner(vehicles, vehicles.scene(drawn.latent, **provenance), "a.safetensors")
        )
        assert other.x_T is None
        assert other.title == "a.safetensors"
        assert torch.equal(other.latent, drawn.latent)


def test_scenes_of_other_priors_are_refused(vehicles):
    toy = ToyMethod()
    with pytest.raises(SceneError, match=r"car: found a latent of shape \(14, 10\)"):
        finish(scene_corner(vehicles, toy.scene(toy.gallery[0]), "car"))
    chairs = open_checkpoint("chairs")
    with pytest.raises(SceneError, match="found a scene of the model chairs"):
        finish(scene_corner(vehicles, chairs.scene(chairs.gallery[0]), "chair"))
