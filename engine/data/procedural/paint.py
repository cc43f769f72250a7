"""Paints of procedural objects, with their names in captions."""

from __future__ import annotations

import colorsys

import numpy as np

Colour = tuple[float | int, float | int, float | int]
"""sRGB in [0, 1]."""

PAINTS: tuple[tuple[str, Colour, float], ...] = (
    ("white", (0.91, 0.91, 0.90), 11),
    ("black", (0.085, 0.085, 0.095), 9),
    ("grey", (0.42, 0.43, 0.45), 8),
    ("silver", (0.70, 0.71, 0.73), 8),
    ("red", (0.74, 0.06, 0.08), 14),
    ("dark red", (0.42, 0.04, 0.08), 4),
    ("blue", (0.08, 0.22, 0.66), 9),
    ("navy", (0.06, 0.10, 0.28), 4),
    ("light blue", (0.30, 0.60, 0.84), 4),
    ("green", (0.10, 0.45, 0.20), 5),
    ("dark green", (0.06, 0.22, 0.14), 3),
    ("lime", (0.50, 0.76, 0.16), 3),
    ("yellow", (0.94, 0.77, 0.10), 6),
    ("orange", (0.92, 0.42, 0.06), 5),
    ("brown", (0.34, 0.21, 0.13), 3),
    ("beige", (0.80, 0.73, 0.58), 4),
    ("purple", (0.36, 0.13, 0.50), 3),
    ("pink", (0.90, 0.46, 0.62), 2),
    ("turquoise", (0.08, 0.56, 0.56), 3),
)
"""Name, sRGB and weight."""

RIMS: tuple[Colour, ...] = (
    (0.74, 0.75, 0.77),
    (0.60, 0.61, 0.63),
    (0.30, 0.30, 0.32),
    (0.13, 0.13, 0.14),
    (0.66, 0.55, 0.30),
)

TYRE = (0.075, 0.075, 0.08)
BLACK = (0.075, 0.075, 0.08)
CHROME = (0.80, 0.81, 0.83)
PLASTIC = (0.15, 0.15, 0.16)
LAMP = (0.96, 0.95, 0.84)
TAIL = (0.66, 0.03, 0.05)
DARK_TAIL = (0.36, 0.0, 0.02)


def pick_paint(noise: np.random.Generator, avoid: str | None = None) -> tuple[str, Colour]:
    """A paint's name and its colour, slightly varied.

    Args:
        noise: Source of randomness.
        avoid: A name not to pick.
    """
    weights = np.array([0 if name == avoid else weight for name, _, weight in PAINTS], float)
    name, rgb, _ = PAINTS[noise.choice(len(PAINTS), p=weights / weights.sum())]
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    hue = (hue + noise.normal(0, 0.012)) % 1
    saturation = float(np.clip(saturation * noise.uniform(0.88, 1.1), 0, 1))
    value = float(np.clip(value * noise.uniform(0.86, 1.12), 0.05, 0.95))
    return name, colorsys.hsv_to_rgb(hue, saturation, value)


def pick_glass(noise: np.random.Generator) -> Colour:
    """The colour of tinted windows."""
    level = noise.uniform(0.08, 0.16)
    return (level * 0.9, level * 1.02, level * noise.uniform(1.1, 1.4))


def shade(rgb: Colour, factor: float) -> Colour:
    """A darker (factor < 1) or lighter colour."""
    return tuple(float(min(value * factor, 1.0)) for value in rgb)
