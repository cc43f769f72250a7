"""The lower body: a loft along the vehicle with wheel wells, rounded shoulders and curved ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import Colour
from engine.data.procedural.vehicles.labels import PARTS

UNDER = (0.05, 0.05, 0.055)
"""Colour of the floor and of the wheel wells."""

Values = np.ndarray | float
"""One number or an array of them."""


def smoothstep(u: Values) -> Values:
    """Cubic ramp from 0 to 1, clamped."""
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


@dataclass(frozen=True)
class Body:
    """Shape of the lower body; metres, own length centred at y = 0.

    Attributes:
        length: Length from bumper to bumper.
        width: Without mirrors.
        sill: Height of the body's lower edge.
        wheel: Wheel radius.
        axles: y of each axle that has a wheel well.
        corner_front: Radius of the front corners seen from above.
        corner_rear: Radius of the rear corners.
        nose: Bonnet height at the nose, before rounding.
        cowl: (y, height) of the windscreen's base.
        back: (y, height) of the rear window's base.
        tail: Height of the deck at the tail.
        nose_drop: (length, depth) of the rounding of the bonnet's front edge.
        tail_drop: The same at the tail.
        crown: Rise of the deck in the middle.
        shoulder: Radius of the edge between side and deck.
        barrel: How much the sides lean in, above and below their widest height.
        bow_front: Distance by which the corners lie behind the middle of the nose.
        bow_rear: The same at the tail.
        rake_front: Distance by which the nose's upper and lower edges lie behind its foremost height.
        rake_rear: The same at the tail.
        bed: (y front, y rear, depth) of a pickup's bed.
    """

    length: float
    width: float
    sill: float
    wheel: float
    axles: tuple[float, ...]
    corner_front: float
    corner_rear: float
    nose: float
    cowl: tuple[float, float]
    back: tuple[float, float]
    tail: float
    nose_drop: tuple[float, float] = (0.25, 0.12)
    tail_drop: tuple[float, float] = (0.15, 0.06)
    crown: float = 0.05
    shoulder: float = 0.10
    barrel: float = 0.07
    bow_front: float = 0.16
    bow_rear: float = 0.10
    rake_front: float = 0.10
    rake_rear: float = 0.08
    bed: tuple[float, float, float] | None = None

    @property
    def half(self) -> float:
        """Half the length."""
        return self.length / 2

    @property
    def arch(self) -> float:
        """Radius of the wheel arches."""
        return self.wheel * 1.13

    def half_width(self, y: Values) -> Values:
        """Half width at `y`, corners rounded."""
        y = np.asarray(y, float)
        radius = np.where(y > 0, self.corner_front, self.corner_rear)
        u = np.clip(1 - (self.half - np.abs(y)) / (2.2 * radius), 0, 1)
        return self.width / 2 - radius * (1 - np.sqrt(np.maximum(1 - 0.94 * u * u, 0)))

    def deck(self, y: Values) -> Values:
        """Height of bonnet, belt and boot at the body's edge."""
        y = np.asarray(y, float)
        (cowl_y, cowl_z), (back_y, back_z) = self.cowl, self.back
        front = np.clip((y - cowl_y) / max(self.half - cowl_y, 1e-6), 0, 1)
        rear = np.clip((back_y - y) / max(back_y + self.half, 1e-6), 0, 1)
        belt = back_z + (cowl_z - back_z) * np.clip((y - back_y) / (cowl_y - back_y), 0, 1)
        height = belt - (cowl_z - self.nose) * front**1.8 - (back_z - self.tail) * rear**2
        for sign, (reach, depth) in ((1, self.nose_drop), (-1, self.tail_drop)):
            u = np.clip(1 - (self.half - sign * y) / reach, 0, 1)
            height = height - depth * (1 - np.sqrt(1 - np.minimum(u * u, 1)))
        return height

    def ends(self, y: Values) -> Values:
        """0 in the middle of the vehicle, 1 at its ends."""
        return smoothstep((np.abs(y) / self.half - 0.55) / 0.45)

    def lean(self, x: Values, z: Values) -> Values:
        """X after the sides' barrel shape."""
        middle = self.sill + 0.55 * (self.cowl[1] - self.sill)
        return x * (1 - self.barrel * ((z - middle) / (self.cowl[1] - self.sill)) ** 2)

    def warp(self, points: np.ndarray) -> np.ndarray:
        """Bends box-shaped points into the body's curved nose and tail."""
        x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
        foremost = self.sill + 0.45 * (self.nose - self.sill)
        level = ((z - foremost) / (self.nose - self.sill)) ** 2
        across = (np.abs(x) / (self.width / 2)) ** 2.3
        front = self.bow_front * across + self.rake_front * level
        rear = self.bow_rear * across + self.rake_rear * level
        return np.stack([x, y - self.ends(y) * np.where(y > 0, front, -rear), z], -1)

    def deck_point(self, x: Values, y: Values, offset: float = 0.0) -> np.ndarray:
        """Points of the deck's surface."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        edge = self.half_width(y) - self.shoulder
        z = self.deck(y) + self.crown * (1 - self.ends(y)) * (1 - (x / edge) ** 2) + offset
        return self.warp(np.stack([x, y, z], -1))

    def side_point(self, y: Values, z: Values, offset: float = 0.0) -> np.ndarray:
        """Points of the right side's surface."""
        y, z = np.broadcast_arrays(np.asarray(y, float), np.asarray(z, float))
        x = self.lean(self.half_width(y), z) + offset
        return self.warp(np.stack([x, y, z], -1))

    def front_point(self, x: Values, z: Values, offset: float = 0.0) -> np.ndarray:
        """Points of the nose's surface."""
        x, z = np.broadcast_arrays(np.asarray(x, float), np.asarray(z, float))
        points = self.warp(np.stack([x, np.full(x.shape, self.half), z], -1))
        points[..., 1] += offset
        return points

    def rear_point(self, x: Values, z: Values, offset: float = 0.0) -> np.ndarray:
        """Points of the tail's surface."""
        x, z = np.broadcast_arrays(np.asarray(x, float), np.asarray(z, float))
        points = self.warp(np.stack([x, np.full(x.shape, -self.half), z], -1))
        points[..., 1] -= offset
        return points

    def arch_height(self, y: Values) -> Values:
        """Lower edge of the side at `y`: the sill, or the wheel arch."""
        lift = self.sill + 0.06 * self.ends(y)
        for axle in self.axles:
            inside = np.maximum(self.arch**2 - (y - axle) ** 2, 0)
            lift = np.where(inside > 1e-9, np.maximum(lift, self.wheel + np.sqrt(inside)), lift)
        return lift

    def stations(self) -> np.ndarray:
        """Positions y of the cross sections, from tail to nose."""
        ends = np.array([0, 0.03, 0.09, 0.18, 0.3, 0.45])
        front = self.half - ends * 2.2 * self.corner_front
        rear = -self.half + ends * 2.2 * self.corner_rear
        turn = np.deg2rad([0.2, 12, 30, 50, 70, 90, 110, 130, 150, 168, 179.8])
        arches = [axle + self.arch * np.cos(turn) for axle in self.axles]
        lips = [axle + self.arch * np.array([-1.004, 1.004]) for axle in self.axles]
        between = np.linspace(-self.half, self.half, 11)[1:-1]
        bed = [] if self.bed is None else [np.add.outer(self.bed[:2], [-0.008, 0.008]).ravel()]
        marks = np.array([self.cowl[0], self.back[0]])
        fixed = np.concatenate([front, rear, *arches, *lips, *bed, marks])
        gap = np.abs(between[:, None] - fixed).min(1)
        y = np.concatenate([fixed, between[gap > 0.12]])
        return np.unique(np.round(np.clip(y, -self.half, self.half), 5))


