"""Chairs of tubes, shells and canvas: shell, cantilever, folding and director's chairs."""

from __future__ import annotations

import numpy as np

from engine.data.procedural.builder import Number
from engine.data.procedural.chairs.design import Design, Sheet
from engine.data.procedural.chairs.forms import bent, board, nodes, slab, soft, tube
from engine.data.procedural.chairs.frame import add_bar, add_four_legs, add_padded_back
from engine.data.procedural.chairs.soft import add_star
from engine.data.procedural.chairs.wooden import add_pedestal
from engine.data.procedural.paint import Colour


def build_shell(design: Design) -> None:
    """A moulded shell on wire, wood, sled, or a pedestal."""
    u = design.u
    cover = design.cover = design.cover.plain()
    height, high = u(0.41, 0.46), u(0.30, 0.48)
    design.arms = design.chance(0.35)
    _shell(design, height, high, u(0.44, 0.54), design.arms)
    base = design.choose({"wood": 3, "wire": 3, "sled": 1.5, "pedestal": 1.2, "star": 1})
    top = height - 0.035
    if base == "star":
        design.use_frame(1.0)
        add_star(design, top, castors=True)
    elif base == "pedestal":
        design.frame_material, design.frame_name, design.frame = (
            "metal",
            "white metal",
            (0.9, 0.9, 0.89),
        )
        if design.chance(0.4):
            design.use_frame(1.0)
        add_pedestal(design, top + 0.02, 0.24, ring=False)
    elif base == "sled":
        _sled(design, top)
    else:
        _shell_legs(design, top, base)
    if design.chance(0.3):
        span = (-0.17, 0.17), (-0.15, 0.18), (height - 0.015, height + 0.035)
        board(design.mesh, *span, design.trim, "cushion", (nodes(3), nodes(3)), True)
        design.extras.append(f"{cover.second} cushion")
    design.back = "shell"


def _shell(design: Design, height: Number, high: Number, width: Number, arms: bool) -> None:
    u = design.u
    lean = u(0.06, 0.16)
    line = [(0.24, -0.035), (0.21, -0.005), (0.08, -0.012), (-0.06, -0.02), (-0.16, 0.0)]
    line += [(-0.215, 0.07), (-0.23 - 0.4 * lean, 0.2), (-0.23 - lean, high)]
    line = bent([(0, y, z + height) for y, z in line], 1.0, 4)[:, 1:]
    rows = len(line)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=-1))])
    along /= along[-1]
    across = np.linspace(-1, 1, 13)
    taper = u(0.7, 1.0)
    wide = (
        width
        / 2
        * np.interp(
            along,
            [0, 0.04, 0.1, 0.5, 0.8, 0.9, 0.97, 1],
            [0.7, 0.88, 0.96, 1, taper, taper * 0.92, taper * 0.74, taper * 0.5],
        )
    )
    curl = u(0.04, 0.08) * np.interp(along, [0, 0.3, 0.6, 1], [0.1, 0.6, 1, 0.5])
    if arms:
        curl += u(0.07, 0.12) * np.exp(-(((along - 0.5) / 0.24) ** 2))
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], -1)
    mid = np.empty((rows, 13, 3))
    mid[..., 0] = wide[:, None] * across
    lift = curl[:, None] * abs(across) ** 2.5
    mid[..., 1:] = line[:, None] + normal[:, None] * lift[..., None]
    slab(design.mesh, mid, 0.0135, design.cover.rgb, "seat", design.hidden_rgb, (0.62, 1.0))


