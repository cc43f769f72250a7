"""The decoder's options, each against the formula written out or an equivalent field."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.fields.base import Field
from engine.fields.planes import lookup
from engine.fields.triplane import DecoderConfig, TriplaneDecoder, TriplaneField
from engine.ops.harmonics import spherical_harmonics

PAPER = DecoderConfig(channels=4, base_widths=(16,), direction_widths=(16,))
FUNCTIONS = {
    "silu": F.silu,
    "relu": F.relu,
    "softplus": F.softplus,
    "trunc_exp": torch.exp,
}


def randomised(config: DecoderConfig) -> TriplaneDecoder:
    torch.manual_seed(0)
    decoder = TriplaneDecoder(config)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder.eval()


@pytest.fixture
def points():
    torch.manual_seed(1)
    return torch.rand(30, 3) * 2 - 1, F.normalize(torch.randn(30, 3), dim=-1)


@pytest.fixture
def triplane():
    torch.manual_seed(2)
    return torch.randn(1, 3, 4, 8, 12)


def run(decoder, triplane, points):
    return TriplaneField(decoder, triplane[0]).query(*points)


def layers(nets, x, act):
    for index, layer in enumerate(nets):
        x = F.linear(act(x) if index else x, layer.weight, layer.bias)
    return x


def by_hand(decoder, triplane, xyz, dirs):
    config = decoder.config
    act = FUNCTIONS[config.activation]
    base = layers(decoder.base, lookup(triplane, xyz[None])[0], act)
    hidden = act(base)
    density = FUNCTIONS[config.density_activation](layers(decoder.density_head, hidden, act))[:, 0]
    harmonics = spherical_harmonics(dirs)
    if config.direction == "add":
        hidden = act(base + layers(decoder.direction, harmonics, act))
    elif config.direction == "concat":
        hidden = torch.cat([hidden, harmonics], -1)
    rgb = torch.sigmoid(layers(decoder.color_head, hidden, act))
    return density, rgb * (1 + 2 * config.saturation) - config.saturation


DEEP = replace(
    PAPER,
    base_widths=(24, 20, 16),
    density_widths=(8, 1),
    color_widths=(12, 10, 3),
    direction_widths=(9, 16),
)
VARIANTS = {
    "paper": PAPER,
    "deep": DEEP,
    "concatenated direction": replace(PAPER, direction="concat"),
    "deep, concatenated direction": replace(DEEP, direction="concat"),
    "no direction": replace(PAPER, direction="none"),
    "relu": replace(PAPER, activation="relu"),
    "softplus": replace(PAPER, activation="softplus", density_activation="softplus"),
    "density through relu": replace(PAPER, density_activation="relu"),
    "density through silu": replace(PAPER, density_activation="silu"),
    "no saturation": replace(PAPER, saturation=0.0),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_layout_computes_its_formula(name, triplane, points):
    decoder = randomised(VARIANTS[name])
    density, rgb = run(decoder, triplane, points)
    expected_density, expected_rgb = by_hand(decoder, triplane, *points)
    torch.testing.assert_close(density, expected_density, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rgb, expected_rgb, rtol=1e-4, atol=1e-5)
    alone = decoder.density(triplane, points[0])
    torch.testing.assert_close(alone, expected_density, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["none", "add", "concat"])
def test_only_directions_that_enter_change_colours_and_none_changes_density(
    direction, triplane, points
):
    decoder = randomised(replace(PAPER, direction=direction))
    density, rgb = run(decoder, triplane, points)
    other_density, other_rgb = run(decoder, triplane, (points[0], -points[1]))
    assert torch.equal(density, other_density)
    assert torch.equal(rgb, other_rgb) == (direction == "none")


def test_an_untrained_decoder_ignores_directions_and_has_its_bias(triplane, points):
    decoder = TriplaneDecoder(replace(PAPER, density_bias=-3.0))
    rgb, other = (run(decoder, triplane, (points[0], d))[1] for d in (points[1], -points[1]))
    assert torch.equal(rgb, other)
    empty = run(decoder, torch.zeros_like(triplane), points)[0]
    torch.testing.assert_close(empty, torch.full((30,), -3.0).exp())


def test_directions_are_looked_up_ray_by_ray(triplane, points):
    decoder = randomised(PAPER)
    rays_d = F.normalize(torch.randn(4, 3), dim=-1)
    ray = torch.randint(0, 4, (30,))
    density, rgb = decoder(triplane, points[0], rays_d, ray)
    expected = run(decoder, triplane, (points[0], rays_d[ray]))
    torch.testing.assert_close((density, rgb), expected)


def test_flipping_z_mirrors_the_density(triplane, points):
    decoder, flipped = randomised(PAPER), randomised(replace(PAPER, flip_z=True))
    mirrored = points[0] * torch.tensor([1.0, 1, -1])
    assert torch.equal(flipped.density(triplane, points[0]), decoder.density(triplane, mirrored))


def test_a_box_of_any_proportions_is_the_unit_box_scaled(triplane, points):
    low, high = torch.tensor([-0.4, -1.0, 0.1]), torch.tensor([0.6, 1.5, 0.35])
    aabb = (tuple(low.tolist()), tuple(high.tolist()))
    decoder, boxed = randomised(PAPER), randomised(replace(PAPER, aabb=aabb))
    xyz = low + (points[0] + 1) / 2 * (high - low)
    found, expected = run(boxed, triplane, (xyz, points[1])), run(decoder, triplane, points)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(TriplaneField(boxed, triplane[0]).aabb, torch.stack([low, high]))


def test_a_scene_base_is_added_to_every_triplane(triplane, points):
    decoder = randomised(replace(PAPER, scene_base=(8, 12)))
    plain = randomised(PAPER)
    plain.load_state_dict({k: v for k, v in decoder.state_dict().items() if k != "scene_base"})
    expected = plain.density(triplane + decoder.scene_base.detach(), points[0])
    torch.testing.assert_close(decoder.density(triplane, points[0]), expected)
    assert TriplaneDecoder(decoder.config).scene_base.abs().max() == 0


def test_dropout_silences_whole_channels_of_the_planes_but_not_the_base(triplane, points):
    config = replace(PAPER, dropout=0.5, scene_base=(8, 12), base_widths=(12,), direction="none")
    decoder = randomised(config).train()
    with torch.no_grad():
        decoder.base[0].weight.copy_(torch.eye(12))
        decoder.base[0].bias.zero_()
    full = lookup(triplane, points[0][None])[0]
    base = lookup(decoder.scene_base.detach()[None], points[0][None])[0]
    kept = decoder.features(triplane, points[0]) - base
    off = (kept.abs() < 1e-5).all(0)
    assert 0 < int(off.sum()) < 12
    torch.testing.assert_close(kept[:, ~off], 2 * full[:, ~off], rtol=1e-3, atol=1e-4)
    decoder.eval()
    torch.testing.assert_close(decoder.features(triplane, points[0]), full + base)


def test_the_density_exponential_has_a_bounded_gradient():
    decoder = TriplaneDecoder(PAPER)
    x = torch.tensor([-20.0, -1.0, 3.0, 20.0], requires_grad=True)
    y = decoder.density_activation(x)
    y.sum().backward()
    torch.testing.assert_close(y, x.exp())
    torch.testing.assert_close(x.grad, x.detach().exp().clamp(1e-6, 1e6))


def test_colours_reach_a_little_beyond_their_range(triplane, points):
    decoder = randomised(replace(PAPER, saturation=0.001))
    with torch.no_grad():
        decoder.color_head[-1].bias.copy_(torch.tensor([50.0, -50.0, 0.0]))
    _, rgb = run(decoder, triplane, points)
    torch.testing.assert_close(rgb[:, 0], torch.full((30,), 1.001))
    torch.testing.assert_close(rgb[:, 1], torch.full((30,), -0.001))


def test_points_of_several_scenes_are_decoded_as_if_alone(points):
    decoder = randomised(PAPER)
    triplanes = torch.randn(3, 3, 4, 8, 12)
    scene = torch.tensor([0] * 10 + [1] * 5 + [2] * 15)
    found = decoder(triplanes, points[0], points[1], torch.arange(30), scene)
    for k in range(3):
        mine = scene == k
        alone = run(decoder, triplanes[k : k + 1], (points[0][mine], points[1][mine]))
        torch.testing.assert_close((found[0][mine], found[1][mine]), alone)


def test_a_triplane_with_its_decoder_is_a_field(triplane):
    assert isinstance(TriplaneField(randomised(PAPER), triplane[0]), Field)


def test_harmonics_are_orthonormal_over_the_sphere():
    torch.manual_seed(3)
    dirs = F.normalize(torch.randn(200_000, 3, dtype=torch.float64), dim=-1)
    values = spherical_harmonics(dirs)
    gram = 4 * torch.pi * values.T @ values / len(dirs)
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), atol=0.03, rtol=0)
