"""The contracts of radiance fields: points and directions to density and colour, and what a file needs to hold one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

SURFACE = 10.0
"""Density of an object's surface, per engine unit: light fades to 1/e within a tenth of a unit. Every other threshold of
matter is a multiple of it."""
MATTER = SURFACE / 2
"""Largest density found in a cell, per engine unit, from which it holds matter: less than the surface's, for a thin part may pass
between the places where a cell is looked at."""


@runtime_checkable
class Field(Protocol):
    """Density and colour of one object inside a box; differentiable in its tensors, points and directions.

    Attributes:
        kind: Name of the representation; kinds in `engine.kernels.adapters` have compiled kernels.
        aabb: Lower and upper corner of the box, engine units; outside, density is 0.
    """

    kind: ClassVar[str]

    @property
    def aabb(self) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of the box, engine units."""
        ...

    def density(self, xyz: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Density per engine unit, >= 0. Points must be inside the box."""
        ...

    def query(
        self, xyz: Float[Tensor, "n 3"], dirs: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour (about [0, 1]) of points seen along unit directions."""
        ...


@runtime_checkable
class StoredField(Field, Protocol):
    """A field that files can hold.

    It is made of the object's own `latent` and of weights that all objects of a model share, so that a run of many steps
    is kept as one set of weights and many latents. Its kind is its key in `engine.fields.kinds.FIELDS`.

    Attributes:
        config_type: Frozen dataclass of everything except tensors.
        config: An instance of it.
        latent: The object's own tensor; any shape.
    """

    config_type: ClassVar[type]

    @property
    def config(self) -> Any:
        """The field's config, a `config_type`: all but its tensors."""
        ...

    @property
    def latent(self) -> Tensor:
        """The object's own tensor."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """The tensors that all objects of a model share, by name."""
        ...

    def with_latent(self, latent: Tensor) -> StoredField:
        """The field of another object of the same model, on the same device."""
        ...

    @classmethod
    def weight_shapes(cls, config: Any) -> dict[str, tuple[int, ...]]:
        """Names and shapes of `weights`; nothing is allocated.

        Raises:
            ConfigError: If there is no such field.
        """
        ...

    @classmethod
    def check_latent(cls, config: Any, shape: tuple[int, ...]) -> None:
        """Refuse latents of a shape that fields of this config do not have.

        Raises:
            ConfigError: If it is another.
        """
        ...

    @classmethod
    def build(cls, config: Any, weights: Mapping[str, Tensor], latent: Tensor) -> StoredField:
        """A field from what a file holds, on the latent's device; shapes were checked before."""
        ...
