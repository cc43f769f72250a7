"""Closed solids that chairs are made of: tubes along a path, slabs over a sheet, discs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from engine.data.procedural.builder import MIRROR, Builder, Number, Point
from engine.data.procedural.paint import Colour

AWAY = np.array([-0.623, 0.678, 0.391])
"""Direction from the origin to view 64 of SRN's test path."""
AWAY_MARGIN = 0.28
"""A face whose normal is turned further away than this is turned away from all of that camera's rays."""


def nodes(fields: int, edge: Number = 0.06) -> Float[np.ndarray, " n"]:
    """Shares in [0, 1] that part a side into equal fields, with a narrow field at either end."""
    inner = np.linspace(0, 1, fields * max(2, round(8 / fields)) + 1)[1:-1]
    return np.concatenate([[0, edge], inner[(inner > edge) & (inner < 1 - edge)], [1 - edge, 1]])


def soft(
    u: Float[np.ndarray, " nu"], v: Float[np.ndarray, " nv"], power: Number = 5.0
) -> Float[np.ndarray, "nv nu"]:
    """Thickness of a cushion as a share of its greatest, rounded towards the edges."""
    across, along = ((1 - abs(2 * s - 1) ** power) ** (1 / power) for s in (u, v))
    return np.maximum(across, 0.35)[None] * np.maximum(along, 0.35)[:, None]


def rounded_off(v: Float[np.ndarray, " n"], share: Number) -> Float[np.ndarray, " n"]:
    """Widths of a sheet's rows whose corners are cut round; `share` is missing at the ends."""
    return 1 - share * abs(2 * v - 1) ** 4


def slab(
    mesh: Builder,
    mid: Float[np.ndarray, "r c 3"],
    half: Number | np.ndarray,
    rgb: np.ndarray | Colour,
    part: str,
    hidden: Colour | None = None,
    rows: tuple[Number, Number] = (0.0, 1.0),
) -> None:
    """A closed solid around a sheet.

    Args:
        mesh: Builder to add to.
        mid: The sheet. Its front is where (rows' direction) x (columns' direction) points: for x along the columns, up
            along the rows that is +y; for y falling along the rows it is up.
        half: Half the thickness, metres; one, or one per point.
        rgb: One colour, or one per cell.
        part: Part name.
        hidden: Colour of the rear's inner cells where they are turned away from view 64 and from its mirror image.
        rows: Share of the rows that may show it.
    """
    r, c = mid.shape[:2]
    normal = np.cross(np.gradient(mid, axis=0), np.gradient(mid, axis=1))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    offset = normal * np.broadcast_to(half, (r, c))[..., None]
    front, rear = mid + offset, mid - offset
    loop = np.concatenate([front, rear[:, ::-1], front[:, :1]], 1)
    first, last = (np.concatenate([m, m[::-1], m[:1]])[None] for m in (mid[0], mid[-1]))
    sheet = np.broadcast_to(np.asarray(rgb, float), (r - 1, c - 1, 3))
    sheet = np.concatenate([sheet[:1], sheet, sheet[-1:]])
    colours = np.concatenate([sheet, sheet[:, -1:], sheet[:, ::-1], sheet[:, :1]], 1)
    parts = np.full((r + 1, 2 * c), mesh.parts.index(part))
    if hidden is not None:
        shown = _turned_away(rear, normal)
        shown[[0, -1]], shown[:, [0, -1]] = False, False
        shown[: round(rows[0] * (r - 1))] = False
        shown[round(rows[1] * (r - 1)) :] = False
        colours[1:-1, c:-1][shown[:, ::-1]] = hidden
        parts[1:-1, c:-1][shown[:, ::-1]] = mesh.parts.index("hidden")
    mesh.grid(np.concatenate([first, loop, last]), colours, part=parts, inside=_middle(mid))


def bent(
    points: np.ndarray | list, radius: Number = 0.08, steps: int = 5
) -> Float[np.ndarray, "n 3"]:
    """A path whose corners are rounded; its ends stay.

    Args:
        points: Corners.
        radius: How far before and behind a corner the bend reaches, at most half way to the next; metres.
        steps: Points of every bend.
    """
    path = np.asarray(points, float)
    t = np.linspace(0, 1, steps)[:, None]
    pieces = [path[:1]]
    for before, corner, after in zip(path[:-2], path[1:-1], path[2:], strict=True):
        ends = []
        for other in (before, after):
            length = np.linalg.norm(other - corner)
            ends.append(corner + (other - corner) * min(radius / length, 0.499))
        pieces.append((1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * corner + t**2 * ends[1])
    return np.concatenate([*pieces, path[-1:]])


def circle(radius: Number, z: Number, count: int = 20) -> Float[np.ndarray, "n 3"]:
    """A closed horizontal circle around the z axis."""
    turn = np.linspace(0, 2 * np.pi, count + 1)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), 0 * turn + z], -1)


def _middle(points: np.ndarray) -> Point:
    return tuple(float(value) for value in points.reshape(-1, 3).mean(0))


def _turned_away(
    rear: Float[np.ndarray, "r c 3"], normal: Float[np.ndarray, "r c 3"]
) -> np.ndarray:
    """Mask of a rear sheet's cells that face away from view 64 and its mirror image; `normal` points to the front."""
    cross = np.cross(rear[1:, 1:] - rear[:-1, :-1], rear[1:, :-1] - rear[:-1, 1:])
    cross /= np.maximum(np.linalg.norm(cross, axis=-1, keepdims=True), 1e-12)
    cross *= -np.sign((cross * normal[1:, 1:]).sum(-1, keepdims=True))
    return np.maximum(cross @ AWAY, cross @ (AWAY * MIRROR)) < -AWAY_MARGIN


