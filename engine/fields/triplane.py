"""The triplane radiance field and its decoder.

A point's features are read from three planes, a small MLP turns them into density and colour. The view direction
enters as a spherical-harmonics term that is added to (or concatenated with) the base feature, or not at all.
Source: 2304.06714 section 3.1 and the official `TriPlaneDecoder`; parity is tested on its outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from engine.config import Bounds, from_json
from engine.errors import ConfigError
from engine.fields.box import UNIT_BOX, Box, check_box
from engine.fields.decoded import DecodedField
from engine.fields.planes import lookup_packed
from engine.ops.harmonics import spherical_harmonics

Activation = Literal["silu", "relu", "softplus", "trunc_exp"]
Side = Annotated[int, Bounds(2, 256)]
"""Rows or columns of planes."""
Widths = Annotated[tuple[Annotated[int, Bounds(1, 256)], ...], Bounds(1, 8)]


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of a triplane decoder; the defaults are the paper's."""

    channels: Annotated[int, Bounds(1, 32)] = 6
    """Channels of each plane."""
    base_widths: Widths = (64,)
    """Widths of the shared layers."""
    density_widths: Widths = (1,)
    """Widths of the density layers; the last is 1."""
    color_widths: Widths = (3,)
    """Widths of the colour layers; the last is 3."""
    direction: Literal["none", "add", "concat"] = "add"
    """Use of the view direction: none, added to the base feature, or concatenated after it."""
    direction_widths: Widths = (64,)
    """Widths of the direction layers (direction `add`); the last equals the base's last."""
    activation: Activation = "silu"
    """Between layers."""
    density_activation: Activation = "trunc_exp"
    """From the density head to density."""
    density_bias: Annotated[float, Bounds(-100.0, 100.0)] = 0.0
    """Initial bias of the density head."""
    saturation: Annotated[float, Bounds(0.0, 1.0)] = 0.001
    """Amount by which the colour sigmoid may exceed [0, 1]."""
    flip_z: bool = False
    """Negate z before the lookup."""
    scene_base: tuple[Side, Side] | None = None
    """Rows and columns of a learnt offset added to every triplane, or None."""
    dropout: Annotated[float, Bounds(0.0, 1.0)] = 0.0
    """Channel dropout on the planes while training."""
    aabb: Box = UNIT_BOX
    """Lower and upper corner of the box that the planes span, engine units."""

    def check(self) -> None:
        """Refuse an inverted box, and layers that do not go together."""
        check_box(self.aabb)
        ends = self.density_widths[-1:], self.color_widths[-1:]
        if ends != ((1,), (3,)):
            raise ConfigError(f"Found {ends} for density and colour, expected 1 and 3 at the end.")
        if self.direction == "add" and self.direction_widths[-1:] != self.base_widths[-1:]:
            raise ConfigError(
                f"Found direction layers of widths {self.direction_widths} that are added to layers of widths "
                f"{self.base_widths}, expected the same at the end."
            )


class _TruncatedExp(torch.autograd.Function):
    """exp with its gradient clamped to [1e-6, 1e6]."""

    @staticmethod
    def forward(ctx, x):
        y = torch.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * y.clamp(1e-6, 1e6)


ACTIVATIONS = {
    "silu": F.silu,
    "relu": F.relu,
    "softplus": F.softplus,
    "trunc_exp": _TruncatedExp.apply,
}


class Layers(nn.ModuleList):
    """Linear layers with an activation between them (none after the last)."""

    def __init__(self, width_in: int, widths: tuple[int, ...], activation: Activation):
        super().__init__(nn.Linear(a, b) for a, b in pairwise((width_in, *widths)))
        self.activation = ACTIVATIONS[activation]
        for layer in self:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "*n a"]) -> Float[Tensor, "*n b"]:
        """Output of the last layer, before any activation."""
        for index, layer in enumerate(self):
            x = layer(self.activation(x) if index else x)
        return x


