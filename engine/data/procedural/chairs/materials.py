"""Materials of chairs: woods, metals, and covers with patterns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from engine.data.procedural.builder import Number
from engine.data.procedural.paint import Colour, pick_paint

WOODS: tuple[tuple[str, Colour, Number], ...] = (
    ("oak", (0.72, 0.53, 0.32), 5),
    ("pine", (0.87, 0.71, 0.46), 3),
    ("beech", (0.80, 0.60, 0.40), 4),
    ("walnut", (0.38, 0.23, 0.13), 5),
    ("mahogany", (0.44, 0.15, 0.08), 3),
    ("ebony", (0.15, 0.11, 0.09), 2),
    ("teak", (0.60, 0.36, 0.17), 3),
    ("grey ash", (0.62, 0.57, 0.50), 2),
)
"""Name, sRGB and weight."""

METALS: tuple[tuple[str, Colour, Number], ...] = (
    ("chrome", (0.78, 0.79, 0.81), 6),
    ("black metal", (0.09, 0.09, 0.10), 6),
    ("white metal", (0.90, 0.90, 0.89), 2),
    ("brass", (0.76, 0.58, 0.26), 2),
    ("grey metal", (0.40, 0.41, 0.43), 2),
)
"""Name, sRGB and weight."""

HIDDEN: tuple[tuple[str, Colour | None, Number], ...] = (
    ("none", None, 4),
    ("red", (0.80, 0.07, 0.08), 2),
    ("yellow", (0.96, 0.80, 0.10), 2),
    ("blue", (0.08, 0.25, 0.76), 2),
    ("green", (0.10, 0.56, 0.22), 2),
    ("white", (0.93, 0.93, 0.92), 2),
    ("black", (0.07, 0.07, 0.08), 2),
)
"""Colours of the hidden factor, visible only from the rear: name, sRGB and weight."""

PATTERNS: tuple[tuple[str, int, Number], ...] = (
    ("plain", 3, 9),
    ("stripes", 5, 3),
    ("bands", 5, 1.5),
    ("checks", 5, 2),
    ("large checks", 3, 1),
    ("border", 5, 1.5),
    ("middle stripe", 3, 1.5),
    ("two-tone", 3, 2),
    ("piping", 3, 2),
)
"""Name, fields along either side and weight."""


def pick(
    noise: np.random.Generator, table: tuple[tuple[str, Colour | None, Number], ...]
) -> tuple[str, Colour | None]:
    """A row's name and colour, by weight."""
    weights = np.array([weight for _, _, weight in table], float)
    name, rgb, _ = table[noise.choice(len(table), p=weights / weights.sum())]
    return name, rgb


def vary(noise: np.random.Generator, rgb: Colour) -> Colour:
    """A colour a little lighter, darker, warmer or cooler."""
    level, warmth = noise.uniform(0.86, 1.12), noise.normal(0, 0.015)
    shift = np.array([warmth, 0, -warmth])
    return tuple(float(v) for v in np.clip(np.asarray(rgb) * level + shift, 0.04, 0.96))


@dataclass(frozen=True)
class Cover:
    """Cover of a seat or a back.

    Attributes:
        material: "fabric", "leather", "plastic", or the frame's.
        colour: Name of the main colour.
        rgb: Main colour.
        second: Name of the second colour.
        second_rgb: Second colour.
        pattern: One of `PATTERNS`.
        fields: Stripes or squares along a side.
    """

    material: str
    colour: str
    rgb: Colour
    second: str
    second_rgb: Colour
    pattern: str = "plain"
    fields: int = 3

    def plain(self, swapped: bool = False) -> Cover:
        """The same without pattern, with `swapped` in the second colour."""
        if swapped:
            names = {"colour": self.second, "rgb": self.second_rgb}
            names |= {"second": self.colour, "second_rgb": self.rgb}
            return replace(self, pattern="plain", **names)
        return replace(self, pattern="plain")

    def cells(
        self, u: Float[np.ndarray, " nu"], v: Float[np.ndarray, " nv"]
    ) -> Float[np.ndarray, "rows cols 3"]:
        """Colours of the cells between nodes `v` (rows) and `u` (columns), shares in [0, 1]."""
        u, v = (u[1:] + u[:-1])[None] / 2, (v[1:] + v[:-1])[:, None] / 2
        column, row = np.floor(u * self.fields), np.floor(v * self.fields)
        chosen = {
            "stripes": column % 2 == 1,
            "bands": row % 2 == 1,
            "checks": (column + row) % 2 == 1,
            "large checks": (column + row) % 2 == 1,
            "border": np.maximum(abs(u - 0.5), abs(v - 0.5)) > 0.3,
            "middle stripe": abs(u - 0.5) < 1 / 6,
        }.get(self.pattern, np.zeros((1, 1), bool))
        chosen = np.broadcast_to(chosen, (v.shape[0], u.shape[1]))
        return np.where(chosen[..., None], np.asarray(self.second_rgb), np.asarray(self.rgb))


def pick_cover(noise: np.random.Generator) -> Cover:
    """A cover of fabric, leather or plastic."""
    name, rgb = pick_paint(noise)
    second, second_rgb = pick_paint(noise, avoid=name)
    while np.abs(np.subtract(rgb, second_rgb)).sum() < 0.6:
        second, second_rgb = pick_paint(noise, avoid=name)
    weights = np.array([weight for _, _, weight in PATTERNS])
    pattern, fields, _ = PATTERNS[noise.choice(len(PATTERNS), p=weights / weights.sum())]
    material = "leather" if pattern in ("plain", "piping") and noise.uniform() < 0.4 else "fabric"
    return Cover(material, name, rgb, second, second_rgb, pattern, fields)


def pick_frame(noise: np.random.Generator, metal: Number) -> tuple[str, str, Colour]:
    """Material, name and colour of a frame; `metal` is the probability of metal.

    Returns:
        "wood", "painted wood" or "metal"; the colour's name; sRGB.
    """
    if noise.uniform() < metal:
        name, rgb = pick(noise, METALS)
        return "metal", name, vary(noise, rgb)
    if noise.uniform() < 0.24:
        name, rgb = pick_paint(noise)
        return "painted wood", name, rgb
    name, rgb = pick(noise, WOODS)
    return "wood", name, vary(noise, rgb)
