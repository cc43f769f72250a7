"""The whole method on the official toy: training, sampling, rendering, guidance, finetuning."""

import dataclasses

import pytest
import torch

from engine.events import finish
from engine.kernels import triplane_rays
from engine.methods.optimise import LatentRecords
from engine.methods.ssdnerf.fit import finetune
from engine.methods.ssdnerf.method import TrainOptions
from engine.methods.ssdnerf.options import FitOptions, SampleOptions
from engine.render.march import march
from engine.render.occupancy import occupied_cells
from engine.render.pixels import gather_rays
from engine.render.volume import composite
from engine.store.official import decoder_name, unet_name
from engine.types import Camera, SceneBatch
from tests.engine.vectors import (
    TINY,
    FileNoise,
    arrays,
    close,
    grids,
    occupancy,
    same_densities,
    settings,
    toy,
    toy_batch,
    under,
)


@pytest.fixture(scope="module")
def tiny():
    return arrays("e2e_tiny")


# ----------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def iterations(tiny):
    """Two training iterations; after each: report, prior gradient, records, weights, losses before scaling."""
    method = toy(tiny).train()
    records = LatentRecords.fresh(tiny["in::code_pre"].clone(), (16, 16, 16), torch.float16)
    optimizers = {
        "unet": torch.optim.Adam(method.unet.parameters(), lr=1e-4),
        "decoder": torch.optim.Adam(method.decoder.parameters(), lr=1e-3),
    }
    options = TrainOptions(inner_steps=((0, 2),), rays=128, latent_rate=1e-2)
    batch = toy_batch(tiny, 2)
    seen = []
    for step in range(2):
        t, eps = tiny[f"in::train{step}::t"], tiny[f"in::train{step}::noise"]
        noise = FileNoise(normals={("train/eps", 0): eps}, timesteps={("train/t", 0): t})
        before = method.activation(records.raw.detach().clone())
        losses = [
            method.diffusion_loss(before[k : k + 1], t[k : k + 1], eps[k : k + 1], 4.0).detach()
            for k in range(2)
        ]
        kept = method.norm_factor.clone()
        prior = []
        original = method._diffusion_step

        def cached(*args, original=original, prior=prior):
            prior.append(original(*args))
            return prior[0]

        method._diffusion_step = cached
        report = method.training_step(batch, records, optimizers, options, step, noise)
        method._diffusion_step = original
        seen.append(
            {
                "report": {name: float(value) for name, value in report.items()},
                "prior": prior[0][0],
                "raw": records.raw.detach().clone(),
                "grid": records.grid.clone(),
                "weights": {k: v.clone() for k, v in method.state_dict().items()},
                "losses": torch.stack(losses) * kept,
            }
        )
    return seen


@pytest.mark.parametrize("step", [0, 1])
def test_training_moves_codes_and_occupancy_as_officially(tiny, iterations, step):
    found, expected = iterations[step], under(tiny, f"out::train{step}::")
    close(found["prior"], expected["prior_grad"])
    close(found["raw"], expected["code_pre"])
    same_densities(found["grid"], grids(expected["density_grid"]))
    occupied = occupied_cells(found["grid"], 0.1)
    assert torch.equal(occupied, occupancy(expected["density_bitfield"]))


@pytest.mark.parametrize("step", [0, 1])
def test_training_moves_the_weights_as_officially(tiny, iterations, step):
    found, expected = iterations[step]["weights"], under(tiny, f"out::train{step}::")
    close(found["norm_factor"], expected["norm_factor"])
    decoder = under(expected, "decoder::")
    assert torch.equal(decoder.pop("aabb"), torch.tensor([-1.0, -1, -1, 1, 1, 1]))
    for name, value in decoder.items():
        close(found[f"decoder.{decoder_name(name)}"], value)
    unet = under(expected, "unet::")
    assert len(decoder) == 8
    assert len(unet) == 4
    for name, value in unet.items():
        close(found[f"unet.{unet_name(name)}"], value)


@pytest.mark.parametrize("step", [0, 1])
def test_training_logs_the_official_numbers(tiny, iterations, step):
    found, log = iterations[step], settings("e2e_tiny")["train_logs"][step]
    report = found["report"]
    assert report["diffusion_loss"] == pytest.approx(log["loss_ddpm_mse"], rel=1e-5)
    assert report["rendering_loss"] == pytest.approx(log["loss_decoder"], rel=1e-5)
    assert report["psnr"] == pytest.approx(log["train_psnr"], rel=1e-5)
    assert log["pixel_loss"] + log["reg_loss"] == pytest.approx(report["rendering_loss"], rel=1e-5)
    quartiles = torch.zeros(4)
    drawn = tiny[f"in::train{step}::t"] * 4 // 1000
    for quartile, loss in zip(drawn, found["losses"], strict=True):
        quartiles[quartile] = loss
    expected = torch.tensor([log[f"loss_mse_quartile_{k}"] for k in range(4)])
    close(quartiles, expected)


# ----------------------------------------------------------------------------------- test time


@pytest.fixture(scope="module")
def method(tiny):
    """The toy at test time: norm factor 0.7, c_diff 1."""
    method = toy(tiny).eval().requires_grad_(False)
    method.norm_factor.fill_(0.7)
    return method


def steps_and_result(run):
    steps = []
    result = finish(run, steps.append)
    return steps, result


