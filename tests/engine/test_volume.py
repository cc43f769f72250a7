"""Compositing against the law of Beer and Lambert."""

import math

import pytest
import torch

from engine.render.march import Samples
from engine.render.volume import composite


def samples_of(dt: list[list[float]], start: float = 1.0, dtype=torch.float32) -> Samples:
    """Rays whose samples follow each other without gaps."""
    starts = [[start + sum(ray[:k]) for k in range(len(ray))] for ray in dt]
    flat = [length for ray in dt for length in ray]
    return Samples(
        xyz=torch.zeros(len(flat), 3),
        ray=torch.tensor([k for k, ray in enumerate(dt) for _ in ray], dtype=torch.long),
        scene=None,
        t_starts=torch.tensor([t for ray in starts for t in ray], dtype=dtype),
        dt=torch.tensor(flat, dtype=dtype),
        counts=torch.tensor([len(ray) for ray in dt]),
    )


def test_fog_of_one_density_absorbs_by_its_thickness():
    samples = samples_of([[0.1] * 7, [0.25, 0.05], [0.4]])
    color = torch.tensor([0.2, 0.5, 0.9])
    image, opacity, _ = composite(torch.full((10,), 1.7), color.expand(10, 3).contiguous(), samples)
    expected = 1 - torch.exp(-1.7 * torch.tensor([0.7, 0.3, 0.4]))
    torch.testing.assert_close(opacity, expected)
    torch.testing.assert_close(image, expected[:, None] * color)


def test_splitting_samples_changes_neither_colour_nor_opacity():
    torch.manual_seed(0)
    lengths = [[0.1, 0.3, 0.2, 0.15]]
    density, rgb = torch.rand(4) * 4, torch.rand(4, 3)
    whole = composite(density, rgb, samples_of(lengths))
    parts = torch.tensor([1, 3, 2, 4])
    split = [
        [length / n for length, n in zip(lengths[0], parts.tolist(), strict=True) for _ in range(n)]
    ]
    halves = composite(
        density.repeat_interleave(parts), rgb.repeat_interleave(parts, 0), samples_of(split)
    )
    torch.testing.assert_close(halves[0], whole[0])
    torch.testing.assert_close(halves[1], whole[1])


def test_depth_is_the_weighted_start_of_the_samples():
    density = torch.tensor([1.0, 3.0])
    _, _, depth = composite(density, torch.rand(2, 3), samples_of([[0.5, 0.25]], start=2.0))
    first = 1 - math.exp(-0.5)
    second = math.exp(-0.5) * (1 - math.exp(-0.75))
    assert float(depth) == pytest.approx(first * 2.0 + second * 2.5, rel=1e-5)


def test_rays_without_samples_show_nothing():
    image, opacity, depth = composite(torch.ones(1), torch.ones(1, 3), samples_of([[], [0.5], []]))
    assert image[[0, 2]].abs().sum() == opacity[[0, 2]].sum() == depth[[0, 2]].sum() == 0
    image, opacity, depth = composite(torch.ones(0), torch.ones(0, 3), samples_of([[], []]))
    assert image.shape == (2, 3)
    assert opacity.tolist() == depth.tolist() == [0, 0]


@pytest.mark.parametrize("huge", [1e6, 1e12, 3e38, math.inf])
def test_a_wall_hides_what_is_behind_and_not_what_is_before_it(huge):
    density = torch.tensor([1.0, huge, 5.0], requires_grad=True)
    rgb = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], requires_grad=True)
    image, opacity, _ = composite(density, rgb, samples_of([[0.5, 0.5, 0.5]]))
    before = 1 - math.exp(-0.5)
    torch.testing.assert_close(image[0], torch.tensor([before, 1 - before, 0]))
    torch.testing.assert_close(opacity, torch.ones(1))
    (image.sum() + opacity.sum()).backward()
    assert density.grad.isfinite().all()
    assert rgb.grad.isfinite().all()


def test_a_ray_ends_behind_the_sample_that_blocks_it_and_that_sample_learns_nothing():
    density = torch.tensor([2.0, 100.0, 2.0], requires_grad=True)
    rgb = torch.full((3, 3), 0.5, requires_grad=True)
    image, _, _ = composite(density, rgb, samples_of([[0.5, 0.5, 0.5]]))
    (image * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert density.grad[1:].tolist() == [0, 0]
    assert rgb.grad[1:].abs().sum() == 0
    assert rgb.grad[0].tolist() == pytest.approx(
        [(1 - math.exp(-1)) * weight for weight in (1, 2, 3)], rel=1e-5
    )


def test_the_gradient_of_compositing_is_the_numerical_one():
    torch.manual_seed(2)
    samples = samples_of([[0.2, 0.1, 0.3], [], [0.4, 0.2]], dtype=torch.float64)
    density = torch.rand(5, dtype=torch.float64, requires_grad=True)
    rgb = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d, c: composite(d, c, samples, 0.0)[:2], (density, rgb))
