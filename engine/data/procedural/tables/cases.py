"""Tables with cases under them: desks, nightstands, workbenches."""

from __future__ import annotations

from engine.data.procedural.builder import Builder
from engine.data.procedural.tables import fittings, legs
from engine.data.procedural.tables.design import Design
from engine.data.procedural.tables.fittings import BOARD
from engine.data.procedural.tables.outline import Outline


def add_desk(d: Design, mesh: Builder) -> None:
    """A desk: cases with drawers on one or both sides, a rear panel between and behind them."""
    o = Outline(d.pick(rectangular=85, rounded=15), d.between(0.55, 0.85), d.between(0.3, 0.4))
    height, thick = d.between(0.72, 0.78), d.between(0.03, 0.05)
    under = d.add_top(mesh, o, height, thick)
    a, b = (o.a - 0.03, o.b - 0.03) if o.straight else (o.a - 0.08, o.b - 0.04)
    wide = min(d.between(0.3, 0.42), 0.62 * a)
    style = d.pick(two=45, one=40, none=15)
    floor = 0.0 if d.chance(0.5) else d.between(0.08, 0.3)
    sides = {"two": (-1, 1), "one": (1,) if d.chance(0.5) else (-1,), "none": ()}[style]
    count = int(d.noise.integers(2, 5)) if floor < 0.15 else int(d.noise.integers(1, 4))
    for side in sides:
        x = (a - wide, a) if side > 0 else (-a, wide - a)
        mesh.box((x[0], BOARD - b, floor), (x[1], b, under), d.frame.rgb, "cabinet")
        d.fronts.stack(mesh, x, b, (floor + 0.01, under - 0.005), count)
    d.drawers = count * len(sides)
    _desk_legs(d, mesh, (a, b), under, sides, floor)
    panel = under - d.between(0.35, 0.85) * (under - floor)
    fittings.add_rear_panel(
        mesh, (-a + 0.004, a - 0.004), -b, (panel, under), d.frame.rgb, d.hidden
    )
    if style == "none" or d.chance(0.4):
        left, right = -a + (wide if -1 in sides else 0.07), a - (wide if 1 in sides else 0.07)
        mesh.box((left, b - 0.3, under - 0.1), (right, b - 0.012, under), d.frame.rgb, "apron")
        row = 2 if right - left > 0.7 else 1
        d.fronts.row(mesh, (left, right), b - 0.012, (under - 0.095, under - 0.005), row)
        d.drawers += row
    if d.chance(0.25):
        d.decorate(mesh, o, height, d.pick(a_laptop=4, books=3, a_lamp=3))


def _desk_legs(
    d: Design,
    mesh: Builder,
    half: tuple[float, float],
    under: float,
    sides: tuple[int, ...],
    floor: float,
) -> None:
    """Legs or slabs on the sides of a desk that have no case on the floor."""
    a, b = half
    free = [side for side in (-1, 1) if side not in sides]
    style = d.pick(slab=4, square=5)
    wide = d.between(0.04, 0.06)
    for side in free:
        x = sorted((side * a, side * (a - wide)))
        if style == "slab":
            mesh.box((x[0], BOARD - b, 0), (x[1], b, under), d.frame.rgb, "leg")
            continue
        for y in (BOARD - b, b - wide):
            mesh.box((x[0], y, 0), (x[1], y + wide, under), d.frame.rgb, "leg")
    if floor > 0:
        for side in sides:
            x = sorted((side * a, side * (a - wide)))
            for y in (BOARD - b, b - wide):
                mesh.box(
                    (x[0] + 0.003, y, 0),
                    (x[1] - 0.003, y + wide - 0.003, floor + 0.01),
                    d.frame.rgb,
                    "leg",
                )
    names = {0: "drawer cases", 1: f"drawer case and {style} legs", 2: f"{style} legs"}
    d.legs = (
        names[len(free)] if style == "square" or len(free) != 1 else "drawer case and slab side"
    )


