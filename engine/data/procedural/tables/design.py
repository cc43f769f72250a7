"""The choices that make one table, and what all types share: top, apron, cloth, things on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.procedural.builder import Builder, Number
from engine.data.procedural.paint import Colour, pick_paint, shade
from engine.data.procedural.tables import fittings, legs, materials
from engine.data.procedural.tables.fittings import BOARD, Fronts
from engine.data.procedural.tables.materials import Finish
from engine.data.procedural.tables.outline import Outline, add_prism
from engine.data.procedural.tables.patterns import add_slab, pick_pattern, plain, planks

LEAVES = (0.16, 0.42, 0.14)
HANDLES: tuple[Colour, ...] = (
    (0.76, 0.60, 0.26),
    (0.68, 0.69, 0.72),
    (0.08, 0.08, 0.09),
    (0.92, 0.91, 0.88),
)


class Design:
    """One table's choices; the types in `kinds` use them to add geometry.

    Attributes:
        noise: Source of randomness.
        hidden_name: The hidden factor: colour of the rear panel's field, or "none" where it is
            the frame's.
        top: Finish of the top, or of the cloth that covers it.
        frame: Finish of its supports.
        second: A colour unlike the top's, for patterns.
        fronts: Appearance of its drawers.
        tip: Colour of its feet, if another than the frame's.
        pattern: Pattern of the top, "plain" for none.
        shape: Shape of the top.
        legs: Its supports, in words.
        drawers: Number of its drawers.
        extras: Its extras, in words.
    """

    def __init__(
        self,
        noise: np.random.Generator,
        top_materials: tuple[str, ...],
        metal: float,
    ):
        self.noise = noise
        self.hidden_name, hidden = materials.HIDDEN[noise.integers(len(materials.HIDDEN))]
        self.top = materials.pick_top(noise, top_materials)
        self.frame = materials.pick_frame(noise, self.top, metal)
        self.hidden: Colour = self.frame.rgb if hidden is None else hidden
        self.second = self._second()
        self.fronts = self._fronts()
        self.tip = self.fronts.handle if self.chance(0.12) else None
        self.pattern, self.shape, self.legs = "plain", "rectangular", "square legs"
        self.drawers = 0
        self.extras: list[str] = []

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.noise.uniform() < probability)

    def between(self, low: float, high: float) -> float:
        """A number between two others."""
        return float(self.noise.uniform(low, high))

    def pick(self, **weights: Number | int) -> str:
        """One of the names (underscores stand for spaces), by weight."""
        share = np.array(list(weights.values()), float)
        name = list(weights)[self.noise.choice(len(share), p=share / share.sum())]
        return name.replace("_", " ")

    def _second(self) -> Colour:
        """For patterns: another wood on wood, or a contrasting paint."""
        if self.top.material == "wood" and self.chance(0.5):
            tone = sum(self.top.rgb)
            return shade(self.top.rgb, 0.42 if tone > 1.2 else 1.9)
        return materials.contrasting(self.noise, self.top.rgb)

    def _fronts(self) -> Fronts:
        draw = self.noise.uniform()
        rgb = self.frame.rgb if draw < 0.4 else shade(self.frame.rgb, 0.8)
        if draw > 0.6:
            rgb = self.top.rgb if draw < 0.75 else pick_paint(self.noise)[1]
        handles = [h for h in HANDLES if np.linalg.norm(np.subtract(h, rgb)) > 0.35]
        handle = handles[self.noise.integers(len(handles))]
        return Fronts(rgb, handle, self.pick(knob=4, bar=4, cup=2))

    def add_top(self, mesh: Builder, outline: Outline, height: float, thick: float) -> float:
        """Adds the top with its pattern, and perhaps a cloth and things on it.

        Args:
            mesh: Builder to add to.
            outline: Shape.
            height: Height of the table, metres.
            thick: Thickness of the top, metres.

        Returns:
            Height of its underside.
        """
        self.shape = outline.shape
        pattern = pick_pattern(self.noise, outline, self.top.rgb, self.second, self.top.material)
        edge = shade(self.top.rgb, 0.86)
        if self.chance(0.14):
            edge = self.second
            self.extras.append("a contrasting edge")
        bevel = self.between(0.008, 0.02) if self.chance(0.25) else 0.0
        self.pattern = pattern.name
        add_slab(mesh, outline, (height - thick, height), pattern, edge, "top", bevel)
        return height - thick

    def add_plank_top(self, mesh: Builder, outline: Outline, height: float, thick: float) -> None:
        """Adds a top of boards."""
        self.pattern = "plank"
        pattern = planks(outline, self.top.rgb, self.noise)
        edge = shade(self.top.rgb, 0.86)
        add_slab(mesh, outline, (height - thick, height), pattern, edge, "top")

    def dress(self, mesh: Builder, outline: Outline, height: float, likely: float = 1.0) -> None:
        """Perhaps lays a cloth or a runner, and perhaps puts something on the table."""
        draw = self.noise.uniform() / likely
        name, colour = pick_paint(self.noise)
        rim = materials.contrasting(self.noise, colour) if self.chance(0.5) else colour
        level = height
        if draw < 0.09:
            drop = self.between(0.14, 0.24)
            fittings.add_cloth(
                mesh, outline, (height - drop, height), colour, rim, self._on(colour)
            )
            self.extras.append("a tablecloth")
            self.top, self.pattern = Finish(name, colour, "cloth"), "plain"
            level = height + 0.012
        elif draw < 0.17 and outline.straight:
            half = self.between(0.24, 0.4) * outline.b
            fittings.add_runner(mesh, outline, height, half, self.between(0.1, 0.2), colour, rim)
            self.extras.append("a runner")
            level = height + 0.012
        if self.chance(0.14 * likely):
            self.decorate(mesh, outline, level)

    def _on(self, rgb: Colour) -> Colour:
        """The hidden factor's colour on something of another colour than the frame."""
        return rgb if self.hidden_name == "none" else self.hidden

    def decorate(
        self, mesh: Builder, outline: Outline, level: float, kind: str | None = None
    ) -> None:
        """Puts something on the table."""
        kind = kind or self.pick(a_vase=3, a_fruit_bowl=3, books=3)
        room = max(outline.a - 0.25, 0.0)
        y = self.between(-0.2, 0.2) * outline.b
        spot = (self.between(-1.0, 1.0) * room * 0.7, y, level)
        first, other = pick_paint(self.noise)[1], pick_paint(self.noise)[1]
        if kind == "a vase":
            fittings.add_vase(mesh, spot, first, LEAVES if self.chance(0.5) else other)
        elif kind == "a fruit bowl":
            fittings.add_bowl(mesh, spot, first, other)
        elif kind == "books":
            count = int(self.noise.integers(2, 5))
            colours = [pick_paint(self.noise)[1] for _ in range(count)]
            fittings.add_books(mesh, spot, colours)
        elif kind == "a lamp":
            fittings.add_lamp(mesh, spot, first, other)
        else:
            fittings.add_laptop(mesh, spot, (0.3, 0.31, 0.33), (0.35, 0.6, 0.85))
        self.extras.append(kind)

    def add_frame(
        self,
        mesh: Builder,
        outline: Outline,
        under: float,
        inset: float,
        apron: float,
        thick: float,
    ) -> tuple[float, float]:
        """Adds an apron under the top, with the hidden factor on its rear.

        Args:
            mesh: Builder to add to.
            outline: Outline of the top.
            under: Height of the top's underside, metres.
            inset: Distance of the apron inside the outline.
            apron: Its height.
            thick: Width of the legs it leaves room for.

        Returns:
            Half the size of the frame in x and y.
        """
        inner = outline.scaled(inset)
        if not outline.straight:
            span = (under - apron, under)
            add_prism(mesh, inner, span, self.frame.rgb, "apron", self.hidden)
            return inner.a, inner.b
        a, b = inner.a, inner.b
        low = under - apron
        rear = under - apron * self.between(1.0, 1.9)
        gap = thick - 0.01
        fittings.add_panels(mesh, (a, b), gap, (low, under), rear, self.frame.rgb, self.hidden)
        return a, b

    def corner_spots(
        self, outline: Outline, half: tuple[float, float], thick: float
    ) -> list[legs.Spot]:
        """Positions of four legs: at the corners, or on the diagonals of a round frame."""
        a, b = half
        if outline.straight:
            x, y = a - thick / 2 + 0.01, b - thick / 2 + 0.01
        elif outline.shape == "rounded":
            x, y = a * 0.86 - thick / 2, b * 0.86 - thick / 2
        elif outline.shape == "half-round":
            x, y = a * 0.72 - thick / 2, b * 0.8
            return [(x, -y), (x * 0.62, y * 0.45)]
        else:
            x, y = a * 0.68 - thick / 2, b * 0.68 - thick / 2
        return [(x, -y), (x, y)]

    def add_shelf(self, mesh: Builder, half: tuple[float, float], z: float) -> None:
        """A board between the legs."""
        rgb = self.top.rgb if self.chance(0.4) else self.frame.rgb
        outline = Outline("rectangular", *half)
        pattern = planks(outline, rgb, self.noise) if self.chance(0.3) else plain(outline, rgb)
        add_slab(mesh, outline, (z - BOARD, z), pattern, shade(rgb, 0.9), "shelf")
        self.extras.append("a shelf")

    def attributes(self, kind: str) -> dict[str, Any]:
        """Attributes of the table, as plain JSON values."""
        return {
            "table_type": kind,
            "colour": self.top.name,
            "rgb": [round(float(value), 4) for value in self.top.rgb],
            "material": self.top.material,
            "frame_colour": self.frame.name,
            "frame_rgb": [round(float(value), 4) for value in self.frame.rgb],
            "frame_material": self.frame.material,
            "top": self.shape,
            "legs": self.legs,
            "drawers": self.drawers,
            "pattern": self.pattern,
            "extras": self.extras,
            "hidden": self.hidden_name,
        }
