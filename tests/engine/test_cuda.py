"""The same engine on a GPU: run where one is lent (`pytest -m gpu`)."""

import dataclasses

import pytest
import torch

from engine.checkpoint import EXTRAS, open_checkpoint
from engine.data.pack import pack_vehicles
from engine.events import finish
from engine.methods.base import FitOptions, RenoiseOptions, SampleOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render import render_views
from engine.training.loop import TrainState, finished, iterate
from train.recipes import RECIPES

pytestmark = pytest.mark.gpu
SMOKE = dataclasses.replace(RECIPES["smoke"], scenes=4, views=4, size=32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack") / "vehicles"
    return finish(pack_vehicles(folder, range(4), SMOKE.views, SMOKE.size))


def test_training_on_the_gpu_follows_the_cpu(data):
    reports = {}
    for device in ("cpu", "cuda"):
        state = TrainState.fresh(SMOKE, len(data), device)
        reports[device] = [iterate(state, data)["psnr"] for _ in range(4)]
    assert reports["cuda"] == pytest.approx(reports["cpu"], abs=0.2)


def test_a_seed_means_the_same_object_with_and_without_a_gpu(data):
    state = TrainState.fresh(SMOKE, len(data))
    for _ in range(10):
        iterate(state, data)
    method = finished(state)
    options = SampleOptions(steps=4, renoise=RenoiseOptions(steps=2))
    here = finish(method.generate(2, options, Noise(5)))
    there = finish(method.to("cuda").generate(2, options, Noise(5)))
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=2e-2)


def test_what_a_checkpoint_holds_is_drawn_where_it_was_opened(tiny_checkpoint):
    camera = orbit_camera(40.0, 20.0, 1.3, 32)
    images = {}
    for device in ("cpu", "cuda"):
        method = open_checkpoint(tiny_checkpoint, device)
        assert {getattr(method, name).device.type for name in EXTRAS} == {device}
        images[device] = render_views(method.scene(method.gallery[0]).field, camera).cpu()
    torch.testing.assert_close(images["cuda"], images["cpu"], atol=0.05, rtol=0)


@pytest.mark.parametrize("activation", ["tanh", "normalized_tanh"])
def test_statistics_of_the_latents_are_taken_on_the_gpu_too(data, activation):
    model = dataclasses.replace(SMOKE.model, activation=activation)
    recipe = dataclasses.replace(SMOKE, model=model, batch=2, first_scenes=2, first_iterations=2)
    state = TrainState.fresh(recipe, len(data), "cuda")
    for _ in range(3):
        iterate(state, data)
    method = finished(state)
    assert method.mean_latent.isfinite().all()
    TrainState.fresh(recipe, len(data), "cuda").warm_start(method)


def test_reconstruction_and_rendering_agree_with_the_cpu(data):
    state = TrainState.fresh(SMOKE, len(data))
    for _ in range(10):
        iterate(state, data)
    method = finished(state)
    views = data.views(0, [0])
    options = FitOptions(steps=3, renoise=RenoiseOptions(steps=1), finetune_steps=1, rays=512)
    camera = orbit_camera(40.0, 20.0, 1.3, 32)[None]
    images = {}
    for device in ("cpu", "cuda"):
        method = method.to(device)
        latent = finish(method.reconstruct(views, options, Noise(1)))[0]
        images[device] = render_views(method.scene(latent).field, camera).cpu()
    error = (images["cpu"] - images["cuda"]).square().mean()
    assert float(-10 * torch.log10(error)) > 25
