"""A table from a seed: type, proportions, finishes and extras put together, with a caption."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.procedural.builder import Builder
from engine.data.procedural.shape import Shape, finish_shape, seeded
from engine.data.procedural.tables import kinds
from engine.data.procedural.tables.labels import PARTS

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def build_table(seed: int) -> Shape:
    """The table of a seed; the same seed gives the same bytes.

    Forward is +y: its user sits there, and there drawers open.

    Raises:
        DataError: If the seed is outside the three splits.
    """
    noise = seeded(seed)
    weights = np.array([kind.weight for kind in kinds.KINDS], float)
    kind = kinds.KINDS[noise.choice(len(weights), p=weights / weights.sum())]
    mesh = Builder(PARTS)
    attributes = kind.build(mesh, noise)
    return finish_shape(mesh, seed, attributes, _caption(attributes))


def _caption(attributes: dict[str, Any]) -> str:
    """One sentence: shape, colour, type, legs, pattern, drawers, extras."""
    shape, colour, kind = attributes["top"], attributes["colour"], attributes["table_type"]
    frame, legs = attributes["frame_colour"], attributes["legs"]
    carrier = legs if frame == colour else f"{frame} {legs}"
    single = not legs.split(" on ")[0].endswith(("s", "feet"))
    details = [_with_article(carrier) if single else carrier]
    if attributes["pattern"] != "plain":
        details.append(_with_article(f"{attributes['pattern']} pattern"))
    drawers = attributes["drawers"]
    if drawers:
        details.append(f"{COUNTS[drawers]} drawer{'s' if drawers > 1 else ''}")
    details += attributes["extras"]
    listed = ", ".join(details[:-1])
    ending = f"{listed} and {details[-1]}" if listed else details[-1]
    return f"{_with_article(shape)} {colour} {kind} with {ending}"


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
