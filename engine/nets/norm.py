"""Group normalisation with scale, shift and activation in one step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from engine.nets.norm_fast import ROW, normalise, normalise_backward

Modulation = tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]
"""Scale and shift: normalised values are multiplied by 1 + scale, then shift is added."""


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
        silu: Whether the activation follows.
    """
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
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
    pixels = height * width
    together = max(k for k in range(1, max(1, ROW // channels) + 1) if pixels % k == 0)
    flat = x.permute(0, 2, 3, 1).reshape(batch, pixels // together, together * channels)
    return (flat.view(torch.int16) if x.dtype == torch.bfloat16 else flat).numpy()


class _GroupNorm(torch.autograd.Function):
    """`group_norm` by the kernels."""

    @staticmethod
    def forward(ctx, x, weight, bias, scale, shift, groups, eps, silu):
        x = x.contiguous(memory_format=torch.channels_last)
        out = torch.empty_like(x)
        mean, rstd = x.new_empty((2, x.shape[0], groups), dtype=torch.float32)
        numbers = [part.detach().numpy() for part in (weight, bias, scale, shift)]
        normalise(0, len(x), _rows(x), *numbers, eps, silu, mean.numpy(), rstd.numpy(), _rows(out))
        ctx.save_for_backward(x, weight, bias, scale, shift, mean, rstd)
        ctx.silu = silu
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight, bias, scale, shift, mean, rstd = ctx.saved_tensors
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        out = torch.empty_like(x)
        d_gain, d_level = x.new_empty((2, *x.shape[:2]), dtype=torch.float32)
        numbers = [part.detach().numpy() for part in (weight, bias, scale, shift)]
        normalise_backward(
            0,
            len(x),
            _rows(x),
            *numbers,
            ctx.silu,
            mean.numpy(),
            rstd.numpy(),
            _rows(gradient),
            d_gain.numpy(),
            d_level.numpy(),
            _rows(out),
        )
        factor = 1 + scale
        d_weight = (d_gain * factor).sum(0)
        d_bias = (d_level * factor).sum(0)
        d_scale = torch.addcmul(d_gain * weight, d_level, bias)
        return out, d_weight, d_bias, d_scale, d_level, None, None, None
