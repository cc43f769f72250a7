"""Upholstered chairs: armchairs and office chairs."""

from __future__ import annotations

import numpy as np

from engine.data.procedural.builder import Number
from engine.data.procedural.chairs.design import Design, Sheet
from engine.data.procedural.chairs.forms import bent, board, circle, disc, nodes, slab, soft, tube
from engine.data.procedural.chairs.frame import add_leg, add_padded_back
from engine.data.procedural.chairs.wooden import add_piping
from engine.data.procedural.paint import BLACK, CHROME, Colour


def build_armchair(design: Design) -> None:
    """A wide upholstered chair: boxy, with rolled arms, with wings, or a tub."""
    u = design.u
    design.use_frame(0.3)
    shape = design.choose({"boxy": 3, "rolled": 2.5, "wing": 2, "tub": 2.5})
    feet = u(0.07, 0.17)
    width, depth, height = u(0.72, 0.92), u(0.72, 0.86), u(0.40, 0.46)
    style = design.choose({"square": 2, "tapered": 2, "round": 2, "turned": 1})
    x, y = width / 2 - 0.07, depth / 2 - 0.08
    if shape == "tub":
        x, y = 0.66 * x, 0.66 * y
    for place in (y, -y):
        out = 0.03 if style != "square" else 0.0
        foot = (x + out, place + np.sign(place) * out)
        add_leg(design, (x, place, feet + 0.01), foot, style, u(0.024, 0.03))
    design.legs, design.arms = f"short {style} feet", True
    if shape == "tub":
        _tub(design, feet, width, depth, height)
    else:
        _box_armchair(design, shape, feet, width, depth, height)


def _box_armchair(
    design: Design, shape: str, feet: Number, width: Number, depth: Number, height: Number
) -> None:
    u = design.u
    arm, back = u(0.10, 0.17), u(0.16, 0.22)
    inner = width / 2 - arm
    plain = design.cover.plain()
    body = plain.rgb
    span = (-depth / 2 + 0.02, depth / 2 - 0.01)
    board(design.mesh, (-inner - 0.03, inner + 0.03), span, (feet, height - 0.13), body, "base")
    _cushion(
        design, (-inner, inner), (-depth / 2 + back - 0.03, depth / 2), (height - 0.15, height)
    )
    rest = height + u(0.14, 0.24)
    shares = nodes(3), nodes(3)
    arm_rgb = design.trim if design.cover.pattern == "two-tone" and design.chance(0.5) else body
    for side in (-1, 1):
        edge = tuple(sorted((side * inner, side * width / 2)))
        reach = (-depth / 2 + 0.02, depth / 2)
        rounded = shape != "boxy"
        board(design.mesh, edge, reach, (feet, rest), arm_rgb, "arm", shares, rounded)
    if shape != "boxy":
        path = [
            (inner + arm * 0.55, -depth / 2 + 0.05, rest - 0.02),
            (inner + arm * 0.55, depth / 2, rest - 0.02),
        ]
        tube(design.mesh, path, arm * 0.62, arm_rgb, "arm", 12, mirror=True)
    high = u(0.95, 1.15) if shape == "wing" else u(0.74, 0.98)
    sheet = Sheet(
        feet + 0.01, high, -depth / 2 + back / 2, 2 * inner + 0.04, 2 * inner, u(0.06, 0.2),
        curl=u(0.0, 0.05),
    )  # fmt: skip
    loose = shape != "wing" and design.chance(0.5)
    shares = nodes(design.cover.fields), nodes(design.cover.fields)
    mid = sheet.patch((-1, 1), (0, 1), shares)
    cover = design.back_cover if loose else design.cover
    if design.cover.pattern == "two-tone":
        cover = design.back_cover
    thick = back / 2 * soft(*shares, 8.0)
    slab(design.mesh, mid, thick, cover.cells(*shares), "back", design.hidden_rgb)
    if loose:
        _loose_cushion(design, sheet, height, back)
    if shape == "wing":
        _wings(design, sheet, inner, height, body)
    elif design.chance(0.25):
        _buttons(design, sheet, back / 2)
    design.back = {"boxy": "cushion", "rolled": "cushion", "wing": "wing"}[shape]
    design.extras.append({"boxy": "boxy arms", "rolled": "rolled arms", "wing": "wings"}[shape])


