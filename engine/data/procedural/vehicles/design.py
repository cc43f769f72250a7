"""The choices that make one vehicle: paint, equipment, load; and their geometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.procedural import paint
from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import BLACK, CHROME, PLASTIC, Colour
from engine.data.procedural.vehicles import cargo, parts, shapes
from engine.data.procedural.vehicles.body import Body, add_body
from engine.data.procedural.vehicles.cabin import Cabin, add_cabin


class Design:
    """One vehicle's choices; `build` makes them and adds their geometry."""

    def __init__(self, kind: str, noise: np.random.Generator):
        self.kind = kind
        self.noise = noise
        self.extras: list[str] = []
        self.colour_name, self.colour = paint.pick_paint(noise)
        self.second_name, self.second = paint.pick_paint(noise, avoid=self.colour_name)
        self.glass = paint.pick_glass(noise)
        self.rim = paint.RIMS[noise.choice(len(paint.RIMS), p=[0.4, 0.25, 0.15, 0.14, 0.06])]
        self.spokes = int(noise.choice([0, 5, 6, 8, 10]))
        self.pillar = BLACK if noise.uniform() < 0.6 else self.colour
        self.roof, self.lower = self.colour, self.colour

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.noise.uniform() < probability)

    def build(self, mesh: Builder) -> dict[str, Any]:
        """Adds the whole vehicle; returns its attributes."""
        self._two_tone()
        maker = {"van": self._van, "pickup": self._pickup, "bus": self._bus}
        maker |= {"box truck": self._truck, "tanker": self._truck}
        body, _ = maker.get(self.kind, self._car)(mesh)
        low, high = self.noise.uniform(0.6, 0.64), self.noise.uniform(0.68, 0.74)
        share = low if self.kind in ("bus", "box truck", "tanker", "off-roader") else high
        for axle in body.axles:
            if abs(axle) < body.half:
                outer = body.width / 2 - 0.025
                parts.add_wheel(
                    mesh, outer, axle, body.wheel, 0.62 * body.wheel, self.rim, self.spokes, share
                )
        return {
            "body_type": self.kind,
            "colour": self.colour_name,
            "rgb": [round(float(value), 4) for value in self.colour],
            "roof_rgb": [round(float(value), 4) for value in self.roof],
            "second_colour": self.second_name,
            "extras": self.extras,
        }

    def _two_tone(self) -> None:
        draw = self.noise.uniform()
        utility = self.kind in ("SUV", "off-roader", "pickup")
        if draw < 0.16:
            dark = self.chance(0.5) and self.colour_name != "black"
            light = not dark and self.chance(0.5)
            self.roof = BLACK if dark else (0.9, 0.9, 0.89) if light else self.second
            self.extras.append("two-tone roof")
        if self.chance(0.65 if utility else 0.15):
            self.lower = PLASTIC
            self.extras.append("dark sills")

    def _shell(self, mesh: Builder, body: Body, cabin: Cabin) -> None:
        add_body(mesh, body, self.colour, self.lower)
        colours = {
            "paint": self.colour,
            "roof": self.roof,
            "glass": self.glass,
            "pillar": self.pillar,
        }
        add_cabin(mesh, body, cabin, **colours)

    def _face(self, mesh: Builder, body: Body) -> None:
        """Lamps, grille, bumpers and plates."""
        span = body.nose - body.nose_drop[1] - body.sill
        u = self.noise.uniform
        top = body.sill + span * u(0.88, 0.95)
        low = top - span * u(0.18, 0.28)
        inner, wrap = u(0.5, 0.64), u(0.15, 0.5)
        parts.add_lamps(mesh, body, False, (low, top), inner, wrap, paint.LAMP, u(0.0, 0.06) * span)
        edge = float(body.half_width(body.half))
        grille = self.noise.choice(["wide", "tall", "slim", "none"], p=[0.34, 0.2, 0.22, 0.24])
        if grille == "wide":
            self._grille(mesh, body, edge * (inner - 0.05), low, top)
        elif grille == "tall":
            self._grille(mesh, body, edge * u(0.34, 0.46), body.sill + span * 0.36, top)
        elif grille == "slim":
            self._grille(mesh, body, edge * (inner - 0.04), top - span * 0.1, top)
        bumper = self.noise.choice(["painted", "black", "chrome"], p=[0.62, 0.26, 0.12])
        intake = (body.sill + span * 0.12, body.sill + span * u(0.24, 0.32))
        if bumper == "painted":
            parts.front_patch(mesh, body, (-edge * 0.68, edge * 0.68), intake, BLACK, "trim", False)
        else:
            self._bumper(mesh, body, span, PLASTIC if bumper == "black" else CHROME)
        parts.add_plate(mesh, body, body.sill + span * 0.42, False, (0.88, 0.88, 0.85))
        if self.kind not in ("box truck", "tanker"):
            self._tail(mesh, body)

    def _grille(self, mesh: Builder, body: Body, half: float, low: float, high: float) -> None:
        if self.chance(0.3):
            frame = (-half - 0.04, half + 0.04)
            parts.front_patch(mesh, body, frame, (low - 0.03, high + 0.03), CHROME, "trim", False)
            points = parts.face_grid(body.front_point, (-half, half), (low, high))
            points[..., 1] += parts.SKIN
            mesh.grid(points, BLACK, "trim")
        else:
            parts.front_patch(mesh, body, (-half, half), (low, high), BLACK, "trim", False)

    def _bumper(self, mesh: Builder, body: Body, span: float, rgb: Colour) -> None:
        low, high = body.sill + span * 0.1, body.sill + span * 0.36
        for end, patch in ((1, parts.front_patch), (-1, parts.rear_patch)):
            edge = float(body.half_width(end * body.half))
            patch(mesh, body, (-edge, edge), (low + 0.05, high), rgb, "trim", False)
            tip = end * (body.half - 0.42)
            parts.side_patch(mesh, body, (end * body.half, tip), (low + 0.05, high), rgb, "trim", 8)

    def _tail(self, mesh: Builder, body: Body) -> None:
        u = self.noise.uniform
        span = body.tail - body.sill
        top = body.sill + span * u(0.8, 0.88)
        red = paint.DARK_TAIL if "red" in self.colour_name else paint.TAIL
        style = self.noise.choice(["block", "wide", "bar"], p=[0.5, 0.32, 0.18])
        height = {"block": u(0.2, 0.32), "wide": u(0.14, 0.2), "bar": u(0.1, 0.14)}[style] * span
        inner = {"block": u(0.66, 0.78), "wide": u(0.45, 0.58), "bar": 0.4}[style]
        parts.add_lamps(mesh, body, True, (top - height, top), inner, u(0.1, 0.3), red)
        if style == "bar":
            edge = float(body.half_width(-body.half)) * inner
            band = (top - height * 0.75, top - height * 0.25)
            parts.rear_patch(mesh, body, (-edge, edge), band, red, "taillight", False)
        parts.add_plate(mesh, body, body.sill + span * 0.5, True, (0.88, 0.88, 0.85))

    def _car(self, mesh: Builder) -> tuple[Body, Cabin]:
        kind = self.kind
        body, cabin = shapes.car_shape(kind, self.noise)
        service = self.noise.uniform() if kind in ("sedan", "estate", "SUV", "hatchback") else 1.0
        if service < 0.05:
            self.colour_name, self.colour = "white", (0.9, 0.9, 0.89)
            self.roof = self.lower = self.pillar = self.colour
            self.extras = ["police light bar"]
        elif service < 0.1:
            name, rgb = [("yellow", (0.93, 0.72, 0.08)), ("black", (0.09, 0.09, 0.1))][
                self.chance(0.3)
            ]
            self.colour_name, self.colour = name, rgb
            self.roof = self.lower = self.pillar = self.colour
            self.extras = ["taxi sign"]
        self._shell(mesh, body, cabin)
        self._face(mesh, body)
        handles = CHROME if self.chance(0.4) else paint.shade(self.colour, 0.75)
        edges = [cabin.front - cabin.bow_front - 0.12]
        edges += [_door_edge(body, cabin, end) for _, end in cabin.windows[:2]]
        if len(edges) == 3 and edges[2] < body.axles[1]:
            edges[2] = body.axles[1] + body.arch * 0.6
        parts.add_doors(mesh, body, tuple(edges), paint.shade(self.colour, 0.5), handles)
        parts.add_mirrors(mesh, body, cabin, self.colour if self.chance(0.7) else BLACK)
        self._car_extras(mesh, body, cabin, service)
        return body, cabin

    def _car_extras(self, mesh: Builder, body: Body, cabin: Cabin, service: float) -> None:
        sporty = self.kind == "coupe"
        if service < 0.05:
            parts.add_police_bar(mesh, body, cabin)
            self._side_stripe(mesh, body, (0.08, 0.2, 0.62))
        elif service < 0.1:
            parts.add_taxi_sign(mesh, body, cabin, (0.95, 0.86, 0.3))
        elif self.kind in ("estate", "SUV", "off-roader") and self.chance(0.5):
            parts.add_roof_rails(mesh, body, cabin, CHROME if self.chance(0.4) else BLACK)
            self.extras.append("roof rails")
        elif self.kind in ("estate", "SUV", "hatchback", "off-roader") and self.chance(0.12):
            parts.add_roof_box(mesh, body, cabin, BLACK if self.chance(0.6) else (0.75, 0.75, 0.76))
            self.extras.append("roof box")
        if sporty and self.chance(0.45):
            parts.add_wing(
                mesh,
                body,
                self.colour if self.chance(0.5) else BLACK,
                self.noise.uniform(0.08, 0.2),
            )
            self.extras.append("rear wing")
        elif self.kind == "sedan" and self.chance(0.15):
            parts.add_wing(mesh, body, self.colour, 0.0)
            self.extras.append("boot lip")
        elif self.kind in ("hatchback", "SUV", "estate") and self.chance(0.5):
            parts.add_roof_spoiler(mesh, body, cabin, self.roof)
        if service > 0.1 and self.chance(0.3 if sporty else 0.06):
            rgb = (
                (0.9, 0.9, 0.89)
                if self.colour_name not in ("white", "silver", "beige")
                else self.second
            )
            bands = ((-0.34, -0.08), (0.08, 0.34)) if self.chance(0.6) else ((-0.22, 0.22),)
            parts.add_deck_stripes(mesh, body, cabin, bands, rgb)
            self.extras.append("racing stripes")
        elif service > 0.1 and self.chance(0.06):
            self._side_stripe(mesh, body, self.second)

    def _side_stripe(self, mesh: Builder, body: Body, rgb: Colour) -> None:
        """A stripe above the wheel arches."""
        low = max(body.wheel + body.arch + 0.015, body.sill + 0.62 * (body.cowl[1] - body.sill))
        high = min(low + 0.11, body.nose - body.nose_drop[1])
        if high - low > 0.04:
            span = (body.half - 0.35, -body.half + 0.25)
            parts.side_patch(mesh, body, span, (low, high), rgb, "body", 16)
            self.extras.append("side stripe")

    def _van(self, mesh: Builder) -> tuple[Body, Cabin]:
        panel = self.chance(0.5)
        body, cabin = shapes.van_shape(self.noise, panel)
        self.extras.append("closed sides" if panel else "side windows")
        self._shell(mesh, body, cabin)
        self._face(mesh, body)
        edges = (cabin.front - cabin.bow_front - 0.1, _door_edge(body, cabin, 0.29))
        parts.add_doors(mesh, body, edges, paint.shade(self.colour, 0.5), BLACK)
        parts.add_mirrors(mesh, body, cabin, BLACK if self.chance(0.6) else self.colour, 1.25)
        if panel and self.chance(0.45):
            s = np.linspace(0.36, 0.9, 6)[:, None]
            t = np.linspace(0.28, 0.62, 3)[None]
            mesh.grid(cabin.side_point(body, s, t, parts.SKIN), self.second, "body", mirror=True)
            self.extras.append("sign on the side")
        elif self.chance(0.3):
            self._side_stripe(mesh, body, self.second)
        if self.chance(0.2):
            parts.add_roof_rails(mesh, body, cabin, BLACK)
            self.extras.append("roof rails")
        return body, cabin

    def _pickup(self, mesh: Builder) -> tuple[Body, Cabin]:
        body, cabin = shapes.pickup_shape(self.noise)
        self._shell(mesh, body, cabin)
        self._face(mesh, body)
        edges = [cabin.front - cabin.bow_front - 0.12]
        edges += [_door_edge(body, cabin, end) for _, end in cabin.windows]
        parts.add_doors(mesh, body, tuple(edges), paint.shade(self.colour, 0.5), BLACK)
        parts.add_mirrors(mesh, body, cabin, BLACK if self.chance(0.5) else self.colour, 1.2)
        load = cargo.add_bed_load(mesh, body, self.noise)
        if load is not None:
            self.extras.append(load)
        if load is None and self.chance(0.4):
            self._roll_bar(mesh, body, cabin)
        return body, cabin

    def _roll_bar(self, mesh: Builder, body: Body, cabin: Cabin) -> None:
        y, x, top = body.bed[0] - 0.1, body.width / 2 - 0.2, cabin.height - 0.06
        low = float(body.deck(y)) - 0.05
        rgb = CHROME if self.chance(0.5) else BLACK
        mesh.box((x - 0.09, y - 0.05, low), (x, y + 0.05, top), rgb, "trim", mirror=True)
        mesh.box((-x, y - 0.05, top - 0.08), (x, y + 0.05, top), rgb, "trim")
        self.extras.append("roll bar")

    def _bus(self, mesh: Builder) -> tuple[Body, Cabin]:
        body, cabin = shapes.bus_shape(self.noise)
        if self.colour_name in ("white", "silver", "grey") and self.chance(0.5):
            self.colour_name, self.second_name = self.second_name, self.colour_name
            self.colour, self.second = self.second, self.colour
            self.roof = self.colour if self.chance(0.5) else self.second
        self.pillar = BLACK if self.chance(0.5) else self.colour
        self.lower = self.colour
        self._shell(mesh, body, cabin)
        self._face(mesh, body)
        if self.chance(0.5):
            low = max(body.wheel + body.arch + 0.02, body.cowl[1] - 0.3)
            high = min(low + 0.18, body.cowl[1] - 0.03)
            if high - low > 0.05:
                span = (body.half - 0.02, -body.half + 0.02)
                parts.side_patch(mesh, body, span, (low, high), self.second, "body", 14)
                self.extras.append("side stripe")
        y = np.linspace(body.half - 0.35, body.half - 1.25, 3)[:, None]
        z = np.linspace(body.sill + 0.12, body.cowl[1] + 0.02, 3)[None]
        mesh.grid(body.side_point(y, z, parts.SKIN * 1.5), self.glass, "glass")
        mesh.rounded_box(
            (-0.75, -1.3, cabin.height), (0.75, 0.6, cabin.height + 0.3), 0.1, self.roof, "roof"
        )
        parts.add_mirrors(mesh, body, cabin, BLACK, 1.6)
        self.extras.append(f"{len(cabin.windows)} side windows")
        return body, cabin

    def _truck(self, mesh: Builder) -> tuple[Body, Cabin]:
        body, cabin = shapes.truck_cab_shape(self.noise)
        u = self.noise.uniform
        self._shell(mesh, body, cabin)
        self._face(mesh, body)
        parts.add_mirrors(mesh, body, cabin, BLACK, 1.7)
        edges = (cabin.front - cabin.bow_front - 0.1, -body.half + 0.2)
        parts.add_doors(mesh, body, edges, paint.shade(self.colour, 0.5), BLACK)
        tail = -body.half - u(3.2, 4.6)
        last = tail + u(0.9, 1.2)
        axles = (last, last + 2.25 * body.wheel) if self.chance(0.45) else (last,)
        cargo.add_chassis(mesh, body, tail, axles, self.rim, self.spokes)
        light = [(0.9, 0.9, 0.89), (0.74, 0.75, 0.77)][self.chance(0.4)]
        load = light if self.chance(0.5) else self.second
        stripe = (
            (self.colour if self.chance(0.6) else (0.8, 0.1, 0.1)) if self.chance(0.5) else None
        )
        if self.kind == "tanker":
            cargo.add_tank(mesh, body, tail, cabin.height + u(-0.15, 0.1), load, stripe)
        else:
            cargo.add_box(mesh, body, tail, cabin.height + u(0.2, 0.7), load, stripe)
        if stripe is not None:
            self.extras.append("stripe on the load")
        self.extras.append(f"{len(axles)} rear axles" if len(axles) > 1 else "one rear axle")
        return body, cabin


def _door_edge(body: Body, cabin: Cabin, s: float) -> float:
    """Y of the door gap below the side windows' position `s`."""
    return float(cabin.base(body, np.array([s + 0.02]))[0, 1])
