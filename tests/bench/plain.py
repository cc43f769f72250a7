"""A triplane field written plainly in torch: `grid_sample`, then a small MLP on every point.

What the published projects do, in any precision and on any device, and differentiable. The bench's peers and its
reference stand on it; of the engine it takes only the decoder's weights and the table of harmonics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from engine.fields.triplane import TriplaneDecoder, TriplaneField
from engine.ops.harmonics import spherical_harmonics

AXES = ((0, 1), (0, 2), (1, 2))
"""(width axis, height axis) of each plane."""


@dataclass(frozen=True)
class PlainDecoder:
    """A decoder of one layer each: base, density head, colour head and (or not) a direction layer that is added.

    Attributes:
        base: Weight of the first layer, its inputs plane by plane (not channel by channel), and bias.
        density: Weight and bias of the density head.
        color: Weight and bias of the colour head.
        direction: Weight and bias of the direction layer, or None.
        saturation: How far colours reach beyond [0, 1].
        aabb: Lower and upper corner of the box, engine units.
    """

    base: tuple[Tensor, Tensor]
    density: tuple[Tensor, Tensor]
    color: tuple[Tensor, Tensor]
    direction: tuple[Tensor, Tensor] | None
    saturation: float
    aabb: Float[Tensor, "2 3"]

    @classmethod
    def of(cls, decoder: TriplaneDecoder, dtype: torch.dtype = torch.float32) -> PlainDecoder:
        """A copy of an engine decoder's weights.

        Raises:
            ValueError: If it has more layers, or parts that this one has not.
        """
        config = decoder.config
        widths = (config.base_widths, config.density_widths, config.color_widths)
        parts = (config.activation, config.density_activation)
        plain = parts == ("silu", "trunc_exp") and config.direction in ("none", "add")
        if any(len(width) > 1 for width in widths) or not plain or config.scene_base is not None:
            raise ValueError(f"found {config}, expected a decoder of the paper's shape.")

        def copied(layers) -> tuple[Tensor, Tensor]:
            weight, bias = (part.detach().to(dtype, copy=True) for part in layers[0].parameters())
            return weight, bias

        weight, bias = copied(decoder.base)
        weight = weight.reshape(len(weight), -1, 3).transpose(1, 2).reshape(len(weight), -1)
        return cls(
            base=(weight.contiguous(), bias),
            density=copied(decoder.density_head),
            color=copied(decoder.color_head),
            direction=None if decoder.direction is None else copied(decoder.direction),
            saturation=config.saturation,
            aabb=decoder.aabb.to(dtype),
        )

    def parameters(self) -> list[Tensor]:
        """Weights and biases."""
        layers = (self.base, self.density, self.color, self.direction or ())
        return [tensor for layer in layers for tensor in layer]

    def read(
        self, planes: Float[Tensor, "3 channels rows cols"], xyz: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n features"]:
        """Bilinear features, plane by plane."""
        low, high = self.aabb
        unit = (xyz - low) * (2 / (high - low)) - 1
        grid = torch.stack([unit[:, list(axes)] for axes in AXES])[:, None]
        read = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
        return read.flatten(0, 2).T

    def density_of(self, features: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
        """Density alone."""
        return self._density(F.silu(F.linear(features, *self.base)))

    def _density(self, hidden: Float[Tensor, "n hidden"]) -> Float[Tensor, " n"]:
        return torch.exp(F.linear(hidden, *self.density))[:, 0]

    def __call__(
        self, features: Float[Tensor, "n features"], dirs: Float[Tensor, "n 3"] | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour of every point, its direction's term computed anew for each.

        `dirs` may be None where the decoder has no direction layer.
        """
        base = F.linear(features, *self.base)
        hidden = F.silu(base)
        density = self._density(hidden)
        if self.direction is not None:
            hidden = F.silu(base + F.linear(spherical_harmonics(dirs), *self.direction))
        rgb = torch.sigmoid(F.linear(hidden, *self.color))
        return density, rgb * (1 + 2 * self.saturation) - self.saturation


@dataclass(frozen=True)
class PlainField:
    """One scene's planes with a plain decoder."""

    kind: ClassVar[str] = "plain"
    decoder: PlainDecoder
    planes: Float[Tensor, "3 channels rows cols"]

    @classmethod
    def of(cls, field: TriplaneField, dtype: torch.dtype = torch.float32) -> PlainField:
        """The same field, plainly."""
        return cls(PlainDecoder.of(field.decoder, dtype), field.latent.to(dtype))

    @property
    def aabb(self) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of the box, engine units."""
        return self.decoder.aabb

    def density(self, xyz: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Density alone."""
        return self.decoder.density_of(self.decoder.read(self.planes, xyz))

    def query(
        self, xyz: Float[Tensor, "n 3"], dirs: Float[Tensor, "n 3"] | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour of points seen along unit directions."""
        return self.decoder(self.decoder.read(self.planes, xyz), dirs)
