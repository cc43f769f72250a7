"""The method's own rules: batches, optimisers, schedules, guidance."""

import dataclasses

import pytest
import torch

from engine.errors import EngineError, UnsupportedTaskError
from engine.events import finish
from engine.fields.triplane import DecoderConfig
from engine.methods.base import Method
from engine.methods.optimise import LatentRecords
from engine.methods.ssdnerf.method import SSDNeRF, TrainOptions, scheduled
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions, SampleOptions
from engine.nets.unet2d import UNetConfig
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.ops.losses import total_variation
from engine.render.march import MarchConfig
from engine.types import Camera, SceneBatch, Views
from tests.engine.vectors import FileNoise

SMALL = SSDNeRFConfig(
    rows=8,
    cols=8,
    decoder=DecoderConfig(channels=2, base_widths=(8,), direction="none"),
    unet=UNetConfig(channels=6, base=8, multipliers=(1, 2), blocks=1, groups=4, heads=2),
    march=MarchConfig(max_steps=32, grid=8),
    grid_shape=(8, 8, 8),
    dilate_occupancy=True,
)


def built(config: SSDNeRFConfig = SMALL) -> SSDNeRF:
    torch.manual_seed(0)
    method = SSDNeRF(config)
    for parameter in method.unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return method.eval()


def scenes(count: int, views: int = 2, size: int = 8) -> SceneBatch:
    torch.manual_seed(1)
    camera = orbit_camera(torch.rand(count, views) * 360, torch.tensor(20.0), 1.3, size=size)
    return SceneBatch(torch.rand(count, views, size, size, 3), camera)


def records_of(method: SSDNeRF, count: int) -> LatentRecords:
    torch.manual_seed(2)
    raw = 0.3 * torch.randn(count, *method.info.latent_shape)
    return LatentRecords.fresh(raw, method.config.grid_shape)


def optimizers_of(method: SSDNeRF) -> dict[str, torch.optim.Optimizer]:
    return {
        "unet": torch.optim.Adam(method.unet.parameters(), lr=1e-4),
        "decoder": torch.optim.Adam(method.decoder.parameters(), lr=1e-3),
    }


# ----------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize(
    "options",
    [
        SampleOptions("paper", steps=3),
        SampleOptions("paper", steps=3, eta=0.7),
        SampleOptions("ours", steps=2, renoise=RenoiseOptions(steps=2)),
    ],
)
def test_a_scene_of_a_batch_is_what_its_seed_alone_gives(options):
    method = built()
    together = finish(method.generate(3, options, Noise(40)))
    for k in range(3):
        alone = finish(method.generate(1, options, Noise(40 + k)))
        torch.testing.assert_close(together[k], alone[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1])


def test_sampling_reports_latents_stage_by_stage():
    method = built()
    steps = []
    options = SampleOptions("ours", steps=3, renoise=RenoiseOptions(steps=2))
    latents = finish(method.generate(2, options, Noise(0)), steps.append)
    assert [(s.stage, s.index, s.total) for s in steps] == [
        ("denoise", 1, 3),
        ("denoise", 2, 3),
        ("denoise", 3, 3),
        ("renoise", 1, 2),
        ("renoise", 2, 2),
    ]
    assert all(s.latent.shape == (2, *method.info.latent_shape) for s in steps)
    assert not any(s.latent.requires_grad for s in steps)
    assert torch.equal(steps[-1].latent, latents)


def test_numbers_that_break_while_sampling_stop_the_run_and_name_the_step():
    method = built()
    with torch.no_grad():
        method.unet.out.bias.fill_(float("nan"))
    with pytest.raises(EngineError, match="denoise step 1: found a latent that is not finite"):
        finish(method.generate(1, SampleOptions(steps=2), Noise(0)))


def test_tiled_planes_pass_through_the_denoiser_side_by_side():
    unet = dataclasses.replace(SMALL.unet, channels=2)
    method = built(dataclasses.replace(SMALL, tiled=True, unet=unet))
    seen = []
    method.unet.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape))
    latents = finish(method.generate(2, SampleOptions("paper", steps=1), Noise(0)))
    assert seen == [(2, 2, 8, 24)]
    assert latents.shape == (2, 3, 2, 8, 8)


def test_a_scene_lies_where_the_method_does():
    method = built().to("meta")
    field = method.scene(torch.zeros(method.info.latent_shape)).field
    assert field.latent.device == field.aabb.device == torch.device("meta")


def test_the_method_keeps_its_contract():
    assert isinstance(built(), Method)


# --------------------------------------------------------------------------- reconstruction

