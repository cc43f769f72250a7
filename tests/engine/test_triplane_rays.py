"""The fused kernels of training rays against torch: same samples, same colours, same gradients."""

from dataclasses import replace

import pytest
import torch

from engine.fields.triplane import DecoderConfig, TriplaneDecoder
from engine.kernels import triplane_rays
from engine.ops.cameras import orbit_camera
from engine.ops.rays import camera_rays
from engine.render.march import MarchConfig
from engine.types import RayBatch

BOX = ((-0.5, -0.95, -0.49), (0.5, 0.95, 0.49))
DECODERS = {
    "bundled": DecoderConfig(base_widths=(32,), direction="none", density_bias=1.0, aabb=BOX),
    "paper": DecoderConfig(density_bias=-0.5),
    "deep direction": DecoderConfig(direction_widths=(24, 64), aabb=BOX),
    "odd width": DecoderConfig(base_widths=(24,), direction_widths=(24,), aabb=BOX),
    "flipped, offset": DecoderConfig(
        base_widths=(16,), direction="none", density_bias=-0.5, flip_z=True, scene_base=(9, 7)
    ),
}
SCENES, SIZE = 3, 24


def decoder_of(name: str) -> TriplaneDecoder:
    torch.manual_seed(0)
    decoder = TriplaneDecoder(DECODERS[name])
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    torch.nn.init.constant_(decoder.density_head[-1].bias, DECODERS[name].density_bias)
    return decoder


def rays_of(scenes: int = SCENES, views: int = 1) -> RayBatch:
    """All pixels of cameras around the object; some rays miss it."""
    cameras = [orbit_camera(70.0 * k + 10, 12.0 * k, 1.1, SIZE) for k in range(scenes * views)]
    parts = [camera_rays(camera) for camera in cameras]
    count = SIZE * SIZE * views
    return RayBatch(
        rays_o=torch.cat([part[0].reshape(-1, 3) for part in parts]),
        rays_d=torch.cat([part[1].reshape(-1, 3) for part in parts]),
        rgb=torch.zeros(scenes * count, 3),
        scene=torch.arange(scenes).repeat_interleave(count),
        focal=torch.full((scenes * count,), 24.6),
        per_scene=count,
    )


def results(render, decoder, triplanes, rays, gamma: float, grid=(5, 9, 6), max_steps=96):
    """Image and opacity, and the gradients of latents and weights."""
    torch.manual_seed(2)
    decoder.zero_grad()
    triplanes = triplanes.clone().requires_grad_(True)
    total = len(rays.scene)
    image, opacity = render(
        decoder,
        triplanes,
        torch.rand(len(triplanes), *grid) < 0.6,
        rays,
        MarchConfig(max_steps=max_steps),
        jitter=torch.rand(total),
        dt_gamma=torch.full((total,), gamma),
    )
    ((image * torch.randn(total, 3)).sum() + (opacity * torch.randn(total)).sum()).backward()
    gradients = [triplanes.grad, *(p.grad for p in decoder.parameters() if p.grad is not None)]
    return image.detach(), opacity.detach(), gradients


@pytest.mark.parametrize("gamma", [0.0, 0.02])
@pytest.mark.parametrize("name", DECODERS)
def test_kernels_and_torch_agree_in_colours_and_gradients(name, gamma):
    decoder, rays = decoder_of(name), rays_of()
    triplanes = torch.randn(SCENES, 3, 6, 9, 7)
    assert triplane_rays.on_numba(decoder, triplanes)
    fused = results(triplane_rays.render_rays, decoder, triplanes, rays, gamma)
    plain = results(triplane_rays.render_rays_portable, decoder, triplanes, rays, gamma)
    assert 0.02 < (plain[1] > 0.5).float().mean() < 0.98
    torch.testing.assert_close(fused[:2], plain[:2], atol=2e-5, rtol=0)
    assert len(fused[2]) == len(plain[2])
    for ours, theirs in zip(fused[2], plain[2], strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


def test_a_dense_field_ends_rays_and_the_last_sample_learns_nothing():
    decoder, rays = decoder_of("bundled"), rays_of()
    torch.nn.init.constant_(decoder.density_head[-1].bias, 5.0)
    triplanes = torch.randn(SCENES, 3, 6, 9, 7)
    fused = results(triplane_rays.render_rays, decoder, triplanes, rays, 0.0)
    plain = results(triplane_rays.render_rays_portable, decoder, triplanes, rays, 0.0)
    assert (plain[1] > 1 - 1e-4).any()
    torch.testing.assert_close(fused[:2], plain[:2], atol=2e-5, rtol=0)
    for ours, theirs in zip(fused[2], plain[2], strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


@pytest.mark.parametrize("scenes", [1, 3])
def test_results_do_not_depend_on_the_number_of_threads(scenes):
    decoder, rays = decoder_of("paper"), rays_of(scenes, views=2)
    triplanes = torch.randn(scenes, 3, 6, 9, 7)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(results(triplane_rays.render_rays, decoder, triplanes, rays, 0.0))
    finally:
        torch.set_num_threads(before)
    for image, opacity, gradients in found[1:]:
        assert torch.equal(image, found[0][0])
        assert torch.equal(opacity, found[0][1])
        assert torch.equal(gradients[0], found[0][2][0])


def test_empty_scenes_show_nothing_and_pull_at_nothing():
    decoder, rays = decoder_of("bundled"), rays_of(1)
    triplanes = torch.randn(1, 3, 6, 9, 7, requires_grad=True)
    image, opacity = triplane_rays.render_rays(
        decoder,
        triplanes,
        torch.zeros(1, 4, 4, 4, dtype=torch.bool),
        rays,
        MarchConfig(max_steps=64),
        jitter=None,
        dt_gamma=torch.zeros(len(rays.scene)),
    )
    (image.sum() + opacity.sum()).backward()
    assert image.abs().max() == opacity.abs().max() == triplanes.grad.abs().max() == 0


@pytest.mark.parametrize("name", DECODERS)
def test_densities_of_all_scenes_are_the_decoders(name):
    decoder = decoder_of(name)
    triplanes = torch.randn(SCENES, 3, 6, 9, 7)
    low, high = decoder.aabb
    xyz = low + torch.rand(500, 3) * (high - low)
    found = triplane_rays.densities(decoder, triplanes, xyz)
    expected = torch.stack([decoder.density(planes[None], xyz) for planes in triplanes])
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=1e-6)


def test_what_no_kernel_knows_goes_through_torch():
    concat = TriplaneDecoder(DecoderConfig(direction="concat"))
    deep = TriplaneDecoder(DecoderConfig(base_widths=(64, 64)))
    triplanes = torch.randn(1, 3, 6, 4, 4)
    assert not triplane_rays.on_numba(concat, triplanes)
    assert not triplane_rays.on_numba(deep, triplanes)
    assert not triplane_rays.on_numba(decoder_of("paper"), triplanes.double())
    dropping = TriplaneDecoder(replace(DECODERS["paper"], dropout=0.1))
    assert not triplane_rays.on_numba(dropping.train(), triplanes)
    assert triplane_rays.on_numba(dropping.eval(), triplanes)
