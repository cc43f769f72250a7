"""The greenhouse: windscreen, roof, sides and rear window as five sheets that share their edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import Colour
from engine.data.procedural.vehicles.body import Body, Values
from engine.data.procedural.vehicles.labels import PARTS


@dataclass(frozen=True)
class Cabin:
    """Shape of the greenhouse; metres, same frame as its body.

    Attributes:
        front: y of the windscreen's base.
        roof_front: y of the windscreen's top.
        roof_rear: y of the rear window's top.
        rear: y of the rear window's base.
        height: Highest point of the roof's edge.
        fall_front: How much lower the roof's edge is above the windscreen.
        fall_rear: The same above the rear window.
        inset: Distance of the side windows' base from the body's side.
        tumble: Share of the base's width by which the roof's edge is narrower.
        bow_front: Bulge of the windscreen forward in its middle.
        bow_rear: Bulge of the rear window backward in its middle.
        crown: Rise of the roof in the middle.
        bulge: Bulge of the sides.
        windows: (start, end) of every side window, 0 at the windscreen, 1 at the rear window.
        sill: Lower edge of the side windows, as a share of the side's height.
        rear_glass: (start, end) of the rear window, as shares of its height; None for none.
        sunroof: (start, end) of roof glass along the roof; None for none.
    """

    front: float
    roof_front: float
    roof_rear: float
    rear: float
    height: float
    fall_front: float = 0.05
    fall_rear: float = 0.08
    inset: float = 0.05
    tumble: float = 0.2
    bow_front: float = 0.16
    bow_rear: float = 0.10
    crown: float = 0.06
    bulge: float = 0.03
    windows: tuple[tuple[float, float], ...] = ((0.04, 0.42), (0.47, 0.86))
    sill: float = 0.14
    rear_glass: tuple[float, float] | None = (0.14, 0.9)
    sunroof: tuple[float, float] | None = None

    def roof_height(self, s: Values) -> Values:
        """Height of the roof's edge; s = 0 at the windscreen, 1 at the rear window."""
        peak = 0.38
        front = self.fall_front * np.clip((peak - s) / peak, 0, 1) ** 2
        rear = self.fall_rear * np.clip((s - peak) / (1 - peak), 0, 1) ** 2
        return self.height - front - rear

    def base(self, body: Body, s: Values) -> np.ndarray:
        """Points of the right side's lower edge, a little below the deck."""
        y = (
            self.front
            - self.bow_front
            + (self.rear + self.bow_rear - self.front + self.bow_front) * s
        )
        x = body.half_width(y) - self.inset
        return np.stack([x, y, body.deck(y) - 0.035], -1)

    def rail(self, body: Body, s: Values) -> np.ndarray:
        """Points of the roof's right edge."""
        start, end = self.roof_front - self.bow_front, self.roof_rear + self.bow_rear
        y = start + (end - start) * s
        middle = (body.width / 2 - self.inset) * (1 - self.tumble)
        x = middle * (1 - 0.07 * (2 * np.clip(s, 0, 1) - 0.9) ** 2)
        return np.stack([x, y, self.roof_height(s)], -1)

    def roof_point(self, body: Body, u: Values, s: Values, offset: float = 0.0) -> np.ndarray:
        """Points of the roof; u = -1 .. 1 from left to right, s along it."""
        u, s = np.broadcast_arrays(np.asarray(u, float), np.asarray(s, float))
        edge = self.rail(body, s)
        bow = (self.bow_front * (1 - s) ** 2 - self.bow_rear * s**2) * (1 - u**2)
        z = edge[..., 2] + self.crown * (1 - np.abs(u) ** 2.4) + offset
        return np.stack([edge[..., 0] * u, edge[..., 1] + bow, z], -1)

    def side_point(self, body: Body, s: Values, t: Values, offset: float = 0.0) -> np.ndarray:
        """Points of the right side; s along it, t = 0 .. 1 from its lower edge to the roof."""
        s, t = np.broadcast_arrays(np.asarray(s, float), np.asarray(t, float))
        points = self.base(body, s) * (1 - t)[..., None] + self.rail(body, s) * t[..., None]
        points[..., 0] += self.bulge * 4 * t * (1 - t) + offset
        return points

    def end_point(self, body: Body, u: Values, t: Values, s: float) -> np.ndarray:
        """Points of the windscreen (s = 0) or the rear window (s = 1)."""
        u, t = np.broadcast_arrays(np.asarray(u, float), np.asarray(t, float))
        edge = self.side_point(body, np.full(t.shape, s), t)
        bow = self.bow_front if s == 0 else -self.bow_rear
        z = edge[..., 2] + t * self.crown * (1 - np.abs(u) ** 2.4)
        return np.stack([edge[..., 0] * u, edge[..., 1] + bow * (1 - u**2), z], -1)


