"""The toy: cars of blobs, drawn and completed by a Gaussian."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.errors import RegionError
from engine.events import finish
from engine.methods.toy import LEVELS, REST, ToyMethod
from engine.methods.toy_options import DrawOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views
from engine.render.region import Region
from engine.types import Views


@pytest.fixture(scope="module")
def method() -> ToyMethod:
    return ToyMethod()


def test_the_same_seed_gives_the_same_car(method):
    options = DrawOptions(steps=2)
    first, again, other = (finish(method.generate(1, options, Noise(n))) for n in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_objects_of_a_run_are_those_of_consecutive_seeds(method):
    both = finish(method.generate(2, DrawOptions(), Noise(5)))
    assert torch.equal(both[1], finish(method.generate(1, DrawOptions(), Noise(6)))[0])


def test_what_is_drawn_has_the_mean_and_the_spread_of_the_gallery_s_cars(method):
    """The ODE takes noise n to `mean + C^(1/2) n`, so that cars stray as far as C says."""
    cars = finish(method.generate(64, DrawOptions("ddim", 100, spread=0.5), Noise(0)))
    strayed = (cars - method.mean_latent).square().mean(0).sum()
    wanted = method.directions.square().sum() + REST**2 * method.mean_latent.numel()
    assert strayed == pytest.approx(0.25 * float(wanted), rel=0.25)
    none = finish(method.generate(1, DrawOptions(spread=0.0), Noise(0)))
    torch.testing.assert_close(none[0], method.mean_latent, atol=1e-4, rtol=0)


def test_inversion_leads_back_to_any_car(method):
    fitted = method.gallery[:2] + 0.1 * Noise(0).normal(method.gallery[:2].shape, "off")
    x_T = finish(method.invert(fitted, steps=100))
    back = finish(method.generate(2, method.inverse_options(100), Noise(0), x_T=x_T))
    torch.testing.assert_close(back, fitted, atol=2e-3, rtol=0)


def test_a_reconstruction_wears_the_pictures_colour(method):
    latent = method.gallery[2]
    camera = orbit_camera(torch.tensor([30.0, 120.0]), 20.0, 1.3, 48)
    views = Views(render_views(method.scene(latent).field, camera), camera)
    options = method.for_views(method.presets["reconstruct"]["ours"], 2)
    seen = []
    found = finish(method.reconstruct(views, options, Noise(1)), seen.append)

    def error(car):
        pictures = render_views(method.scene(car).field, camera)
        return float((pictures - views.images).square().mean())

    assert error(found[0]) < 0.4 * error(method.mean_latent)
    assert all("psnr" in step.scalars for step in seen)
    unguided = replace(options, pull=0.0, rounds=0)
    assert error(finish(method.reconstruct(views, unguided, Noise(1)))[0]) > 2 * error(found[0])


def test_a_completion_keeps_the_blobs_of_its_part_bit_for_bit_and_their_paint_elsewhere(method):
    latent = method.gallery[1]
    field = method.scene(latent).field
    front = field.aabb.clone()
    front[0, 1] = 0.2
    region, kept = Region.from_box(front, field.aabb), field.centres[:, 1] > 0.2
    made = [
        finish(method.complete(latent, region, DrawOptions(), Noise(seed)))[0] for seed in (1, 2)
    ]
    for proposal in made:
        assert torch.equal(proposal[kept], latent[kept])
    assert (made[0] - made[1])[~kept].abs().max() > 0.05
    paint = slice(7, 10)
    body, hood = 5, 6  # blobs of one colour, the second kept
    assert bool(kept[hood])
    assert not bool(kept[body])
    alike = (made[0][body, paint] - latent[hood, paint]).abs().max()
    assert alike < 0.4 < (method.mean_latent[hood, paint] - latent[hood, paint]).abs().max()


@pytest.mark.parametrize("size", [0.0, 2.0])
def test_nothing_and_everything_cannot_be_kept(method, size):
    field = method.scene(method.mean_latent).field
    region = Region.from_box(torch.tensor([[-size] * 3, [size - 0.01] * 3]), field.aabb)
    with pytest.raises(RegionError, match="mark another part"):
        finish(method.complete(method.mean_latent, region, DrawOptions(), Noise(0)))


def test_the_first_state_of_the_longest_run_is_noise(method):
    assert float(LEVELS.signal(torch.tensor([LEVELS.timesteps - 1]))) < 0.01
