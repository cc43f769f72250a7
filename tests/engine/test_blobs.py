"""The field of blobs, against the formula written out blob by blob."""

from __future__ import annotations

import math

import pytest
import torch

from engine.errors import ConfigError, SceneError
from engine.fields.blobs import BlobConfig, BlobField, packed
from engine.fields.scene import Scene
from engine.ops.cameras import orbit_camera
from engine.ops.rays import camera_rays
from engine.render.frames import bake, render
from engine.render.live import live
from engine.render.rays import render_rays

BOX = ((-0.5, -1.0, -0.5), (0.5, 1.0, 0.5))
CENTRES = ((0.1, -0.4, 0.0), (-0.1, 0.3, 0.05))
AXES = ((0.2, 0.3, 0.15), (0.25, 0.2, 0.2))
COLORS = ((0.9, 0.2, 0.1), (0.1, 0.3, 0.8))


def two() -> BlobField:
    columns = (torch.tensor(column) for column in (CENTRES, AXES))
    return BlobField(BlobConfig(BOX, 2), packed(*columns, 40.0, torch.tensor(COLORS)))


def test_density_and_colour_are_those_of_the_blobs_at_a_point():
    points = torch.tensor([[0.1, -0.4, 0.0], [0.0, -0.05, 0.0], [-0.1, 0.3, 0.2], [0.0, 0.0, 0.1]])
    density, rgb = two().query(points, torch.zeros_like(points))
    for k, point in enumerate(points.tolist()):
        each = []
        for centre, axes in zip(CENTRES, AXES, strict=True):
            r2 = sum(((p - c) / a) ** 2 for p, c, a in zip(point, centre, axes, strict=True))
            each.append(40.0 * math.exp(-(r2**2)))
        assert float(density[k]) == pytest.approx(sum(each), rel=1e-4, abs=1e-6)
        assert float(two().density(points)[k]) == pytest.approx(sum(each), rel=1e-4, abs=1e-6)
        for channel in range(3):
            mixed = sum(e * c[channel] for e, c in zip(each, COLORS, strict=True)) / sum(each)
            assert float(rgb[k, channel]) == pytest.approx(mixed, abs=1e-4)
    torch.testing.assert_close(two().centres, torch.tensor(CENTRES))


def test_its_gradient_is_that_of_central_differences():
    camera = orbit_camera(40.0, 20.0, 1.3, 12)
    rays = [part.reshape(-1, 3).double() for part in camera_rays(camera)]
    latent = two().latent.double()
    weights = torch.linspace(-1, 1, len(rays[0]) * 3, dtype=torch.float64).reshape(-1, 3)

    def value(numbers):
        return (render_rays(BlobField(BlobConfig(BOX, 2), numbers), *rays)[0] * weights).sum()

    leaf = latent.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    for place in ((0, 1), (1, 4), (0, 6), (1, 8)):
        moved = torch.zeros_like(latent)
        moved[place] = 1e-5
        slope = float(value(latent + moved) - value(latent - moved)) / 2e-5
        assert float(gradient[place]) == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_its_voxels_look_like_it():
    camera = orbit_camera(40.0, 20.0, 1.3, 48)
    exact, fast = (render(bake(field), camera).rgb for field in (two(), live(two())))
    assert (exact - fast).abs().mean() < 0.004
    assert (1 - exact).abs().mean() > 0.03


def test_files_hold_it_and_refuse_others(tmp_path):
    path = Scene(two(), {"seed": 1}).save(tmp_path / "two.safetensors")
    opened = Scene.load(path).field
    assert torch.equal(opened.latent, two().latent)
    assert opened.config == two().config
    with pytest.raises(ConfigError, match="expected 2, 10"):
        BlobField.check_latent(BlobConfig(BOX, 2), (3, 10))
    torn = BlobField(BlobConfig(BOX, 3), two().latent)
    with pytest.raises(SceneError, match="expected 3, 10"):
        Scene.load(Scene(torn, {}).save(tmp_path / "torn.safetensors"))


def test_numbers_beyond_all_bounds_stay_finite():
    density, rgb = BlobField(BlobConfig(BOX, 1), torch.full((1, 10), 1e30)).query(
        torch.zeros(1, 3), torch.zeros(1, 3)
    )
    assert torch.isfinite(density).all()
    assert torch.isfinite(rgb).all()
