"""Chairs of wood: dining and rocking chairs, benches, thrones and stools."""

from __future__ import annotations

import numpy as np

from engine.data.procedural.builder import Number
from engine.data.procedural.chairs.design import Design, Sheet
from engine.data.procedural.chairs.forms import board, circle, disc, nodes, slab, tube
from engine.data.procedural.chairs.frame import (
    LEGS,
    add_armrests,
    add_four_legs,
    add_leg,
    add_open_back,
    add_padded_back,
    add_posts,
)

OPEN_BACKS = {
    "ladder": 3.0,
    "slats": 3.0,
    "splat": 2.0,
    "spindles": 2.0,
    "hoop": 1.6,
    "panel": 1.5,
    "cross": 1.2,
}
"""Backs of bars and their weights."""


def add_frame_seat(
    design: Design, width: Number, depth: Number, height: Number, taper: Number, kind: str
) -> None:
    """A board, or a cushion on a frame.

    Args:
        design: The chair.
        width: Width of the front edge.
        depth: Distance from front to rear.
        height: Height of the upper face.
        taper: Share by which the rear is narrower.
        kind: "board", "cushion" or "woven".
    """
    x, y = (-width / 2, width / 2), (-depth / 2, depth / 2)
    corners = design.u(0.05, 0.28) if width < 0.6 and design.chance(0.4) else 0.0
    if kind == "board":
        design.use_frame_for_seat()
        z = (height - 0.04, height)
        shares = nodes(5), nodes(5)
        board(
            design.mesh,
            x,
            y,
            z,
            design.frame,
            "seat",
            shares,
            crown=-design.u(0, 0.012),
            taper=taper,
        )
    else:
        board(
            design.mesh,
            x,
            y,
            (height - 0.06, height - 0.015),
            design.frame,
            "seat",
            taper=taper,
            round_off=corners,
        )
        cover, thick = design.cover, 0.03 if kind == "woven" else design.u(0.05, 0.085)
        inset = 0.012 if kind == "woven" else 0.0
        shares = nodes(cover.fields), nodes(cover.fields)
        x, y = (x[0] + inset, x[1] - inset), (y[0] + inset, y[1] - inset)
        z = (height - 0.02, height - 0.02 + thick)
        crown = 0.004 if kind == "woven" else 0.015
        rgb = cover.cells(*shares)
        board(
            design.mesh, x, y, z, rgb, "cushion", shares, kind == "cushion", crown, taper, corners
        )
        if cover.pattern == "piping" and not corners:
            add_piping(design, x, y, height, taper)
    if design.chance(0.7):
        inner = 0.035
        rail = (height - design.u(0.09, 0.12), height - 0.035)
        x, y = (-width / 2 + inner, width / 2 - inner), (-depth / 2 + inner, depth / 2 - inner)
        board(design.mesh, x, y, rail, design.frame, "seat", taper=taper, round_off=corners)


def add_piping(
    design: Design,
    x: tuple[Number, Number],
    y: tuple[Number, Number],
    z: Number,
    taper: Number = 0.0,
) -> None:
    """A cord around a cushion's edge."""
    rear = (1 - taper) * x[1]
    for start, end in (((x[1], y[1]), (rear, y[0])), ((-x[1], y[1]), (x[1], y[1]))):
        path = [(*start, z), (*end, z)]
        mirror = start[0] > 0
        tube(design.mesh, path, 0.0135, design.trim, "trim", 6, mirror=mirror)


def build_dining(design: Design) -> None:
    """Four legs, a seat and a back between two posts or padded."""
    u = design.u
    width, depth, height = u(0.42, 0.51), u(0.40, 0.47), u(0.43, 0.48)
    style, thick, taper = design.choose(LEGS), u(0.018, 0.026), u(0.0, 0.16)
    padded = design.chance(0.3)
    kind = design.choose({"board": 0.0 if padded else 0.45, "cushion": 0.45, "woven": 0.12})
    splay = u(0.03, 0.07) if style in ("tapered", "round", "turned") and design.chance(0.4) else 0.0
    stretchers = design.choose({"none": 5, "box": 2.5, "H": 2.5})
    add_frame_seat(design, width, depth, height, taper, kind)
    inset = thick + (0.04 if splay else 0.0)
    half = (width / 2 - inset, width / 2 * (1 - taper) - inset)
    y = (depth / 2 - inset, -depth / 2 + inset)
    add_four_legs(design, half, y, height - 0.03, style, thick, splay, stretchers)
    rear = (width / 2 * (1 - taper) - thick) * 2
    sheet = Sheet(
        low=height,
        high=height + u(0.36, 0.62),
        y=-depth / 2 + thick,
        bottom=rear,
        top=rear + u(-0.06, 0.06),
        lean=u(0.05, 0.22),
        bow=u(0.0, 0.05),
        curl=u(0.0, 0.06),
    )
    if padded:
        _padded(design, sheet, thick)
    else:
        add_open_back(design, sheet, design.choose(OPEN_BACKS), thick)
    if design.chance(0.2):
        reach = (sheet.y - 0.04, depth / 2 - 0.02)
        rests = design.choose({"flat": 1, "round": 1})
        add_armrests(design, width / 2 + 0.015, reach, height - 0.03, height + u(0.19, 0.24), rests)


