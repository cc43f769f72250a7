"""Everything bolted to the body: wheels, lights, grilles, mirrors, doors, stripes, roof equipment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import BLACK, CHROME, PLASTIC, TYRE, Colour
from engine.data.procedural.vehicles.body import Body
from engine.data.procedural.vehicles.cabin import Cabin
from engine.data.procedural.vehicles.labels import PARTS

SKIN = 0.012
"""Height of a flat ornament above the surface it decorates, metres."""


def add_wheel(
    mesh: Builder,
    x: float,
    y: float,
    radius: float,
    width: float,
    rim: Colour,
    spokes: int,
    share: float,
) -> None:
    """A pair of wheels, left and right.

    Args:
        mesh: Builder to add to.
        x: Outer face of the right tyre.
        y: Axle.
        radius: Tyre radius; the wheel stands on z = 0.
        width: Tyre width.
        rim: Colour of rim and spokes.
        spokes: 0 for a full disc.
        share: Rim radius as a share of the tyre's.
    """
    r = radius
    profile = [(-width, r * 0.5), (-width, r * 0.94), (-width * 0.85, r), (-width * 0.15, r)]
    profile += [
        (0, r * 0.94),
        (0.005, r * share),
        (-0.02, r * share * 0.9),
        (-0.03, r * 0.2),
        (-0.02, 0),
    ]
    segments = max(16, 2 * spokes)
    rgb = np.broadcast_to(TYRE, (len(profile) - 1, segments, 3)).copy()
    rgb[5:] = rim
    if spokes:
        turn = (np.arange(segments) + 0.5) / segments * spokes % 1
        rgb[6, turn > 0.5] = np.asarray(rim) * 0.25
    part = np.full(rgb.shape[:2], PARTS.index("tyre"))
    part[5:] = PARTS.index("rim")
    mesh.revolve(np.array(profile), (x, y, r), 0, rgb, part, segments, mirror=True)


def front_patch(
    mesh: Builder,
    body: Body,
    x: tuple[float, float],
    z: tuple,
    rgb: Colour,
    part: str,
    mirror: bool = True,
) -> None:
    """A patch on the nose between two x; `z` = (low, high) or (low, high, low, high) at either x."""
    mesh.grid(
        face_grid(body.front_point, x, z), rgb, part, (0, 0, float(np.mean(z))), mirror=mirror
    )


def rear_patch(
    mesh: Builder,
    body: Body,
    x: tuple[float, float],
    z: tuple,
    rgb: Colour,
    part: str,
    mirror: bool = True,
) -> None:
    """A patch on the tail, as `front_patch`."""
    mesh.grid(face_grid(body.rear_point, x, z), rgb, part, (0, 0, float(np.mean(z))), mirror=mirror)


def side_patch(
    mesh: Builder,
    body: Body,
    y: tuple[float, float],
    z: tuple,
    rgb: Colour,
    part: str,
    columns: int = 6,
) -> None:
    """A patch on both sides between two y; `z` = (low, high) or (low, high, low, high) at either y."""
    low0, high0, low1, high1 = z if len(z) == 4 else (*z, *z)
    u = np.linspace(0, 1, columns)[:, None]
    t = np.linspace(0, 1, 4)[None]
    low, high = low0 + (low1 - low0) * u, high0 + (high1 - high0) * u
    points = body.side_point(y[0] + (y[1] - y[0]) * u, low + (high - low) * t, SKIN)
    mesh.grid(points, rgb, part, mirror=True)


def face_grid(point: Callable, x: tuple[float, float], z: tuple) -> np.ndarray:
    """Points of a patch on the nose or the tail, just above its surface; arguments as `front_patch`."""
    low0, high0, low1, high1 = z if len(z) == 4 else (*z, *z)
    u = np.linspace(0, 1, 6)[:, None]
    t = np.linspace(0, 1, 4)[None]
    low, high = low0 + (low1 - low0) * u, high0 + (high1 - high0) * u
    return point(x[0] + (x[1] - x[0]) * u, low + (high - low) * t, SKIN)


def add_lamps(
    mesh: Builder,
    body: Body,
    rear: bool,
    z: tuple[float, float],
    inner: float,
    wrap: float,
    rgb: Colour,
    rise: float = 0.0,
) -> None:
    """A pair of lamps that reach around the corner.

    Args:
        mesh: Builder to add to.
        body: The lower body.
        rear: True for the tail instead of the nose.
        z: Lower and upper edge at the inner end.
        inner: Inner end, as a share of half the width.
        wrap: How far they reach along the side, metres.
        rgb: Colour.
        rise: How much higher the outer end is.
    """
    part = "taillight" if rear else "headlight"
    end = float(body.half_width(body.half))
    if rear:
        end = float(body.half_width(-body.half))
    patch = rear_patch if rear else front_patch
    low, high = z
    patch(mesh, body, (inner * end, end), (low, high, low + rise, high + rise), rgb, part)
    if wrap > 0:
        tip = body.half - wrap
        y = (-body.half, -tip) if rear else (body.half, tip)
        edges = (low + rise, high + rise, low + 1.6 * rise + 0.25 * (high - low), high + 1.6 * rise)
        side_patch(mesh, body, y, edges, rgb, part, 10)


def add_plate(mesh: Builder, body: Body, z: float, rear: bool, rgb: Colour) -> None:
    """A number plate."""
    patch = rear_patch if rear else front_patch
    patch(mesh, body, (-0.26, 0.26), (z - 0.06, z + 0.06), rgb, "trim", mirror=False)


def add_mirrors(mesh: Builder, body: Body, cabin: Cabin, rgb: Colour, scale: float = 1.0) -> None:
    """Door mirrors at the foot of the windscreen pillars."""
    y = cabin.front - cabin.bow_front - 0.22 * scale
    x, z = float(body.half_width(y)) + 0.06 * scale, float(body.deck(y)) + 0.07 * scale
    mesh.ellipsoid(
        (x, y, z), (0.115 * scale, 0.06 * scale, 0.075 * scale), rgb, "trim", mirror=True
    )


def add_doors(
    mesh: Builder, body: Body, edges: tuple[float, ...], rgb: Colour, handles: Colour
) -> None:
    """Door gaps and handles.

    Args:
        mesh: Builder to add to.
        body: The lower body.
        edges: y of every gap, from front to rear.
        rgb: Colour of the gaps.
        handles: Colour of the handles, one behind each door's front edge.
    """
    for y in edges:
        low = float(body.arch_height(np.array(y))) + 0.06
        high = float(body.deck(y)) - body.shoulder * 0.4
        if high - low > 0.15:
            side_patch(mesh, body, (y - 0.009, y + 0.009), (low, high), rgb, "trim", 2)
    for y in edges[1:]:
        z = float(body.deck(y)) - body.shoulder - 0.09
        side_patch(mesh, body, (y + 0.06, y + 0.24), (z, z + 0.035), handles, "trim", 2)


def add_deck_stripes(
    mesh: Builder, body: Body, cabin: Cabin, bands: tuple[tuple[float, float], ...], rgb: Colour
) -> None:
    """Racing stripes over bonnet, roof and boot; `bands` are (left, right) in metres."""
    spans = [(body.half - 0.12, cabin.front + 0.02), (cabin.rear - 0.02, -body.half + 0.06)]
    for left, right in bands:
        x = np.linspace(left, right, 3)[None]
        for start, end in spans:
            y = np.linspace(start, end, 14)[:, None]
            if start - end > 0.15:
                mesh.grid(body.deck_point(x, y, SKIN), rgb, "body", (0, 0, 0))
        s = np.linspace(0.03, 0.97, 8)[:, None]
        edge = cabin.rail(body, np.array([0.5]))[0, 0]
        mesh.grid(cabin.roof_point(body, x / edge, s, SKIN), rgb, "roof", (0, 0, 0))


def add_roof_rails(mesh: Builder, body: Body, cabin: Cabin, rgb: Colour) -> None:
    """Two rails along the roof's edges."""
    s = np.linspace(0.08, 0.93, 9)
    base = cabin.roof_point(body, np.full_like(s, 0.86), s)
    ring = np.array([[-0.025, 0.0], [-0.025, 0.075], [0.025, 0.075], [0.025, 0.0]])
    points = base[:, None] + np.stack([ring[:, 0], 0 * ring[:, 0], ring[:, 1]], -1)
    centre = tuple(base.mean(0))
    mesh.grid(points, rgb, "trim", centre, mirror=True)


