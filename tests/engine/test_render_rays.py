"""Gradients of rendered rays to cameras against central differences, and colours against those of `frames`."""

import dataclasses
import math

import pytest
import torch

from engine.fields.bare import BoxConfig
from engine.fields.blobs import BlobConfig, BlobField
from engine.fields.conditional import ConditionalConfig, ConditionalField, ConditionalNet
from engine.fields.kinds import FIELDS
from engine.fields.voxel import VoxelField
from engine.kernels import triplane_rays
from engine.methods.toy_cars import hand_made_cars
from engine.ops.cameras import orbit_camera
from engine.ops.rays import camera_rays
from engine.render.frames import RenderOptions, bake, render
from engine.render.march import MarchConfig
from engine.render.rays import render_rays
from engine.types import RayBatch
from tests.engine.render_fields import Ball, brute_force, soft_car

SIZE = 6


def triplane():
    """A car, in double precision."""
    field = soft_car(hidden=16, rows=16, cols=16)
    decoder = field.decoder.double()
    return dataclasses.replace(field, decoder=decoder, latent=field.latent.double())


def voxel():
    """A coloured ellipsoid whose density falls to nothing towards the faces."""
    axes = [torch.linspace(-1, 1, count, dtype=torch.float64) for count in (9, 11, 13)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    opacity = torch.exp(-4 * (x * x + y * y + 1.5 * z * z))
    grid = torch.stack([1.6 * opacity - 1, torch.sin(3 * x), torch.cos(2 * y), torch.sin(2 * z)])
    return VoxelField(BoxConfig(((-0.8, -0.9, -0.7), (0.8, 0.9, 0.7))), grid)


def conditional():
    """A network of two random codes."""
    torch.manual_seed(0)
    config = ConditionalConfig(
        width=16, code=4, position_frequencies=3, density_scale=2.0, density_bias=0.0
    )
    net = ConditionalNet(config).double().requires_grad_(False)
    return ConditionalField(net, torch.randn(2, 4, dtype=torch.float64))


def blobs():
    """Cars' blobs, softer than they are: sampling sees edges that are much thinner than a step as noise."""
    latent = hand_made_cars()[0].double()
    latent[:, 6] -= 3.0
    return BlobField(BlobConfig(), latent)


MAKERS = {"triplane": triplane, "voxel": voxel, "conditional": conditional, "blobs": blobs}


def value(field, numbers):
    """A random functional of the picture of a camera given by azimuth, elevation, distance and in-plane shift."""
    camera = orbit_camera(*numbers[:3], size=SIZE)
    centre = camera.intrinsics + torch.cat([numbers.new_zeros(2), numbers[3:]])
    rays_o, rays_d = camera_rays(dataclasses.replace(camera, intrinsics=centre))
    config = MarchConfig(max_steps=48)
    image, opacity = render_rays(
        field, rays_o.reshape(-1, 3), rays_d.reshape(-1, 3), config=config, background=1.0
    )
    pulls = torch.randn(SIZE * SIZE, 4, generator=torch.Generator().manual_seed(3)).to(image)
    return (image * pulls[:, :3]).sum() + (opacity * pulls[:, 3]).sum()


@pytest.mark.parametrize("kind", FIELDS)
def test_gradients_to_a_camera_are_central_differences(kind):
    field = MAKERS[kind]()
    start = torch.tensor([37.0, 21.0, 1.2, 0.3, -0.2], dtype=torch.float64)
    numbers = start.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(value(field, numbers), numbers)
    for k, step in enumerate((1e-4, 1e-4, 1e-6, 1e-6, 1e-6)):
        move = torch.zeros_like(start)
        move[k] = step
        expected = float(value(field, start + move) - value(field, start - move)) / (2 * step)
        assert abs(expected) > 1e-4
        assert float(found[k]) == pytest.approx(expected, rel=1e-3)


def test_axis_parallel_rays_have_finite_gradients():
    rays_o = torch.tensor([[0.1, -3.0, 0.2], [5.0, -3.0, 0.2]], requires_grad=True)
    rays_d = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], requires_grad=True)
    image, opacity = render_rays(Ball(), rays_o, rays_d)
    assert opacity[0] > 0.9
    assert opacity[1] == 0
    (image.sum() + opacity.sum()).backward()
    assert rays_o.grad.isfinite().all()
    assert rays_d.grad.isfinite().all()


def test_what_ends_a_ray_has_a_gradient_too():
    field = dataclasses.replace(voxel(), config=BoxConfig(((-9.0,) * 3, (9.0,) * 3)))
    grid = torch.full_like(field.latent, 0.9).requires_grad_(True)
    steep = MarchConfig(max_steps=1, grid=1)
    rays = torch.tensor([[0.0, -12.0, 0.0]]).double(), torch.tensor([[0.0, 1.0, 0.0]]).double()
    image, opacity = render_rays(dataclasses.replace(field, latent=grid), *rays, config=steep)
    assert opacity > 0.99
    image.sum().backward()
    assert grid.grad[1:].abs().sum() > 1


def test_colours_are_those_of_brute_force():
    field, camera = soft_car(), orbit_camera(35.0, 22.0, size=24)
    rays_o, rays_d = (rays.reshape(-1, 3) for rays in camera_rays(camera))
    config = MarchConfig(max_steps=512)
    image, opacity = render_rays(field, rays_o, rays_d, config=config, background=1.0)
    rgb, covered = brute_force(field, camera)
    assert (image - rgb.reshape(-1, 3)).square().mean() < 1e-6
    assert (opacity - covered.flatten()).square().mean() < 1e-6
    picture = render(bake(field), camera, RenderOptions("high"))
    occupied = bake(field).cell_density > 0.01
    culled, _ = render_rays(field, rays_o, rays_d, occupied, config, background=1.0)
    assert (culled - picture.rgb.reshape(-1, 3)).square().mean() < 1e-6


def test_the_batched_renderer_passes_gradients_to_rays_too():
    """The kernels take rays as constants."""
    field, camera = soft_car(), orbit_camera(35.0, 22.0, size=12)
    rays_o, rays_d = (rays.reshape(-1, 3) for rays in camera_rays(camera))
    count = len(rays_o)
    moving = rays_o.clone().requires_grad_(True)
    rays = RayBatch(
        moving, rays_d, torch.zeros(count, 3), torch.zeros(count).long(), torch.ones(count), count
    )
    given = (torch.ones(1, 4, 4, 4, dtype=torch.bool), rays, MarchConfig(max_steps=64))
    image, _ = triplane_rays.render_rays(
        field.decoder, field.latent[None], *given, jitter=None, dt_gamma=torch.zeros(count)
    )
    image.sum().backward()
    assert math.isfinite(float(moving.grad.norm()))
    assert moving.grad.norm() > 0
