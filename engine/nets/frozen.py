"""The denoising UNet with frozen weights on the CPU, for sampling and fitting.

It computes what `UNet2D` computes, and the gradient of its input. Weights are converted and laid out once instead of
in every call, a convolution's backward pass is a convolution with turned weights, and the whole network is one node of
the autograd graph. Layers return their result and a `Pull`, which takes the result's gradient to the input's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from engine.nets.norm import pull_norm, push_norm
from engine.nets.unet2d import (
    Attention,
    Downsample,
    ResidualBlock,
    UNet2D,
    Upsample,
    timestep_embedding,
)

Pull = Callable[[Tensor], Tensor]
"""From the gradient of a layer's result to the gradient of its input."""
Layer = Callable[[Tensor, np.ndarray], tuple[Tensor, Pull]]
"""From images and the timestep's embedding to a result and its pull."""

LAST = torch.channels_last


class FrozenUNet:
    """A UNet's weights at one moment, ready to be used often, by several threads at once."""

    def __init__(self, unet: UNet2D, dtype: torch.dtype = torch.float32):
        self.dtype = dtype
        self._weights = list(unet.parameters())
        self._versions = self._now()
        self._time, self._width = (unet.time1, unet.time2), unet.config.base
        blocks = [module for module in unet.modules() if isinstance(module, ResidualBlock)]
        self._embed = [
            torch.cat([getattr(block.embed, name).detach() for block in blocks])
            for name in ("weight", "bias")
        ]
        ends = torch.tensor([len(block.embed.bias) for block in blocks]).cumsum(0).tolist()
        starts = dict(zip(blocks, [0, *ends], strict=False))

        def freeze(stage: nn.ModuleList) -> list[Layer]:
            return [_freeze(module, dtype, starts.get(module, 0)) for module in stage]

        self._encoder = [freeze(stage) for stage in unet.encoder]
        self._middle = freeze(unet.middle)
        self._decoder = [freeze(stage) for stage in unet.decoder]
        self._norm, self._out = _Norm(unet.norm), _Convolution(unet.out, dtype)

    def is_current(self) -> bool:
        """True if the weights have not changed since."""
        return self._versions == self._now()

    def _now(self) -> list[tuple[int, int]]:
        """A value that changes with every change of the weights."""
        return [(weight.data_ptr(), weight._version) for weight in self._weights]

    def __call__(
        self, x: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The prediction for noisy images `x` at timesteps `t`, float32, differentiable in `x`."""
        return _Whole.apply(x, t, self)

    @torch.no_grad()
    def push(self, x: Tensor, t: Tensor) -> tuple[Tensor, Pull]:
        """The prediction and its pull."""
        seen = timestep_embedding(t, self._width)
        for layer in self._time:
            seen = F.silu(layer(seen))
        seen = F.linear(seen, *self._embed).numpy()
        x = x.to(self.dtype, memory_format=LAST)
        skips, down, up = [], [], []
        for stage in self._encoder:
            x, pull = _run(stage, x, seen)
            skips.append(x)
            down.append(pull)
        x, across = _run(self._middle, x, seen)
        for stage in self._decoder:
            width = x.shape[1]
            x, pull = _run(stage, torch.cat([x, skips.pop()], 1), seen)
            up.append((pull, width))
        x, pull_norm = self._norm(x)
        x, pull_out = self._out(x)

        return x.float(), partial(self._pull, (down, across, up), (pull_norm, pull_out))

    def _pull(self, stages: tuple[Any, Pull, Any], ends: tuple[Pull, Pull], y: Tensor) -> Tensor:
        """The input's gradient from the prediction's, `y`."""
        (down, across, up), (pull_norm, pull_out) = stages, ends
        g = pull_norm(pull_out(y.to(self.dtype, memory_format=LAST)))
        beside = []
        for pull_stage, width in reversed(up):
            g = pull_stage(g)
            beside.append(g[:, width:])
            g = g[:, :width].contiguous(memory_format=LAST)
        g = across(g)
        for pull_stage, skipped in zip(reversed(down), reversed(beside), strict=True):
            g = pull_stage(g + skipped)
        return g.float()


_known: WeakKeyDictionary[UNet2D, FrozenUNet] = WeakKeyDictionary()


def may_freeze(unet: UNet2D) -> bool:
    """True if a network's weights stay as they are, on a CPU whose torch has oneDNN."""
    weight = unet.out.weight
    still = weight.device.type == "cpu" and not weight.requires_grad
    return still and torch.backends.mkldnn.is_available()


def frozen(unet: UNet2D, dtype: torch.dtype) -> FrozenUNet:
    """The frozen form of a network, made anew only when its weights or the precision changed."""
    known = _known.get(unet)
    if known is None or known.dtype != dtype or not known.is_current():
        known = _known[unet] = FrozenUNet(unet, dtype)
    return known


class _Whole(torch.autograd.Function):
    """The network as one node."""

    @staticmethod
    def forward(ctx, x, t, net):
        y, ctx.pull = net.push(x, t)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return ctx.pull(gradient), None, None


def _run(layers: Sequence[Layer], x: Tensor, seen: np.ndarray) -> tuple[Tensor, Pull]:
    pulls = []
    for layer in layers:
        x, pull = layer(x, seen)
        pulls.append(pull)
    return x, partial(_pull_through, pulls)


def _pull_through(pulls: Sequence[Pull], gradient: Tensor) -> Tensor:
    for pull in reversed(pulls):
        gradient = pull(gradient)
    return gradient


def _freeze(module: nn.Module, dtype: torch.dtype, start: int) -> Layer:
    """A layer of a stage; `start` is where a residual block's scale and shift begin."""
    if isinstance(module, ResidualBlock):
        return _Residual(module, dtype, start)
    if isinstance(module, Attention):
        return _Attention(module, dtype)
    if isinstance(module, Upsample):
        return _Upsample(module.conv, dtype)
    return _Convolution(module.conv if isinstance(module, Downsample) else module, dtype)


class _Convolution:
    """A convolution whose weights are laid out once, for the size of image that it meets first."""

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype):
        self.weight, self.bias = layer.weight.detach().to(dtype), layer.bias.detach().to(dtype)
        self.padding, self.stride = list(layer.padding), list(layer.stride)
        self._forward = self._backward = None

    def __call__(self, x: Tensor, seen: np.ndarray | None = None) -> tuple[Tensor, Pull]:
        if self._forward is None:
            self._forward = self._pack(self.weight, x)
        y = self._apply(x, self._forward, self.bias)
        return y, self._pull if self.stride == [1, 1] else lambda g: self._pull_strided(g, x)

    def _pack(self, weight: Tensor, x: Tensor) -> Tensor:
        weight = weight.contiguous(memory_format=LAST).to_mkldnn()
        sizes = self.padding, self.stride, [1, 1], 1, list(x.shape)
        return torch._C._nn.mkldnn_reorder_conv2d_weight(weight, *sizes)

    def _apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        sizes = self.padding, self.stride, [1, 1], 1
        return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *sizes, "none", [], "")

    def _pull(self, gradient: Tensor) -> Tensor:
        if self._backward is None:
            self._backward = self._pack(self.weight.flip(2, 3).transpose(0, 1), gradient)
        return self._apply(gradient, self._backward, None)

    def _pull_strided(self, gradient: Tensor, x: Tensor) -> Tensor:
        sizes = self.stride, self.padding, [1, 1], False, [0, 0], 1
        wanted = [True, False, False]
        return torch.ops.aten.convolution_backward(gradient, x, self.weight, None, *sizes, wanted)[
            0
        ]


