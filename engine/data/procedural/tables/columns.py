"""Tables on columns: one for round ones and bar tables, two for long ones."""

from __future__ import annotations

from engine.data.procedural.builder import Builder
from engine.data.procedural.tables import legs
from engine.data.procedural.tables.design import Design
from engine.data.procedural.tables.outline import Outline, add_prism


def add_pedestal(d: Design, mesh: Builder) -> None:
    """A table on one column."""
    shape = d.pick(round=52, oval=14, octagonal=14, square=14, hexagonal=6)
    a = d.between(0.45, 0.68)
    b = a * d.between(0.7, 0.82) if shape in ("oval", "hexagonal") else a
    o, height = Outline(shape, a, b), d.between(0.71, 0.78)
    _on_column(d, mesh, o, height, 0.8)
    d.dress(mesh, o, height, 1.0)


def add_bar_table(d: Design, mesh: Builder) -> None:
    """A high, small table on one column."""
    shape = d.pick(round=60, square=25, octagonal=15)
    a = d.between(0.32, 0.42)
    _on_column(d, mesh, Outline(shape, a, a), d.between(0.98, 1.1), 0.75)


def _on_column(d: Design, mesh: Builder, o: Outline, height: float, reach: float) -> None:
    """A top with a solid apron on one column; the foot reaches `reach` of the top's half size."""
    thick, apron = d.between(0.03, 0.055), d.between(0.06, 0.13)
    under = d.add_top(mesh, o, height, thick)
    inset = d.between(0.03, 0.07)
    add_prism(mesh, o.scaled(inset), (under - apron, under), d.frame.rgb, "apron", d.hidden)
    foot = d.pick(disc=5, cross=4, plate=2, claws=4)
    column = d.pick(round=4, square=3, cone=3, turned=5, hourglass=1.5)
    if foot in ("cross", "plate") and column == "turned" and d.chance(0.5):
        column = "square"
    level = d.between(0.05, 0.09)
    far = d.between(reach - 0.15, reach)
    legs.add_foot(mesh, foot, 0.0, (o.a * far, o.b * far), level, d.frame.rgb)
    radius = d.between(0.05, 0.085)
    legs.add_column(mesh, column, 0.0, (level * 0.3, under - apron + 0.01), radius, d.frame.rgb)
    d.legs = f"{column} column on a {foot}" if foot != "claws" else f"{column} column on four feet"


def add_double(d: Design, mesh: Builder) -> None:
    """A long table on two columns."""
    shape = d.pick(rectangular=40, oval=30, rounded=30)
    o = Outline(shape, d.between(0.8, 1.05), d.between(0.45, 0.54))
    height, thick, apron = d.between(0.73, 0.78), d.between(0.035, 0.055), d.between(0.07, 0.11)
    under = d.add_top(mesh, o, height, thick)
    add_prism(
        mesh,
        o.scaled(d.between(0.04, 0.08)),
        (under - apron, under),
        d.frame.rgb,
        "apron",
        d.hidden,
    )
    x, level = o.a * d.between(0.46, 0.56), d.between(0.06, 0.09)
    foot = d.pick(cross=3, bar=5, disc=2, claws=3)
    legs.add_foot(mesh, foot, x, (0.22, o.b * d.between(0.62, 0.8)), level, d.frame.rgb)
    column = d.pick(round=3, square=4, turned=5)
    legs.add_column(
        mesh, column, x, (level * 0.3, under - apron + 0.01), d.between(0.05, 0.08), d.frame.rgb
    )
    if d.chance(0.5):
        low = d.between(0.1, 0.3)
        mesh.box((-x, -0.025, low), (x, 0.025, low + 0.07), d.frame.rgb, "stretcher")
        d.extras.append("a stretcher")
    d.legs = f"twin {column} columns"
    d.dress(mesh, o, height, 1.1)