def add_wing(mesh: Builder, body: Body, rgb: Colour, height: float) -> None:
    """A rear wing on two posts; a lip where `height` is small."""
    y, half = -body.half + 0.22, float(body.half_width(-body.half + 0.3)) * 0.9
    deck = float(body.deck(y))
    low = deck + height
    mesh.rounded_box((-half, y - 0.18, low), (half, y + 0.1, low + 0.05), 0.02, rgb, "trim")
    if height > 0.05:
        mesh.box(
            (half * 0.6, y - 0.08, deck - 0.03),
            (half * 0.6 + 0.05, y + 0.05, low),
            BLACK,
            "trim",
            True,
        )


def add_roof_spoiler(mesh: Builder, body: Body, cabin: Cabin, rgb: Colour) -> None:
    """A lip behind the roof, as on hatchbacks."""
    u = np.linspace(-0.85, 0.85, 7)[None]
    front = cabin.roof_point(body, u, np.array([[0.93]]), 0.01)[0]
    edge = cabin.roof_point(body, u, np.array([[1.0]]))[0] + [0, -0.14, 0.005]
    under = cabin.roof_point(body, u, np.array([[1.0]]))[0] + [0, -0.02, -0.05]
    mesh.grid(np.stack([front, edge, under]), rgb, "roof", tuple(front.mean(0) - [0, 0, 0.3]))