def _shell_legs(design: Design, top: Number, base: str) -> None:
    u = design.u
    design.use_frame(1.0 if base == "wire" else 0.0)
    thick = 0.0135 if base == "wire" else u(0.017, 0.021)
    splay = u(0.05, 0.1)
    add_four_legs(design, (0.15, 0.15), (0.14, -0.13), top, "round", thick, splay)
    rgb: Colour = design.frame if base == "wire" else (0.09, 0.09, 0.1)
    z = top - 0.03
    for y in (0.145, -0.135):
        tube(design.mesh, [(-0.16, y, z), (0.16, y, z)], 0.0135, rgb, "leg")
    tube(design.mesh, [(0.155, 0.145, z), (0.155, -0.135, z)], 0.0135, rgb, "leg", mirror=True)
    if design.chance(0.5):
        low = u(0.25, 0.5) * top
        out = splay * (1 - low / top)
        ends = [(0.15 + out, 0.14 + out), (-0.15 - out, -0.13 - out)]
        path = [(*ends[0], low), (*ends[1], low)]
        tube(design.mesh, path, 0.0125, rgb, "leg", reference=(0, 0, 1), mirror=True)
        design.extras.append("cross braces")
    design.legs = f"{base} legs"


def _sled(design: Design, top: Number) -> None:
    """Two bent runners of tube."""
    design.use_frame(1.0)
    wide, reach = design.u(0.2, 0.24), design.u(0.2, 0.24)
    path = [(0.14, 0.13, top), (wide, reach, 0.014), (wide, -reach, 0.014), (0.14, -0.13, top)]
    tube(design.mesh, bent(path), 0.0145, design.frame, "leg", mirror=True)
    for y in (0.13, -0.13):
        tube(design.mesh, [(-0.15, y, top), (0.15, y, top)], 0.0135, design.frame, "leg")
    design.legs = "sled"


def build_cantilever(design: Design) -> None:
    """Seat and back on one bent tube without rear legs."""
    u = design.u
    design.use_frame(1.0)
    height, depth, wide = u(0.43, 0.47), u(0.22, 0.26), u(0.21, 0.25)
    high, lean = height + u(0.34, 0.48), u(0.05, 0.14)
    thick = u(0.0135, 0.0175)
    rear = -depth + 0.03
    path = [(wide, rear - lean, high), (wide, rear, height), (wide, depth, height + 0.02)]
    path += [(wide, depth, thick), (wide, -depth, thick)]
    tube(design.mesh, bent(path, u(0.06, 0.2)), thick, design.frame, "leg", mirror=True)
    tube(design.mesh, [(-wide, -depth, thick), (wide, -depth, thick)], thick, design.frame, "leg")
    cover = design.cover
    shares = nodes(cover.fields), nodes(cover.fields)
    z = (height - 0.005, height + u(0.035, 0.06))
    span = (-wide - 0.005, wide + 0.005), (rear + 0.02, depth)
    board(design.mesh, *span, z, cover.cells(*shares), "seat", shares, True)
    sheet = Sheet(height, high, rear, 2 * wide, 2 * wide, lean / (high - height), u(0.0, 0.03))
    add_padded_back(design, sheet, (u(0.3, 0.5), 1.0), u(0.016, 0.03))
    design.back, design.legs = "panel", "cantilever tube"
    if design.chance(0.45):
        rest = height + u(0.2, 0.25)
        arm = [
            (wide, rear - 0.03, rest),
            (wide + 0.02, depth * 0.7, rest),
            (wide, depth - 0.01, height),
        ]
        tube(design.mesh, bent(arm), thick, design.frame, "arm", mirror=True)
        pad = [(wide + 0.01, -0.12, rest + 0.012), (wide + 0.015, 0.1, rest + 0.012)]
        rgb = cover.rgb if design.chance(0.5) else (0.09, 0.09, 0.1)
        tube(design.mesh, pad, (0.026, 0.014), rgb, "arm", mirror=True)
        design.arms = True