QUICK = FitOptions(
    steps=3,
    guidance_gain=50.0,
    renoise=RenoiseOptions(steps=2, mix=0.3),
    finetune_steps=2,
    inner_steps=2,
    rays=10_000,
)


@pytest.mark.parametrize("mode", ["paper", "ours"])
def test_scenes_reconstructed_together_are_those_reconstructed_alone(mode):
    method, batch = built(), scenes(2)
    options = dataclasses.replace(QUICK, mode=mode)

    class Fixed(FileNoise):
        def normal(self, shape, stage, step=0, *, device="cpu"):
            return Noise(7).normal((1, *shape[1:]), stage, step).expand(*shape)

        def integers(self, low, high, shape, stage, step=0, *, device="cpu"):
            return Noise(7).integers(low, high, (1,), stage, step).expand(*shape)

    together = finish(method.reconstruct(batch, options, Fixed()))
    for k in range(2):
        views = Views(batch.images[k], batch.camera[k])
        alone = finish(method.reconstruct(views, options, Fixed()))
        error = (together[k] - alone[0]).detach().abs()
        assert float(error.quantile(0.9)) < 1e-3
    assert float((together[0] - together[1]).detach().abs().mean()) > 0.01


def test_reconstruction_reports_its_stages_with_the_psnr_on_the_inputs():
    method, steps = built(), []
    latents = finish(method.reconstruct(scenes(1), QUICK, Noise(0)), steps.append)
    assert [s.stage for s in steps] == ["guide"] * 3 + ["renoise"] * 2 + ["finetune"] * 2
    assert all("psnr" in s.scalars for s in steps)
    assert all(s.latent.shape == latents.shape for s in steps)
    assert latents.abs().max() <= 2


def test_guidance_with_zero_gain_is_unconditional_sampling():
    method = built()
    options = dataclasses.replace(QUICK, mode="paper", guidance_gain=0.0, finetune_steps=0, steps=4)
    guided = finish(method.reconstruct(scenes(1), options, Noise(3)))
    free = finish(method.generate(1, SampleOptions("paper", steps=4), Noise(3)))
    torch.testing.assert_close(guided, free, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("through", [True, False])
def test_guidance_moves_the_estimate_down_the_rendering_loss(through):
    method, batch, noise = built(), scenes(1), Noise(4)
    options = dataclasses.replace(
        QUICK, mode="paper", steps=1, snr_power=0.25, finetune_steps=0, through_denoiser=through
    )
    found = finish(method.reconstruct(batch, options, noise))
    x_t = noise.normal((1, *method.info.latent_shape), "x_T").reshape(1, 6, 8, 8)
    t = torch.tensor([999])
    x_t.requires_grad_(True)
    x0 = method.predict_x0(x_t, t)
    latents = method.from_images(x0)
    grid = torch.zeros(1, 8, 8, 8)
    _, occupied = method.look(grid, latents, method.cell_jitter(noise, "guide", 0))
    rays, jitter = method.pick_rays(batch, options.rays, 0, noise, "guide", 0)
    loss, _ = method.rendering_loss(latents, occupied, rays, 128, jitter)
    (gradient,) = torch.autograd.grad(loss, x_t if through else x0)
    signal, sigma = method.schedule.signal(t), method.schedule.sigma(t)
    expected = (x0 - 50.0 * sigma**1.5 * signal**-0.5 * gradient).clamp(-2, 2)
    torch.testing.assert_close(method.to_images(found), expected, rtol=1e-4, atol=1e-5)


def test_without_sampling_the_fit_starts_at_the_mean_and_lowers_the_error():
    method, batch = built(), scenes(1)
    method.mean_latent = 0.1 * torch.ones(method.info.latent_shape)
    options = dataclasses.replace(
        QUICK, mode="paper", steps=0, finetune_steps=20, prior_weight=0.0, learning_rate=0.03
    )
    steps = []
    finish(method.reconstruct(batch, options, Noise(0)), steps.append)
    psnr = [s.scalars["psnr"] for s in steps]
    assert psnr[-1] > psnr[0] + 0.3
    still = dataclasses.replace(options, learning_rate=0.0, finetune_steps=1)
    torch.testing.assert_close(
        finish(method.reconstruct(batch, still, Noise(0)))[0], method.mean_latent
    )


@pytest.mark.parametrize("activation", ["tanh", "normalized_tanh", "identity"])
def test_fitting_leaves_the_mean_and_earlier_steps_as_they_were(activation):
    method = built(dataclasses.replace(SMALL, activation=activation))
    method.mean_latent = 0.1 * torch.ones(method.info.latent_shape)
    options = dataclasses.replace(QUICK, mode="paper", steps=0, finetune_steps=3)
    steps = []
    kept = []
    finish(
        method.reconstruct(scenes(2), options, Noise(0)),
        lambda step: (steps.append(step.latent), kept.append(step.latent.clone())),
    )
    assert torch.equal(method.mean_latent, 0.1 * torch.ones(method.info.latent_shape))
    assert all(torch.equal(a, b) for a, b in zip(steps, kept, strict=True))
    assert not torch.equal(steps[0], steps[2])


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("exponential", [0.01 * 0.998**k for k in range(6)]),
        ("linear", [0.01 * (1 - k / 6) for k in range(6)]),
    ],
)
def test_the_finetuning_rate_decays_after_every_inner_step(decay, expected, monkeypatch):
    rates = []
    original = LatentRecords.adam

    def spied(self, gradient, rate):
        rates.append(rate)
        original(self, gradient, rate)

    monkeypatch.setattr(LatentRecords, "adam", spied)
    options = FitOptions(
        mode="paper",
        steps=0,
        finetune_steps=3,
        inner_steps=2,
        learning_rate=0.01,
        rate_decay=decay,
    )
    finish(built().reconstruct(scenes(1), options, Noise(0)))
    assert rates == pytest.approx(expected)


