"""Triton kernels of `engine.nets.norm` on a GPU: a program normalises one group of one channels-last image."""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 4096
"""Values that a program holds at once."""


@triton.jit
@no_type_check
def _affine(weight, bias, scale, shift, image, stride, channel, valid, MODULATED: tl.constexpr):
    """Gain that normalised values are multiplied by, and level that is added to the product."""
    gain = tl.load(weight + channel, mask=valid, other=0.0).to(tl.float32)
    level = tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)
    if MODULATED:
        at = image * stride + channel
        factor = 1 + tl.load(scale + at, mask=valid, other=0.0).to(tl.float32)
        level = level * factor + tl.load(shift + at, mask=valid, other=0.0).to(tl.float32)
        gain = gain * factor
    return gain, level


@triton.jit
@no_type_check
def _forward(
    x, weight, bias, scale, shift, out, means, rstds, channels, stride, size, eps,
    PIXELS: tl.constexpr, SILU: tl.constexpr, MODULATED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Normalise, scale and shift, activate."""
    image, group = tl.program_id(0), tl.program_id(1)
    lane = tl.arange(0, LANES)
    valid, channel = lane < size, group * size + lane
    rows = tl.arange(0, ROWS)
    start = image.to(tl.int64) * PIXELS * channels
    total, squares = tl.zeros([ROWS, LANES], tl.float32), tl.zeros([ROWS, LANES], tl.float32)
    for first in range(0, PIXELS, ROWS):
        row = (first + rows)[:, None]
        at = start + row * channels + channel[None, :]
        v = tl.load(x + at, mask=(row < PIXELS) & valid[None, :], other=0.0).to(tl.float32)
        total += v
        squares += v * v
    count = PIXELS * size
    mean = tl.sum(total) / count
    rstd = tl.rsqrt(tl.maximum(tl.sum(squares) / count - mean * mean, 0.0) + eps)
    tl.store(means + image * tl.num_programs(1) + group, mean)
    tl.store(rstds + image * tl.num_programs(1) + group, rstd)
    gain, level = _affine(weight, bias, scale, shift, image, stride, channel, valid, MODULATED)
    gain, level = (gain * rstd)[None, :], (level - mean * rstd * gain)[None, :]
    for first in range(0, PIXELS, ROWS):
        row = (first + rows)[:, None]
        at = start + row * channels + channel[None, :]
        inside = (row < PIXELS) & valid[None, :]
        y = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) * gain + level
        if SILU:
            y = y * tl.sigmoid(y)
        tl.store(out + at, y.to(out.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _pull(x, gradient, at, inside, mean, rstd, gain, level, SILU: tl.constexpr):
    """Normalised values, and the gradient before the activation."""
    normal = (tl.load(x + at, mask=inside, other=0.0).to(tl.float32) - mean) * rstd
    pull = tl.load(gradient + at, mask=inside, other=0.0).to(tl.float32)
    if SILU:
        y = normal * gain + level
        gate = tl.sigmoid(y)
        pull = pull * gate * (1 + y * (1 - gate))
    return normal, pull


@triton.jit
@no_type_check
def _backward(
    x, gradient, weight, bias, scale, shift, means, rstds, out, d_gain, d_level, channels, stride, size,
    PIXELS: tl.constexpr, SILU: tl.constexpr, MODULATED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Gradient of the image, and of each channel's gain and level."""
    image, group = tl.program_id(0), tl.program_id(1)
    lane = tl.arange(0, LANES)
    valid, channel = lane < size, group * size + lane
    rows = tl.arange(0, ROWS)
    start = image.to(tl.int64) * PIXELS * channels
    mean = tl.load(means + image * tl.num_programs(1) + group)
    rstd = tl.load(rstds + image * tl.num_programs(1) + group)
    gain, level = _affine(weight, bias, scale, shift, image, stride, channel, valid, MODULATED)
    gain, level = gain[None, :], level[None, :]
    pulls, bends = tl.zeros([ROWS, LANES], tl.float32), tl.zeros([ROWS, LANES], tl.float32)
    for first in range(0, PIXELS, ROWS):
        row = (first + rows)[:, None]
        at = start + row * channels + channel[None, :]
        inside = (row < PIXELS) & valid[None, :]
        normal, pull = _pull(x, gradient, at, inside, mean, rstd, gain, level, SILU)
        pulls += pull
        bends += pull * normal
    of_level, of_gain = tl.sum(pulls, 0), tl.sum(bends, 0)
    tl.store(d_level + image * channels + channel, of_level, mask=valid)
    tl.store(d_gain + image * channels + channel, of_gain, mask=valid)
    count = PIXELS * size
    shared = tl.sum(of_level[None, :] * gain) / count
    bent = tl.sum(of_gain[None, :] * gain) / count
    for first in range(0, PIXELS, ROWS):
        row = (first + rows)[:, None]
        at = start + row * channels + channel[None, :]
        inside = (row < PIXELS) & valid[None, :]
        normal, pull = _pull(x, gradient, at, inside, mean, rstd, gain, level, SILU)
        pulled = rstd * (pull * gain - shared - normal * bent)
        tl.store(out + at, pulled.to(out.dtype.element_ty), mask=inside)


class GroupNorm(torch.autograd.Function):
    """`engine.nets.norm.group_norm` by the kernels; without modulation, `scale` and `shift` are empty."""

    @staticmethod
    def forward(ctx, x, weight, bias, scale, shift, groups, eps, silu):
        """The new image, channels last, in the precision of `x`."""
        x = x.contiguous(memory_format=torch.channels_last)
        batch, channels, rows, cols = x.shape
        out = torch.empty_like(x)
        mean, rstd = x.new_empty(2, batch, groups, dtype=torch.float32)
        size = channels // groups
        lanes = triton.next_power_of_2(size)
        fixed = {"SILU": silu, "MODULATED": scale.numel() > 0, "LANES": lanes}
        fixed |= {"PIXELS": rows * cols, "ROWS": max(1, TILE // lanes), "num_warps": 8}
        sizes = (channels, scale.stride(0), size)
        _forward[(batch, groups)](
            x, weight, bias, scale, shift, out, mean, rstd, *sizes, eps, **fixed
        )
        ctx.save_for_backward(x, weight, bias, scale, shift, mean, rstd)
        ctx.arguments = sizes, fixed
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        """Gradients of the image, the norm's weights and the modulation."""
        x, weight, bias, scale, shift, mean, rstd = ctx.saved_tensors
        sizes, fixed = ctx.arguments
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        out = torch.empty_like(x)
        d_gain, d_level = x.new_empty(2, len(x), x.shape[1], dtype=torch.float32)
        _backward[tuple(mean.shape)](
            x, gradient, weight, bias, scale, shift, mean, rstd, out, d_gain, d_level, *sizes,
            **fixed,
        )  # fmt: skip
        if not fixed["MODULATED"]:
            return out, d_gain.sum(0), d_level.sum(0), None, None, None, None, None
        factor = 1 + scale.float()
        d_weight, d_bias = (d_gain * factor).sum(0), (d_level * factor).sum(0)
        d_scale = torch.addcmul(d_gain * weight, d_level, bias).to(scale.dtype)
        return out, d_weight, d_bias, d_scale, d_level.to(shift.dtype), None, None, None


def group_norm(
    x: Tensor,
    norm: torch.nn.GroupNorm,
    modulation: tuple[Tensor, Tensor] | None,
    *,
    silu: bool,
) -> Tensor:
    """See `engine.nets.norm.group_norm`."""
    scale, shift = x.new_empty(2, 1, 0) if modulation is None else modulation
    if scale.stride() != shift.stride() or scale.stride(1) != 1:  # halves of one tensor have that
        scale, shift = scale.contiguous(), shift.contiguous()
    return GroupNorm.apply(x, norm.weight, norm.bias, scale, shift, norm.num_groups, norm.eps, silu)
