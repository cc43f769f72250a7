"""The fused group norm against torch's in float64."""

import pytest
import torch
from torch import nn

from engine.nets.norm import group_norm, group_norm_portable

SHAPES = [(2, 8, 5, 7), (1, 96, 8, 8), (3, 32, 1, 1)]


def case(shape, dtype, offset=0.7):
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, shape[1])
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (2 * torch.randn(shape) + offset).to(dtype).requires_grad_(True)
    modulation = [torch.randn(shape[:2]).requires_grad_(True) for _ in range(2)]
    return norm, x, modulation, torch.randn(shape).to(dtype)


def everything(function, norm, x, modulation, seed, silu):
    """Result and all gradients."""
    out = function(x, norm, tuple(modulation), silu=silu)
    return [out, *torch.autograd.grad(out, (x, *norm.parameters(), *modulation), seed)]


def in_float64(norm, x, modulation, seed):
    exact = nn.GroupNorm(norm.num_groups, norm.num_channels).double()
    exact.load_state_dict(norm.state_dict())
    x, *modulation = (part.detach().double().requires_grad_(True) for part in (x, *modulation))
    return exact, x, modulation, seed.double()


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_result_and_gradients_are_torchs(shape, silu):
    given = case(shape, torch.float32)
    expected = everything(group_norm_portable, *in_float64(*given), silu)
    for a, b in zip(everything(group_norm, *given, silu), expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=2e-4, atol=2e-4)


def test_bfloat16_loses_its_rounding_and_no_more():
    given = case((2, 32, 8, 8), torch.bfloat16)
    expected = everything(group_norm_portable, *in_float64(*given), True)
    for a, b in zip(everything(group_norm, *given, True), expected, strict=True):
        limit = 2**-8 if a.dtype == torch.bfloat16 else 1e-5
        assert ((a.double() - b).abs() <= limit * (b.abs() + b.std())).all()


def test_a_mean_far_above_the_deviation_costs_no_digits():
    norm, x, _, _ = case((1, 8, 16, 16), torch.float32, offset=1000.0)
    exact, wide, _, _ = in_float64(norm, x, [], x.detach())
    expected = group_norm_portable(wide, exact)
    torch.testing.assert_close(group_norm(x, norm).double(), expected, rtol=1e-3, atol=1e-3)


def test_without_modulation_the_norm_stands_alone():
    norm, x, _, _ = case((2, 8, 5, 7), torch.float32)
    torch.testing.assert_close(group_norm(x, norm, silu=False), norm(x), rtol=1e-4, atol=1e-5)


def test_other_precisions_go_through_torch():
    norm, x, modulation, _ = in_float64(*case((2, 8, 4, 4), torch.float32))
    function = lambda *parts: group_norm(parts[0], norm, parts[1:])  # noqa: E731
    assert torch.autograd.gradcheck(function, (x, *modulation))