def test_too_many_views_are_refused():
    camera = orbit_camera(torch.zeros(33), 0.0, size=2)
    with pytest.raises(UnsupportedTaskError, match="found 33 views, expected at most 32"):
        finish(built().reconstruct(Views(torch.ones(33, 2, 2, 3), camera), QUICK, Noise(0)))


# ----------------------------------------------------------------------------------- training


def test_latents_step_as_torchs_adam_with_each_scenes_own_state():
    torch.manual_seed(0)
    raw = torch.randn(3, 3, 2, 4, 4)
    ours = LatentRecords.fresh(raw.clone(), (2, 2, 2))
    ours.first_moment = torch.randn_like(raw)
    ours.second_moment = torch.rand_like(raw)
    ours.steps = torch.tensor([0, 5, 1000])
    theirs = []
    for k in range(3):
        parameter = torch.nn.Parameter(raw[k].clone())
        adam = torch.optim.Adam([parameter], lr=0.02)
        adam.state[parameter] = {
            "step": torch.tensor(float(ours.steps[k])),
            "exp_avg": ours.first_moment[k].clone(),
            "exp_avg_sq": ours.second_moment[k].clone(),
        }
        theirs.append((parameter, adam))
    for _ in range(3):
        gradient = torch.randn_like(raw)
        ours.adam(gradient, 0.02)
        for k, (parameter, adam) in enumerate(theirs):
            parameter.grad = gradient[k].clone()
            adam.step()
    for k, (parameter, adam) in enumerate(theirs):
        torch.testing.assert_close(ours.raw[k], parameter.detach(), rtol=1e-5, atol=1e-6)
        state = adam.state[parameter]
        torch.testing.assert_close(ours.first_moment[k], state["exp_avg"])
        torch.testing.assert_close(ours.second_moment[k], state["exp_avg_sq"])
        assert int(ours.steps[k]) == int(state["step"])


def test_without_inner_steps_the_gradients_of_both_losses_add_up():
    method = built()
    batch, records = scenes(2), records_of(method, 2)
    raw = records.raw.clone().requires_grad_(True)
    noise = Noise(5)
    t, eps = method.draw_level(noise, 2, "train", 0)
    latents = method.activation(raw)
    norm = 0.999 + 0.001 * latents.detach().square().mean()
    prior = method.diffusion_loss(latents, t, eps, method.config.diffusion_weight) / norm
    _, occupied = method.look(records.grid, latents, method.cell_jitter(noise, "decoder", 0))
    rays, jitter = method.pick_rays(batch, 40, 0, noise, "decoder", 0)
    rendering, _ = method.rendering_loss(latents, occupied, rays, batch.num_pixels, jitter)
    (gradient,) = torch.autograd.grad(prior + rendering, raw)

    method.training_step(
        batch,
        records,
        optimizers_of(method),
        TrainOptions(inner_steps=((0, 0),), rays=40, latent_rate=1e-2),
        0,
        noise,
    )
    torch.testing.assert_close(records.first_moment, 0.1 * gradient, rtol=1e-4, atol=1e-8)
    assert records.steps.tolist() == [1, 1]


