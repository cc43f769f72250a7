"""Losses on latents and colours against their definitions."""

import pytest
import torch

from engine.ops.losses import pixel_scale, total_variation


@pytest.mark.parametrize(("views", "weight"), [(1, 0.095), (3, 0.26), (50, 0.993)])
def test_pixels_weigh_more_the_more_views_there_are(views, weight):
    assert pixel_scale(views * 128 * 128, 0.1 / 128**2) == pytest.approx(weight, abs=1e-3)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_total_variation_is_the_mean_power_of_the_texels_gradients(power):
    triplanes = torch.randn(2, 3, 2, 4, 5)
    total = 0.0
    for plane in triplanes.reshape(-1, 4, 5):
        for row in range(4):
            for col in range(5):
                down = float(plane[row + 1, col] - plane[row, col]) if row < 3 else 0.0
                across = float(plane[row, col + 1] - plane[row, col]) if col < 4 else 0.0
                total += (down**2 + across**2) ** (power / 2)
    expected = total / triplanes.numel()
    assert float(total_variation(triplanes, power)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_flat_planes_vary_nowhere_and_have_a_gradient_of_zero(power):
    triplanes = torch.ones(1, 3, 1, 4, 4, requires_grad=True)
    total = total_variation(triplanes, power)
    total.backward()
    assert float(total.detach()) == 0
    assert torch.equal(triplanes.grad, torch.zeros_like(triplanes))
