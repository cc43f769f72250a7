"""The denoiser, the decoder and the tables against the official code's outputs."""

import pytest
import torch

from engine.diffusion.schedule import Schedule
from engine.fields.triplane import DecoderConfig, TriplaneDecoder
from engine.kernels.merged import direction_terms, merged_heads, merged_planes
from engine.kernels.radiance_fast import Lattice, render_rays
from engine.nets.unet2d import UNet2D, UNetConfig
from engine.ops.activations import NormalizedTanhLatent, TanhLatent
from engine.ops.harmonics import spherical_harmonics
from engine.store.official import decoder_name, infer_config, unet_name
from tests.engine.vectors import arrays, close, settings, under


@pytest.fixture(scope="module")
def unet_arrays():
    return arrays("unet_A")


@pytest.fixture(scope="module")
def unet(unet_arrays):
    config = UNetConfig(base=32, multipliers=(1, 2), blocks=1, attention_factors=(2,), dropout=0.1)
    net = UNet2D(config)
    net.load_state_dict({unet_name(k): v for k, v in under(unet_arrays, "sd::").items()})
    return net.eval()


def test_the_denoiser_answers_as_the_official_one(unet, unet_arrays):
    close(unet(unet_arrays["in::x"], unet_arrays["in::t"]), unet_arrays["out::y"])


def test_the_denoisers_gradient_is_the_official_one(unet, unet_arrays):
    x = unet_arrays["in::x"].clone().requires_grad_(True)
    (unet(x, unet_arrays["in::t"]) * unet_arrays["in::grad_y"]).sum().backward()
    close(x.grad, unet_arrays["out::grad_x"])


def test_every_stage_of_the_denoiser_answers_as_the_official_one(unet, unet_arrays):
    stages = {f"in_blocks.{k}": stage for k, stage in enumerate(unet.encoder)}
    stages |= {"mid_blocks": unet.middle, "out_blocks.0": unet.decoder[0]}
    stages["out_blocks.last"] = unet.decoder[-1]
    seen = {}
    hooks = [
        stage.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
        for name, stage in stages.items()
    ]
    unet(unet_arrays["in::x"], unet_arrays["in::t"])
    for hook in hooks:
        hook.remove()
    seen["time_embedding"] = unet.embedding(unet_arrays["in::t"])
    expected = under(unet_arrays, "mid::")
    assert set(seen) == set(expected)
    for name, value in expected.items():
        close(seen[name], value)


def test_the_denoisers_config_is_read_off_its_weights(unet, unet_arrays):
    state = {f"diffusion.denoising.{k}": v for k, v in under(unet_arrays, "sd::").items()}
    state |= {f"decoder.{k}": v for k, v in under(arrays("decoder_A"), "sd::").items()}
    assert infer_config(state).unet == unet.config
    assert sum(p.numel() for p in unet.parameters()) == 764_818


@pytest.fixture(scope="module")
def decoder_arrays():
    return arrays("decoder_A")


@pytest.fixture(scope="module")
def decoder(decoder_arrays):
    weights = under(decoder_arrays, "sd::")
    del weights["aabb"]
    net = TriplaneDecoder(DecoderConfig())
    net.load_state_dict({decoder_name(k): v for k, v in weights.items()})
    return net


def through_torch(decoder, values, code):
    scenes, points = values["in::xyz"].shape[:2]
    xyz, dirs = values["in::xyz"].flatten(0, 1), values["in::dirs"].flatten(0, 1)
    scene = torch.arange(scenes).repeat_interleave(points)
    return decoder(code, xyz, dirs, torch.arange(len(xyz)), scene)


@pytest.fixture(scope="module")
def inside(decoder, decoder_arrays):
    """Which points lie in the box; the kernels' rays never leave it."""
    return (decoder_arrays["in::xyz"].flatten(0, 1).abs() < 1).all(-1)


def through_kernels(decoder, values, code):
    """Rays that begin at the points and have one thin sample: their colour and opacity tell what was decoded."""
    xyz, dirs = values["in::xyz"].flatten(0, 1), values["in::dirs"].flatten(0, 1)
    dt = 0.1 / float(values["out::sigma"].max())
    lattice = Lattice(
        rays_o=xyz,
        rays_d=dirs,
        jitter=torch.zeros(len(xyz)),
        dt_gamma=torch.zeros(len(xyz)),
        occupied=torch.ones(len(code), 1, 1, 1, dtype=torch.bool),
        aabb=decoder.aabb,
        dt=(dt, dt),
        max_steps=1,
        min_near=0.0,
    )
    image, opacity = render_rays(
        merged_planes(decoder, code),
        merged_heads(decoder),
        direction_terms(decoder, dirs),
        lattice,
        saturation=decoder.config.saturation,
        stop=0.0,
    )
    return -torch.log1p(-opacity) / dt, image / opacity[:, None]


def test_the_decoder_answers_as_the_official_one(decoder, decoder_arrays):
    density, rgb = through_torch(decoder, decoder_arrays, decoder_arrays["in::code"])
    close(density, decoder_arrays["out::sigma"])
    close(rgb, decoder_arrays["out::rgb"])


