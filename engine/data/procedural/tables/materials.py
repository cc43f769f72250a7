"""Materials of tables: woods, paints, stones, metals, glass, with their names in captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.procedural.paint import Colour, pick_paint

WOODS: tuple[tuple[str, Colour, float], ...] = (
    ("pine", (0.84, 0.67, 0.42), 9),
    ("oak", (0.69, 0.50, 0.29), 12),
    ("beech", (0.80, 0.60, 0.42), 6),
    ("maple", (0.86, 0.74, 0.55), 5),
    ("teak", (0.60, 0.38, 0.18), 6),
    ("cherry", (0.58, 0.27, 0.15), 6),
    ("mahogany", (0.40, 0.15, 0.10), 6),
    ("walnut", (0.37, 0.24, 0.15), 9),
    ("wenge", (0.20, 0.14, 0.11), 5),
    ("driftwood", (0.56, 0.53, 0.48), 5),
)
STONES: tuple[tuple[str, Colour, float], ...] = (
    ("white marble", (0.90, 0.89, 0.87), 5),
    ("black marble", (0.13, 0.13, 0.15), 4),
    ("green marble", (0.14, 0.34, 0.26), 3),
    ("red marble", (0.52, 0.20, 0.17), 2),
    ("granite", (0.48, 0.47, 0.49), 3),
    ("concrete", (0.64, 0.63, 0.61), 3),
)
METALS: tuple[tuple[str, Colour, float], ...] = (
    ("black iron", (0.10, 0.10, 0.11), 10),
    ("steel", (0.66, 0.68, 0.71), 7),
    ("brass", (0.76, 0.60, 0.26), 5),
    ("copper", (0.72, 0.40, 0.26), 3),
)
GLASSES: tuple[tuple[str, Colour, float], ...] = (
    ("glass", (0.66, 0.85, 0.90), 5),
    ("smoked glass", (0.26, 0.30, 0.33), 2),
)
CONTRASTS: tuple[Colour, ...] = ((0.92, 0.91, 0.88), (0.09, 0.09, 0.10))
HIDDEN: tuple[tuple[str, Colour | None], ...] = (
    ("none", None),
    ("red", (0.80, 0.07, 0.08)),
    ("blue", (0.08, 0.24, 0.74)),
    ("yellow", (0.95, 0.80, 0.10)),
    ("green", (0.08, 0.52, 0.20)),
    ("orange", (0.94, 0.44, 0.05)),
    ("white", (0.93, 0.93, 0.92)),
    ("black", (0.07, 0.07, 0.08)),
    ("pink", (0.93, 0.48, 0.66)),
)
"""Colours of the rear panel, equally likely; None: as the frame."""

TOP_KINDS = {"wood": 0.50, "paint": 0.31, "stone": 0.11, "metal": 0.03, "glass": 0.05}


@dataclass(frozen=True)
class Finish:
    """A surface.

    Attributes:
        name: Name in captions.
        rgb: sRGB in [0, 1].
        material: wood, paint, stone, metal or glass.
    """

    name: str
    rgb: Colour
    material: str


def pick_finish(noise: np.random.Generator, material: str) -> Finish:
    """A finish of a material, slightly varied."""
    if material == "paint":
        return Finish(*pick_paint(noise), "paint")
    table = {"wood": WOODS, "stone": STONES, "metal": METALS, "glass": GLASSES}[material]
    weights = np.array([weight for *_, weight in table], float)
    name, rgb, _ = table[noise.choice(len(table), p=weights / weights.sum())]
    varied = np.asarray(rgb) * noise.uniform(0.88, 1.1) * (1 + noise.normal(0, 0.03, 3))
    return Finish(name, tuple(np.clip(varied, 0.04, 0.96).tolist()), material)


def pick_top(noise: np.random.Generator, only: tuple[str, ...]) -> Finish:
    """The finish of a table top, of one of the materials in `only`."""
    weights = np.array([TOP_KINDS[name] for name in only])
    return pick_finish(noise, only[noise.choice(len(only), p=weights / weights.sum())])


def pick_frame(noise: np.random.Generator, top: Finish, metal: float) -> Finish:
    """The finish of legs and aprons: metal (with probability `metal`), the top's, wood, paint."""
    draw = noise.uniform()
    if draw < metal:
        return pick_finish(noise, "metal")
    if draw < metal + 0.36 * (1 - metal) and top.material in ("wood", "paint"):
        return top
    return pick_finish(noise, "wood" if noise.uniform() < 0.5 else "paint")


def contrasting(noise: np.random.Generator, rgb: Colour) -> Colour:
    """A colour that is clearly another one: the furthest of a few draws."""
    draws = [pick_paint(noise)[1] for _ in range(3)]
    draws.append(CONTRASTS[0] if sum(rgb) < 1.5 else CONTRASTS[1])
    distances = [float(np.linalg.norm(np.subtract(draw, rgb))) for draw in draws]
    far = [draw for draw, distance in zip(draws, distances, strict=True) if distance > 0.45]
    return far[0] if far else draws[int(np.argmax(distances))]