class TriplaneDecoder(nn.Module):
    """Features of three planes to density and colour."""

    aabb: Tensor

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        base_width = config.base_widths[-1]
        self.base = Layers(3 * config.channels, config.base_widths, config.activation)
        self.density_head = Layers(base_width, config.density_widths, config.activation)
        nn.init.constant_(self.density_head[-1].bias, config.density_bias)
        color_in = base_width + (16 if config.direction == "concat" else 0)
        self.color_head = Layers(color_in, config.color_widths, config.activation)
        self.direction: Layers | None = None
        if config.direction == "add":
            self.direction = Layers(16, config.direction_widths, config.activation)
            nn.init.zeros_(self.direction[-1].weight)
        self.scene_base: nn.Parameter | None = None
        if config.scene_base is not None:
            self.scene_base = nn.Parameter(torch.zeros(3, config.channels, *config.scene_base))
        self.register_buffer("aabb", torch.tensor(config.aabb), persistent=False)
        self.activation = ACTIVATIONS[config.activation]
        self.density_activation = ACTIVATIONS[config.density_activation]

    def features(
        self,
        triplanes: Float[Tensor, "scenes 3 channels rows cols"],
        xyz: Float[Tensor, "points 3"],
        scene: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, "points width"]:
        """The base feature of points before its activation.

        Args:
            triplanes: One activated triplane per scene.
            xyz: Points, engine units.
            scene: Which scene each point belongs to, ascending; None where there is one.
        """
        low, high = self.aabb
        unit = (xyz - low) * (2 / (high - low)) - 1
        if self.config.flip_z:
            unit = unit * unit.new_tensor([1.0, 1.0, -1.0])
        if self.config.dropout and self.training:
            planes = F.dropout2d(triplanes.flatten(0, 1), self.config.dropout)
            triplanes = planes.reshape(triplanes.shape)
        if self.scene_base is not None:
            triplanes = triplanes + self.scene_base
        return self.base(lookup_packed(triplanes, unit, scene))

    def density(
        self,
        triplanes: Float[Tensor, "scenes 3 channels rows cols"],
        xyz: Float[Tensor, "points 3"],
        scene: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, " points"]:
        """Extinction per engine unit (arguments as in `features`)."""
        base = self.features(triplanes, xyz, scene)
        return self.density_activation(self.density_head(self.activation(base)))[..., 0]

    def forward(
        self,
        triplanes: Float[Tensor, "scenes 3 channels rows cols"],
        xyz: Float[Tensor, "points 3"],
        rays_d: Float[Tensor, "rays 3"],
        ray: Int[Tensor, " points"],
        scene: Int[Tensor, " points"] | None = None,
    ) -> tuple[Float[Tensor, " points"], Float[Tensor, "points 3"]]:
        """Density and colour of samples on rays.

        Args:
            triplanes: One activated triplane per scene.
            xyz: Points, engine units.
            rays_d: Unit directions of the rays.
            ray: Which ray each point lies on; its direction's term is computed once per ray.
            scene: Which scene each point belongs to, ascending; None where there is one.

        Returns:
            Density (>= 0) and rgb in [-saturation, 1 + saturation].
        """
        base = self.features(triplanes, xyz, scene)
        hidden = self.activation(base)
        density = self.density_activation(self.density_head(hidden))[..., 0]
        if self.direction is not None:
            hidden = self.activation(base + self.direction(spherical_harmonics(rays_d))[ray])
        elif self.config.direction == "concat":
            hidden = torch.cat([hidden, spherical_harmonics(rays_d)[ray]], -1)
        saturation = self.config.saturation
        rgb = torch.sigmoid(self.color_head(hidden)) * (1 + 2 * saturation) - saturation
        return density, rgb


@dataclass(frozen=True)
class TriplaneField(DecodedField):
    """One scene's planes, `3 channels rows cols`, with the decoder that reads them: a `Field`."""

    kind: ClassVar[str] = "triplane"
    config_type: ClassVar[type] = DecoderConfig
    decoder_type: ClassVar[type[nn.Module]] = TriplaneDecoder

    @classmethod
    def check_latent(cls, config: DecoderConfig, shape: tuple[int, ...]) -> None:
        """Refuse anything but three planes of the decoder's channels."""
        sides = from_json(tuple[Side, Side], shape[2:] if len(shape) == 4 else (), "planes")
        if tuple(shape) != (3, config.channels, *sides):
            raise ConfigError(
                f"found planes of shape {tuple(shape)}, expected 3, {config.channels}, rows, columns"
            )
