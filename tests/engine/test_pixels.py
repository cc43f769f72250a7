"""Picked pixels: the kernel on the CPU against torch, and scenes that stay where they are."""

import pytest
import torch

from engine.ops.cameras import orbit_camera
from engine.render import pixels as picked
from engine.types import SceneBatch


def batch_of(dtype=torch.uint8) -> SceneBatch:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (3, 2, 5, 7, 3), dtype=torch.uint8)
    camera = orbit_camera(torch.rand(3, 2) * 360, torch.rand(3, 2) * 80, 1.3, size=7)
    images = images if dtype == torch.uint8 else images.float() / 255
    return SceneBatch(images, camera)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_kernel_and_torch_pick_the_same_rays(dtype):
    batch, pixels = batch_of(dtype), torch.randint(0, 2 * 5 * 7, (3, 40))
    fast, plain = picked._gather_fast(batch, pixels), picked._gather_torch(batch, pixels)
    for ours, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("gather", [picked._gather_fast, picked._gather_torch])
def test_scenes_of_a_data_set_give_the_rays_of_their_copies(gather):
    whole, pixels = batch_of(), torch.randint(0, 2 * 5 * 7, (2, 30))
    scene = torch.tensor([0, 2])
    camera = whole.camera[scene]
    where, copied = SceneBatch(whole.images, camera, scene), SceneBatch(whole.images[scene], camera)
    assert where.num_scenes == copied.num_scenes == 2
    for ours, theirs in zip(gather(where, pixels), gather(copied, pixels), strict=True):
        assert torch.equal(ours, theirs)
