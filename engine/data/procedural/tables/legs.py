"""Legs and bases: single legs, hairpins, slabs, frames, crosses, trestles, columns and feet."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import Colour

Spot = tuple[float, float]
"""Point at which a leg meets the top: x > 0, y; metres. Every leg has a mirror image."""

LEGS = ("square", "tapered", "round", "turned", "splayed", "curved")
THINNEST = 0.03
"""Least width of a leg, metres: about what the planes of the bundled models resolve."""
TURNED = np.array(
    [
        (0.0, 0.55),
        (0.04, 0.8),
        (0.09, 0.5),
        (0.2, 0.62),
        (0.5, 0.95),
        (0.66, 0.98),
        (0.71, 0.55),
        (0.75, 0.95),
        (0.8, 0.55),
        (0.82, 1.0),
        (1.0, 1.0),
    ]
)
"""A turned leg: share of the height, share of the radius."""
BALUSTER = np.array(
    [
        (0.0, 1.0),
        (0.08, 1.0),
        (0.12, 0.62),
        (0.2, 0.55),
        (0.34, 0.95),
        (0.48, 0.85),
        (0.62, 0.45),
        (0.8, 0.5),
        (0.86, 0.85),
        (1.0, 0.95),
    ]
)
"""A turned column: share of the height, share of the radius."""


def add_bar(
    mesh: Builder,
    centres: Float[np.ndarray, "n 3"],
    sizes: Float[np.ndarray, "n 2"],
    rgb: np.ndarray | Colour,
    part: str,
    sides: int = 4,
    mirror: bool = False,
) -> None:
    """A closed bar with horizontal cross-sections.

    Args:
        mesh: Builder to add to.
        centres: Middles of its sections, upwards.
        sizes: Extent of every section in x and y, metres.
        rgb: One colour, or one per step.
        part: Label.
        sides: 4 for a rectangular bar, else the number of sides of a round one.
        mirror: Also add the mirror image.
    """
    turn = np.linspace(0, 2 * np.pi, sides + 1) + (np.pi / 4 if sides == 4 else 0)
    ring = np.stack([np.cos(turn), np.sin(turn)], -1) * (np.sqrt(0.5) if sides == 4 else 0.5)
    points = np.repeat(np.asarray(centres, float)[:, None], sides + 1, 1)
    points[..., :2] += ring * np.asarray(sizes, float)[:, None]
    middle = tuple(points.mean((0, 1)))
    colours = np.asarray(rgb, float)
    steps = colours[:, None] if colours.ndim == 2 else colours
    mesh.grid(points, steps, part, middle, mirror=mirror)
    for end, colour in ((0, 0), (-1, -1)):
        hub = np.broadcast_to(points[end, :-1].mean(0), points[end].shape)
        cap = colours[colour] if colours.ndim == 2 else colours
        mesh.grid(np.stack([hub, points[end]]), cap, part, middle, mirror=mirror)


def add_legs(
    mesh: Builder,
    style: str,
    spots: list[Spot],
    height: float,
    thick: float,
    rgb: Colour,
    tip: Colour | None = None,
    spread: float = 0.1,
) -> None:
    """Single legs, each with its mirror image.

    Args:
        mesh: Builder to add to.
        style: One of `LEGS`.
        spots: Points at which they meet the top.
        height: Height of their upper ends, metres.
        thick: Width of their upper ends.
        rgb: Colour.
        tip: Colour of their feet, if another.
        spread: How far splayed feet lie outside their upper ends, as a share of the height.
    """
    share = np.array([0, 0.12, 0.35, 0.6, 0.8, 1.0])
    width = np.full(6, thick)
    sides, out = 4, np.zeros(6)
    if style in ("tapered", "splayed"):
        width = thick * (0.55 + 0.45 * np.minimum(share / 0.8, 1))
    if style == "splayed":
        out, sides = spread * height * (1 - share), 10
    if style == "round":
        sides = 10
    if style == "curved":
        out = thick * np.array([0.75, 0.3, -0.25, 0.1, 0.75, 0.3])
        width = thick * np.array([0.85, 0.6, 0.65, 0.85, 1.15, 1.2])
    if style == "turned":
        share, sides = TURNED[:, 0], 12
        width, out = TURNED[:, 1] * thick * 1.15, np.zeros(len(share))
    width = np.maximum(width, THINNEST)
    colours = np.broadcast_to(rgb, (len(share) - 1, 3)).copy()
    if tip is not None:
        colours[share[1:] < 0.15] = tip
    for x, y in spots:
        away = np.sign([x, y]) * (np.abs([x, y]) > 1e-9)
        away = away / max(1.0, float(np.linalg.norm(away))) * 1.2
        centres = np.stack([x + away[0] * out, y + away[1] * out, share * height], -1)
        add_bar(mesh, centres, np.stack([width, width], -1), colours, "leg", sides, x > 1e-9)


def add_hairpins(
    mesh: Builder, spots: list[Spot], height: float, reach: float, rgb: Colour
) -> None:
    """Legs of two rods of 3 cm that meet at the foot and are `reach` apart at the top."""
    size = np.full((2, 2), 0.03)
    for x, y in spots:
        side = np.sign(y)
        for top in ((x - reach, y), (x, y - side * reach)):
            foot = (x + 0.01, y + side * 0.01)
            centres = np.array([(*foot, 0.0), (*top, height)])
            add_bar(mesh, centres, size, rgb, "leg", 8, True)
        mesh.box(
            (x - reach - 0.02, y - side * (reach + 0.02), height - 0.02),
            (x + 0.02, y + side * 0.02, height),
            rgb,
            "leg",
            True,
        )


def add_sides(
    mesh: Builder, x: float, half: float, height: float, thick: float, rgb: Colour
) -> None:
    """Closed slabs instead of legs; x is their outer face, `half` half their depth."""
    mesh.box((x - thick, -half, 0), (x, half, height), rgb, "leg", True)


def add_frames(
    mesh: Builder, x: float, half: float, height: float, thick: float, rgb: Colour
) -> None:
    """Open rectangular frames instead of legs, as `add_sides`."""
    for y in (-half, half - thick):
        mesh.box((x - thick, y, 0), (x, y + thick, height), rgb, "leg", True)
    for z in (0, height - thick):
        mesh.box((x - thick, -half + thick, z), (x, half - thick, z + thick), rgb, "leg", True)


def add_crosses(
    mesh: Builder, x: float, half: float, height: float, thick: float, rgb: Colour
) -> None:
    """Two bars that cross, in planes of constant x, instead of legs."""
    inner = half - thick / 2
    for side in (-1, 1):
        centres = np.array(
            [(x - thick / 2, side * inner, 0), (x - thick / 2, -side * inner, height)]
        )
        add_bar(mesh, centres, np.array([[thick, thick * 1.2]] * 2), rgb, "leg", 4, True)


def add_wide_cross(
    mesh: Builder, x: float, y: float, height: float, thick: float, rgb: Colour
) -> None:
    """Crossing bars in the planes of constant y, at y and -y."""
    for level in (-y, y):
        centres = np.array([(-x, level, 0), (x, level, height)])
        add_bar(mesh, centres, np.array([[thick * 1.3, thick]] * 2), rgb, "leg", 4, True)


def add_trestles(
    mesh: Builder, x: float, half: float, height: float, thick: float, rgb: Colour
) -> None:
    """A-shaped supports: two leaning bars, a beam under the top and a rung."""
    size = np.array([[thick, thick * 1.1]] * 2)
    for side in (-1, 1):
        centres = np.array([(x, side * half, 0), (x, side * half * 0.35, height - 0.05)])
        add_bar(mesh, centres, size, rgb, "leg", 4, True)
    mesh.box(
        (x - thick / 2, -half * 0.95, height - 0.06),
        (x + thick / 2, half * 0.95, height),
        rgb,
        "leg",
        True,
    )
    low, reach = height * 0.3, half * 0.8
    mesh.box(
        (x - thick * 0.35, -reach, low),
        (x + thick * 0.35, reach, low + thick),
        rgb,
        "stretcher",
        True,
    )


def add_column(
    mesh: Builder,
    style: str,
    x: float,
    span: tuple[float, float],
    radius: float,
    rgb: Colour,
) -> None:
    """An upright column at (x, 0); with its mirror image where x is not 0.

    Args:
        mesh: Builder to add to.
        style: square, round, cone, turned or hourglass.
        x: Position along x.
        span: Lower and upper z.
        radius: Half its greatest width.
        rgb: Colour.
    """
    share, width = np.array([0.0, 1.0]), np.array([1.0, 1.0])
    if style == "cone":
        width = np.array([1.5, 0.8])
    if style == "turned":
        share, width = BALUSTER.T
        width = width * 1.35
    if style == "hourglass":
        share = np.linspace(0, 1, 9)
        width = 0.8 + 1.3 * (2 * share - 1) ** 2
    low, high = span
    centres = np.stack([np.full_like(share, x), 0 * share, low + (high - low) * share], -1)
    sizes = np.stack([width, width], -1) * 2 * radius
    add_bar(mesh, centres, sizes, rgb, "base", 4 if style == "square" else 16, x > 0)


def add_foot(
    mesh: Builder, style: str, x: float, reach: tuple[float, float], height: float, rgb: Colour
) -> None:
    """Foot of a column: a disc, a square plate, a cross, a bar, or curved claws.

    Args:
        mesh: Builder to add to.
        style: disc, plate, cross, bar, or claws.
        x: Position of the column; with its mirror image where x is not 0.
        reach: Half its extent in x and in y, metres.
        height: Height of its upper side.
        rgb: Colour.
    """
    across, deep = reach
    mirror = x > 0
    if style == "disc":
        profile = np.array([(0, 0), (0, 1.0), (height * 0.5, 1.0), (height, 0.55), (height, 0)])
        mesh.revolve(profile, (x, 0, 0), 2, rgb, "base", 24, (across, deep, 1.0), mirror)
    elif style == "plate":
        mesh.box((x - across, -deep, 0), (x + across, deep, height * 0.7), rgb, "base", mirror)
    elif style in ("cross", "bar"):
        half = max(height * 0.5, 0.03)
        mesh.box((x - half, -deep, 0), (x + half, deep, height), rgb, "base", mirror)
        if style == "cross":
            mesh.box((x - across, -half, 0), (x + across, half, height * 0.98), rgb, "base", mirror)
    else:
        _add_claws(mesh, x, reach, height, rgb)


def _add_claws(
    mesh: Builder, x: float, reach: tuple[float, float], height: float, rgb: Colour
) -> None:
    """Four curved feet on the diagonals of a column."""
    share = np.array([0.0, 0.25, 0.55, 1.0])
    rise = np.array([0.0, 0.06, 0.16, 0.34]) + height
    out = np.array([1.0, 0.72, 0.4, 0.0])
    width = np.array([0.05, 0.06, 0.075, 0.09])
    for side in (-1, 1):
        for way in (-1, 1) if x > 0 else (1,):
            centres = np.stack(
                [x + way * out * reach[0] * 0.75, side * out * reach[1] * 0.75, rise - height], -1
            )
            centres[0, 2] = 0.0
            sizes = np.stack([width + 0.04 * (1 - share), width + 0.04 * (1 - share)], -1)
            add_bar(mesh, centres, sizes, rgb, "base", 8, True)
