"""What a radiance field is to the rest of the engine: points and directions to density and colour."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Field(Protocol):
    """Density and colour inside a box.

    Attributes:
        aabb: Lower and upper corner of the box, engine units. There is nothing outside.
    """

    aabb: Float[Tensor, "2 3"]

    def density(self, xyz: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Extinction per engine unit, >= 0. Points outside the box are the caller's mistake."""
        ...

    def query(
        self, xyz: Float[Tensor, "n 3"], dirs: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour (about [0, 1]) of points seen along unit directions."""
        ...
