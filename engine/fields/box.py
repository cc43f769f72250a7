"""Boxes that fields fill."""

from __future__ import annotations

from typing import Annotated

from engine.config import Bounds
from engine.errors import ConfigError

Coordinate = Annotated[float, Bounds(-100.0, 100.0)]
Corner = tuple[Coordinate, Coordinate, Coordinate]
Box = tuple[Corner, Corner]
"""Lower and upper corner, engine units."""
SMALLEST_SIDE = 1e-3
"""Of a box, engine units."""
UNIT_BOX: Box = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))


def check_box(box: Box) -> None:
    """Refuse an inverted box.

    Raises:
        ConfigError: If it is one.
    """
    if not all(low + SMALLEST_SIDE <= high for low, high in zip(*box, strict=True)):
        raise ConfigError(f"Found the box {box}, expected a lower and an upper corner.")