def _cushion(
    design: Design,
    x: tuple[Number, Number],
    y: tuple[Number, Number],
    z: tuple[Number, Number],
    round_off: Number = 0.0,
    ellipse: Number = 0.0,
) -> None:
    """A seat cushion in the cover's pattern."""
    cover = design.cover
    shares = nodes(cover.fields), nodes(cover.fields)
    rgb, crown = cover.cells(*shares), design.u(0.0, 0.02)
    board(design.mesh, x, y, z, rgb, "cushion", shares, True, crown, 0.0, round_off, ellipse)
    if cover.pattern == "piping" and not round_off and not ellipse:
        add_piping(design, x, y, z[1] - 0.02)


def _loose_cushion(design: Design, sheet: Sheet, height: Number, back: Number) -> None:
    """A cushion that leans against the back."""
    shares = nodes(design.cover.fields), nodes(design.cover.fields)
    high = (design.u(0.85, 1.02) * sheet.high - sheet.low) / (sheet.high - sheet.low)
    low = (height - sheet.low) / (sheet.high - sheet.low)
    mid = sheet.patch((-0.93, 0.93), (low, high), shares)
    mid[..., 1] += back / 2 + 0.03
    rgb = design.cover.cells(*shares)
    slab(design.mesh, mid, 0.07 * soft(*shares, 3.5), rgb, "cushion")
    design.extras.append("loose cushion")


def _wings(design: Design, sheet: Sheet, inner: Number, height: Number, rgb: Colour) -> None:
    """Ears on both sides of a high back."""
    depth = design.u(0.27, 0.36)
    low = (height + 0.12 - sheet.low) / (sheet.high - sheet.low)
    up = np.linspace(low, 0.99, 8)
    reach = depth * np.clip(1.35 - 0.9 * abs(2 * np.linspace(0, 1, 8) - 0.9) ** 1.5, 0.35, 1)
    edge = sheet.point(1.0, up)
    across = np.linspace(-0.02, 1, 5)[None, :, None]
    mid = edge[:, None] + across * (reach[:, None, None] * np.array([0.0, 1.0, 0.0]))
    mid[..., 0] = inner - 0.02
    for side in (1, -1):
        slab(design.mesh, mid * [side, 1, 1], 0.035, rgb, "back")


def _buttons(design: Design, sheet: Sheet, front: Number) -> None:
    """Buttons on the back."""
    for v in (0.6, 0.82):
        for u in (0.0, 0.5):
            x, y, z = map(float, sheet.point(u, v))
            size = (0.022, 0.012, 0.022)
            place = (x, y + front, z)
            design.mesh.ellipsoid(place, size, design.trim, "trim", mirror=u > 0)
    design.extras.append("buttons")


def _tub(design: Design, feet: Number, width: Number, depth: Number, height: Number) -> None:
    """Back and arms are one bent wall."""
    u = design.u
    half = u(0.05, 0.075)
    rx, ry = width / 2 - half, depth / 2 - half
    turn = np.deg2rad(np.linspace(-28, 208, 25))
    x, y = rx * np.cos(turn), -ry * np.sin(turn)
    x = np.sign(x) * np.maximum(abs(x), rx * np.where(y > 0, 1.0, 0.0))
    rest, high = height + u(0.1, 0.2), u(0.70, 0.88)
    share = np.clip((np.sin(turn) + 0.1) / 1.1, 0, 1) ** u(1.0, 2.2)
    top = rest + (high - rest) * share
    v = nodes(design.cover.fields, 0.08)
    z = feet + (top - feet)[None] * v[:, None]
    flare = 1 + u(0.0, 0.08) * v[:, None]
    mid = np.stack([x * flare, y * flare, z], -1)[:, ::-1]
    cover = design.back_cover if design.cover.pattern == "two-tone" else design.cover
    columns = np.linspace(0, 1, len(turn))
    rgb = cover.cells(columns, v) if cover.pattern == "bands" else cover.rgb
    edge = soft(columns, v, 9.0)
    slab(design.mesh, mid, half * edge, rgb, "back", design.hidden_rgb)
    wall = rx - half + 0.02
    span = (-ry + half, depth / 2 - 0.02)
    shares, rgb = (nodes(3), nodes(5)), design.cover.rgb
    z = (feet, height - 0.12)
    board(design.mesh, (-wall, wall), span, z, rgb, "base", shares, ellipse=ry)
    span = (span[0] + 0.02, depth / 2)
    _cushion(design, (-wall, wall), span, (height - 0.14, height), ellipse=ry)
    design.back = "tub"