def test_inner_steps_leave_the_decoder_alone_and_move_latents_once_each():
    method, batch = built(), scenes(2)
    records = records_of(method, 2)
    options = TrainOptions(inner_steps=((0, 4),), rays=40, latent_rate=1e-2)
    optimizers = optimizers_of(method)
    before = {k: v.clone() for k, v in method.state_dict().items()}
    report = method.training_step(batch, records, optimizers, options, 0, Noise(5))
    assert records.steps.tolist() == [5, 5]
    assert records.raw.requires_grad is False
    for name in ("unet", "decoder"):
        states = optimizers[name].state.values()
        assert {int(s["step"]) for s in states} == {1}
    after = method.state_dict()
    assert any(not torch.equal(after[k], before[k]) for k in after if k.startswith("decoder."))
    assert set(report) == {"diffusion_loss", "latent_rms", "rendering_loss", "psnr"}


def weights(method: SSDNeRF, part: str) -> list[torch.Tensor]:
    return [value.clone() for value in getattr(method, part).state_dict().values()]


@pytest.mark.parametrize(
    ("stage", "unet_moves", "rest_moves"),
    [("joint", True, True), ("fields", False, True), ("denoiser", True, False)],
)
def test_each_stage_of_training_moves_its_own_parts(stage, unet_moves, rest_moves):
    method = built(dataclasses.replace(SMALL, activation="normalized_tanh"))
    records, raw = records_of(method, 2), records_of(method, 2).raw
    before = weights(method, "unet"), weights(method, "decoder")
    options = TrainOptions(stage=stage, inner_steps=((0, 2),), rays=20)
    report = method.training_step(scenes(2), records, optimizers_of(method), options, 0, Noise(0))
    after = weights(method, "unet"), weights(method, "decoder")
    moved = [
        any(not torch.equal(a, b) for a, b in zip(new, old, strict=True))
        for new, old in zip(after, before, strict=True)
    ]
    assert moved == [unet_moves, rest_moves]
    assert torch.equal(records.raw, raw) != rest_moves
    assert ("diffusion_loss" in report, "psnr" in report) == (unet_moves, rest_moves)
    assert float(method.activation.running_mean) != 0


def test_fitting_without_a_prior_is_the_rendering_gradient_alone():
    method, batch, noise = built(), scenes(2), Noise(5)
    records = records_of(method, 2)
    raw = records.raw.clone().requires_grad_(True)
    latents = method.activation(raw)
    _, occupied = method.look(records.grid, latents, method.cell_jitter(noise, "decoder", 0))
    rays, jitter = method.pick_rays(batch, 40, 0, noise, "decoder", 0)
    loss, _ = method.rendering_loss(latents, occupied, rays, batch.num_pixels, jitter)
    (gradient,) = torch.autograd.grad(loss, raw)
    options = TrainOptions(stage="fields", inner_steps=((0, 0),), rays=40)
    method.training_step(batch, records, optimizers_of(method), options, 0, noise)
    torch.testing.assert_close(records.first_moment, 0.1 * gradient, rtol=1e-4, atol=1e-8)


def test_a_visit_resumed_from_copied_records_is_the_same_visit():
    batch = scenes(2)
    outcomes = []
    for copied in (False, True):
        method = built()
        records, optimizers = records_of(method, 2), optimizers_of(method)
        options = TrainOptions(inner_steps=((0, 1),), rays=40)
        for step in range(3):
            if copied:
                records = LatentRecords(
                    **{
                        field.name: getattr(records, field.name).clone()
                        for field in dataclasses.fields(LatentRecords)
                    }
                )
            method.training_step(batch, records, optimizers, options, step, Noise(step))
        outcomes.append(records.raw)
    assert torch.equal(*outcomes)


@pytest.mark.parametrize(("step", "moves"), [(99, True), (100, False)])
def test_the_norm_factor_follows_the_latents_until_it_is_frozen(step, moves):
    method, batch = built(), scenes(1)
    records = records_of(method, 1)
    expected = 0.999 + 0.001 * float(method.activation(records.raw).square().mean())
    options = TrainOptions(inner_steps=((0, 0),), rays=20, freeze_norm=100)
    method.training_step(batch, records, optimizers_of(method), options, step, Noise(0))
    assert float(method.norm_factor) == pytest.approx(expected if moves else 1.0, abs=1e-7)


