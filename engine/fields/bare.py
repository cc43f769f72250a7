"""Fields that are their latent alone: no network reads it, and all that is fixed is the box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from engine.fields.box import UNIT_BOX, Box, check_box


@dataclass(frozen=True)
class BoxConfig:
    """Position of a field."""

    aabb: Box = UNIT_BOX
    """Lower and upper corner of the box that the field fills, engine units."""

    def check(self) -> None:
        """Refuse an inverted box."""
        check_box(self.aabb)


@dataclass(frozen=True)
class BareField:
    """A latent in a box: a `StoredField` but for its kind, its values and the shape of its latents."""

    config: Any
    latent: Tensor
    config_type: ClassVar[type]

    @property
    def aabb(self) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of the box, engine units."""
        return self.latent.new_tensor(self.config.aabb)

    def weights(self) -> Mapping[str, Tensor]:
        """Empty: nothing but the latent."""
        return {}

    def with_latent(self, latent: Tensor) -> BareField:
        """Another latent in the same box."""
        return type(self)(self.config, latent.float().to(self.latent.device))

    @classmethod
    def weight_shapes(cls, config: Any) -> dict[str, tuple[int, ...]]:
        """Empty, as the weights."""
        return {}

    @classmethod
    def build(cls, config: Any, weights: Mapping[str, Tensor], latent: Tensor) -> BareField:
        """The latent in its box."""
        return cls(config, latent.float())