def test_the_kernels_answer_as_the_official_decoder(decoder, decoder_arrays, inside):
    density, rgb = through_kernels(decoder, decoder_arrays, decoder_arrays["in::code"])
    assert inside.sum() > 50
    # read from opacities of a few hundredths, which float32 resolves to 1e-5 of themselves
    close(density[inside], decoder_arrays["out::sigma"][inside], rtol=2e-4)
    close(rgb[inside], decoder_arrays["out::rgb"][inside], rtol=2e-4)


def test_the_decoders_density_alone_is_the_official_one(decoder, decoder_arrays):
    scenes, points = decoder_arrays["in::xyz"].shape[:2]
    scene = torch.arange(scenes).repeat_interleave(points)
    xyz = decoder_arrays["in::xyz"].flatten(0, 1)
    alone = decoder.density(decoder_arrays["in::code"], xyz, scene)
    close(alone, decoder_arrays["out::sigma_tensor_path"])


def gradient(decode, decoder, values, inside):
    """Of the official loss, from the points where `inside` says so."""
    code = values["in::code"].clone().requires_grad_(True)
    density, rgb = decode(decoder, values, code)
    loss = (density * values["in::grad_sigma"])[inside].sum()
    (loss + (rgb * values["in::grad_rgb"])[inside].sum()).backward()
    return code.grad


def test_the_decoders_gradient_is_the_official_one(decoder, decoder_arrays, inside):
    everywhere = torch.ones_like(inside)
    found = gradient(through_torch, decoder, decoder_arrays, everywhere)
    close(found, decoder_arrays["out::grad_code"])


def test_the_kernels_have_the_decoders_gradient(decoder, decoder_arrays, inside):
    found = gradient(through_kernels, decoder, decoder_arrays, inside)
    expected = gradient(through_torch, decoder, decoder_arrays, inside)
    assert (found - expected).norm() < 1e-4 * expected.norm()


def test_the_spherical_harmonics_are_the_official_ones(decoder_arrays):
    close(spherical_harmonics(decoder_arrays["in::dirs"][0]), decoder_arrays["mid::sh"])


def test_the_default_decoder_is_the_papers(decoder):
    layers = settings("decoder_A")
    config = decoder.config
    assert [3 * config.channels, *config.base_widths] == layers["base_layers"]
    assert [config.base_widths[-1], *config.density_widths] == layers["density_layers"]
    assert [config.base_widths[-1], *config.color_widths] == layers["color_layers"]
    assert [16, *config.direction_widths] == layers["dir_layers"]
    assert sum(p.numel() for p in decoder.parameters()) == 2564


@pytest.fixture(scope="module")
def tables():
    return arrays("schedule_and_activation")


def test_the_noise_schedule_is_the_official_one(tables):
    schedule = Schedule()
    torch.testing.assert_close(schedule.betas, tables["betas"], rtol=1e-12, atol=0)
    torch.testing.assert_close(schedule.alpha_bar, tables["alphas_bar"], rtol=1e-12, atol=0)
    torch.testing.assert_close(schedule.tilde_betas, tables["tilde_betas"], rtol=1e-12, atol=0)


@pytest.mark.parametrize("power", [0.5, 0.25])
def test_the_loss_weights_and_timestep_chances_are_the_official_ones(tables, power):
    schedule = Schedule()
    weights = schedule.snr_weight(torch.arange(1000), power)
    torch.testing.assert_close(weights, tables[f"loss_weight_power{power}"], rtol=1e-4, atol=0)
    chances = schedule.sampling_probabilities(power)
    torch.testing.assert_close(chances, tables[f"prob_power{power}"], rtol=1e-12, atol=0)


def test_timesteps_drawn_by_weight_keep_the_losss_expectation():
    schedule = Schedule()
    weights = schedule.snr_weight(torch.arange(1000), 0.5).double()
    chances = schedule.sampling_probabilities(0.5, share=0.5)
    torch.testing.assert_close(chances, weights.sqrt() / weights.sqrt().sum(), rtol=1e-5, atol=0)
    errors = torch.linspace(0, 1, 1000, dtype=torch.float64) ** 2
    drawn = (chances * errors * weights / (1000 * chances)).sum()
    torch.testing.assert_close(drawn, (weights * errors).mean())


@pytest.mark.parametrize("steps", [4, 10, 20, 50, 75, 100])
def test_the_samplers_timesteps_are_the_official_ones(tables, steps):
    pairs = Schedule().sampling_steps(steps)
    assert [t for t, _ in pairs] == tables[f"ddim_timesteps_{steps}"].tolist()
    assert [t for _, t in pairs] == [*[t for t, _ in pairs[1:]], -1]


def test_the_activations_are_the_official_ones_both_ways(tables):
    squash, normalized = TanhLatent(), NormalizedTanhLatent()
    normalized.running_mean.fill_(0.013)
    normalized.running_var.fill_(0.31)
    x = tables["act_in"]
    close(squash(x), tables["tanh_scale2"])
    close(squash.inverse(squash(x)), tables["tanh_scale2_inv"])
    close(normalized(x), tables["ntanh"])
    close(normalized.inverse(normalized(x)), tables["ntanh_inv"])