def _padded(design: Design, sheet: Sheet, thick: Number) -> None:
    """An upholstered back, all over or in a frame."""
    if design.chance(0.5):
        rounded = design.u(0.1, 0.5) if design.chance(0.5) else 0.0
        thick = design.u(0.03, 0.045)
        add_padded_back(design, sheet, (-0.04, 1.0), thick, power=7.0, round_off=rounded)
        design.back = "rounded upholstered" if rounded else "upholstered"
    else:
        add_posts(design, sheet, thick)
        add_padded_back(design, sheet, (design.u(0.1, 0.5), 1.0), 0.028, (-0.95, 0.95))
        design.back = "padded"


def build_rocking(design: Design) -> None:
    """A chair on runners."""
    u = design.u
    width, depth, height = u(0.48, 0.56), u(0.44, 0.5), u(0.40, 0.45)
    thick, radius = u(0.019, 0.024), u(1.0, 1.5)
    style = design.choose({"turned": 3, "round": 2, "square": 1.5})
    kind = design.choose({"board": 5, "cushion": 4, "woven": 2})
    add_frame_seat(design, width, depth, height, 0.08, kind)
    half = width / 2 - thick - 0.02
    add_four_legs(
        design, (half, half - 0.02), (depth / 2 - 0.05, -depth / 2 + 0.06), height - 0.03, style,
        thick, 0.015, design.choose({"none": 1, "box": 2, "H": 2}), 0.045,
    )  # fmt: skip
    along = np.linspace(-depth / 2 - u(0.22, 0.32), depth / 2 + u(0.08, 0.2), 14)
    path = np.stack([0 * along + half, along, 0.025 + (along + 0.02) ** 2 / (2 * radius)], -1)
    rgb = design.trim if design.chance(0.15) else design.frame
    tube(design.mesh, path, (0.02, 0.024), rgb, "rocker", 4, mirror=True)
    rear = width - 2 * thick - 0.05
    sheet = Sheet(
        low=height,
        high=height + u(0.58, 0.75),
        y=-depth / 2 + thick,
        bottom=rear,
        top=rear + u(-0.04, 0.06),
        lean=u(0.2, 0.32),
        bow=u(0.0, 0.05),
    )
    if design.chance(0.2):
        _padded(design, sheet, thick)
    else:
        backs = {"ladder": 3, "slats": 3, "spindles": 3, "hoop": 1, "splat": 1}
        add_open_back(design, sheet, design.choose(backs), thick)
    if design.chance(0.85):
        reach = (sheet.y - 0.06, depth / 2 + 0.02)
        rests = design.choose({"flat": 2, "round": 1})
        add_armrests(design, width / 2 + 0.02, reach, height - 0.03, height + u(0.2, 0.25), rests)
    design.extras.append("runners")


def build_bench(design: Design) -> None:
    """A seat for two, with a back."""
    u = design.u
    design.use_frame(0.25)
    width, depth, height = u(0.80, 1.05), u(0.38, 0.46), u(0.43, 0.48)
    kind = design.choose({"board": 5, "cushion": 4})
    add_frame_seat(design, width, depth, height, 0.0, kind)
    thick = u(0.022, 0.032)
    y = (depth / 2 - thick, -depth / 2 + thick)
    style = design.choose({"square": 3, "tapered": 2, "turned": 2})
    half = width / 2 - thick - u(0, 0.08)
    add_four_legs(design, (half, half), y, height - 0.03, style, thick, 0.0, "none")
    high = height + u(0.36, 0.5)
    sheet = Sheet(height, high, -depth / 2 + thick, 2 * half, 2 * half, 0.15, u(0.0, 0.05))
    if design.chance(0.25):
        add_posts(design, sheet, thick)
        add_padded_back(design, sheet, (0.15, 1.0), 0.03, (-0.97, 0.97))
        design.back = "padded"
    else:
        style = design.choose({"ladder": 3, "slats": 3, "panel": 1, "cross": 1, "spindles": 1})
        add_open_back(design, sheet, style, thick)
    if design.chance(0.5):
        reach = (sheet.y - 0.04, depth / 2)
        add_armrests(design, half, reach, height - 0.03, height + u(0.19, 0.24), "flat")