def build_director(design: Design) -> None:
    """Canvas between wooden bars, on crossed legs."""
    u = design.u
    height, half, depth = u(0.43, 0.50), u(0.26, 0.30), u(0.19, 0.22)
    rest, high = height + u(0.2, 0.24), height + u(0.40, 0.48)
    thick = u(0.016, 0.02)
    mesh, frame = design.mesh, design.frame
    for y in (depth - 0.02, -depth + 0.02):
        path = [(half - 0.02, y, 0.03), (-half + 0.02, y, height - 0.01)]
        tube(mesh, path, thick, frame, "leg", 4, (0, 1, 0), mirror=True)
    for z, x in ((0.02, half - 0.02), (height - 0.01, half - 0.02)):
        bar = [(x, -depth - 0.03, z), (x, depth + 0.03, z)]
        tube(mesh, bar, (0.018, 0.02), frame, "leg", 4, mirror=True)
    for y, top in ((depth - 0.04, rest), (-depth + 0.0, high)):
        post = [(half, y, height - 0.03), (half, y, top)]
        tube(mesh, post, thick, frame, "arm" if y > 0 else "back", 4, mirror=True)
    tube(
        mesh,
        [(half, -depth - 0.02, rest), (half, depth + 0.04, rest)],
        (0.034, 0.014),
        frame,
        "arm",
        4,
        mirror=True,
    )
    shares = nodes(design.cover.fields), nodes(design.cover.fields)
    span = (-half + 0.01, half - 0.01), (-depth - 0.02, depth + 0.02)
    board(
        mesh,
        *span,
        (height - 0.005, height + 0.02),
        design.cover.cells(*shares),
        "seat",
        shares,
        crown=-0.03,
    )
    sheet = Sheet(height, high, -depth + 0.0, 2 * half, 2 * half, 0.0, u(0.0, 0.02))
    mid = sheet.patch((-1.03, 1.03), (u(0.5, 0.6), 0.99), shares)
    cover = design.back_cover if design.cover.pattern == "two-tone" else design.cover
    slab(mesh, mid, 0.022 * soft(*shares, 9.0), cover.cells(*shares), "back", design.hidden_rgb)
    design.back, design.legs, design.arms = "canvas", "crossed legs", True


def build_folding(design: Design) -> None:
    """Two frames that cross at the sides, with a board or slats for a seat."""
    u = design.u
    design.use_frame(0.45)
    height, half, high = u(0.43, 0.47), u(0.19, 0.23), u(0.78, 0.88)
    depth, thick = u(0.2, 0.24), u(0.0145, 0.018)
    sides = 8 if design.frame_material == "metal" else 4
    lean = 0.35 * depth / 0.22
    top = -depth * 0.55 - lean * (high - height) * 0.6
    long = [(half, depth + 0.03, 0.0), (half, -depth * 0.55, height), (half, top, high)]
    tube(design.mesh, bent(long), thick, design.frame, "leg", sides, mirror=True)
    x = half - 2 * thick
    short = [(x, -depth - 0.05, 0.0), (x, depth * 0.75, height - 0.02)]
    tube(design.mesh, short, thick, design.frame, "leg", sides, mirror=True)
    for y, z, wide in ((-depth - 0.01, 0.08, x), (depth - 0.01, 0.09, half)):
        tube(design.mesh, [(-wide, y, z), (wide, y, z)], thick * 0.85, design.frame, "leg")
    slats = design.chance(0.5)
    if slats and design.frame_material != "metal":
        design.use_frame_for_seat()
    rgb = design.cover.rgb
    if slats:
        for front in np.linspace(depth, -depth + 0.09, 4):
            span = (-half, half), (front - 0.085, front)
            board(design.mesh, *span, (height - 0.012, height + 0.014), rgb, "seat")
        design.extras.append("slatted seat")
    else:
        shares = nodes(design.cover.fields), nodes(design.cover.fields)
        span = (-half - 0.01, half + 0.01), (-depth, depth)
        z = (height - 0.015, height + u(0.015, 0.04))
        board(design.mesh, *span, z, design.cover.cells(*shares), "seat", shares, True)
    slope = (-depth * 0.55 - top) / (high - height)
    sheet = Sheet(height, high, -depth * 0.55, 2 * half, 2 * half, slope, u(0.0, 0.02))
    if slats:
        frame, design.frame = design.frame, rgb
        for low in np.linspace(0.42, 0.78, 2 + design.chance(0.5)):
            add_bar(design, sheet, (-1.04, 1.04), (low, low + 0.19))
        design.frame = frame
    else:
        add_padded_back(design, sheet, (0.45, 1.0), 0.016, (-1.04, 1.04), 8.0)
    design.back, design.legs = "slats" if slats else "panel", "crossed side frames"
