"""The conditional field against its formulas written out, and what its two codes may and may not change."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.config import from_json, to_json
from engine.errors import ConfigError
from engine.fields.base import Field
from engine.fields.conditional import (
    ConditionalConfig,
    ConditionalField,
    ConditionalNet,
    positional_encoding,
)
from engine.ops.cameras import orbit_camera
from engine.render.frames import bake, render

SMALL = ConditionalConfig(
    width=16,
    code=8,
    shape_blocks=2,
    texture_blocks=2,
    position_frequencies=3,
    direction_frequencies=2,
)


def randomised(config: ConditionalConfig = SMALL) -> ConditionalNet:
    torch.manual_seed(0)
    net = ConditionalNet(config)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


@pytest.fixture
def points():
    torch.manual_seed(1)
    return torch.rand(30, 3) * 2 - 1, F.normalize(torch.randn(30, 3), dim=-1)


@pytest.fixture
def codes():
    torch.manual_seed(2)
    return torch.randn(3, 2, 8)


def by_hand(net, codes, xyz, dirs):
    """Layer after layer as the paper draws them, for one scene."""
    config = net.config

    def blocks(blocks, hidden, code):
        for to_width, layer in zip(blocks.codes, blocks.layers, strict=True):
            hidden = F.relu(layer(hidden + F.relu(to_width(code))))
        return hidden

    hidden = F.relu(net.entry(positional_encoding(xyz, config.position_frequencies)))
    v = net.feature(blocks(net.shape_blocks, hidden, codes[0]))
    density = config.density_scale * F.softplus(net.density_head(v))[:, 0]
    seen = torch.cat([v, positional_encoding(dirs, config.direction_frequencies)], -1)
    hidden = blocks(net.texture_blocks, F.relu(net.view(seen)), codes[1])
    return density, torch.sigmoid(net.color_head(F.relu(net.color_hidden(hidden))))


def test_the_encoding_is_the_point_then_all_sines_then_all_cosines():
    x = torch.tensor([[0.1, -0.7, 0.4]], dtype=torch.float64)
    expected = torch.cat(
        [x] + [torch.sin(2.0**k * x) for k in range(4)] + [torch.cos(2.0**k * x) for k in range(4)],
        -1,
    )
    torch.testing.assert_close(positional_encoding(x, 4), expected, rtol=0, atol=1e-12)
    assert torch.equal(positional_encoding(x, 0), x)


def test_the_default_is_the_papers_size():
    net = ConditionalNet(ConditionalConfig())
    assert net.entry.in_features == 63
    assert net.view.in_features == 256 + 27
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 0.71


def test_density_and_colour_follow_the_formula(points, codes):
    net = randomised()
    found = ConditionalField(net, codes[0]).query(*points)
    torch.testing.assert_close(found, by_hand(net, codes[0], *points), rtol=1e-4, atol=1e-5)
    alone = ConditionalField(net, codes[0]).density(points[0])
    torch.testing.assert_close(alone, found[0])


def test_points_of_several_scenes_are_decoded_as_if_alone(points, codes):
    net = randomised()
    scene = torch.tensor([0] * 10 + [1] * 5 + [2] * 15)
    found = net(codes, points[0], points[1], torch.arange(30), scene)
    for k in range(3):
        mine = scene == k
        alone = by_hand(net, codes[k], points[0][mine], points[1][mine])
        torch.testing.assert_close((found[0][mine], found[1][mine]), alone, rtol=1e-4, atol=1e-5)


def test_directions_are_looked_up_ray_by_ray(points, codes):
    net = randomised()
    rays_d = F.normalize(torch.randn(4, 3), dim=-1)
    ray = torch.randint(0, 4, (30,))
    found = net(codes[:1], points[0], rays_d, ray)
    torch.testing.assert_close(found, ConditionalField(net, codes[0]).query(points[0], rays_d[ray]))


def test_density_has_no_path_from_the_texture_code(points, codes):
    net = randomised()
    codes.requires_grad_(True)
    scene = torch.arange(30) // 10
    density, rgb = net(codes, points[0], points[1], torch.arange(30), scene)
    (gradient,) = torch.autograd.grad(density.sum(), codes, retain_graph=True)
    assert torch.equal(gradient[:, 1], torch.zeros_like(gradient[:, 1]))
    assert (gradient[:, 0].flatten(1).norm(dim=1) > 0).all()
    (gradient,) = torch.autograd.grad(rgb.sum(), codes)
    assert (gradient.norm(dim=2) > 0).all()


def test_gradients_reach_codes_and_cameras_as_differences_say(points, codes):
    net = randomised().double()
    xyz, dirs = (part[:6].double().requires_grad_(True) for part in points)
    codes = codes.double().requires_grad_(True)
    ray, scene = torch.arange(6), torch.tensor([0, 0, 1, 1, 2, 2])

    def density_and_colour(codes, xyz, dirs):
        return net(codes, xyz, dirs, ray, scene)

    assert torch.autograd.gradcheck(density_and_colour, (codes, xyz, dirs))


def test_another_texture_leaves_the_depth_as_it_is_bit_for_bit(codes):
    net = randomised(replace(SMALL, density_bias=0.0, density_scale=50.0))
    swapped = torch.stack([codes[0, 0], codes[1, 1]])
    camera = orbit_camera(40.0, 20.0, size=24)
    first, second = (render(bake(ConditionalField(net, c)), camera) for c in (codes[0], swapped))
    assert (first.opacity > 0.5).any()
    assert torch.equal(first.depth, second.depth)
    assert torch.equal(first.opacity, second.opacity)
    assert not torch.equal(first.rgb, second.rgb)


def test_an_untrained_field_is_nearly_empty_but_not_dead(points):
    torch.manual_seed(0)
    net = ConditionalNet(ConditionalConfig())
    codes = torch.randn(2, 256) / 128**0.5
    density = ConditionalField(net, codes).density(points[0])
    density.sum().backward()
    assert 0.02 < density.mean() < 1.0
    assert net.entry.weight.grad.norm() > 1e-3


def test_what_it_is_made_of_survives_json_and_bad_boxes_are_refused():
    config = replace(SMALL, aabb=((-0.5, -1.0, -0.5), (0.5, 1.0, 0.5)))
    assert from_json(ConditionalConfig, to_json(config)) == config
    field = ConditionalField(ConditionalNet(config), torch.zeros(2, 8))
    assert isinstance(field, Field)
    assert torch.equal(field.aabb, torch.tensor(config.aabb))
    with pytest.raises(ConfigError, match="lower and an upper corner"):
        from_json(ConditionalConfig, to_json(replace(config, aabb=config.aabb[::-1])))


def test_a_field_is_rebuilt_from_its_config_weights_and_codes(points, codes):
    field = ConditionalField(randomised(), codes[0])
    shapes = {name: tuple(value.shape) for name, value in field.weights().items()}
    assert ConditionalField.weight_shapes(SMALL) == shapes
    ConditionalField.check_latent(SMALL, tuple(field.latent.shape))
    rebuilt = ConditionalField.build(field.config, field.weights(), field.latent)
    for k in (0, 1):
        expected = ConditionalField(field.decoder, codes[k]).query(*points)
        torch.testing.assert_close(rebuilt.with_latent(codes[k]).query(*points), expected)
    for shape in ((8,), (2, 7), (1, 2, 8)):
        with pytest.raises(ConfigError, match="expected 2, 8"):
            ConditionalField.check_latent(SMALL, shape)