def add_rear_board(design: Design, half: Number, y: Number, z: tuple[Number, Number]) -> None:
    """An apron below the seat's rear edge; its rear shows the hidden colour."""
    shares = nodes(3), np.array([0, 0.12, 0.88, 1])
    sheet = Sheet(*z, y, 2 * half, 2 * half, 0.0)
    mid = sheet.patch((-1, 1), (0, 1), shares)
    slab(design.mesh, mid, 0.0125, design.frame, "seat", design.hidden_rgb)


def build_throne(design: Design) -> None:
    """A heavy armchair with a high upholstered back in a frame with knobs."""
    u = design.u
    if design.chance(0.4):
        design.frame_material, design.frame_name = "painted wood", "gold"
        design.frame = (0.80, 0.62, 0.20)
    width, depth, height, thick = u(0.56, 0.66), u(0.50, 0.58), u(0.44, 0.50), u(0.026, 0.034)
    add_frame_seat(design, width, depth, height, 0.0, "cushion")
    half, y = width / 2 - thick, (depth / 2 - thick, -depth / 2 + thick)
    style = design.choose({"turned": 3, "square": 1, "curved": 2})
    add_four_legs(design, (half, half), y, height - 0.03, style, thick, 0.0, "box")
    high = height + u(0.75, 0.95)
    sheet = Sheet(height, high, -depth / 2 + thick, 2 * half, 2 * half, u(0.03, 0.1))
    add_posts(design, sheet, thick, 4)
    add_padded_back(design, sheet, (0.06, 0.97), 0.032, (-0.94, 0.94))
    knob = sheet.point(1.0, 1.02)
    size = u(0.035, 0.05)
    design.mesh.ellipsoid(tuple(map(float, knob)), (size, size, size), design.frame, "trim", True)
    if design.chance(0.6):
        along = np.linspace(-1, 1, 9)
        arch = sheet.point(along, 0.98 + 0.1 * (1 - along**2))
        tube(design.mesh, arch, (0.02, 0.03), design.frame, "back", reference=(0, 1, 0))
    design.extras.append("knobs")
    reach = (sheet.y - 0.02, depth / 2 - 0.01)
    rests = design.choose({"flat": 1, "padded": 2})
    add_armrests(design, half + 0.01, reach, height - 0.03, height + u(0.22, 0.27), rests)
    design.back = "high panel"


def build_stool(design: Design) -> None:
    """A seat without back, low."""
    _stool(design, design.u(0.38, 0.50), design.u(0.17, 0.23), bar=False)


def build_bar_stool(design: Design) -> None:
    """A high seat with a foot ring."""
    _stool(design, design.u(0.66, 0.80), design.u(0.17, 0.21), bar=True)


def _stool(design: Design, height: Number, radius: Number, bar: bool) -> None:
    design.use_frame(0.45)
    base = design.choose(
        {"four": 4, "three": 2, "pedestal": 3 if bar else 1.2, "pouf": 0 if bar else 1.2}
    )
    round_seat = base in ("three", "pedestal", "pouf") or design.chance(0.5)
    if base == "pouf":
        _pouf(design, height * 0.95, radius * 1.25)
        return
    thick = design.u(0.07, 0.11)
    if design.chance(0.4):
        design.use_frame_for_seat()
    if round_seat:
        _round_seat(design, height, radius, thick)
    else:
        _square_seat(design, height, radius, thick)
    top = height - thick + 0.015
    if base == "pedestal":
        add_pedestal(design, top, radius, bar)
    else:
        _stool_legs(design, top, radius, 3 if base == "three" else 4, bar, round_seat)
    if bar and base != "three" and design.chance(0.4):
        _low_back(design, height, radius)


def _round_seat(design: Design, height: Number, radius: Number, thick: Number) -> None:
    cover, segments = design.cover, 24
    side = [(-thick, 0), (-thick, 0.94), (-0.85 * thick, 1), (-0.3 * thick, 1)]
    profile = np.array([*side, (-0.06 * thick, 0.93), (0, 0.66), (0.004, 0.33), (0.005, 0)])
    profile[:, 1] *= radius
    rgb = np.broadcast_to(cover.rgb, (7, segments, 3)).copy()
    second = np.asarray(cover.second_rgb)
    turn = np.arange(segments) // 3 % 2 == 1
    if cover.pattern in ("stripes", "checks", "large checks"):
        rgb[:, turn] = second
    elif cover.pattern in ("bands", "middle stripe"):
        rgb[5:] = second
    elif cover.pattern in ("border", "piping"):
        rgb[3:5] = second
    elif cover.pattern == "two-tone":
        rgb[:3] = second
    disc(design.mesh, (0, 0, height), profile, rgb, "seat", segments, design.hidden_rgb)
    design.extras.append("round seat")


