"""The types of tables, each with its parts and its proportions in metres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.data.procedural.builder import Builder, Number
from engine.data.procedural.paint import shade
from engine.data.procedural.tables import cases, columns, fittings, legs
from engine.data.procedural.tables.design import Design
from engine.data.procedural.tables.outline import Outline, add_prism

ANY = ("wood", "paint", "stone", "metal", "glass")
NO_GLASS = ("wood", "paint", "stone", "metal")
NO_STONE = ("wood", "paint", "metal", "glass")
WOODEN = ("wood", "paint")


@dataclass(frozen=True)
class Kind:
    """A type of table.

    Attributes:
        name: Name in captions.
        weight: Relative frequency.
        add: Adds its geometry.
        materials: Materials of its top.
        metal: Probability of a metal frame.
    """

    name: str
    weight: Number
    add: Callable[[Design, Builder], None]
    materials: tuple[str, ...] = NO_GLASS
    metal: float = 0.14

    def build(self, mesh: Builder, noise: np.random.Generator) -> dict[str, Any]:
        """Adds a table of this type; returns its attributes."""
        design = Design(noise, self.materials, self.metal)
        self.add(design, mesh)
        return design.attributes(self.name)


def _single_legs(d: Design, straight: bool) -> tuple[str, float]:
    """A style of single legs, and their width."""
    if d.frame.material == "metal":
        style = d.pick(square=4, round=4, tapered=2)
        return style, d.between(0.04, 0.055)
    weights = {"square": 4, "tapered": 4, "round": 2, "turned": 4, "splayed": 3, "curved": 2}
    if not straight:
        weights |= {"square": 1, "splayed": 6}
    style = d.pick(**weights)
    wide = {"turned": (0.075, 0.11), "curved": (0.065, 0.09)}.get(style, (0.05, 0.09))
    return style, d.between(*wide)


def _four_legged(
    d: Design, mesh: Builder, o: Outline, height: float, thick: float, apron: float
) -> tuple[tuple[float, float], float]:
    """A top on an apron and single legs; returns half the frame's size, the apron's lower z."""
    style, leg = _single_legs(d, o.straight)
    leg = min(leg, max(0.04, 0.19 * min(o.a, o.b)))
    under = d.add_top(mesh, o, height, thick)
    inset = d.between(0.02, 0.05) if o.straight else d.between(0.03, 0.06)
    half = d.add_frame(mesh, o, under, inset, apron, leg)
    spots = d.corner_spots(o, half, leg)
    legs.add_legs(mesh, style, spots, under - 0.001, leg, d.frame.rgb, d.tip)
    d.legs = f"{style} legs"
    if d.tip is not None:
        d.extras.append("coloured feet")
    return half, under - apron


def _stretchers(d: Design, mesh: Builder, half: tuple[float, float], z: float) -> None:
    """Bars low between four straight legs, as an H."""
    a, b = half
    bar = 0.022
    mesh.box(
        (a - 0.06, -b + 0.03, z),
        (a - 0.06 + 2 * bar, b - 0.03, z + 0.045),
        d.frame.rgb,
        "stretcher",
        True,
    )
    mesh.box((-a + 0.05, -bar, z + 0.002), (a - 0.05, bar, z + 0.043), d.frame.rgb, "stretcher")
    d.extras.append("stretchers")


def _dining(d: Design, mesh: Builder) -> None:
    shape = d.pick(rectangular=50, square=10, rounded=14, oval=12, round=14, octagonal=5)
    if shape in ("square", "round", "octagonal"):
        a = d.between(0.45, 0.66)
        b = a
    else:
        a, b = d.between(0.65, 1.05), d.between(0.40, 0.50)
    o, height = Outline(shape, a, b), d.between(0.72, 0.78)
    half, _ = _four_legged(d, mesh, o, height, d.between(0.03, 0.06), d.between(0.08, 0.13))
    if o.straight and d.legs in ("square legs", "turned legs") and d.chance(0.22):
        _stretchers(d, mesh, half, d.between(0.1, 0.18))
    d.dress(mesh, o, height, 1.3)


def _coffee(d: Design, mesh: Builder) -> None:
    shape = d.pick(
        rectangular=46, square=14, rounded=14, oval=12, round=14, hexagonal=6, octagonal=5
    )
    if shape in ("square", "round", "octagonal", "hexagonal"):
        a = d.between(0.38, 0.52)
        b = a if shape != "hexagonal" else 0.85 * a
    else:
        a, b = d.between(0.5, 0.68), d.between(0.28, 0.38)
    o, height = Outline(shape, a, b), d.between(0.36, 0.48)
    thick = d.between(0.03, 0.06)
    if o.straight and d.chance(0.35):
        _on_sides(d, mesh, o, height, thick)
        shelf = d.chance(0.6)
        half = (o.a - 0.06, o.b - 0.04)
    else:
        half, low = _four_legged(d, mesh, o, height, thick, d.between(0.06, 0.1))
        shelf = o.straight and "splayed" not in d.legs and d.chance(0.5)
        if o.straight and not shelf and d.chance(0.3):
            d.fronts.row(
                mesh,
                (-half[0] * 0.8, half[0] * 0.8),
                half[1],
                (low + 0.008, height - thick - 0.008),
                2,
            )
            d.drawers = 2
    if shelf:
        d.add_shelf(mesh, (half[0] - 0.012, half[1] - 0.012), d.between(0.1, 0.17))
    d.dress(mesh, o, height, 0.9)


def _on_sides(d: Design, mesh: Builder, o: Outline, height: float, thick: float) -> None:
    """A top on closed slabs or open frames at both ends, with a rear panel between them."""
    under = d.add_top(mesh, o, height, thick)
    style = d.pick(slab=5, frame=4)
    wide = d.between(0.04, 0.065)
    x = o.a - d.between(0.0, 0.12) - 0.005
    add = legs.add_sides if style == "slab" else legs.add_frames
    add(mesh, x, o.b - 0.015, under, wide, d.frame.rgb)
    depth = d.between(0.22, 0.5) * under
    span = (wide - x, x - wide)
    fittings.add_rear_panel(mesh, span, 0.025 - o.b, (under - depth, under), d.frame.rgb, d.hidden)
    d.legs = "slab sides" if style == "slab" else "frame legs"


def _console(d: Design, mesh: Builder) -> None:
    shape = "half-round" if d.chance(0.26) else "rectangular"
    a = d.between(0.42, 0.66)
    b = d.between(0.16, 0.21) if shape == "rectangular" else a * d.between(0.42, 0.5)
    o, height, thick = Outline(shape, a, b), d.between(0.74, 0.86), d.between(0.03, 0.05)
    if shape == "rectangular" and d.chance(0.3):
        _on_sides(d, mesh, o, height, thick)
        half = (o.a - 0.1, o.b - 0.03)
    else:
        apron = d.between(0.1, 0.17)
        half, low = _four_legged(d, mesh, o, height, thick, apron)
        if shape == "rectangular" and d.chance(0.6):
            d.drawers = int(d.noise.integers(1, 4))
            reach = half[0] - 0.08
            d.fronts.row(
                mesh, (-reach, reach), half[1], (low + 0.01, height - thick - 0.01), d.drawers
            )
    if shape == "rectangular" and "splayed" not in d.legs and d.chance(0.5):
        d.add_shelf(mesh, (half[0] - 0.012, half[1] - 0.008), d.between(0.12, 0.25))
    if d.chance(0.22):
        d.decorate(mesh, o, height, d.pick(a_lamp=4, a_vase=3, books=2))


def _trestle(d: Design, mesh: Builder) -> None:
    o = Outline(d.pick(rectangular=85, rounded=15), d.between(0.75, 1.08), d.between(0.38, 0.48))
    height = d.between(0.72, 0.78)
    under = d.add_top(mesh, o, height, d.between(0.035, 0.06))
    x, bar = o.a * d.between(0.66, 0.8), d.between(0.055, 0.085)
    legs.add_trestles(mesh, x, o.b * d.between(0.72, 0.86), under, bar, d.frame.rgb)
    panel = (-x - 0.06, x + 0.06)
    depth = d.between(0.1, 0.2)
    rear = 0.05 - o.b
    fittings.add_rear_panel(mesh, panel, rear, (under - depth, under), d.frame.rgb, d.hidden)
    if d.chance(0.7):
        low = under * 0.3 + 0.02
        rgb = d.frame.rgb if d.chance(0.7) else d.top.rgb
        mesh.box(
            (-x - 0.05, -0.022, low),
            (x + 0.05, 0.022, low + d.between(0.06, 0.1)),
            rgb,
            "stretcher",
        )
        d.extras.append("a stretcher")
    d.legs = "trestle legs"
    d.dress(mesh, o, height, 1.0)


def _picnic(d: Design, mesh: Builder) -> None:
    a, b, height = d.between(0.75, 0.95), d.between(0.34, 0.4), d.between(0.73, 0.78)
    o, thick = Outline("rectangular", a, b), 0.045
    d.add_plank_top(mesh, o, height, thick)
    seat, wide, reach = d.between(0.43, 0.47), d.between(0.13, 0.16), b + d.between(0.24, 0.32)
    cushion = d.second if d.chance(0.2) else None
    for side in (-1, 1):
        low, high = sorted((side * (reach - wide), side * (reach + wide)))
        mesh.box((-a, low, seat - thick), (a, high, seat), shade(d.top.rgb, 0.95), "bench")
        if cushion is not None:
            mesh.box(
                (-a + 0.03, low + 0.02, seat),
                (a - 0.03, high - 0.02, seat + 0.035),
                cushion,
                "bench",
            )
    if cushion is not None:
        d.extras.append("cushions")
    x, bar = a * d.between(0.62, 0.74), 0.06
    size = np.array([[bar, bar * 1.5]] * 2)
    for side in (-1, 1):
        centres = np.array([(x, side * reach * 0.95, 0), (x, side * b * 0.5, height - thick)])
        legs.add_bar(mesh, centres, size, d.frame.rgb, "leg", 4, True)
    for z, half in ((seat - thick - 0.09, reach + wide * 0.7), (height - thick - 0.08, b * 0.92)):
        mesh.box(
            (x - bar / 2 - 0.01, -half, z),
            (x + bar / 2 + 0.01, half, z + 0.09 - 0.01),
            d.frame.rgb,
            "stretcher",
            True,
        )
    rear, under = 0.012 - reach - wide, seat - thick
    drop = d.between(0.1, 0.18)
    fittings.add_rear_panel(
        mesh, (-a + 0.02, a - 0.02), rear, (under - drop, under), d.frame.rgb, d.hidden
    )
    d.legs = "A-frame legs and benches"


def _parsons(d: Design, mesh: Builder) -> None:
    square = d.chance(0.4)
    a = d.between(0.4, 0.6) if square else d.between(0.5, 0.95)
    b = a if square else min(a * 0.75, d.between(0.3, 0.45))
    o, height, leg = (
        Outline("square" if square else "rectangular", a, b),
        d.between(0.45, 0.76),
        d.between(0.06, 0.1),
    )
    d.frame = d.top if d.chance(0.75) else d.frame
    d.hidden = d.frame.rgb if d.hidden_name == "none" else d.hidden
    under = d.add_top(mesh, o, height, 0.03)
    half = (a - 0.01, b - 0.01)
    low = under - leg + 0.03
    fittings.add_panels(
        mesh, half, leg - 0.01, (low, under), low - d.between(0.0, 0.12), d.frame.rgb, d.hidden
    )
    legs.add_legs(
        mesh,
        "square",
        [(a - leg / 2, -b + leg / 2), (a - leg / 2, b - leg / 2)],
        under,
        leg,
        d.frame.rgb,
    )
    d.legs = "square legs"
    d.dress(mesh, o, height, 1.0)


def _cross(d: Design, mesh: Builder) -> None:
    a, b = d.between(0.5, 1.0), d.between(0.36, 0.48)
    low = a < 0.65 and d.chance(0.5)
    o = Outline(d.pick(rectangular=75, rounded=15, oval=10), a, b)
    height, bar = d.between(0.42, 0.5) if low else d.between(0.7, 0.78), d.between(0.05, 0.08)
    under = d.add_top(mesh, o, height, d.between(0.032, 0.055))
    inner = 0.86 if o.shape != "oval" else 0.7
    x = o.a * inner
    if d.chance(0.6) or low:
        legs.add_crosses(mesh, x, o.b * 0.8, under, bar, d.frame.rgb)
        mesh.box(
            (-x + bar, -0.022, under / 2 - 0.03),
            (x - bar, 0.022, under / 2 + 0.03),
            d.frame.rgb,
            "stretcher",
        )
        d.legs = "crossed legs"
    else:
        legs.add_wide_cross(mesh, x * 0.8, o.b * 0.6, under, bar, d.frame.rgb)
        d.legs = "wide crossed legs"
    depth, rear = d.between(0.09, 0.16), -o.b * (0.92 if o.shape != "oval" else 0.7)
    fittings.add_rear_panel(
        mesh, (-x * 0.95, x * 0.95), rear, (under - depth, under), d.frame.rgb, d.hidden
    )
    d.dress(mesh, o, height, 0.9)


def _hairpin(d: Design, mesh: Builder) -> None:
    a, b = d.between(0.45, 0.85), d.between(0.26, 0.42)
    o = Outline(d.pick(rectangular=80, rounded=20), a, b)
    height, box = d.between(0.4, 0.75), d.between(0.09, 0.16)
    under = d.add_top(mesh, o, height, d.between(0.032, 0.055))
    x, y = a * 0.88, b * 0.84
    legs.add_hairpins(mesh, [(x, -y), (x, y)], under, d.between(0.12, 0.18), d.frame.rgb)
    rear = -b * 0.95
    fittings.add_rear_panel(
        mesh, (-x * 0.96, x * 0.96), rear, (under - box, under), d.frame.rgb, d.hidden
    )
    if d.chance(0.35):
        reach = x * d.between(0.4, 0.6)
        mesh.box(
            (-reach, rear + 0.06, under - box * 0.8), (reach, y - 0.02, under), d.top.rgb, "cabinet"
        )
        d.drawers = 2 if reach > 0.35 else 1
        d.fronts.row(
            mesh, (-reach, reach), y - 0.02, (under - box * 0.8 + 0.008, under - 0.008), d.drawers
        )
    d.legs = "hairpin legs"
    d.dress(mesh, o, height, 0.8)


def _side(d: Design, mesh: Builder) -> None:
    shape = d.pick(round=60, square=20, hexagonal=8, octagonal=12)
    a = d.between(0.22, 0.3)
    o, height, thick = (
        Outline(shape, a, a * (0.88 if shape == "hexagonal" else 1)),
        d.between(0.48, 0.62),
        d.between(0.03, 0.045),
    )
    style = d.pick(three=5, four=4, drum=2)
    if style == "four":
        half, _ = _four_legged(d, mesh, o, height, thick, d.between(0.07, 0.1))
        if o.straight and "splayed" not in d.legs and d.chance(0.4):
            d.add_shelf(mesh, (half[0] - 0.012, half[1] - 0.012), d.between(0.12, 0.2))
    elif style == "three":
        under, apron = d.add_top(mesh, o, height, thick), d.between(0.06, 0.1)
        add_prism(mesh, o.scaled(0.035), (under - apron, under), d.frame.rgb, "apron", d.hidden)
        r = a * 0.62
        spots = [(0.0, -r), (r * 0.87, r * 0.5)]
        legs.add_legs(
            mesh, "splayed", spots, under - 0.01, d.between(0.045, 0.06), d.frame.rgb, d.tip, 0.14
        )
        d.legs = "three splayed legs"
    else:
        under = d.add_top(mesh, o, height, thick)
        add_prism(mesh, o.scaled(0.04), (0.0, under), d.frame.rgb, "base", d.hidden)
        d.legs = "closed drum"
    if d.chance(0.15):
        d.decorate(mesh, Outline(shape, 0.2, 0.2), height, d.pick(a_lamp=3, a_vase=3, books=2))


KINDS = (
    Kind("dining table", 20, _dining, ANY),
    Kind("coffee table", 13, _coffee, ANY, 0.2),
    Kind("console table", 8, _console),
    Kind("pedestal table", 11, columns.add_pedestal, ANY),
    Kind("double pedestal table", 5, columns.add_double),
    Kind("bar table", 4, columns.add_bar_table, metal=0.3),
    Kind("trestle table", 6, _trestle),
    Kind("desk", 11, cases.add_desk, WOODEN, 0.05),
    Kind("nightstand", 8, cases.add_nightstand, ("wood", "paint", "stone"), 0.05),
    Kind("workbench", 5, cases.add_workbench, WOODEN, 0.2),
    Kind("picnic table", 5, _picnic, WOODEN, 0.08),
    Kind("parsons table", 6, _parsons, WOODEN, 0.1),
    Kind("cross-leg table", 6, _cross, NO_STONE, 0.3),
    Kind("hairpin table", 6, _hairpin, NO_STONE, 0.75),
    Kind("side table", 8, _side),
)
"""All types."""