def test_unconditional_sampling_is_the_official_ddim(tiny, method):
    noise = FileNoise(normals={("x_T", 0): tiny["in::test::noise"]})
    steps, latents = steps_and_result(method.generate(2, SampleOptions("paper", steps=4), noise))
    assert [999, *[step.t for step in steps[:-1]]] == tiny["out::uncond::t"][:, 0].tolist()
    for k, step in enumerate(steps):
        close(method.to_images(step.noisy_latent), tiny["out::uncond::x"][k])
        close(method.to_images(step.latent), tiny["out::uncond::x0"][k])
    close(latents, tiny["out::uncond::code"])


def test_the_density_of_a_sample_is_the_official_one(tiny, method):
    grid = torch.zeros(2, 16, 16, 16, dtype=torch.float16)
    jitter = torch.full((4096, 3), 0.5)
    for _ in range(8):
        grid, occupied = method.look(grid, tiny["out::uncond::code"], jitter, decay=1.0)
    same_densities(grid, grids(tiny["out::uncond::density_grid"]))
    assert torch.equal(occupied, occupancy(tiny["out::uncond::density_bitfield"]))


@pytest.mark.parametrize(("name", "dt_gamma_scale"), [("render", 0.5), ("render_nogamma", 0.0)])
def test_rendering_is_the_official_one(tiny, method, name, dt_gamma_scale):
    camera = Camera(tiny["in::c2w"], tiny["in::render::intrinsics"], 24, 24)
    pixels = torch.arange(2 * 24 * 24).expand(2, -1)
    rays = gather_rays(SceneBatch(torch.zeros(2, 2, 24, 24, 3), camera), pixels)
    samples = march(
        rays.rays_o,
        rays.rays_d,
        occupancy(tiny["out::uncond::density_bitfield"]),
        method.decoder.aabb,
        TINY.march,
        scene=rays.scene,
        dt_gamma=dt_gamma_scale / rays.focal,
    )
    density, rgb = method.decoder(
        tiny["out::uncond::code"], samples.xyz, rays.rays_d, samples.ray, samples.scene
    )
    image, opacity, depth = composite(density, rgb, samples)
    image = (image + 1 - opacity[:, None]).reshape(2, 2, 24, 24, 3)
    close(image, tiny[f"out::{name}::image"])
    close(depth.reshape(2, 2, 24, 24), tiny[f"out::{name}::depth"])


GUIDE = FitOptions(mode="paper", steps=4, guidance_gain=1638.4, finetune_steps=0, rays=512)


@pytest.fixture(params=["numba", "torch"])
def path(request, monkeypatch):
    """The method with its kernels, and as it runs on devices that they do not know."""
    if request.param == "torch":
        monkeypatch.setattr(triplane_rays, "on_numba", lambda *args: False)


@pytest.mark.usefixtures("path")
def test_guided_sampling_is_the_official_one(tiny, method):
    noise = FileNoise(normals={("x_T", 0): tiny["in::test::noise"]})
    steps, latents = steps_and_result(method.reconstruct(toy_batch(tiny, 1), GUIDE, noise))
    for k, step in enumerate(steps[:-1]):
        close(method.to_images(step.noisy_latent), tiny["out::guide::x"][k])
        close(method.to_images(step.latent), tiny["out::guide::x0"][k])
    error = (latents - tiny["out::guide::code"]).abs()
    assert error.max() < 1e-3
    assert error.mean() < 1e-5


def test_guided_sampling_leaves_the_official_occupancy(tiny, method):
    grid = torch.zeros(2, 16, 16, 16)
    jitter = torch.full((4096, 3), 0.5)
    noise = FileNoise(normals={("x_T", 0): tiny["in::test::noise"]})
    estimates = []
    original = method.look

    def spied(grid, latents, jitter, decay=0.9):
        estimates.append(latents)
        return original(grid, latents, jitter, decay)

    method.look = spied
    finish(method.reconstruct(toy_batch(tiny, 1), GUIDE, noise))
    method.look = original
    for latents in estimates:
        grid, occupied = method.look(grid, latents, jitter)
    assert len(estimates) == 4
    torch.testing.assert_close(grid, grids(tiny["out::guide::density_grid"]), rtol=1e-4, atol=1e-3)
    assert torch.equal(occupied, occupancy(tiny["out::guide::density_bitfield"]))


def test_langevin_correction_is_the_official_one(tiny, method):
    normals = {("guide/langevin", k): z for k, z in enumerate(tiny["in::langevin::noise"])}
    normals["x_T", 0] = tiny["in::test::noise"]
    options = dataclasses.replace(
        GUIDE, guidance_gain=204.8, snr_power=0.25, langevin_steps=1, langevin_delta=0.4
    )
    run = method.reconstruct(toy_batch(tiny, 1), options, FileNoise(normals=normals))
    _, latents = steps_and_result(run)
    close(latents, tiny["out::langevin::code"])


def test_finetuning_is_the_official_one_by_quantiles(tiny, method):
    noise = FileNoise(
        normals={("finetune/eps", k): eps for k, eps in enumerate(tiny["in::finetune::noise"])},
        timesteps={("finetune/t", k): t for k, t in enumerate(tiny["in::finetune::t"])},
    )
    options = dataclasses.replace(
        GUIDE,
        finetune_steps=2,
        inner_steps=2,
        learning_rate=5e-3,
        rate_decay="exponential",
        prior_weight=1.0,
    )
    run = finetune(
        method,
        tiny["out::guide::code"],
        toy_batch(tiny, 1),
        options,
        noise,
        grids(tiny["out::guide::density_grid"]),
    )
    error = (finish(run) - tiny["out::finetune::code"]).abs().flatten()
    median, most, nearly_all = error.quantile(torch.tensor([0.5, 0.9, 0.99])).tolist()
    assert median < 2e-6
    assert most < 5e-5
    assert nearly_all < 0.08
    assert error.max() < 0.1
