"""The same engine on a GPU: run where one is lent (`pytest -m gpu`)."""

import dataclasses
from unittest import mock

import pytest
import torch

from engine.data.pack import pack_scenes
from engine.data.procedural.categories import VEHICLES
from engine.events import finish
from engine.kernels import triplane_rays
from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions, SampleOptions
from engine.nets.norm import group_norm, group_norm_portable
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render import frames
from engine.render.frames import TIERS, RenderOptions, bake, render, render_views
from engine.render.march import MarchConfig
from engine.store.checkpoint import EXTRAS, open_checkpoint
from engine.training.graph import WARM_UP, GraphedTraining
from engine.training.loop import finished, iterate
from engine.training.state import TrainState
from engine.types import RayBatch
from tests.engine.render_fields import soft_car
from tests.engine.test_triplane_rays import DECODERS, SCENES, decoder_of, rays_of
from train.recipes import RECIPES

pytestmark = pytest.mark.gpu
SMOKE = RECIPES["smoke"].changed(scenes=4, views=4, size=32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack") / "vehicles"
    return finish(pack_scenes(folder, VEHICLES, range(4), SMOKE.data.views, SMOKE.data.size))


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
    recipe = SMOKE.changed(model=model, batch=2, first_scenes=2, first_iterations=2)
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


# ------------------------------------------------------------------------------- Triton kernels


def on(device, rays: RayBatch) -> RayBatch:
    names = ("rays_o", "rays_d", "rgb", "scene", "focal")
    return dataclasses.replace(rays, **{name: getattr(rays, name).to(device) for name in names})


def rendered(render, decoder, device, gamma):
    """Image, opacity and gradients of a fixed problem."""
    torch.manual_seed(2)
    decoder, rays = decoder.to(device), on(device, rays_of())
    triplanes = torch.randn(SCENES, 3, 6, 9, 7).to(device).requires_grad_(True)
    occupied, total = torch.rand(SCENES, 5, 9, 6) < 0.6, len(rays.scene)
    image, opacity = render(
        decoder,
        triplanes,
        occupied.to(device),
        rays,
        MarchConfig(max_steps=96),
        jitter=torch.rand(total).to(device),
        dt_gamma=torch.full((total,), gamma).to(device),
    )
    pulls = torch.randn(total, 3).to(device), torch.randn(total).to(device)
    loss = (image * pulls[0]).sum() + (opacity * pulls[1]).sum()
    gradients = torch.autograd.grad(loss, [triplanes, *decoder.parameters()], allow_unused=True)
    return (
        image.detach().cpu(),
        opacity.detach().cpu(),
        [g.cpu() for g in gradients if g is not None],
    )


@pytest.mark.parametrize("gamma", [0.0, 0.02])
@pytest.mark.parametrize("name", DECODERS)
def test_triton_and_torch_agree_in_colours_and_gradients(name, gamma):
    decoder = decoder_of(name)
    plain = rendered(triplane_rays.render_rays_portable, decoder, "cpu", gamma)
    assert triplane_rays.on_triton(decoder.to("cuda"), torch.zeros(1, 3, 6, 9, 7, device="cuda"))
    fused = rendered(triplane_rays.render_rays, decoder, "cuda", gamma)
    # a lattice point within a rounding error of a cell's wall may count as on its other side
    flipped = (fused[0] - plain[0]).abs().amax(1) > 5e-5
    assert flipped.sum() <= 2
    assert (fused[1] - plain[1])[~flipped].abs().max() < 5e-5
    allowed = 3e-2 if flipped.any() else 1e-4
    for ours, theirs in zip(fused[2], plain[2], strict=True):
        assert (ours - theirs).norm() < allowed * theirs.norm()


@pytest.mark.parametrize("name", DECODERS)
def test_densities_of_many_scenes_are_those_of_each(name):
    decoder = decoder_of(name)
    triplanes, xyz = torch.randn(SCENES, 3, 6, 9, 7), 2.2 * torch.rand(1000, 3) - 1.1
    expected = torch.stack([decoder.density(planes[None], xyz) for planes in triplanes])
    found = triplane_rays.densities(decoder.to("cuda"), triplanes.cuda(), xyz.cuda())
    torch.testing.assert_close(found.cpu(), expected.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize(("channels", "groups"), [(32, 8), (60, 4), (288, 8)])
def test_norms_and_their_gradients_are_torchs(channels, groups, modulated):
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(groups, channels).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, pull = (torch.randn(2, channels, 20, 28, dtype=torch.float64) for _ in range(2))
    modulation = torch.randn(2, 2 * channels, dtype=torch.float64).chunk(2, 1)

    def run(device, dtype, norm):
        norm = norm.to(device, dtype)
        parts = [part.to(device, dtype).requires_grad_(True) for part in (x, *modulation)]
        y = group_norm(parts[0], norm, tuple(parts[1:]) if modulated else None, silu=modulated)
        wanted = [*parts[: 3 if modulated else 1], norm.weight, norm.bias]
        return [y, *torch.autograd.grad(y, wanted, pull.to(device, dtype))]

    expected = run("cpu", torch.float64, norm)
    for found, truth in zip(run("cuda", torch.float32, norm), expected, strict=True):
        assert (found.cpu() - truth).norm() < 1e-5 * truth.norm()
    half = norm.float().cuda()
    with torch.no_grad():
        image = x.bfloat16().cuda().contiguous(memory_format=torch.channels_last)
        found = group_norm(image, half, silu=False)
        wanted = group_norm_portable(image.float(), half, silu=False)
    assert found.dtype == torch.bfloat16
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found - wanted).norm() < 5e-3 * wanted.norm()


@pytest.mark.parametrize("quality", TIERS)
@pytest.mark.parametrize("direction", ["none", "add"])
def test_a_picture_is_the_one_that_the_cpu_draws(direction, quality):
    field, camera = soft_car(direction=direction), orbit_camera(40.0, 20.0, 1.3, 96)
    options = RenderOptions(quality=quality, normals=True)
    expected = render(bake(field), camera, options)
    there = dataclasses.replace(field, decoder=field.decoder.to("cuda"), latent=field.latent.cuda())
    baked = bake(there)
    assert baked.kernels is not None
    found = render(baked, camera, options)
    assert found.rgb.is_cuda
    assert float((found.rgb.cpu() - expected.rgb).square().mean()) < 1e-6
    assert (found.opacity.cpu() - expected.opacity).abs().mean() < 1e-4
    seen = (expected.opacity > 0.9) & (found.opacity.cpu() > 0.9)
    assert (found.depth.cpu() - expected.depth)[seen].abs().mean() < 1e-3
    assert render(baked, camera, options, lambda: True) is None
    with mock.patch.object(frames, "frame_kernels", return_value=None):
        torch_path = render(bake(there), camera, options)
    assert float((found.rgb - torch_path.rgb).square().mean()) < 1e-4


# -------------------------------------------------------------------------------- graphed steps


def trained(data, iterations, graphed, recipe=SMOKE):
    state = TrainState.fresh(recipe, len(data), "cuda")
    possible = GraphedTraining.possible if graphed else lambda *_: False
    with mock.patch.object(GraphedTraining, "possible", staticmethod(possible)):
        reports = [iterate(state, data) for _ in range(iterations)]
    assert (state.graphed is not None) == graphed
    return state, reports


def test_graphs_train_as_plain_iterations_do(data):
    iterations = 20 + WARM_UP + 4  # the number of inner steps changes at iteration 20
    plain_state, plain = trained(data, iterations, graphed=False)
    state, reports = trained(data, iterations, graphed=True)
    for name in ("psnr", "diffusion_loss", "latent_rms"):
        expected = [report[name] for report in plain]
        assert [report[name] for report in reports] == pytest.approx(expected, rel=0.05, abs=0.02)
    assert torch.equal(state.bank.records.steps, plain_state.bank.records.steps)
    steps = {int(s["step"]) for o in state.optimizers.values() for s in o.state.values()}
    assert steps == {iterations}


def test_rates_reach_the_graph(data):
    """With all rates at zero from some iteration on nothing moves any more."""
    recipe = SMOKE.changed(iterations=12, decay_from=0.5, final_rate=0.0)
    state, _ = trained(data, 12, graphed=True, recipe=recipe)
    before = {name: value.clone() for name, value in state.method.state_dict().items()}
    latents = state.bank.records.raw.clone()
    iterate(state, data)
    for name, value in state.method.named_parameters():
        assert torch.equal(value, before[name]), name
    assert torch.equal(state.bank.records.raw, latents)


@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_run_goes_on_where_another_device_left_it(data, tmp_path, first, second):
    state = TrainState.fresh(SMOKE, len(data), first)
    for _ in range(WARM_UP + 3):
        iterate(state, data)
    state.save(tmp_path / "state.pt")
    expected = [iterate(state, data)["psnr"] for _ in range(WARM_UP + 3)]
    resumed = TrainState.fresh(SMOKE, len(data), second)
    resumed.load(tmp_path / "state.pt")
    assert [iterate(resumed, data)["psnr"] for _ in range(WARM_UP + 3)] == pytest.approx(
        expected, abs=0.3
    )
