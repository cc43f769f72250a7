"""Fields made of an object's latent and a network that reads it; the network is shared by all objects of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.nets.shapes import shapes_of, unbuilt


@dataclass(frozen=True)
class DecodedField:
    """A latent with its decoder: a `StoredField` but for its kind and the shape of its latents.

    A decoder has a `config`, a box `aabb`, and reads the latents of several objects at once: `density(latents, xyz)` and
    `decoder(latents, xyz, directions, ray)`.
    """

    decoder: nn.Module
    latent: Tensor
    config_type: ClassVar[type]
    decoder_type: ClassVar[type[nn.Module]]

    @property
    def config(self) -> Any:
        """Shape of the decoder."""
        return self.decoder.config

    @property
    def aabb(self) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of the box, engine units."""
        return self.decoder.aabb

    def density(self, xyz: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Extinction per engine unit."""
        return self.decoder.density(self.latent[None], xyz)

    def query(
        self, xyz: Float[Tensor, "n 3"], dirs: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour of points seen along unit directions."""
        ray = torch.arange(len(xyz), device=xyz.device)
        return self.decoder(self.latent[None], xyz, dirs, ray)

    def weights(self) -> Mapping[str, Tensor]:
        """Those of the decoder."""
        return self.decoder.state_dict()

    def with_latent(self, latent: Tensor) -> DecodedField:
        """Another latent read by the same decoder."""
        return type(self)(self.decoder, latent.float().to(self.latent.device))

    @classmethod
    def weight_shapes(cls, config: Any) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the decoder's weights."""
        return shapes_of(unbuilt(lambda: cls.decoder_type(config)))

    @classmethod
    def build(cls, config: Any, weights: Mapping[str, Tensor], latent: Tensor) -> DecodedField:
        """A decoder with these weights over this latent."""
        decoder = cls.decoder_type(config)
        decoder.load_state_dict(dict(weights))
        return cls(decoder.to(latent.device).eval().requires_grad_(False), latent.float())