def test_normalised_latents_update_their_statistics_once_an_iteration():
    method = built(
        dataclasses.replace(SMALL, activation="normalized_tanh", normalize_diffusion=False)
    )
    records = records_of(method, 2)
    mean = float(records.raw.mean())
    options = TrainOptions(inner_steps=((0, 3),), rays=20)
    method.training_step(scenes(2), records, optimizers_of(method), options, 0, Noise(0))
    assert float(method.activation.running_mean) == pytest.approx(0.001 * mean, rel=1e-4)
    assert float(method.norm_factor) == 1


def test_a_scenes_gradient_has_its_share_of_the_batch_whatever_the_batch():
    method, batch = built(), scenes(2)
    raw = 0.3 * torch.randn(2, *method.info.latent_shape)
    grid = torch.zeros(2, 8, 8, 8)
    jitter = torch.full((512, 3), 0.5)

    def gradient(index):
        part = SceneBatch(batch.images[index], batch.camera[index])
        leaf = raw[index].clone().requires_grad_(True)
        _, occupied = method.look(grid[index], leaf, jitter)
        rays, _ = method.pick_rays(part, 10_000, 0, Noise(0), "x", 0)
        loss, _ = method.rendering_loss(leaf, occupied, rays, 128, None)
        return torch.autograd.grad(loss, leaf)[0]

    both = gradient(slice(0, 2))
    for k in range(2):
        alone = gradient(slice(k, k + 1))
        torch.testing.assert_close(2 * both[k], alone[0], rtol=1e-3, atol=1e-7)


def test_the_rendering_loss_is_the_weighted_error_plus_the_regularisers():
    config = dataclasses.replace(SMALL, tv_weight=0.7, tv_power=1.5, pixel_coefficient=0.01)
    method, batch = built(config), scenes(2)
    latents = torch.randn(2, *method.info.latent_shape)
    occupied = torch.ones(2, 8, 8, 8, dtype=torch.bool)
    rays, jitter = method.pick_rays(batch, 30, 0, Noise(0), "x", 0)
    loss, mse = method.rendering_loss(latents, occupied, rays, 60, jitter)
    error = (method.render_rays(latents, occupied, rays, jitter) - rays.rgb).square()
    scale = 1 - torch.tensor(-0.01 * 60).exp()
    expected = 20 * 3 * scale * error.mean() + 3e-3 * latents.square().mean()
    expected = expected + 0.7 * total_variation(latents, 1.5)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(mse, error.reshape(2, -1).mean(1))


def test_rays_that_meet_nothing_are_white():
    method, batch = built(), scenes(2)
    rays, jitter = method.pick_rays(batch, 30, 0, Noise(0), "x", 0)
    nothing = torch.zeros(2, 8, 8, 8, dtype=torch.bool)
    latents = torch.randn(2, *method.info.latent_shape)
    assert torch.equal(method.render_rays(latents, nothing, rays, jitter), torch.ones(60, 3))


def test_picked_rays_carry_the_colours_of_their_pixels():
    batch = scenes(2, views=3, size=4)
    rays, jitter = built().pick_rays(batch, 12, 1, Noise(0), "x", 0)
    assert rays.per_scene == 12
    assert rays.scene.tolist() == [0] * 12 + [1] * 12
    assert jitter.shape == (24,)
    flat = batch.images.reshape(2, -1, 3)
    for k in range(2):
        pixels = Noise(0).pixels(48, 12, 1, f"x/pixels/{k}")
        assert torch.equal(rays.rgb[rays.scene == k], flat[k, pixels])
    eight_bit = SceneBatch((batch.images * 255).round().to(torch.uint8), batch.camera)
    same, _ = built().pick_rays(eight_bit, 12, 1, Noise(0), "x", 0)
    torch.testing.assert_close(same.rgb, rays.rgb, atol=0.5 / 255 + 1e-6, rtol=0)


def test_the_focal_length_of_a_ray_is_its_scenes_mean():
    camera = orbit_camera(torch.zeros(2, 2), 0.0, size=4)
    intrinsics = torch.tensor([[[4.0, 6, 2, 2], [5, 5, 2, 2]], [[8, 8, 2, 2], [10, 14, 2, 2]]])
    batch = SceneBatch(torch.rand(2, 2, 4, 4, 3), Camera(camera.c2w, intrinsics, 4, 4))
    rays, _ = built().pick_rays(batch, 5, 0, Noise(0), "x", 0)
    assert rays.focal.tolist() == [5.0] * 5 + [10.0] * 5


def test_step_schedules_hold_their_value_until_the_next():
    schedule = ((0, 15), (2000, 3), (100_000, 1))
    steps = (0, 1999, 2000, 99_999, 100_000, 10**6)
    assert [scheduled(schedule, step) for step in steps] == [15, 15, 3, 3, 1, 1]