def tube(
    mesh: Builder,
    path: np.ndarray | list,
    section: Number | np.ndarray | tuple,
    rgb: Colour,
    part: str,
    sides: int = 8,
    reference: Point | None = None,
    mirror: bool = False,
) -> None:
    """A closed bar along a path.

    Args:
        mesh: Builder to add to.
        path: Points, metres.
        section: Half the width, or half widths (along the reference, across it), or either of them per point.
        rgb: Colour.
        part: Part name.
        sides: 4 for a rectangular section, else an elliptic one.
        reference: A direction across the whole path; default x, or y for a path along x.
        mirror: Also add the mirror image.
    """
    path = np.asarray(path, float)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    if reference is None:
        reference = (0, 1, 0) if np.abs(tangent[:, 0]).max() > 0.8 else (1, 0, 0)
    one = np.asarray(reference, float) - tangent * (tangent @ np.asarray(reference, float))[:, None]
    one /= np.linalg.norm(one, axis=-1, keepdims=True)
    two = np.cross(tangent, one)
    size = np.asarray(section, float)
    size = size[:, None] if size.shape == (len(path),) and len(path) != 2 else size
    size = np.broadcast_to(size, (len(path), 2))
    turn = np.linspace(0, 2 * np.pi, sides + 1) + np.pi / sides
    reach = np.sqrt(2) if sides == 4 else 1.0
    cos, sin = reach * np.cos(turn), reach * np.sin(turn)
    ring = (
        path[:, None]
        + (one * size[:, :1])[:, None] * cos[:, None]
        + (two * size[:, 1:])[:, None] * sin[:, None]
    )
    ends = [np.broadcast_to(point, (1, sides + 1, 3)) for point in (path[0], path[-1])]
    mesh.grid(
        np.concatenate([ends[0], ring, ends[1]]), rgb, part, inside=_middle(path), mirror=mirror
    )


def board(
    mesh: Builder,
    x: tuple[Number, Number],
    y: tuple[Number, Number],
    z: tuple[Number, Number],
    rgb: np.ndarray | Colour,
    part: str,
    shares: tuple[np.ndarray, np.ndarray] | None = None,
    rounded: bool = False,
    crown: Number = 0.0,
    taper: Number = 0.0,
    round_off: Number = 0.0,
    ellipse: Number = 0.0,
) -> None:
    """A lying board or cushion, symmetric or not.

    Args:
        mesh: Builder to add to.
        x: Left and right.
        y: Rear and front.
        z: Bottom and top.
        rgb: One colour, or one per cell (rows from the front).
        part: Part name.
        shares: Nodes across and from front to rear.
        rounded: A cushion instead of a board.
        crown: How much higher its middle is, metres; negative for a hollow.
        taper: Share by which the rear is narrower.
        round_off: Share by which its first and last row are narrower, as `rounded_off`.
        ellipse: Behind y = 0 the sides follow an ellipse of this half axis, metres; 0 for straight sides.
    """
    u, v = shares if shares is not None else (nodes(3), nodes(3))
    width = (1 - taper * v) * rounded_off(v, round_off)
    if ellipse:
        behind = np.minimum(y[1] - (y[1] - y[0]) * v, 0) / ellipse
        width = width * np.sqrt(1 - behind**2)
    px = (x[0] + x[1]) / 2 + (x[1] - x[0]) * (u - 0.5)[None] * width[:, None]
    py = np.broadcast_to((y[1] - (y[1] - y[0]) * v)[:, None], px.shape)
    dome = (1 - (2 * u - 1) ** 2)[None] * (1 - (2 * v - 1) ** 2)[:, None]
    pz = (z[0] + z[1]) / 2 + crown * dome
    half = (z[1] - z[0]) / 2
    slab(mesh, np.stack([px, py, pz], -1), half * soft(u, v) if rounded else half, rgb, part)


def disc(
    mesh: Builder,
    centre: Point,
    profile: np.ndarray | list,
    rgb: np.ndarray | Colour,
    part: str,
    segments: int = 20,
    hidden: Colour | None = None,
) -> None:
    """A closed solid of revolution about z, its rim's rear in the hidden colour.

    Args:
        mesh: Builder to add to.
        centre: Origin of the heights.
        profile: (height, radius) from the bottom's middle to the top's.
        rgb: One colour, or one per (step, segment).
        part: Part name.
        segments: Steps around.
        hidden: Colour of the steep cells that are turned away from view 64.
    """
    profile = np.asarray(profile, float)
    colours = np.broadcast_to(np.asarray(rgb, float), (len(profile) - 1, segments, 3)).copy()
    parts = np.full(colours.shape[:2], mesh.parts.index(part))
    if hidden is not None:
        turn = (np.arange(segments) + 0.5) / segments * 2 * np.pi
        rise, out = np.diff(profile, axis=0).T
        length = np.hypot(rise, out)
        normal = np.stack(
            [
                (rise / length)[:, None] * np.cos(turn),
                (rise / length)[:, None] * np.sin(turn),
                np.broadcast_to((-out / length)[:, None], parts.shape),
            ],
            -1,
        )
        shown = (normal @ AWAY < -AWAY_MARGIN) & (rise / length > 0.8)[:, None]
        colours[shown], parts[shown] = hidden, mesh.parts.index("hidden")
    mesh.revolve(profile, centre, 2, colours, parts, segments)
