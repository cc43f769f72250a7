"""Frames of chairs: legs, stretchers, armrests, and open backs between two posts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from engine.data.procedural.builder import Number, Point
from engine.data.procedural.chairs.design import Design, Sheet
from engine.data.procedural.chairs.forms import nodes, slab, soft, tube

LEGS = {"square": 3.0, "tapered": 3.0, "round": 2.5, "turned": 2.5, "curved": 1.2}
"""Leg styles and their weights."""

TURNING = np.array(
    [
        [0.0, 1.0],
        [0.16, 1.0],
        [0.18, 0.68],
        [0.22, 1.0],
        [0.36, 1.25],
        [0.52, 0.95],
        [0.62, 0.68],
        [0.66, 1.05],
        [0.70, 0.68],
        [0.85, 0.9],
        [0.96, 0.65],
        [1.0, 0.65],
    ]
)
"""Shares of the length from the top, and of the thickness, of a turned leg."""


def leg_section(style: str, thick: Number) -> tuple[np.ndarray, np.ndarray, int]:
    """Shares along a leg from its top, half widths there, number of sides."""
    if style == "turned":
        return TURNING[:, 0], TURNING[:, 1] * thick, 8
    along = np.linspace(0, 1, 7 if style == "curved" else 3)
    end = {"square": 1.0, "tapered": 0.65, "round": 0.7, "curved": 0.72}[style]
    sides = 8 if style == "round" else 4
    return along, thick * (1 + (end - 1) * along), sides


def add_leg(
    design: Design,
    top: Point,
    foot: tuple[Number, Number],
    style: str,
    thick: Number,
    mirror: bool = True,
    floor: Number = 0.0,
) -> None:
    """A leg from below the seat to the floor (or to a height above it), and its mirror image."""
    along, width, sides = leg_section(style, thick)
    start, end = np.array(top), np.array([*foot, floor])
    path = start + (end - start) * along[:, None]
    if style == "curved":
        out = np.array([0.4, 1.0 if top[1] > 0 else -1.0, 0.0]) * (1 if top[0] > 0 else 0)
        path = (
            path + out * (0.032 * np.sin(2 * np.pi * along) - 0.01 * np.sin(np.pi * along))[:, None]
        )
    width = np.stack([width, width], -1)
    tube(design.mesh, path, width, design.frame, "leg", sides, mirror=mirror)


def add_four_legs(
    design: Design,
    half: tuple[Number, Number],
    y: tuple[Number, Number],
    top: Number,
    style: str,
    thick: Number,
    splay: Number = 0.0,
    stretchers: str = "none",
    floor: Number = 0.0,
) -> None:
    """Four legs and what joins them.

    Args:
        design: The chair.
        half: Half the distance between the legs, front and rear.
        y: Positions of the front and the rear legs.
        top: Height of their upper ends.
        style: Key of `LEGS`.
        thick: Half their width.
        splay: Distance of the feet outside the tops, metres.
        stretchers: "none", "box" or "H".
        floor: Height of the feet.
    """
    for x, place, way in ((half[0], y[0], 1), (half[1], y[1], -1)):
        foot = (x + splay, place + way * splay)
        add_leg(design, (x, place, top), foot, style, thick, floor=floor)
    if stretchers != "none":
        level = design.u(0.25, 0.4)
        out = splay * (1 - level)
        z, width = level * top, max(0.6 * thick, 0.0125)
        front = np.array([half[0] + out, y[0] + out, z])
        rear = np.array([half[1] + out, y[1] - out, z])
        tube(design.mesh, [front, rear], width, design.frame, "leg", mirror=True)
        ends = [(front + rear) / 2] if stretchers == "H" else [front, rear]
        for end in ends:
            bar = [end * [-1, 1, 1], end]
            tube(design.mesh, bar, width, design.frame, "leg")
    design.legs = f"{style} legs" if splay < 0.03 else f"splayed {style} legs"


def add_posts(
    design: Design, sheet: Sheet, thick: Number, sides: int = 4, top: Number = 1.0
) -> None:
    """The two posts of an open back, from a little below the seat."""
    path = sheet.point(1.0, np.linspace(-0.06, top, 6))
    tube(design.mesh, path, thick, design.frame, "back", sides, mirror=True)


def add_bar(
    design: Design,
    sheet: Sheet,
    u: tuple[Number, Number],
    v: tuple[Number, Number],
    half: Number = 0.0125,
    arch: Number = 0.0,
) -> None:
    """A flat bar of the back, lying or standing; its rear shows the hidden colour.

    Args:
        design: The chair.
        sheet: Surface of the back.
        u: Left and right end.
        v: Lower and upper edge.
        half: Half its thickness, metres.
        arch: How much higher the middle is than the ends, as a share of the back's height.
    """
    edges = np.array([0, 0.12, 0.88, 1])
    shares = nodes(3) if u[1] - u[0] > 1 else edges, edges
    across = u[0] + (u[1] - u[0]) * shares[0][None]
    up = v[0] + (v[1] - v[0]) * shares[1][:, None] + arch * (1 - across**2)
    slab(design.mesh, sheet.point(across, up), half, design.frame, "back", design.hidden_rgb)


def add_open_back(design: Design, sheet: Sheet, style: str, thick: Number) -> None:
    """A back of bars between two posts.

    Args:
        design: The chair.
        sheet: Surface of the back.
        style: "ladder", "slats", "splat", "spindles", "cross", "hoop" or "panel".
        thick: Half the posts' width.
    """
    design.back = style
    if style == "hoop":
        _hoop(design, sheet)
        return
    add_posts(design, sheet, thick, 8 if style == "spindles" else 4)
    arch = design.u(0.0, 0.1)
    crest = design.u(0.14, 0.24)
    if style == "ladder":
        count = int(design.noise.integers(2, 5))
        edges = np.linspace(design.u(0.12, 0.35), 1.0, count + 1)
        share = design.u(0.5, 0.68)
        for low, high in pairwise(edges):
            add_bar(
                design, sheet, (-1, 1), (high - (high - low) * share, high - 0.01), arch=arch / 2
            )
        return
    if style == "panel":
        add_bar(design, sheet, (-1, 1), (design.u(0.0, 0.4), 1.0), arch=arch / 2)
        return
    add_bar(design, sheet, (-1.05, 1.05), (1 - crest, 1.0), 0.016, arch)
    if style == "cross":
        for side in (-1, 1):
            path = sheet.point(np.linspace(-side, side, 6) * 0.95, np.linspace(0.1, 1 - crest, 6))
            tube(design.mesh, path, 0.015, design.frame, "back", reference=(0, 1, 0))
        return
    low = design.u(0.08, 0.2)
    add_bar(design, sheet, (-1, 1), (low, low + 0.09))
    inner = (low + 0.05, 1 - crest + 0.03 + arch * 0.5)
    if style == "slats":
        count = int(design.noise.integers(2, 6))
        width = design.u(0.45, 0.6) * 2 / (count + 0.6)
        for middle in (np.arange(count) - (count - 1) / 2) * 2 / (count + 0.6):
            add_bar(design, sheet, (middle - width / 2, middle + width / 2), inner)
    elif style == "spindles":
        _spindles(design, sheet, int(design.noise.integers(3, 7)), inner)
    else:
        _splat(design, sheet, inner, design.u(0.22, 0.4))


def _spindles(design: Design, sheet: Sheet, count: int, v: tuple[Number, Number]) -> None:
    for middle in (np.arange(count) - (count - 1) / 2) * 2 / (count + 1):
        path = sheet.point(middle, np.linspace(*v, 4))
        tube(design.mesh, path, 0.0135, design.frame, "back")


def _splat(design: Design, sheet: Sheet, v: tuple[Number, Number], wide: Number) -> None:
    """A vase-shaped board in the middle."""
    shares = np.array([0, 0.12, 0.88, 1]), np.linspace(0, 1, 10)
    waist = 0.62 + 0.38 * np.cos(shares[1] * 2 * np.pi * design.u(0.9, 1.4)) ** 2
    across = (shares[0] * 2 - 1)[None] * wide * waist[:, None]
    up = np.broadcast_to((v[0] + (v[1] - v[0]) * shares[1])[:, None], across.shape)
    slab(design.mesh, sheet.point(across, up), 0.0125, design.frame, "back", design.hidden_rgb)


def _hoop(design: Design, sheet: Sheet) -> None:
    """A bent bow with spindles and a board in its middle."""
    turn = np.linspace(0, np.pi, 17)
    u, v = np.cos(turn), np.sin(turn) ** 0.55
    tube(design.mesh, sheet.point(u, v), 0.017, design.frame, "back", reference=(0, 1, 0))
    for place in (-0.72, -0.46, 0.46, 0.72):
        top = (1 - place**2) ** 0.275
        path = sheet.point(place * np.linspace(0.85, 1, 4), np.linspace(0, top, 4))
        tube(design.mesh, path, 0.0135, design.frame, "back")
    _splat(design, sheet, (0.0, 0.98), design.u(0.18, 0.26))


def add_padded_back(
    design: Design,
    sheet: Sheet,
    v: tuple[Number, Number],
    half: Number,
    u: tuple[Number, Number] = (-1.0, 1.0),
    power: Number = 5.0,
    round_off: Number = 0.0,
) -> None:
    """A cushion along the back; its rear shows the hidden colour."""
    cover = design.back_cover if design.cover.pattern == "two-tone" else design.cover
    shares = nodes(cover.fields), nodes(cover.fields)
    mid = sheet.patch(u, v, shares, round_off)
    rgb = cover.cells(*shares)
    slab(design.mesh, mid, half * soft(*shares, power), rgb, "back", design.hidden_rgb)


def add_armrests(
    design: Design, x: Number, y: tuple[Number, Number], seat: Number, rest: Number, style: str
) -> None:
    """Armrests of a frame chair.

    Args:
        design: The chair.
        x: Half the distance between them.
        y: Rear and front end.
        seat: Height of their posts' feet.
        rest: Height of the rests.
        style: "flat", "round" or "padded".
    """
    design.arms = True
    rear, front = y
    along = np.linspace(0, 1, 6)
    bend = 0.03 * np.sin(np.pi * along)
    path = np.stack([x + bend, rear + (front - rear) * along, rest + 0.02 * along], -1)
    section = {"flat": (0.03, 0.014), "round": (0.02, 0.02), "padded": (0.035, 0.025)}[style]
    rgb = design.cover.rgb if style == "padded" else design.frame
    sides = 4 if style == "flat" else 8
    tube(design.mesh, path, np.tile(section, (6, 1)), rgb, "arm", sides, mirror=True)
    post = front - 0.07
    foot = (x - 0.01, post - 0.03, seat)
    tube(design.mesh, [foot, (x + 0.015, post, rest)], 0.016, design.frame, "arm", mirror=True)
