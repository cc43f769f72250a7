"""Patterns of table tops, coarse enough for pictures of 128 pixels, and the slabs they lie on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import Colour, shade
from engine.data.procedural.tables.outline import Outline, add_cap, lifted


@dataclass(frozen=True)
class Pattern:
    """Colours of cells between lines, or of rings and sectors.

    Attributes:
        name: Name in captions; "plain" for none.
        x: Lines across x, increasing, metres; for rings: their radii as shares of the outline,
            from 0 to 1.
        y: Lines across y; for rings: empty.
        rgb: Colour of every cell (y, x); for rings (ring, sector).
    """

    name: str
    x: Float[np.ndarray, " c"]
    y: Float[np.ndarray, " r"]
    rgb: Float[np.ndarray, "_ _ 3"]


def lines(half: float, count: int) -> Float[np.ndarray, " n"]:
    """Edges of `count` equal cells from -half to half."""
    return np.linspace(-half, half, count + 1)


def plain(o: Outline, rgb: Colour) -> Pattern:
    """One colour."""
    return Pattern("plain", lines(o.a, 1), lines(o.b, 1), np.array([[rgb]], float))


def planks(o: Outline, rgb: Colour, noise: np.random.Generator) -> Pattern:
    """Boards along the table in slightly different tones."""
    count = int(np.clip(round(2 * o.b / noise.uniform(0.12, 0.2)), 3, 7))
    tones = 1 + np.where(np.arange(count) % 2, 1, -1) * noise.uniform(0.06, 0.16)
    tones = tones * noise.uniform(0.95, 1.05, count)
    cells = np.clip(np.asarray(rgb) * tones[:, None], 0, 1)
    return Pattern("plank", lines(o.a, 1), lines(o.b, count), cells[:, None])


def stripes(o: Outline, rgb: Colour, second: Colour, noise: np.random.Generator) -> Pattern:
    """Two colours in turn, along or across the table."""
    across = noise.uniform() < 0.5
    count = int(noise.choice([3, 5, 7] if across else [3, 5]))
    cells = np.where((np.arange(count) % 2 == 1)[:, None], second, rgb).astype(float)
    if across:
        return Pattern("striped", lines(o.a, count), lines(o.b, 1), cells[None])
    return Pattern("striped", lines(o.a, 1), lines(o.b, count), cells[:, None])


def checks(o: Outline, rgb: Colour, second: Colour, noise: np.random.Generator) -> Pattern:
    """Tiles in two colours over the whole top."""
    size = max(2 * o.a, 2 * o.b) / noise.integers(5, 9)
    columns, rows = (max(2, round(2 * half / size)) for half in (o.a, o.b))
    odd = np.add.outer(np.arange(rows), np.arange(columns)) % 2
    cells = np.where(odd[..., None], second, rgb).astype(float)
    return Pattern("checked", lines(o.a, columns), lines(o.b, rows), cells)


def chess(o: Outline, rgb: Colour, dark: bool) -> Pattern:
    """A board of six by six squares in the middle, in ivory and ebony with a rim."""
    half = min(o.a, o.b) * (0.8 if o.straight else 0.6)
    x = np.concatenate([[-o.a, -half * 1.12], lines(half, 6), [half * 1.12, o.a]])
    y = np.concatenate([[-o.b, -half * 1.12], lines(half, 6), [half * 1.12, o.b]])
    cells = np.broadcast_to(rgb, (10, 10, 3)).copy()
    cells[1:-1, 1:-1] = shade(rgb, 0.45)
    odd = np.add.outer(np.arange(6), np.arange(6)) % 2
    ebony = (0.10, 0.09, 0.09) if dark else (0.42, 0.16, 0.10)
    cells[2:-2, 2:-2] = np.where(odd[..., None], (0.92, 0.88, 0.76), ebony)
    return Pattern("chess board", x, y, cells)


def border(o: Outline, rgb: Colour, second: Colour, noise: np.random.Generator) -> Pattern:
    """A rim of another colour."""
    if not o.straight:
        radii = np.array([0, 1 - noise.uniform(0.16, 0.3), 1])
        return Pattern("border", radii, np.zeros(0), np.array([[rgb], [second]], float))
    rim = noise.uniform(0.16, 0.28) * o.b
    x, y = (np.array([-half, -half + rim, half - rim, half]) for half in (o.a, o.b))
    cells = np.broadcast_to(second, (3, 3, 3)).copy()
    cells[1, 1] = rgb
    return Pattern("border", x, y, cells)


def inlay(o: Outline, rgb: Colour, second: Colour, noise: np.random.Generator) -> Pattern:
    """A field of another colour in the middle."""
    share = noise.uniform(0.35, 0.6)
    if not o.straight:
        return Pattern(
            "inlay", np.array([0, share, 1]), np.zeros(0), np.array([[second], [rgb]], float)
        )
    x, y = (np.array([-half, -half * share, half * share, half]) for half in (o.a, o.b))
    cells = np.broadcast_to(rgb, (3, 3, 3)).copy()
    cells[1, 1] = second
    return Pattern("inlay", x, y, cells)


def rings(rgb: Colour, second: Colour, noise: np.random.Generator) -> Pattern:
    """Rings in two colours around the middle."""
    count = int(noise.integers(3, 6))
    odd = (np.arange(count) % 2 == 1)[:, None, None]
    cells = np.where(odd, second, rgb).astype(float)[::-1]
    return Pattern("ring", np.linspace(0, 1, count + 1), np.zeros(0), cells)


def sunburst(rgb: Colour, second: Colour, noise: np.random.Generator) -> Pattern:
    """Sectors in two colours."""
    count = int(noise.choice([8, 12]))
    cells = np.where((np.arange(count) % 2 == 1)[None, :, None], second, rgb).astype(float)
    return Pattern("sunburst", np.array([0.0, 1.0]), np.zeros(0), cells)


def veins(o: Outline, rgb: Colour, noise: np.random.Generator) -> Pattern:
    """Wavy bands of light or dark, as in marble."""
    columns = int(np.clip(round(2 * o.a / 0.05), 12, 28))
    rows = int(np.clip(round(2 * o.b / 0.05), 10, 24))
    x, y = lines(o.a, columns), lines(o.b, rows)
    u, v = np.meshgrid((x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2)
    turn = noise.uniform(0, np.pi)
    across = u * np.cos(turn) + v * np.sin(turn)
    along = v * np.cos(turn) - u * np.sin(turn)
    scale = noise.uniform(5, 8) / max(o.a, o.b)
    wave = scale * across * 0.55 + 1.3 * np.sin(0.5 * scale * along + noise.uniform(0, 6))
    wave = np.abs(np.sin(wave + 0.6 * np.sin(scale * u + noise.uniform(0, 6))))
    amount = np.clip(1.1 - 2.4 * wave, 0, 1)[..., None] * 0.7
    vein = np.array([0.38, 0.38, 0.40]) if sum(rgb) > 1.6 else np.array([0.86, 0.85, 0.82])
    base = np.asarray(rgb) * noise.uniform(0.95, 1.05, (rows, columns, 1))
    return Pattern("veined", x, y, np.clip(base * (1 - amount) + vein * amount, 0, 1))


def mosaic(o: Outline, palette: list[Colour], noise: np.random.Generator) -> Pattern:
    """Tiles in colours drawn from a palette."""
    size = max(2 * o.a, 2 * o.b) / noise.integers(6, 9)
    columns, rows = (max(2, round(2 * half / size)) for half in (o.a, o.b))
    index = noise.choice(len(palette), (rows, columns), p=_shares(len(palette)))
    return Pattern("mosaic", lines(o.a, columns), lines(o.b, rows), np.asarray(palette)[index])


def _shares(count: int) -> np.ndarray:
    shares = np.concatenate([[0.4], np.full(count - 1, 0.6 / (count - 1))])
    return shares / shares.sum()


def pick_pattern(
    noise: np.random.Generator, o: Outline, rgb: Colour, second: Colour, material: str
) -> Pattern:
    """A pattern that suits the material."""
    names = ["plain", "planks", "stripes", "checks", "chess board", "border", "inlay", "rings"]
    names += ["sunburst", "veins", "mosaic"]
    weights = {
        "wood": [28, 30, 6, 5, 5, 9, 7, 0, 0, 0, 0],
        "paint": [36, 10, 10, 9, 3, 10, 7, 0, 0, 0, 6],
        "stone": [5, 0, 0, 10, 3, 6, 3, 0, 0, 60, 6],
        "metal": [70, 0, 5, 6, 0, 15, 4, 0, 0, 0, 0],
        "glass": [62, 0, 0, 4, 0, 26, 8, 0, 0, 0, 0],
    }[material]
    weights = np.array(weights, float)
    if o.shape in ("round", "oval", "octagonal", "hexagonal") and material != "glass":
        weights[[7, 8]] = [8, 9]
        weights[3] *= 0.6
    name = names[noise.choice(len(names), p=weights / weights.sum())]
    maker = {
        "plain": lambda: plain(o, rgb),
        "planks": lambda: planks(o, rgb, noise),
        "stripes": lambda: stripes(o, rgb, second, noise),
        "checks": lambda: checks(o, rgb, second, noise),
        "chess board": lambda: chess(o, rgb, bool(noise.uniform() < 0.6)),
        "border": lambda: border(o, rgb, second, noise),
        "inlay": lambda: inlay(o, rgb, second, noise),
        "rings": lambda: rings(rgb, second, noise),
        "sunburst": lambda: sunburst(rgb, second, noise),
        "veins": lambda: veins(o, rgb, noise),
        "mosaic": lambda: mosaic(o, [rgb, second, shade(rgb, 0.6), (0.9, 0.88, 0.8)], noise),
    }[name]
    return maker()


def add_slab(
    mesh: Builder,
    outline: Outline,
    span: tuple[float, float],
    pattern: Pattern,
    edge: Colour,
    part: str,
    bevel: float = 0.0,
) -> None:
    """A plate with a pattern on it.

    Args:
        mesh: Builder to add to.
        outline: Shape of its upper side.
        span: Lower and upper z.
        pattern: Colours of the upper side.
        edge: Colour of its wall and underside.
        part: Label.
        bevel: How much smaller the underside is on all sides, metres.
    """
    low, high = span
    if len(pattern.y):
        _add_cells(mesh, outline, high, pattern, part)
    else:
        _add_rings(mesh, outline, high, pattern, part)
    upper = lifted(outline.loop(), high)
    lower = lifted(outline.scaled(bevel).loop(), low)
    middle = (0, 0, (low + high) / 2)
    mesh.grid(np.stack([lower, upper]), edge, part, middle)
    add_cap(mesh, lower, False, edge, part)


def _add_cells(mesh: Builder, outline: Outline, z: float, pattern: Pattern, part: str) -> None:
    """The upper side as straight cells, cut off at the outline."""
    y = np.unique(np.round(np.concatenate([outline.levels(), pattern.y]), 6))
    half = outline.half_width(y)[:, None]
    x = np.clip(pattern.x[None], -half, half)
    points = np.stack([x, np.broadcast_to(y[:, None], x.shape), np.full_like(x, z)], -1)
    row = np.searchsorted(pattern.y, (y[:-1] + y[1:]) / 2) - 1
    mesh.grid(points, pattern.rgb[np.clip(row, 0, len(pattern.rgb) - 1)], part, (0, 0, z - 1))


def _add_rings(mesh: Builder, outline: Outline, z: float, pattern: Pattern, part: str) -> None:
    """The upper side as rings and sectors around the origin."""
    loop = outline.loop(0.06)
    points = np.stack([lifted(loop * share, z) for share in pattern.x])
    middle = (loop[:-1] + loop[1:]) / 2
    turn = np.arctan2(middle[:, 1] / outline.b, middle[:, 0] / outline.a) / (2 * np.pi)
    count = pattern.rgb.shape[1]
    sector = np.floor(turn * count).astype(int) % count
    mesh.grid(points, pattern.rgb[:, sector], part, (0, 0, z - 1))
