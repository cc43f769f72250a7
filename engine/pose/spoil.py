"""Augmentation of the pose network's pictures: what photographs and their cut-outs differ in, drawn anew for each batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

GREY, PERMUTED, BLOTCHED, STREAKED, BITTEN, SHADOWED, HOLED, BLURRED, GRAINY, BLOCKY = (
    *(0.15, 0.2, 0.5, 0.4, 0.4, 0.2),
    *(0.08, 0.4, 0.5, 0.3),
)
"""Shares of the pictures that have each."""
DCT = 8
"""Side of JPEG's blocks, pixels."""


class Draws:
    """Random numbers, one a picture, as columns that broadcast over `channels height width`."""

    def __init__(self, count: int, random: torch.Generator):
        self.count, self.random = count, random

    def some(self, share: float) -> Bool[Tensor, "n 1 1 1"]:
        """True for about this share of the pictures."""
        return self.uniform(0.0, 1.0) < share

    def uniform(
        self, low: float, high: float, channels: int = 1
    ) -> Float[Tensor, "n channels 1 1"]:
        """Uniform numbers."""
        values = torch.rand(self.count, channels, 1, 1, generator=self.random)
        return low + (high - low) * values

    def normal(self, *shape: int) -> Float[Tensor, "n ..."]:
        """Standard normal numbers."""
        return torch.randn(self.count, *shape, generator=self.random)

    def field(self, cells: int, size: int, channels: int = 1) -> Float[Tensor, "n channels h w"]:
        """Smooth noise with about `cells` blotches a side, of about unit size."""
        coarse = self.normal(channels, cells + 1, cells + 1)
        return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)


def spoilt(rgba: Float[Tensor, "n 4 h w"], random: torch.Generator) -> Float[Tensor, "n 4 h w"]:
    """Pictures in other colours and light, with highlights, torn outlines, shadows, blur, grain and JPEG's blocks.

    Args:
        rgba: Straight alpha, in [0, 1].
        random: Randomness.

    Returns:
        RGB on white, and coverage.
    """
    draw = Draws(len(rgba), random)
    size = rgba.shape[-1]
    rgb, alpha = rgba[:, :3], rgba[:, 3:]
    rgb = _lit(_streaked(_coloured(rgb, draw), draw, size), draw, size)
    rgb, alpha = _torn(rgb, alpha, draw, size)
    rgb = _blurred(rgb * alpha + 1 - alpha, draw)
    grain = draw.uniform(0.0, 0.06) * draw.some(GRAINY)
    rgb = _blocky((rgb + grain * draw.normal(3, size, size)).clamp(0, 1), draw)
    return torch.cat([rgb * alpha + 1 - alpha, alpha], 1).clamp(0, 1)


def _coloured(rgb: Tensor, draw: Draws) -> Tensor:
    """Gamma, gain, saturation, grey, and channels in another order."""
    rgb = rgb.clamp_min(1e-4) ** draw.uniform(-0.5, 0.5).exp()
    rgb = rgb * draw.uniform(0.75, 1.2, 3)
    grey = rgb.mean(1, keepdim=True)
    saturation = torch.where(draw.some(GREY), draw.uniform(0.0, 0.1), draw.uniform(0.5, 1.4))
    rgb = grey + saturation * (rgb - grey)
    order = torch.rand(draw.count, 3, generator=draw.random).argsort(1)
    order = torch.where(draw.some(PERMUTED)[:, :, 0, 0], order, torch.arange(3))
    return rgb.gather(1, order[:, :, None, None].expand_as(rgb))


def _streaked(rgb: Tensor, draw: Draws, size: int) -> Tensor:
    """White streaks and patches, as a glossy coat has."""
    noise = draw.field(4, size) + 0.6 * draw.field(11, size)
    threshold = draw.uniform(0.9, 2.2)
    cover = ((noise - threshold) * 4).clamp(0, 1) * draw.uniform(0.4, 1.0) * draw.some(STREAKED)
    return rgb + cover * (1 - rgb)