class _Upsample(_Convolution):
    """Each texel four times, then convolved."""

    def __call__(self, x: Tensor, seen: np.ndarray | None = None) -> tuple[Tensor, Pull]:
        y, pull = super().__call__(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y, lambda g: F.avg_pool2d(pull(g), 2, divisor_override=1)


class _Norm:
    """Group norm, modulation and activation."""

    def __init__(self, norm: nn.GroupNorm, silu: bool = True):
        self.weights = norm.weight.detach().numpy(), norm.bias.detach().numpy()
        self.groups, self.eps, self.silu = norm.num_groups, norm.eps, silu

    def __call__(
        self, x: Tensor, modulation: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[Tensor, Pull]:
        if modulation is None:
            zero = np.zeros(x.shape[:2], np.float32)
            modulation = zero, zero
        numbers = *self.weights, *modulation
        y, moments = push_norm(x, numbers, self.groups, self.eps, self.silu)
        return y, lambda g: pull_norm(g, x, numbers, moments, self.silu)[0]


class _Residual:
    """A residual block."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype, start: int):
        self.norm1, self.conv1 = _Norm(block.norm1), _Convolution(block.conv1, dtype)
        self.norm2, self.conv2 = _Norm(block.norm2), _Convolution(block.conv2, dtype)
        self.shortcut = None if block.shortcut is None else _Convolution(block.shortcut, dtype)
        self.edges = start, start + len(block.conv1.bias), start + len(block.embed.bias)

    def __call__(self, x: Tensor, seen: np.ndarray) -> tuple[Tensor, Pull]:
        start, middle, end = self.edges
        scale, shift = seen[:, start:middle], seen[:, middle:end]
        h, pull_norm1 = self.norm1(x)
        h, pull_conv1 = self.conv1(h)
        h, pull_norm2 = self.norm2(h, (np.ascontiguousarray(scale), np.ascontiguousarray(shift)))
        h, pull_conv2 = self.conv2(h)
        beside, pull_beside = (x, None) if self.shortcut is None else self.shortcut(x)
        pulls = pull_norm1, pull_conv1, pull_norm2, pull_conv2
        return h.add_(beside), partial(self._pull, pulls, pull_beside)

    @staticmethod
    def _pull(pulls: Sequence[Pull], pull_beside: Pull | None, gradient: Tensor) -> Tensor:
        through = _pull_through(pulls, gradient)
        return through.add_(gradient if pull_beside is None else pull_beside(gradient))


class _Attention:
    """Self-attention over all texels."""

    def __init__(self, module: Attention, dtype: torch.dtype):
        self.norm, self.heads = _Norm(module.norm, silu=False), module.heads
        self.qkv, self.proj = (
            (layer.weight.detach()[..., 0].to(dtype), layer.bias.detach().to(dtype))
            for layer in (module.qkv, module.proj)
        )

    def __call__(self, x: Tensor, seen: np.ndarray) -> tuple[Tensor, Pull]:
        rows = x.shape[2]
        h, pull_norm = self.norm(x)
        qkv = F.linear(_texels(h), *self.qkv)
        q, k, v = qkv.unflatten(2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        size = q.shape[-1] ** -0.5
        weights = torch.matmul(q, k.transpose(2, 3)).mul_(size).softmax(-1)
        h = torch.matmul(weights, v).transpose(1, 2).flatten(2)

        y = _images(F.linear(h, *self.proj), rows).add_(x)
        return y, partial(self._pull, (q, k, v), weights, pull_norm)

    def _pull(
        self, qkv: Sequence[Tensor], weights: Tensor, pull_norm: Pull, gradient: Tensor
    ) -> Tensor:
        (q, k, v), size = qkv, qkv[0].shape[-1] ** -0.5
        d_h = _texels(gradient) @ self.proj[0]
        d_h = d_h.unflatten(2, (self.heads, -1)).transpose(1, 2)
        d_weights = torch.matmul(d_h, v.transpose(2, 3)).mul_(weights)
        d_scores = d_weights.sub_(weights * d_weights.sum(-1, keepdim=True)).mul_(size)
        d_q, d_k = torch.matmul(d_scores, k), torch.matmul(d_scores.transpose(2, 3), q)
        parts = torch.stack([d_q, d_k, torch.matmul(weights.transpose(2, 3), d_h)], 2)
        d_qkv = parts.permute(0, 3, 1, 2, 4).flatten(2)
        return pull_norm(_images(d_qkv @ self.qkv[0], gradient.shape[2])).add_(gradient)


def _texels(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _images(x: Float[Tensor, "b n c"], rows: int) -> Float[Tensor, "b c h w"]:
    return x.unflatten(1, (rows, -1)).permute(0, 3, 1, 2)
