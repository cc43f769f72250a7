"""Triplane lookup against interpolation by hand; layouts for 2D networks."""

import math

import pytest
import torch

from engine.fields.planes import (
    lookup,
    lookup_packed,
    stack_planes,
    unstack_planes,
)

AXES = ((0, 1), (0, 2), (1, 2))


def texel(plane, row, col):
    rows, cols = plane.shape
    return float(plane[min(max(row, 0), rows - 1), min(max(col, 0), cols - 1)])


def by_hand(plane: torch.Tensor, u: float, v: float) -> float:
    """Bilinear read of one plane at (u along columns, v along rows), texel centres inside the border."""
    rows, cols = plane.shape
    x = min(max((u + 1) / 2 * cols - 0.5, 0), cols - 1)
    y = min(max((v + 1) / 2 * rows - 0.5, 0), rows - 1)
    col, row = math.floor(x), math.floor(y)
    across, down = x - col, y - row
    upper = (1 - across) * texel(plane, row, col) + across * texel(plane, row, col + 1)
    lower = (1 - across) * texel(plane, row + 1, col) + across * texel(plane, row + 1, col + 1)
    return (1 - down) * upper + down * lower


def test_features_are_bilinear_reads_channel_major_and_clamped_to_the_border():
    torch.manual_seed(0)
    triplane = torch.randn(1, 3, 2, 5, 7)
    xyz = torch.rand(40, 3) * 2.6 - 1.3
    found = lookup_packed(triplane, xyz)
    assert found.shape == (40, 6)
    for n, point in enumerate(xyz.tolist()):
        for channel in range(2):
            for plane, (wide, high) in enumerate(AXES):
                expected = by_hand(triplane[0, plane, channel], point[wide], point[high])
                assert float(found[n, 3 * channel + plane]) == pytest.approx(expected, abs=1e-5)


def test_a_linear_plane_is_read_back_exactly_between_its_outer_texels():
    rows, cols = 6, 10
    x = (torch.arange(cols) + 0.5) / cols * 2 - 1
    y = (torch.arange(rows) + 0.5) / rows * 2 - 1
    plane = 2 * x + 3 * y[:, None] + 1
    xyz = (torch.rand(50, 3) * 2 - 1) * 0.8
    found = lookup_packed(plane.expand(1, 3, 1, rows, cols), xyz)
    for k, (wide, high) in enumerate(AXES):
        torch.testing.assert_close(found[:, k], 2 * xyz[:, wide] + 3 * xyz[:, high] + 1)


def test_points_of_several_scenes_read_each_its_own():
    torch.manual_seed(1)
    triplanes = torch.randn(4, 3, 2, 6, 5)
    scene = torch.tensor([0] * 3 + [2] * 5 + [3] * 1)
    xyz = torch.rand(9, 3) * 2 - 1
    found = lookup_packed(triplanes, xyz, scene)
    for n in range(9):
        torch.testing.assert_close(
            found[n], lookup(triplanes[scene[n]][None], xyz[None, n, None])[0, 0]
        )


def test_no_points_give_no_features():
    found = lookup_packed(
        torch.randn(2, 3, 2, 4, 4), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    )
    assert found.shape == (0, 6)


def test_the_gradient_of_reading_is_the_numerical_one():
    torch.manual_seed(3)
    triplanes = torch.randn(2, 3, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    xyz = (torch.rand(6, 3, dtype=torch.float64) * 1.5 - 0.75).requires_grad_(True)
    scene = torch.tensor([0, 0, 0, 1, 1, 1])
    assert torch.autograd.gradcheck(lambda p, x: lookup_packed(p, x, scene), (triplanes, xyz))


@pytest.mark.parametrize("tiled", [False, True])
def test_images_of_triplanes_lead_back_to_them(tiled):
    triplanes = torch.randn(2, 3, 4, 5, 6)
    images = stack_planes(triplanes, tiled=tiled)
    assert images.shape == ((2, 4, 5, 18) if tiled else (2, 12, 5, 6))
    assert torch.equal(unstack_planes(images, tiled=tiled), triplanes)


def test_every_texel_lies_where_its_layout_says():
    triplanes = torch.randn(2, 3, 4, 5, 6)
    stacked, tiled = stack_planes(triplanes), stack_planes(triplanes, tiled=True)
    for plane in range(3):
        for channel in range(4):
            expected = triplanes[:, plane, channel]
            assert torch.equal(stacked[:, 4 * plane + channel], expected)
            assert torch.equal(tiled[:, channel, :, 6 * plane : 6 * plane + 6], expected)
