"""Voxel fields: axes, places of the values, the scales of channels, pictures, and other fields as voxels."""

import dataclasses

import pytest
import torch

from engine.errors import ConfigError
from engine.fields.bare import BoxConfig
from engine.fields.scene import Scene
from engine.fields.voxel import (
    MOST_OPAQUE,
    VoxelField,
    channel_density,
    opacity_channel,
    shortest_edge,
)
from engine.ops.cameras import orbit_camera
from engine.render.frames import GRID, RenderOptions, bake, render
from engine.render.live import live, voxelised
from tests.engine.render_fields import Ball, chords, soft_car

BOX = ((-0.5, -1.0, -0.25), (0.5, 1.0, 0.75))
DEPTH, HEIGHT, WIDTH = 5, 8, 4


def noise(seed=0):
    grid = 2 * torch.rand(4, DEPTH, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    return VoxelField(BoxConfig(BOX), grid - 1)


def centres(shape=(WIDTH, HEIGHT, DEPTH)):
    low, high = torch.tensor(BOX)
    return [low[a] + (torch.arange(n) + 0.5) / n * (high[a] - low[a]) for a, n in enumerate(shape)]


def test_values_lie_at_the_centres_of_voxels_x_fastest():
    field, (x, y, z) = noise(), centres()
    xyz = torch.tensor([[x[3], y[6], z[1]], [x[0], y[2], z[4]]])
    _, rgb = field.query(xyz, torch.zeros(2, 3))
    expected = torch.stack([field.latent[1:, 1, 6, 3], field.latent[1:, 4, 2, 0]])
    torch.testing.assert_close(rgb, (expected + 1) / 2, atol=1e-5, rtol=0)


def test_values_between_are_mixed_and_go_on_beyond_the_outermost():
    field, (x, y, z) = noise(), centres()
    between = torch.tensor([[(3 * x[1] + x[2]) / 4, y[3], z[2]]])
    _, rgb = field.query(between, torch.zeros(1, 3))
    mixed = 0.75 * field.latent[1:, 2, 3, 1] + 0.25 * field.latent[1:, 2, 3, 2]
    torch.testing.assert_close(rgb[0], (mixed + 1) / 2, atol=1e-5, rtol=0)
    _, rgb = field.query(torch.tensor(BOX), torch.zeros(2, 3))
    ends = torch.stack([field.latent[1:, 0, 0, 0], field.latent[1:, -1, -1, -1]])
    torch.testing.assert_close(rgb, (ends + 1) / 2, atol=1e-5, rtol=0)


def test_densities_go_to_the_channel_and_back():
    edge = shortest_edge(torch.tensor(BOX), noise().latent)
    assert edge == pytest.approx(min(1 / 4, 2 / 8, 1 / 5))
    density = (
        torch.linspace(0, 0.99, 50, dtype=torch.float64)
        * -torch.tensor(1 - MOST_OPAQUE).log()
        / (edge)
    )
    channel = opacity_channel(density, edge)
    assert channel[0] == -1
    assert channel.max() < 1
    torch.testing.assert_close(channel_density(channel, edge), density)
    assert channel_density(torch.tensor(-3.0), edge) == 0
    assert channel_density(torch.tensor(3.0), edge).isfinite()
    half = VoxelField(BoxConfig(BOX), torch.zeros(4, DEPTH, HEIGHT, WIDTH))
    assert torch.exp(-half.density(torch.zeros(1, 3)) * edge) == pytest.approx(0.5)


def test_a_constant_grid_obeys_beer_lambert():
    matter = 1.5
    grid = torch.zeros(4, 6, 6, 6)
    field = VoxelField(BoxConfig(BOX), grid)
    grid[0] = opacity_channel(torch.tensor(matter), shortest_edge(field.aabb, grid))
    camera = orbit_camera(35.0, 22.0, size=48)
    for baked in (bake(field), dataclasses.replace(bake(field), kernels=None)):
        picture = render(baked, camera, RenderOptions("high"))
        enter, leave = chords(camera, field.aabb)
        chord = -torch.log1p(-picture.opacity.double()) / matter
        assert (chord - (leave - enter)).abs().max() < 3**0.5 / 512 + 1e-4


@pytest.mark.parametrize("quality", ["preview", "standard", "high"])
@pytest.mark.parametrize("which", ["noise", "car"])
def test_kernel_and_torch_draw_the_same(which, quality):
    field = noise() if which == "noise" else voxelised(soft_car(), 48)
    baked = bake(field)
    assert baked.kernels is not None
    options = RenderOptions(quality, background=(0.0, 0.5, 1.0))
    camera = orbit_camera(35.0, 22.0, size=48)
    fast, slow = (
        render(b, camera, options) for b in (baked, dataclasses.replace(baked, kernels=None))
    )
    least = {"preview": 40, "standard": 48, "high": 56}[quality]
    assert -10 * torch.log10((fast.rgb - slow.rgb).square().mean()) > least
    torch.testing.assert_close(fast.opacity, slow.opacity, atol=2e-2, rtol=0)
    solid = (fast.opacity > 0.5) & (slow.opacity > 0.5)
    assert (fast.depth - slow.depth)[solid].abs().max() < 1e-2


@pytest.mark.parametrize("shape", [(DEPTH, HEIGHT, WIDTH), (64, 70, 128)])
def test_no_point_is_denser_than_its_cell(shape):
    random = torch.Generator().manual_seed(1)
    field = VoxelField(BoxConfig(BOX), 2 * torch.rand(4, *shape, generator=random) - 1)
    cells = bake(field).cell_density
    share = torch.rand(50_000, 3, generator=random)
    x, y, z = (share * GRID).long().unbind(-1)
    low, high = field.aabb
    density = field.density(low + share * (high - low))
    assert (density <= cells[x, y, z] * (1 + 1e-4) + 1e-4).all()
    assert (density > 0.3 * cells[x, y, z]).any()


def test_scenes_of_voxels_are_saved_and_opened(tmp_path):
    field = noise()
    opened = Scene.load(Scene(field).save(tmp_path / "scene.safetensors")).field
    assert opened.config == field.config
    assert torch.equal(opened.latent, field.latent)
    with pytest.raises(ConfigError, match="4, depth, height, width"):
        VoxelField.check_latent(field.config, (3, 4, 4, 4))
    with pytest.raises(ConfigError):
        VoxelField.check_latent(field.config, (4, 4, 4))


def test_fields_as_voxels_look_alike():
    camera = orbit_camera(35.0, 22.0, size=64)
    for field, least in ((Ball(), 30), (soft_car(direction="none"), 30)):
        truth = render(bake(field), camera)
        found = render(bake(voxelised(field)), camera)
        assert -10 * torch.log10((truth.rgb - found.rgb).square().mean()) > least


class Watched(Ball):
    """A ball that knows how far from its centre it was asked."""

    def query(self, xyz, dirs):
        self.radii = [*getattr(self, "radii", []), xyz.norm(dim=-1)]
        return super().query(xyz, dirs)


def test_voxels_deep_inside_and_far_outside_are_not_asked_for():
    field, camera = Watched(matter=200.0), orbit_camera(35.0, 22.0, size=64)
    found = voxelised(field, 64)
    radii = torch.cat(field.radii)
    assert radii.min() > 0.25
    assert radii.max() < 1.0
    assert torch.histc(radii, 4, 0.5, 0.7).min() > 0
    pictures = [render(bake(shown), camera).rgb for shown in (found, Ball(matter=200.0))]
    assert -10 * torch.log10((pictures[0] - pictures[1]).square().mean()) > 30


def test_only_fields_without_kernels_are_drawn_as_voxels():
    car = soft_car()
    assert live(car) is car
    assert live(noise()) is not None
    assert isinstance(live(Ball()), VoxelField)
    voxels = noise()
    assert live(voxels) is voxels