def _lit(rgb: Tensor, draw: Draws, size: int) -> Tensor:
    """Brightness that changes linearly across the picture and in blotches."""
    line = torch.linspace(-1, 1, size)
    angle = draw.uniform(0.0, 2 * math.pi)
    slope = angle.cos() * line[None, None, None, :] + angle.sin() * line[None, None, :, None]
    light = 1 + draw.uniform(0.0, 0.3) * slope
    return rgb * (light + 0.15 * draw.field(3, size) * draw.some(BLOTCHED)).clamp_min(0.2)


def _torn(rgb: Tensor, alpha: Tensor, draw: Draws, size: int) -> tuple[Tensor, Tensor]:
    """Outlines bitten and bulged, holes, and a shadow on the ground that was cut out with the object."""
    background = draw.uniform(0.0, 1.0, 3)
    wobble = draw.field(9, size)
    grown, shrunk = _grown(alpha), -_grown(-alpha)
    torn = torch.where(wobble > 0.7, grown, torch.where(wobble < -0.7, shrunk, alpha))
    torn = torch.where(draw.some(BITTEN), torn, alpha)
    hole = draw.some(HOLED) & (draw.field(5, size) > 1.6)
    torn = torch.where(hole, torch.zeros_like(torn), torn)
    added = (torn - alpha).clamp_min(0)
    rgb = torch.where(alpha > 0.02, rgb, background.expand_as(rgb))
    rgb = rgb + added * (background - rgb)
    rows = torch.arange(size)[None, None, :, None]
    solid = alpha > 0.5
    bottom = torch.where(solid, rows, 0).flatten(1).max(1).values[:, None, None, None]
    depth = draw.uniform(1.0, 7.0)
    near = (rows > bottom - depth) & (rows <= bottom + 2)
    under = F.max_pool2d(solid.float(), (1, 7), 1, (0, 3)) > 0
    spread = solid.any(2, keepdim=True) & near & (under | (rows > bottom - depth / 2))
    shade = draw.some(SHADOWED) & spread & (torn < 0.5)
    dark = draw.uniform(0.1, 0.5)
    rgb = torch.where(shade, dark.expand_as(rgb), rgb)
    return rgb, torch.where(shade, torch.ones_like(torn), torn)


def _grown(alpha: Tensor) -> Tensor:
    """The largest values within two pixels."""
    return F.max_pool2d(F.max_pool2d(alpha, (5, 1), 1, (2, 0)), (1, 5), 1, (0, 2))


def _blurred(rgb: Tensor, draw: Draws) -> Tensor:
    """A blur of a width of its own, up to about a pixel and a half."""
    weight = draw.uniform(0.0, 1.0) * draw.some(BLURRED)
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = (kernel[:, None] * kernel[None])[None, None].expand(3, 1, 5, 5)
    soft = F.conv2d(F.pad(rgb, (2,) * 4, mode="replicate"), kernel, groups=3)
    return rgb + weight * (soft - rgb)


def _blocky(rgb: Tensor, draw: Draws) -> Tensor:
    """Blocks of eight pixels whose cosine coefficients are rounded, as JPEG's."""
    index = torch.arange(DCT)
    basis = torch.cos((2 * index[None] + 1) * index[:, None] * math.pi / (2 * DCT))
    basis = basis * torch.where(index[:, None] == 0, math.sqrt(1 / DCT), math.sqrt(2 / DCT))
    count, channels, height, width = rgb.shape
    blocks = rgb.reshape(count, channels, height // DCT, DCT, width // DCT, DCT)
    coefficients = torch.einsum("ij,nchjwl,kl->nchiwk", basis, blocks, basis)
    step = draw.uniform(0.02, 0.12)[..., None, None] * (1 + index[:, None, None] + index) / 2
    rounded = (coefficients / step).round() * step
    back = torch.einsum("ij,nchiwk,kl->nchjwl", basis, rounded, basis).reshape(rgb.shape)
    return torch.where(draw.some(BLOCKY), back, rgb)
