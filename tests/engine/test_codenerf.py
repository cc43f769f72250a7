"""CodeNeRF's loss and its fit of two codes, against the formulas and PyTorch's AdamW."""

from dataclasses import replace

import pytest
import torch

from engine.errors import EngineError
from engine.events import finish
from engine.fields.conditional import ConditionalConfig, ConditionalField
from engine.methods.base import fit_options_for
from engine.methods.codenerf.method import CodeNeRF
from engine.methods.codenerf.model import CodeNeRFConfig, adamw, code_size, pixel_pools
from engine.methods.codenerf.options import FitOptions, SampleOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import RenderOptions, bake, render, render_views
from engine.render.pixels import gather_rays
from engine.types import Camera, SceneBatch, Views

NET = ConditionalConfig(
    width=24,
    code=6,
    position_frequencies=2,
    direction_frequencies=1,
    density_scale=10.0,
    density_bias=0.0,
)
CONFIG = CodeNeRFConfig(net=NET, grid_shape=(8, 8, 8))
SHORT = FitOptions(steps=30, halve_every=15, rays=256)


@pytest.fixture(scope="module")
def model():
    """A network whose random codes are clouds of different shapes and colours."""
    torch.manual_seed(3)
    model = CodeNeRF(CONFIG)
    for head in (model.net.density_head, model.net.color_head):
        torch.nn.init.normal_(head.weight, std=0.7)
    return model.eval().requires_grad_(False)


def started(model, codes):
    """The model with its fits starting from these codes."""
    model.mean_latent = codes
    return model


def pictures(model, codes, size=24) -> Views:
    camera = orbit_camera(torch.tensor([0.0, 90.0, 200.0]), 20.0, size=size)
    return Views(render_views(ConditionalField(model.net, codes), camera), camera)


def test_adamw_is_pytorchs():
    torch.manual_seed(0)
    value = torch.randn(1, 2, 5)
    leaf = value.clone().requires_grad_(True)
    theirs = torch.optim.AdamW([leaf], lr=0.01, weight_decay=0.1)
    moments = torch.zeros(2, *value.shape)
    for step in range(1, 8):
        gradient = torch.randn(1, 2, 5)
        value, moments = adamw(value, gradient, moments, step, 0.01, 0.1)
        leaf.grad = gradient
        theirs.step()
    torch.testing.assert_close(value, leaf.detach())


def test_codes_count_squared_or_by_their_norms():
    codes = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])
    assert code_size(codes, "squared").tolist() == [29.0]
    assert code_size(codes, "norm").tolist() == [7.0]


def test_a_loss_is_the_colour_error_and_the_weighted_codes(model):
    torch.manual_seed(1)
    codes = torch.randn(1, 2, 6)
    views = pictures(model, codes[0])
    rays = gather_rays(SceneBatch.of(views), torch.arange(0, 1728, 3)[None])
    noise = Noise(0)
    image, _ = model.render_rays(codes, None, rays, noise, "x", 0)
    error = (image - rays.rgb).square()
    loss, mse = model.loss(codes, None, rays, noise, "x", 0)
    torch.testing.assert_close(mse, error.mean()[None])
    expected = error.sum(-1).mean() + 1e-4 * codes.square().sum()
    torch.testing.assert_close(loss, expected)


def test_rays_of_training_are_the_renderers_pictures(model):
    torch.manual_seed(1)
    codes = torch.randn(2, 6)
    camera = orbit_camera(30.0, 25.0, size=32)
    seen = render(bake(model.scene(codes).field), camera, RenderOptions(quality="high")).rgb
    views = Views(seen[None], Camera.stack([camera]))
    rays = gather_rays(SceneBatch.of(views), torch.arange(32 * 32)[None])
    images = [model.render_rays(codes[None], None, rays, Noise(k), "x", 0)[0] for k in range(4)]
    error = (torch.stack(images).mean(0) - rays.rgb).square().mean()
    assert -10 * error.log10() > 30
    assert seen.std() > 0.05


def test_a_fit_finds_codes_that_look_like_the_pictures_and_touches_nothing_else(model):
    torch.manual_seed(5)
    truth, start = torch.randn(2, 2, 6)
    views = pictures(model, truth)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    steps = list(
        started(model, start).reconstruct(views, replace(SHORT, rate=5e-2, steps=60), Noise(0))
    )
    assert [step.index for step in steps] == list(range(1, 61))
    fitted = pictures(model, steps[-1].latent[0]).images
    first = pictures(model, start).images

    def error(images):
        return float((images - views.images).square().mean())

    assert error(fitted) < 0.25 * error(first)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.net.entry.weight.grad is None


