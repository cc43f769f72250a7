"""A chair from a seed: a type, its materials and its geometry put together, with a caption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.data.procedural.builder import Builder, Number
from engine.data.procedural.chairs import modern, soft, wooden
from engine.data.procedural.chairs.design import Design
from engine.data.procedural.chairs.labels import PARTS
from engine.data.procedural.shape import Shape, finish_shape, seeded

KINDS: tuple[tuple[str, Callable[[Design], None], Number], ...] = (
    ("office chair", soft.build_office, 15),
    ("dining chair", wooden.build_dining, 25),
    ("armchair", soft.build_armchair, 15),
    ("stool", wooden.build_stool, 7),
    ("bar stool", wooden.build_bar_stool, 6),
    ("rocking chair", wooden.build_rocking, 7),
    ("shell chair", modern.build_shell, 9),
    ("cantilever chair", modern.build_cantilever, 5),
    ("folding chair", modern.build_folding, 4),
    ("director's chair", modern.build_director, 3),
    ("bench", wooden.build_bench, 4),
    ("throne", wooden.build_throne, 3),
)
"""Types, their makers and their weights."""


def build_chair(seed: int) -> Shape:
    """The chair of a seed; the same seed gives the same bytes.

    Raises:
        DataError: If the seed is outside the three splits.
    """
    noise = seeded(seed)
    weights = np.array([weight for _, _, weight in KINDS], float)
    kind, make, _ = KINDS[noise.choice(len(weights), p=weights / weights.sum())]
    mesh = Builder(PARTS)
    design = Design(kind, mesh, noise, seed)
    make(design)
    attributes = design.attributes()
    return finish_shape(mesh, seed, attributes, _caption(attributes))


def _caption(attributes: dict[str, Any]) -> str:
    """One sentence: colour, pattern, type, arms, legs, extras."""
    colour, kind = attributes["colour"], attributes["chair_type"]
    features = ["armrests"] if attributes["arms"] and kind != "armchair" else []
    if attributes["pattern"] != "plain":
        features.append(attributes["pattern"])
    if attributes["legs"] != "none":
        features.append(attributes["legs"])
    features += attributes["extras"]
    article = "an" if colour[0] in "aeiou" else "a"
    ending = f" with {', '.join(features)}" if features else ""
    return f"{article} {colour} {kind}{ending}"