def build_office(design: Design) -> None:
    """A swivel chair on a star of five."""
    u = design.u
    width, depth, height = u(0.46, 0.54), u(0.44, 0.52), u(0.45, 0.54)
    dark = design.choose({"black": 6, "chrome": 3, "white": 1.5, "grey": 1})
    design.frame_material, design.frame_name = "metal" if dark == "chrome" else "plastic", dark
    colours = {
        "black": BLACK,
        "chrome": CHROME,
        "white": (0.9, 0.9, 0.9),
        "grey": (0.4, 0.41, 0.43),
    }
    design.frame = colours[dark]
    if design.chance(0.25):
        design.cover = design.cover.plain()
    add_star(design, height - 0.1, castors=not design.chance(0.12))
    span = (-width / 2, width / 2), (-depth / 2, depth / 2)
    shell = BLACK if design.chance(0.6) else design.frame
    board(
        design.mesh,
        *((s[0] + 0.03, s[1] - 0.03) for s in span),
        (height - 0.11, height - 0.06),
        shell,
        "seat",
    )
    corners = u(0.08, 0.25) if design.chance(0.6) else 0.0
    _cushion(design, *span, (height - 0.085, height), corners)
    _office_back(design, width, depth, height, shell)
    if design.chance(0.68):
        _office_arms(design, width, height, shell)


def _office_back(
    design: Design, width: Number, depth: Number, height: Number, shell: Colour
) -> None:
    u = design.u
    style = design.choose({"low": 3, "high": 3, "mesh": 2, "executive": 2})
    size = {
        "low": u(0.32, 0.42),
        "high": u(0.5, 0.62),
        "mesh": u(0.48, 0.6),
        "executive": u(0.62, 0.78),
    }
    low = height + (0.02 if style == "executive" else u(0.06, 0.14))
    bottom = width * u(0.8, 0.95)
    sheet = Sheet(
        low, low + size[style], -depth / 2 + 0.02, bottom, bottom * u(0.82, 1.05), u(0.1, 0.22),
        u(0.02, 0.05), u(-0.03, 0.04),
    )  # fmt: skip
    half = {"low": 0.035, "high": 0.04, "mesh": 0.0135, "executive": 0.06}[style]
    rounded = u(0.1, 0.45) if style != "mesh" and design.chance(0.6) else 0.0
    add_padded_back(design, sheet, (0, 1), half, power=4.0, round_off=rounded)
    if style == "mesh":
        turn = np.linspace(0, 2 * np.pi, 33)
        ring = [np.sign(f) * abs(f) ** 0.45 for f in (np.cos(turn), np.sin(turn))]
        path = sheet.point(ring[0], 0.5 + 0.5 * ring[1])
        tube(design.mesh, path, 0.019, shell, "back", 6, reference=(0, 1, 0))
    if style in ("high", "mesh") and design.chance(0.35):
        add_padded_back(design, sheet, (1.08, 1.32), 0.03, (-0.62, 0.62), 4.0)
        neck = sheet.point(0.0, np.array([0.9, 1.2])) - [0, 0.02, 0]
        tube(design.mesh, neck, 0.02, shell, "back")
        design.extras.append("headrest")
    foot = sheet.point(0.0, 0.28)
    path = bent([(0, 0, height - 0.09), (0, foot[1] - 0.06, height - 0.09), foot - [0, 0.03, 0]])
    tube(design.mesh, path, (0.035, 0.014), shell, "trim", 4)
    design.back = style


