"""A radiance field conditioned on two codes per scene, one of its shape and one of its texture.

The shape network reads a point and the shape code and gives density and a feature; the texture network reads that feature,
the view direction and the texture code and gives colour. Density has no path from the texture code, so a scene can be
repainted without a change of its geometry.

Source: CodeNeRF (2109.01750) section 3.1 and its released code, with two differences: density is per engine unit and has a
fixed scale, and colours pass through a sigmoid, which the released code does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from engine.config import Bounds
from engine.errors import ConfigError
from engine.fields.box import UNIT_BOX, Box, check_box
from engine.fields.decoded import DecodedField

SHAPE, TEXTURE = 0, 1
"""Indices of the two codes in a scene's latent."""

Blocks = Annotated[int, Bounds(1, 8)]


@dataclass(frozen=True)
class ConditionalConfig:
    """Shape of a conditional field's network; the defaults are the paper's."""

    width: Annotated[int, Bounds(2, 1024)] = 256
    """Width of the hidden layers."""
    code: Annotated[int, Bounds(1, 1024)] = 256
    """Length of each of the two codes."""
    shape_blocks: Blocks = 3
    """Blocks that the shape code enters."""
    texture_blocks: Blocks = 1
    """Blocks that the texture code enters."""
    position_frequencies: Annotated[int, Bounds(0, 16)] = 10
    """Frequencies of a point's encoding."""
    direction_frequencies: Annotated[int, Bounds(0, 16)] = 4
    """Frequencies of a view direction's encoding."""
    density_scale: Annotated[float, Bounds(1e-3, 1e4)] = 25.0
    """Density, per engine unit, of a softplus of 1. A surface needs a hundred and more, the head then only a few."""
    density_bias: Annotated[float, Bounds(-100.0, 100.0)] = -5.0
    """Initial bias of the density head. The default alone leaves 0.17 per engine unit: nearly empty, but not dead."""
    aabb: Box = UNIT_BOX
    """Lower and upper corner of the box, engine units."""

    def check(self) -> None:
        """Refuse an inverted box."""
        check_box(self.aabb)


def positional_encoding(
    x: Float[Tensor, "*n axes"], frequencies: int
) -> Float[Tensor, "*n encoded"]:
    """`x`, then `sin(2^k x)` for every frequency k, then `cos(2^k x)`; the axes vary fastest. There is no factor of pi.

    Source: CodeNeRF's released code.
    """
    scaled = [x * 2.0**k for k in range(frequencies)]
    angles = torch.cat(scaled, -1) if scaled else x[..., :0]
    return torch.cat([x, angles.sin(), angles.cos()], -1)


def encoded_size(frequencies: int) -> int:
    """Values of an encoded point or direction."""
    return 3 * (1 + 2 * frequencies)


class CodeBlocks(nn.Module):
    """Layers `h <- relu(W (h + relu(U z)) + b)`, one code z per scene.

    A code's part `W relu(U z) + b` is the same for all points of a scene and is computed once for each.
    """

    def __init__(self, config: ConditionalConfig, count: int):
        super().__init__()
        self.codes = nn.ModuleList(nn.Linear(config.code, config.width) for _ in range(count))
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(count))

    def forward(
        self,
        hidden: Float[Tensor, "points width"],
        codes: Float[Tensor, "scenes code"],
        scene: Int[Tensor, " points"] | None,
    ) -> Float[Tensor, "points width"]:
        """The hidden features after the blocks.

        Args:
            hidden: Features of points.
            codes: One code per scene.
            scene: Which scene each point belongs to; None where there is one.
        """
        for code, layer in zip(self.codes, self.layers, strict=True):
            offsets = layer(F.relu(code(codes)))
            if scene is None:
                hidden = F.linear(hidden, layer.weight, offsets[0])
            else:
                hidden = F.linear(hidden, layer.weight) + offsets.index_select(0, scene)
            hidden = F.relu(hidden)
        return hidden