def roof_spot(body: Body, cabin: Cabin, s: float) -> tuple[float, float]:
    """Y and z of the roof's middle line."""
    point = cabin.roof_point(body, np.array([0.0]), np.array([s]))[0]
    return float(point[1]), float(point[2])


def add_police_bar(mesh: Builder, body: Body, cabin: Cabin) -> None:
    """A light bar, blue and red."""
    y, z = roof_spot(body, cabin, 0.38)
    for low, high, rgb in ((-0.56, -0.1, (0.08, 0.16, 0.85)), (0.1, 0.56, (0.85, 0.06, 0.08))):
        mesh.rounded_box((low, y - 0.13, z - 0.02), (high, y + 0.13, z + 0.13), 0.04, rgb, "sign")
    mesh.box((-0.1, y - 0.13, z - 0.02), (0.1, y + 0.13, z + 0.11), CHROME, "sign")


def add_taxi_sign(mesh: Builder, body: Body, cabin: Cabin, rgb: Colour) -> None:
    """A lit sign on the roof."""
    y, z = roof_spot(body, cabin, 0.35)
    mesh.rounded_box((-0.32, y - 0.1, z - 0.02), (0.32, y + 0.1, z + 0.2), 0.05, rgb, "sign")
    mesh.box((-0.2, y - 0.11, z + 0.05), (0.2, y + 0.11, z + 0.13), BLACK, "sign")


def add_roof_box(mesh: Builder, body: Body, cabin: Cabin, rgb: Colour) -> None:
    """A luggage box on the roof."""
    y, z = roof_spot(body, cabin, 0.5)
    mesh.rounded_box((-0.38, y - 0.75, z + 0.03), (0.38, y + 0.8, z + 0.35), 0.13, rgb, "cargo")
    for offset in (-0.5, 0.5):
        bar = (0.6, y + offset + 0.03, z + 0.03)
        mesh.box((-0.6, y + offset - 0.03, z - 0.03), bar, PLASTIC, "trim")