def _office_arms(design: Design, width: Number, height: Number, shell: Colour) -> None:
    u = design.u
    x, rest = width / 2 + u(0.03, 0.06), height + u(0.18, 0.25)
    design.arms = True
    metal = design.frame if design.chance(0.5) else shell
    if design.chance(0.5):
        path = [(0.1, 0.0, height - 0.085), (x, 0.0, height - 0.085), (x, 0.0, rest)]
        tube(design.mesh, bent(path, 0.05), (0.03, 0.014), metal, "arm", 4, (0, 1, 0), True)
        reach = (-0.14, 0.13)
    else:
        path = [
            (x, 0.14, height - 0.08),
            (x, 0.17, rest),
            (x, -0.19, rest),
            (x, -0.16, height - 0.08),
        ]
        tube(design.mesh, bent(path), 0.017, metal, "arm", mirror=True)
        tube(
            design.mesh,
            [(0.1, 0.1, height - 0.08), (x, 0.14, height - 0.08)],
            0.016,
            metal,
            "arm",
            mirror=True,
        )
        tube(
            design.mesh,
            [(0.1, -0.12, height - 0.08), (x, -0.16, height - 0.08)],
            0.016,
            metal,
            "arm",
            mirror=True,
        )
        reach = (-0.15, 0.14)
        design.extras.append("loop arms")
    pad = [(x, reach[0], rest + 0.012), (x, reach[1], rest + 0.012)]
    rgb = design.cover.rgb if design.chance(0.25) else BLACK
    tube(design.mesh, pad, (0.036, 0.018), rgb, "arm", mirror=True)


def add_star(design: Design, top: Number, castors: bool) -> None:
    """Five arms on castors or glides, and a gas spring."""
    u, mesh = design.u, design.mesh
    radius, rise = u(0.27, 0.33), u(0.02, 0.05)
    low = 0.075 if castors else 0.03
    hub = [(low, 0), (low, 0.045), (low + 0.075, 0.04), (low + 0.09, 0.028), (0.55 * top, 0.028)]
    hub += [(0.56 * top, 0.0165), (top + 0.02, 0.0165), (top + 0.02, 0)]
    up = np.array([0.0, 0.0, 1.0])
    disc(mesh, (0, 0, 0), hub, design.frame, "base", 12)
    for turn in np.pi / 2 + 2 * np.pi / 5 * np.arange(5):
        out, along = (
            np.array([np.cos(turn), np.sin(turn), 0]),
            np.array([-np.sin(turn), np.cos(turn), 0]),
        )
        path = np.array([out * 0.02, out * radius]) + np.array(
            [[0, 0, low + rise + 0.025], [0, 0, low + 0.012]]
        )
        reference = tuple(map(float, along))
        size = np.array([[0.026, 0.024], [0.018, 0.014]])
        tube(mesh, path, size, design.frame, "base", 4, reference)
        spot = out * (radius - 0.01)
        if castors:
            wheel = [spot + along * s + up * 0.032 for s in (-0.024, 0.024)]
            tube(mesh, wheel, 0.032, BLACK, "castor", 10, reference=(0.0, 0.0, 1.0))
            stem = [spot + up * 0.03, spot + up * (low + 0.01)]
            tube(mesh, stem, 0.0125, design.frame, "castor", 6)
        else:
            tube(mesh, [spot, spot + up * (low + 0.01)], 0.02, design.frame, "castor", 8)
    design.legs = "five-star base"
    design.extras.append("five castors" if castors else "glides")
    if design.chance(0.08):
        tube(mesh, circle(0.2, low + 0.2), 0.0135, CHROME, "base", reference=(0, 0, 1))
        tube(mesh, [(-0.2, 0, low + 0.2), (0.2, 0, low + 0.2)], 0.0125, CHROME, "base")
        design.extras.append("foot ring")