class ConditionalNet(nn.Module):
    """Points, directions and codes to density and colour."""

    aabb: Tensor

    def __init__(self, config: ConditionalConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.entry = nn.Linear(encoded_size(config.position_frequencies), width)
        self.shape_blocks = CodeBlocks(config, config.shape_blocks)
        self.feature = nn.Linear(width, width)
        self.density_head = nn.Linear(width, 1)
        self.view = nn.Linear(width + encoded_size(config.direction_frequencies), width)
        self.texture_blocks = CodeBlocks(config, config.texture_blocks)
        self.color_hidden = nn.Linear(width, width // 2)
        self.color_head = nn.Linear(width // 2, 3)
        self._initialise()
        self.register_buffer("aabb", torch.tensor(config.aabb), persistent=False)

    def _initialise(self) -> None:
        """He's initialisation: with PyTorch's own, little of a code or a point arrives behind so many layers."""
        for module in self.modules():
            if isinstance(module, nn.Linear) and module not in (self.density_head, self.color_head):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        nn.init.constant_(self.density_head.bias, self.config.density_bias)

    def density(
        self,
        codes: Float[Tensor, "scenes 2 code"],
        xyz: Float[Tensor, "points 3"],
        scene: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, " points"]:
        """Extinction per engine unit.

        Args:
            codes: Shape and texture code of every scene; the second plays no part.
            xyz: Points, engine units.
            scene: Which scene each point belongs to; None where there is one.
        """
        return self._density(self._shape(codes, xyz, scene))

    def forward(
        self,
        codes: Float[Tensor, "scenes 2 code"],
        xyz: Float[Tensor, "points 3"],
        rays_d: Float[Tensor, "rays 3"],
        ray: Int[Tensor, " points"],
        scene: Int[Tensor, " points"] | None = None,
    ) -> tuple[Float[Tensor, " points"], Float[Tensor, "points 3"]]:
        """Density and colour of samples on rays.

        Args:
            codes: Shape and texture code of every scene.
            xyz: Points, engine units.
            rays_d: Unit directions of the rays.
            ray: Which ray each point lies on.
            scene: Which scene each point belongs to; None where there is one.

        Returns:
            Density (>= 0) and rgb in [0, 1].
        """
        shape = self._shape(codes, xyz, scene)
        return self._density(shape), self._color(codes, shape, rays_d, ray, scene)

    def _shape(self, codes: Tensor, xyz: Tensor, scene: Tensor | None) -> Tensor:
        """Hidden features of points after the shape blocks, `points width`."""
        encoded = positional_encoding(xyz, self.config.position_frequencies)
        return self.shape_blocks(F.relu(self.entry(encoded)), codes[:, SHAPE], scene)

    def _density(self, shape: Tensor) -> Tensor:
        """Extinction from the hidden features.

        The feature v is linear in them and so are its two readers: the products of the layers are applied instead of
        the layers, which spares a layer at every point.
        """
        weight = self.density_head.weight @ self.feature.weight
        bias = self.density_head(self.feature.bias)
        raw = F.linear(shape, weight, bias)[:, 0]
        return self.config.density_scale * F.softplus(raw.to(self.density_head.bias.dtype))

    def _color(
        self, codes: Tensor, shape: Tensor, rays_d: Tensor, ray: Tensor, scene: Tensor | None
    ) -> Tensor:
        width = self.config.width
        from_feature, from_view = self.view.weight[:, :width], self.view.weight[:, width:]
        bias = F.linear(self.feature.bias, from_feature, self.view.bias)
        encoded = positional_encoding(rays_d, self.config.direction_frequencies)[ray]
        hidden = F.linear(shape, from_feature @ self.feature.weight, bias)
        hidden = F.relu(hidden + F.linear(encoded, from_view))
        hidden = self.texture_blocks(hidden, codes[:, TEXTURE], scene)
        raw = self.color_head(F.relu(self.color_hidden(hidden)))
        return torch.sigmoid(raw.to(self.color_head.bias.dtype))


@dataclass(frozen=True)
class ConditionalField(DecodedField):
    """One scene's two codes, `2 code`, with the network that reads them: a `Field`."""

    kind: ClassVar[str] = "conditional"
    config_type: ClassVar[type] = ConditionalConfig
    decoder_type: ClassVar[type[nn.Module]] = ConditionalNet

    @classmethod
    def check_latent(cls, config: ConditionalConfig, shape: tuple[int, ...]) -> None:
        """Refuse anything but two codes of the network's length."""
        if tuple(shape) != (2, config.code):
            raise ConfigError(f"found codes of shape {tuple(shape)}, expected 2, {config.code}")