def add_cabin(
    mesh: Builder,
    body: Body,
    cabin: Cabin,
    *,
    paint: Colour,
    roof: Colour,
    glass: Colour,
    pillar: Colour,
) -> None:
    """Adds the greenhouse.

    Args:
        mesh: Builder to add to.
        body: The lower body.
        cabin: Its shape.
        paint: Colour of the panels between the windows.
        roof: Colour of the roof.
        glass: Colour of the windows; brightens upwards, as if a sky were mirrored in it.
        pillar: Colour of the frames around the side windows.
    """
    group = mesh.new_group()
    inside = (0.0, (cabin.front + cabin.rear) / 2, (body.cowl[1] + cabin.height) / 2)
    _add_sides(mesh, body, cabin, group, inside, paint, glass, pillar)
    _add_roof(mesh, body, cabin, group, inside, roof, glass)
    u = np.array([-1, -0.93, -0.5, 0, 0.5, 0.93, 1])
    for s, span in ((0.0, (0.08, 0.93)), (1.0, cabin.rear_glass)):
        low, high = span or (0.3, 0.7)
        t = np.array([0, low, (low + high) / 2, high, 1])
        points = cabin.end_point(body, u[None], t[:, None], s)
        rgb = np.broadcast_to(paint, (4, 6, 3)).copy()
        part = np.full((4, 6), PARTS.index("body"))
        if span is not None:
            rgb[1, 1:5], rgb[2, 1:5] = _pane(glass, 0.25), _pane(glass, 0.75)
            part[1:3, 1:5] = PARTS.index("glass")
        rgb[3] = roof
        mesh.grid(points, rgb, part, inside, group)


def _pane(glass: Colour, level: float) -> np.ndarray:
    return np.asarray(glass) + 0.075 * level


def _add_sides(mesh, body, cabin, group, inside, paint, glass, pillar) -> None:
    marks, kinds = [0.0], []
    for start, end in cabin.windows:
        if start > marks[-1] + 1e-6:
            marks.append(start)
            kinds.append(False)
        middle = (start + end) / 2
        marks += [middle, end]
        kinds += [True, True]
    if marks[-1] < 1 - 1e-6:
        marks += [(marks[-1] + 1) / 2, 1.0]
        kinds += [False, False]
    t = np.array([0, cabin.sill, (cabin.sill + 0.9) / 2, 0.9, 1])
    points = cabin.side_point(body, np.array(marks)[:, None], t[None])
    rgb = np.broadcast_to(paint, (len(kinds), 4, 3)).copy()
    part = np.full((len(kinds), 4), PARTS.index("body"))
    first, last = cabin.windows[0][0], cabin.windows[-1][1]
    for i, kind in enumerate(kinds):
        if kind:
            rgb[i, 1], rgb[i, 2] = _pane(glass, 0.1), _pane(glass, 0.5)
            part[i, 1:3] = PARTS.index("glass")
        elif first <= marks[i] and marks[i + 1] <= last + 1e-6:
            rgb[i, 1:3] = pillar
    mesh.grid(points, rgb, part, inside, group, mirror=True)


def _add_roof(mesh, body, cabin, group, inside, roof, glass) -> None:
    u = np.array([-1, -0.93, -0.75, -0.4, 0, 0.4, 0.75, 0.93, 1])
    start, end = cabin.sunroof or (0.3, 0.7)
    s = np.unique(np.concatenate([[0, 0.12, 0.38, 0.62, 0.85, 1], [start, end]]))
    points = cabin.roof_point(body, u[None], s[:, None])
    rgb = np.broadcast_to(roof, (len(s) - 1, len(u) - 1, 3)).copy()
    part = np.full(rgb.shape[:2], PARTS.index("roof"))
    if cabin.sunroof is not None:
        inner = (s[:-1] >= start - 1e-9) & (s[1:] <= end + 1e-9)
        rgb[inner, 2:6] = _pane(glass, 0.5)
        part[inner, 2:6] = PARTS.index("glass")
    mesh.grid(points, rgb, part, inside, group)