def _square_seat(design: Design, height: Number, radius: Number, thick: Number) -> None:
    half, cover = radius * 0.92, design.cover
    shares = nodes(cover.fields), nodes(cover.fields)
    span = (-half, half)
    soft = cover.material in ("fabric", "leather")
    z = (height - thick * 0.6, height) if soft else (height - 0.04, height)
    thick = min(thick, 0.085)
    board(design.mesh, span, span, z, cover.cells(*shares), "seat", shares, soft, 0.005)
    rail = (min(z[0] - 0.035, height - thick), z[0] + 0.01)
    board(
        design.mesh,
        (-half + 0.02, half - 0.02),
        (-half + 0.03, half - 0.02),
        rail,
        design.frame,
        "seat",
    )
    add_rear_board(design, half - 0.02, -half + 0.02, rail)
    design.extras.append("square seat")


def _pouf(design: Design, height: Number, radius: Number) -> None:
    """A padded drum on the floor."""
    cover, segments = design.cover, 24
    z = np.array([0, 0, 0.06, 0.25, 0.45, 0.65, 0.82, 0.94, 1, 1.01, 1.01]) * height
    r = np.array([0, 0.9, 0.97, 1.0, 1.0, 1.0, 1.0, 0.97, 0.86, 0.45, 0]) * radius
    rgb = np.broadcast_to(cover.rgb, (10, segments, 3)).copy()
    turn = np.arange(segments) // 3 % 2 == 1
    if cover.pattern in ("stripes", "checks", "large checks"):
        rgb[:, turn] = cover.second_rgb
    elif cover.pattern in ("bands", "two-tone"):
        rgb[[1, 2, 5, 6]] = cover.second_rgb
    elif cover.pattern in ("border", "piping", "middle stripe"):
        rgb[7:] = cover.second_rgb
    disc(design.mesh, (0, 0, 0), np.stack([z, r], -1), rgb, "base", segments, design.hidden_rgb)
    design.extras += ["round seat", "drum"]
    design.legs, design.frame_material, design.frame_name = "none", cover.material, cover.colour


def add_pedestal(design: Design, top: Number, radius: Number, ring: bool) -> None:
    """A column on a round foot."""
    foot = radius * design.u(1.0, 1.2)
    profile = [(0, 0), (0, foot), (0.02, foot), (0.04, 0.55 * foot), (0.07, 0.05), (0.12, 0.033)]
    profile += [(top * 0.5, 0.03), (top * 0.52, 0.022), (top, 0.022), (top, 0)]
    disc(design.mesh, (0, 0, 0), profile, design.frame, "base")
    if ring:
        add_foot_ring(design, radius * 0.75, top * 0.42, spokes=True)
    design.legs = "pedestal"


def add_foot_ring(design: Design, radius: Number, z: Number, spokes: bool = False) -> None:
    """A ring for the feet."""
    tube(design.mesh, circle(radius, z), 0.0135, design.frame, "leg", reference=(0, 0, 1))
    if spokes:
        tube(design.mesh, [(-radius, 0, z), (radius, 0, z)], 0.0125, design.frame, "leg")
    design.extras.append("foot ring")


def _stool_legs(
    design: Design, top: Number, radius: Number, count: int, bar: bool, round_seat: bool
) -> None:
    thick = design.u(0.015, 0.021)
    metal = design.frame_material == "metal"
    style = (
        "round" if metal else design.choose({"square": 2, "tapered": 2, "round": 2, "turned": 2})
    )
    splay = design.u(0.03, 0.1)
    inner = radius * (0.62 if round_seat else 0.72)
    step = 2 * np.pi / count
    for turn in np.pi / 2 + step * (np.arange(count) + (0.5 if count == 4 else 0)):
        if np.cos(turn) < -1e-6:
            continue
        x, y = (float(v) * inner * 1.1 for v in (abs(np.cos(turn)), np.sin(turn)))
        out = 1 + splay / inner
        x = 0.0 if x < 1e-6 else x
        add_leg(design, (x, y, top), (x * out, y * out), style, thick, mirror=x > 0)
    reach = inner * 1.1 + splay * 0.62
    if bar or design.chance(0.3):
        add_foot_ring(design, reach, top * 0.36)
    design.legs = f"{'three' if count == 3 else 'four'} {style} legs"


def _low_back(design: Design, height: Number, radius: Number) -> None:
    """A low bent back on two posts."""
    wide = radius * 1.5
    sheet = Sheet(
        height - 0.03, height + design.u(0.2, 0.34), -radius * 0.8, wide, wide, 0.15, 0.05
    )
    add_posts(design, sheet, 0.0145, 8, 0.9)
    add_padded_back(design, sheet, (0.45, 1.0), 0.022, (-1.1, 1.1))
    design.back = "low"
