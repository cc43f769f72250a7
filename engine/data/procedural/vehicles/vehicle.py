"""A vehicle from a seed: proportions, paint and extras put together, with a caption."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.procedural.builder import Builder
from engine.data.procedural.shape import Shape, finish_shape, seeded
from engine.data.procedural.vehicles import shapes
from engine.data.procedural.vehicles.design import Design
from engine.data.procedural.vehicles.labels import PARTS


def build_vehicle(seed: int) -> Shape:
    """The vehicle of a seed; the same seed gives the same bytes.

    Raises:
        DataError: If the seed is outside the three splits.
    """
    noise = seeded(seed)
    weights = np.array([weight for _, weight in shapes.KINDS], float)
    kind = shapes.KINDS[noise.choice(len(weights), p=weights / weights.sum())][0]
    mesh = Builder(PARTS)
    attributes = Design(kind, noise).build(mesh)
    return finish_shape(mesh, seed, attributes, _caption(attributes), ("headlight", "taillight"))


def _caption(attributes: dict[str, Any]) -> str:
    """One sentence: colour, type, extras."""
    colour, kind, extras = attributes["colour"], attributes["body_type"], attributes["extras"]
    article = "an" if colour[0] in "aeiou" else "a"
    ending = f" with {', '.join(extras)}" if extras else ""
    return f"{article} {colour} {kind}{ending}"