def section(body: Body, y: np.ndarray) -> np.ndarray:
    """Right half of every cross section: floor, wheel well, side, shoulder, deck (stations, 13, 3)."""
    width, deck = body.half_width(y), body.deck(y)
    arch = body.arch_height(y)
    floor = body.sill + 0.06 * body.ends(y)
    well = np.minimum(width - 0.02, body.width / 2 - 0.62 * body.wheel)
    top = np.maximum(deck - body.shoulder, arch + 0.02)
    rounding = np.minimum(body.shoulder, deck - top)
    inner = width - body.shoulder
    rows = [(0 * y, floor), (well, floor), (well, arch)]
    for part in (0, 0.16, 0.5, 0.8, 1):
        z = arch + (top - arch) * part
        rows.append((body.lean(width, z), z))
    for angle in (40, 90):
        z = top + rounding * np.sin(np.deg2rad(angle))
        x = body.lean(width, z) - body.shoulder * (1 - np.cos(np.deg2rad(angle)))
        rows.append((x, z))
    rise = body.crown * (1 - body.ends(y))
    if body.bed is None:
        for part in (0.66, 0.33, 0):
            rows.append((inner * part, deck + rise * (1 - part**2)))
    else:
        front, rear, depth = body.bed
        bed = (y < front) & (y > rear)
        sunk = deck - np.where(bed, depth, -rise)
        rows.append(
            (np.where(bed, inner * 0.985, inner * 0.7), np.where(bed, deck, deck + rise * 0.5))
        )
        rows.append((np.where(bed, inner * 0.98, inner * 0.35), np.where(bed, sunk, deck + rise)))
        rows.append((0 * y, sunk))
    points = np.stack([np.stack([x, y, z], -1) for x, z in rows], 1)
    return body.warp(points)


def add_body(
    mesh: Builder,
    body: Body,
    paint: Colour,
    lower: Colour,
    bed_rgb: Colour = (0.13, 0.13, 0.14),
) -> None:
    """Adds the lower body.

    Args:
        mesh: Builder to add to.
        body: Its shape.
        paint: Main colour.
        lower: Colour of the strip along sills and wheel arches.
        bed_rgb: Colour of a pickup's bed.
    """
    y = body.stations()
    half = section(body, y)
    colours = np.broadcast_to(paint, (len(y) - 1, half.shape[1] - 1, 3)).copy()
    parts = np.full(colours.shape[:2], PARTS.index("body"))
    colours[:, :3], parts[:, :3] = UNDER, PARTS.index("under")
    colours[:, 3] = lower
    if body.bed is not None:
        inside = (y[:-1] < body.bed[0]) & (y[1:] > body.bed[1])
        colours[inside, 10:] = bed_rgb
        parts[inside, 10:] = PARTS.index("cargo")
    group = mesh.new_group()
    inside = (0.0, 0.0, (body.sill + body.cowl[1]) / 2)
    mesh.grid(half, colours, parts, inside, group, mirror=True)
    for end in (0, -1):
        rows = half[end, 3:10]
        across = np.array([-1, -0.85, -0.6, -0.3, 0, 0.3, 0.6, 0.85, 1])
        flat = np.stack(
            [rows[:, None, 0] * across, 0 * across + rows[:, 1:2], 0 * across + rows[:, 2:]], -1
        )
        flat[..., 1] = -body.half if end == 0 else body.half
        cap = np.broadcast_to(paint, (6, 8, 3)).copy()
        cap[0] = lower
        mesh.grid(body.warp(flat), cap, "body", inside, group)