def add_nightstand(d: Design, mesh: Builder) -> None:
    """A nightstand: a small case with drawers, perhaps an open compartment, on legs."""
    a, b, height = d.between(0.2, 0.28), d.between(0.18, 0.24), d.between(0.46, 0.66)
    o, thick = Outline("rectangular", a, b), d.between(0.03, 0.04)
    under = d.add_top(mesh, o, height, thick)
    a, b = a - 0.02, b - 0.02
    floor = d.pick(feet=4, legs=4, floor=2)
    low = {"feet": d.between(0.06, 0.12), "legs": d.between(0.45, 0.62) * under, "floor": 0.0}[
        floor
    ]
    mesh.box((-a, BOARD - b, low), (a, b, under), d.frame.rgb, "cabinet")
    fittings.add_rear_panel(
        mesh, (-a + 0.004, a - 0.004), -b, (low, under), d.frame.rgb, d.hidden, "cabinet"
    )
    count = 1 if floor == "legs" else int(d.noise.integers(1, 4))
    bottom = low + 0.012
    if floor != "legs" and count < 3 and d.chance(0.5):
        middle = low + (under - low) * d.between(0.4, 0.55)
        mesh.box(
            (0.02 - a, b, low + 0.02),
            (a - 0.02, b + 0.004, middle - 0.01),
            (0.06, 0.055, 0.05),
            "cabinet",
        )
        bottom = middle + 0.01
        d.extras.append("an open compartment")
    d.fronts.stack(mesh, (-a, a), b, (bottom, under - 0.008), count)
    d.drawers = count
    d.legs = "closed case"
    if floor != "floor":
        style = d.pick(square=3, tapered=4, round=2)
        leg = d.between(0.035, 0.045)
        spots = [(a - leg / 2, leg / 2 + BOARD - b), (a - leg / 2, b - leg / 2)]
        legs.add_legs(mesh, style, spots, low + 0.005, leg, d.frame.rgb, d.tip)
        d.legs = f"{style} legs" if floor == "legs" else f"short {style} feet"
        if floor == "legs" and d.chance(0.4):
            d.add_shelf(mesh, (a - 0.006, b - BOARD - 0.006), d.between(0.1, 0.18))
    if d.chance(0.3):
        d.decorate(
            mesh, Outline("rectangular", 0.2, 0.2), height, d.pick(a_lamp=5, books=2, a_vase=2)
        )


def add_workbench(d: Design, mesh: Builder) -> None:
    """A workbench: a thick top on heavy legs, perhaps with drawers, a vise, a tool board."""
    o = Outline("rectangular", d.between(0.6, 0.9), d.between(0.3, 0.37))
    height, thick, leg = d.between(0.84, 0.94), d.between(0.06, 0.1), d.between(0.08, 0.11)
    under = d.add_top(mesh, o, height, thick)
    a, b = o.a - 0.05, o.b - 0.03
    apron = d.between(0.1, 0.16)
    rear = under - d.between(0.2, 0.5) * under
    fittings.add_panels(
        mesh, (a, b), leg - 0.01, (under - apron, under), rear, d.frame.rgb, d.hidden
    )
    x, y = a - leg / 2 + 0.01, b - leg / 2 + 0.01
    legs.add_legs(mesh, "square", [(x, -y), (x, y)], under, leg, d.frame.rgb)
    d.legs = "heavy square legs"
    if d.chance(0.7):
        d.add_shelf(mesh, (a - 0.012, b - 0.012), d.between(0.16, 0.26))
    if d.chance(0.5):
        d.drawers = int(d.noise.integers(2, 4))
        reach = a - leg
        d.fronts.row(mesh, (-reach, reach), b, (under - apron + 0.01, under - 0.01), d.drawers)
    if d.chance(0.4):
        board = d.second if d.chance(0.5) else d.frame.rgb
        top = height + d.between(0.2, 0.42)
        mesh.box((-o.a, -o.b, height), (o.a, -o.b + 0.035, top), board, "shelf")
        d.extras.append("a tool board")
    if d.chance(0.4):
        side = -1 if d.chance(0.5) else 1
        colour = ((0.16, 0.32, 0.55), (0.30, 0.31, 0.33), (0.55, 0.10, 0.10))[d.noise.integers(3)]
        fittings.add_vise(mesh, (side * o.a * 0.6, o.b, under - 0.02), colour)
        d.extras.append("a vise")
