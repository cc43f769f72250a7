"""The denoising UNet: an improved-DDPM UNet with scale-shift conditioning.

Source: improved DDPM (2102.09672) in the variant of 2304.06714's official code (`DenoisingUnetMod`): per-head interleaved
qkv, cosine before sine in the time embedding, scale before shift. Parity is tested on its outputs and gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from engine.config import Bounds
from engine.errors import ConfigError
from engine.nets.norm import group_norm


@dataclass(frozen=True)
class UNetConfig:
    """Shape of the UNet; the defaults are the paper's."""

    channels: Annotated[int, Bounds(1, 96)] = 18
    """Channels of its input and output."""
    base: Annotated[int, Bounds(2, 512)] = 128
    """Channels at full resolution."""
    multipliers: Annotated[tuple[Annotated[int, Bounds(1, 16)], ...], Bounds(1, 8)] = (
        1,
        2,
        2,
        4,
        4,
    )
    """Channels of each level, in units of `base`; each level halves the resolution."""
    blocks: Annotated[int, Bounds(1, 8)] = 2
    """Residual blocks per level."""
    attention_factors: Annotated[tuple[Annotated[int, Bounds(1, 128)], ...], Bounds(0, 8)] = (
        4,
        8,
        16,
    )
    """Levels with attention, by their downsampling factor."""
    heads: Annotated[int, Bounds(1, 64)] = 4
    """Attention heads."""
    groups: Annotated[int, Bounds(1, 256)] = 32
    """Groups of the group norms."""
    dropout: Annotated[float, Bounds(0.0, 1.0)] = 0.0
    """Dropout inside residual blocks."""

    def check(self) -> None:
        """Refuse channels that cannot be divided as they must be."""
        if self.base % 2:
            raise ConfigError(f"Found {self.base} base channels, expected an even number.")
        for part, count in (("heads", self.heads), ("groups", self.groups)):
            if any(self.base * m % count for m in (1, *self.multipliers)):
                raise ConfigError(
                    f"Found {count} {part}, expected a number that divides the channels of all levels."
                )


def timestep_embedding(t: Int[Tensor, " batch"], width: int) -> Float[Tensor, "batch width"]:
    """Cosines, then sines of `t` at geometrically spaced frequencies from 1 to 1/10000."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(10000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], -1)


def of_texels(x: Float[Tensor, "b c h w"], layer: nn.Conv1d) -> Float[Tensor, "b d h w"]:
    """A 1x1 convolution as a matrix product, for channels-last images."""
    return F.linear(x.permute(0, 2, 3, 1), layer.weight[..., 0], layer.bias).permute(0, 3, 1, 2)


def _zeroed(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def attend(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
) -> Float[Tensor, "b heads n d"]:
    """Softmax attention. On the CPU, at the few texels of a UNet's lower levels, three products beat torch's own."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2))
    return torch.matmul(scores.softmax(-1), v)


class ResidualBlock(nn.Module):
    """Two convolutions, the second conditioned on the timestep by scale and shift."""

    def __init__(self, width_in: int, width: int, embedding: int, config: UNetConfig):
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.embed = nn.Linear(embedding, 2 * width)
        self.norm2 = nn.GroupNorm(config.groups, width)
        self.conv2 = _zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = nn.Conv2d(width_in, width, 1) if width_in != width else None
        self.dropout = config.dropout

    def forward(
        self, x: Float[Tensor, "b c h w"], embedding: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b d h w"]:
        """New features; `x` itself is added, through a 1x1 convolution where its width differs."""
        h = self.conv1(group_norm(x, self.norm1))
        scale, shift = self.embed(F.silu(embedding)).chunk(2, 1)
        h = group_norm(h, self.norm2, (scale, shift))
        h = self.conv2(F.dropout(h, self.dropout, self.training))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Attention(nn.Module):
    """Self-attention over all texels; the qkv channels are (head, q|k|v, channel)."""

    def __init__(self, width: int, config: UNetConfig):
        super().__init__()
        self.heads = config.heads
        self.norm = nn.GroupNorm(config.groups, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj = _zeroed(nn.Conv1d(width, width, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """`x` plus the attention's output."""
        batch, width, rows, cols = x.shape
        qkv = of_texels(group_norm(x, self.norm, silu=False), self.qkv).flatten(2).transpose(1, 2)
        q, k, v = qkv.unflatten(2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        h = attend(q, k, v)
        h = h.transpose(1, 2).reshape(batch, rows, cols, width).permute(0, 3, 1, 2)
        return x + of_texels(h, self.proj)


class Downsample(nn.Module):
    """Halves the resolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The output of a strided convolution."""
        return self.conv(x)


class Upsample(nn.Module):
    """Doubles the resolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Each texel four times, then convolved."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.ModuleList):
    """Blocks applied in turn; residual blocks see the embedding too."""

    def forward(
        self, x: Float[Tensor, "b c h w"], embedding: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b d h2 w2"]:
        """Features after all blocks."""
        for block in self:
            x = block(x, embedding) if isinstance(block, ResidualBlock) else block(x)
        return x


class UNet2D(nn.Module):
    """Noisy planes and a timestep to a prediction of the same shape."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        base, embedding = config.base, 4 * config.base
        self.time1, self.time2 = nn.Linear(base, embedding), nn.Linear(embedding, embedding)

        def with_attention(width_in: int, width: int, factor: int) -> list[nn.Module]:
            blocks: list[nn.Module] = [ResidualBlock(width_in, width, embedding, config)]
            if factor in config.attention_factors:
                blocks.append(Attention(width, config))
            return blocks

        self.encoder = nn.ModuleList([Stage([nn.Conv2d(config.channels, base, 3, padding=1)])])
        width, skips, last = base, [base], len(config.multipliers) - 1
        for level, multiplier in enumerate(config.multipliers):
            for _ in range(config.blocks):
                self.encoder.append(Stage(with_attention(width, base * multiplier, 2**level)))
                width = base * multiplier
                skips.append(width)
            if level < last:
                self.encoder.append(Stage([Downsample(width)]))
                skips.append(width)

        self.middle = Stage(
            [
                ResidualBlock(width, width, embedding, config),
                Attention(width, config),
                ResidualBlock(width, width, embedding, config),
            ]
        )
        self.decoder = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(config.multipliers))):
            for index in range(config.blocks + 1):
                blocks = with_attention(width + skips.pop(), base * multiplier, 2**level)
                width = base * multiplier
                if level and index == config.blocks:
                    blocks.append(Upsample(width))
                self.decoder.append(Stage(blocks))
        self.norm = nn.GroupNorm(config.groups, width)
        self.out = _zeroed(nn.Conv2d(width, config.channels, 3, padding=1))

    def embedding(self, t: Int[Tensor, " batch"]) -> Float[Tensor, "batch e"]:
        """Embedding of the timestep for the residual blocks."""
        return self.time2(F.silu(self.time1(timestep_embedding(t, self.config.base))))

    def forward(
        self, x: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The prediction for noisy images `x` at timesteps `t`."""
        embedding = self.embedding(t)
        x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for stage in self.encoder:
            x = stage(x, embedding)
            skips.append(x)
        x = self.middle(x, embedding)
        for stage in self.decoder:
            x = stage(torch.cat([x, skips.pop()], 1), embedding)
        return self.out(group_norm(x, self.norm))
