"""Group normalisation with scale, shift and activation in one step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from engine.device import runs_triton

Modulation = tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]
"""Scale and shift: normalised values are multiplied by 1 + scale, then shift is added."""
Numbers = Sequence[np.ndarray]
"""Weight and bias, `c`, then scale and shift, `b c`: float32."""


def group_norm(
    x: Float[Tensor, "b c h w"],
    norm: nn.GroupNorm,
    modulation: Modulation | None = None,
    *,
    silu: bool = True,
) -> Float[Tensor, "b c h w"]:
    """Normalise groups of channels, scale and shift them, and apply SiLU.

    Args:
        x: Images.
        norm: Groups, weights and epsilon.
        modulation: Scale and shift of each image's channels.
        silu: True to apply the activation.
    """
    if x.is_cuda and runs_triton(norm.weight):
        from engine.kernels import norm_triton

        return norm_triton.group_norm(x, norm, modulation, silu=silu)
    fast = x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
    if not fast:
        return group_norm_portable(x, norm, modulation, silu=silu)
    if modulation is None:
        zero = norm.weight.new_zeros(x.shape[:2])
        modulation = (zero, zero)
    scale, shift = modulation
    return _GroupNorm.apply(
        x, norm.weight, norm.bias, scale.float(), shift.float(), norm.num_groups, norm.eps, silu
    )


def group_norm_portable(
    x: Float[Tensor, "b c h w"],
    norm: nn.GroupNorm,
    modulation: Modulation | None = None,
    *,
    silu: bool = True,
) -> Float[Tensor, "b c h w"]:
    """`group_norm` through torch alone: any device and precision."""
    h = norm(x)
    if modulation is not None:
        scale, shift = (part[:, :, None, None] for part in modulation)
        h = torch.addcmul(shift, h, 1 + scale)
    return F.silu(h) if silu else h


def _rows(x: Tensor):
    """A channels-last image as `items rows width` for the kernels."""
    batch, channels, height, width = x.shape
    together = _pixels_in_a_row(height * width, channels)
    flat = x.permute(0, 2, 3, 1).reshape(batch, -1, together * channels)
    return (flat.view(torch.int16) if x.dtype == torch.bfloat16 else flat).numpy()


@lru_cache
def _pixels_in_a_row(pixels: int, channels: int) -> int:
    """Pixels that the kernels take at a time: a divisor of their number."""
    from engine.kernels.norm_fast import ROW

    return max(k for k in range(1, max(1, ROW // channels) + 1) if pixels % k == 0)


def push_norm(
    x: Float[Tensor, "b c h w"], numbers: Numbers, groups: int, eps: float, silu: bool
) -> tuple[Float[Tensor, "b c h w"], Float[np.ndarray, "2 b groups"]]:
    """The kernels' result, and the mean and inverse deviation of each group; `x` is channels-last."""
    from engine.kernels.norm_fast import normalise

    out = torch.empty_like(x, memory_format=torch.channels_last)
    moments = np.empty((2, len(x), groups), np.float32)
    normalise(0, len(x), _rows(x), *numbers, eps, silu, *moments, _rows(out))
    return out, moments


def pull_norm(
    gradient: Float[Tensor, "b c h w"],
    x: Float[Tensor, "b c h w"],
    numbers: Numbers,
    moments: Float[np.ndarray, "2 b groups"],
    silu: bool,
) -> tuple[Float[Tensor, "b c h w"], Float[np.ndarray, "2 b c"]]:
    """Gradients of `x`, and of the factor on the normalised values and the offset added to them."""
    from engine.kernels.norm_fast import normalise_backward

    gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
    out = torch.empty_like(x, memory_format=torch.channels_last)
    sums = np.empty((2, *x.shape[:2]), np.float32)
    normalise_backward(
        0, len(x), _rows(x), *numbers, silu, *moments, _rows(gradient), *sums, _rows(out)
    )
    return out, sums


class _GroupNorm(torch.autograd.Function):
    """`group_norm` by the kernels."""

    @staticmethod
    def forward(ctx, x, weight, bias, scale, shift, groups, eps, silu):
        x = x.contiguous(memory_format=torch.channels_last)
        numbers = [part.detach().numpy() for part in (weight, bias, scale, shift)]
        out, ctx.moments = push_norm(x, numbers, groups, eps, silu)
        ctx.save_for_backward(x, weight, bias, scale, shift)
        ctx.silu = silu
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight, bias, scale, shift = ctx.saved_tensors
        numbers = [part.detach().numpy() for part in (weight, bias, scale, shift)]
        out, sums = pull_norm(gradient, x, numbers, ctx.moments, ctx.silu)
        d_gain, d_level = torch.from_numpy(sums)
        factor = 1 + scale
        d_weight = (d_gain * factor).sum(0)
        d_bias = (d_level * factor).sum(0)
        d_scale = torch.addcmul(d_gain * weight, d_level, bias)
        return out, d_weight, d_bias, d_scale, d_level, None, None, None