def test_a_fit_gone_on_with_and_a_repeated_one_agree_bit_for_bit(model):
    torch.manual_seed(5)
    truth, start = torch.randn(2, 2, 6)
    views = pictures(model, truth)
    steps = list(started(model, start).reconstruct(views, SHORT, Noise(7)))
    for place in (9, 21):
        rest = model.reconstruct(views, SHORT, Noise(7), after=steps[place])
        assert torch.equal(finish(rest), steps[-1].latent)
    other = finish(model.reconstruct(views, SHORT, Noise(8)))
    assert not torch.equal(other, steps[-1].latent)


def test_near_pixels_surround_the_object_and_far_ones_look_into_the_box():
    images = torch.ones(1, 40, 40, 3)
    images[0, 20, 20] = 0.5
    camera = Camera.stack([orbit_camera(0.0, 0.0, size=40)])
    box = torch.tensor([[-0.3, -0.3, -0.3], [0.3, 0.3, 0.3]])
    near, far = pixel_pools(Views(images, camera), box)
    rows, cols = near // 40, near % 40
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (16, 24, 16, 24)
    assert len(near) == 81
    assert not set(near.tolist()) & set(far.tolist())
    assert 0 < len(far) < 1600 - 81
    assert 0 not in far
    empty, everything = pixel_pools(Views(torch.ones_like(images), camera), box)
    assert len(empty) == 1600
    assert len(everything) == len(far) + 81


def test_a_swapped_texture_leaves_depth_bit_for_bit_and_density_has_no_gradient_to_it(model):
    torch.manual_seed(2)
    first, second = torch.randn(2, 2, 6)
    swapped = torch.stack([first[0], second[1]])
    camera = orbit_camera(30.0, 25.0, size=48)
    drawn = [render(bake(model.scene(codes).field), camera) for codes in (first, swapped)]
    assert torch.equal(drawn[0].depth, drawn[1].depth)
    assert torch.equal(drawn[0].opacity, drawn[1].opacity)
    assert not torch.equal(drawn[0].rgb, drawn[1].rgb)
    codes = first[None].clone().requires_grad_(True)
    model.net.density(codes, torch.rand(64, 3) - 0.5).sum().backward()
    assert torch.equal(codes.grad[0, 1], torch.zeros(6))
    assert bool((codes.grad[0, 0] != 0).all())


def test_drawn_codes_have_the_mean_and_covariance_of_the_training_codes():
    torch.manual_seed(4)
    raw = torch.randn(500, 2, 6) @ torch.diag(torch.tensor([2.0, 1.0, 0.5, 0.1, 1.0, 3.0])) + 1
    model = CodeNeRF(CONFIG)
    model.finish(raw)
    drawn = finish(model.generate(4000, SampleOptions(spread=1.0), Noise(0)))
    for part in (0, 1):
        torch.testing.assert_close(drawn[:, part].mean(0), raw[:, part].mean(0), atol=0.2, rtol=0)
        found, expected = drawn[:, part].T.cov(), raw[:, part].T.cov()
        assert float((found - expected).abs().max()) < 0.1 * float(expected.abs().max())
    alone = finish(model.generate(1, SampleOptions(spread=1.0), Noise(3)))
    assert torch.equal(alone[0], drawn[3]), "a scene is its seed's, whatever the batch"
    still = finish(model.generate(1, SampleOptions(spread=0.0), Noise(3)))
    torch.testing.assert_close(still[0], raw.mean(0))


def test_directions_change_one_code_each():
    torch.manual_seed(4)
    model = CodeNeRF(CONFIG)
    model.finish(torch.randn(40, 2, 6))
    assert model.directions.shape == (8, 2, 6)
    moved = model.directions.norm(dim=-1) > 0
    assert moved.tolist() == [[True, False]] * 4 + [[False, True]] * 4


def test_a_step_whose_state_is_another_is_refused(model):
    views = pictures(model, torch.randn(2, 6))
    (step, *_) = model.reconstruct(views, replace(SHORT, steps=1), Noise(0))
    broken = replace(step, state={**step.state, "first_moment": torch.zeros(1, 3, 6)})
    with pytest.raises(EngineError, match="no first_moment"):
        finish(model.reconstruct(views, SHORT, Noise(0), after=broken))


def test_the_papers_fit_takes_all_rays_of_a_picture(model):
    assert fit_options_for(model, "paper", 3).rays == 128 * 128
    assert fit_options_for(model, "paper", 1).steps == 200
