"""Loads of pickups and lorries: loose loads, boxes, tanks and the chassis under them."""

from __future__ import annotations

import numpy as np

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import CHROME, PLASTIC, TAIL, Colour, pick_paint, shade
from engine.data.procedural.vehicles.body import UNDER, Body
from engine.data.procedural.vehicles.parts import add_wheel

WOOD = (0.56, 0.40, 0.22)


def add_bed_load(mesh: Builder, body: Body, noise: np.random.Generator) -> str | None:
    """Puts something into a pickup's bed.

    Returns:
        Name of the load, or None.
    """
    front, rear, depth = body.bed
    floor = float(body.deck((front + rear) / 2)) - depth
    half = body.width / 2 - 0.25
    kind = noise.choice(["nothing", "crates", "logs", "cover"], p=[0.4, 0.22, 0.18, 0.2])
    if kind == "crates":
        for low, high in (
            (rear + 0.1, (front + rear) / 2 - 0.05),
            ((front + rear) / 2 + 0.05, front - 0.1),
        ):
            _, rgb = pick_paint(noise)
            top = floor + noise.uniform(0.35, 0.85)
            mesh.box((-half * 0.85, low, floor), (half * 0.85, high, top), rgb, "cargo")
        return "crates"
    if kind == "logs":
        reach, middle = (front - rear) / 2 - 0.08, (front + rear) / 2
        tube = np.array([[-reach, 0], [-reach, 0.16], [reach, 0.16], [reach, 0]])
        for x, level in (
            (-0.42, 0),
            (-0.14, 0),
            (0.14, 0),
            (0.42, 0),
            (-0.28, 1),
            (0, 1),
            (0.28, 1),
        ):
            centre = (x, middle, floor + 0.17 + 0.25 * level)
            mesh.revolve(tube, centre, 1, shade(WOOD, noise.uniform(0.8, 1.2)), "cargo", 10)
        return "logs"
    if kind == "cover":
        rgb = (0.1, 0.1, 0.11) if noise.uniform() < 0.6 else (0.5, 0.5, 0.47)
        top = floor + depth
        low, high = (-half - 0.15, rear - 0.02, top - 0.03), (half + 0.15, front + 0.05, top + 0.05)
        mesh.rounded_box(low, high, 0.035, rgb, "cargo")
        return "bed cover"
    return None


def add_chassis(
    mesh: Builder, body: Body, tail: float, axles: tuple[float, ...], rim: Colour, spokes: int
) -> None:
    """Frame, rear wheels and mudguards of a lorry, from its cab to y = `tail`."""
    mesh.box((-0.5, tail + 0.1, 0.5), (0.5, body.half - 0.6, 0.85), UNDER, "under")
    outer = body.width / 2 - 0.02
    for axle in axles:
        add_wheel(mesh, outer, axle, body.wheel, 0.5, rim, spokes, 0.6)
    mesh.box((-outer, tail + 0.02, 0.5), (outer, tail + 0.14, 0.72), PLASTIC, "trim")
    mesh.box(
        (outer - 0.34, tail - 0.01, 0.53), (outer - 0.04, tail + 0.1, 0.69), TAIL, "taillight", True
    )
    front = max(axles) + body.wheel * 1.25
    if -body.half - front > 0.3:
        low, high = (outer - 0.32, front, 0.45), (outer - 0.02, -body.half - 0.1, 0.88)
        mesh.rounded_box(low, high, 0.1, CHROME, "trim")
        mirrored = ((-high[0], low[1], low[2]), (-low[0], high[1], high[2]))
        mesh.rounded_box(*mirrored, 0.1, CHROME, "trim")


def add_box(
    mesh: Builder, body: Body, tail: float, height: float, rgb: Colour, stripe: Colour | None
) -> None:
    """The box of a lorry, from behind the cab to y = `tail`."""
    half, front = body.width / 2 + 0.02, -body.half - 0.06
    mesh.rounded_box((-half, tail, 0.88), (half, front, height), 0.06, rgb, "cargo")
    mesh.box(
        (-half + 0.05, tail - 0.02, 0.95), (-0.015, tail, height - 0.1), shade(rgb, 0.93), "cargo"
    )
    mesh.box(
        (0.015, tail - 0.02, 0.95), (half - 0.05, tail, height - 0.1), shade(rgb, 0.93), "cargo"
    )
    if stripe is not None:
        low = 0.88 + (height - 0.88) * 0.34
        top = low + (height - 0.88) * 0.16
        mesh.box((half, tail + 0.02, low), (half + 0.012, front - 0.02, top), stripe, "cargo", True)


def add_tank(
    mesh: Builder, body: Body, tail: float, height: float, rgb: Colour, stripe: Colour | None
) -> None:
    """The tank of a tanker, from behind the cab to y = `tail`."""
    front = -body.half - 0.12
    radius, reach = (height - 0.92) / 2, (front - tail) / 2
    middle, level = (front + tail) / 2, 0.92 + radius
    wide = min(1.22, (body.width / 2) / radius)
    ends = np.deg2rad([0, 25, 50, 75, 90])
    cap = np.stack([-reach + 0.28 * (1 - np.cos(ends)), np.sin(ends)], -1)
    band = np.array([[-reach * 0.32, 1.0], [reach * 0.32, 1.0]])
    profile = np.concatenate([cap, band, cap[::-1] * [-1, 1]]) * [1, radius]
    colours = np.broadcast_to(rgb, (len(profile) - 1, 20, 3)).copy()
    if stripe is not None:
        colours[len(cap)] = stripe
    mesh.revolve(profile, (0, middle, level), 1, colours, "cargo", 20, (wide, 1, 1))
    for y in (-0.5, 0.5):
        spot = (0, middle + y * reach, level + radius - 0.03)
        lid = np.array([[0, 0.24], [0.12, 0.24], [0.12, 0]])
        mesh.revolve(lid, spot, 2, shade(rgb, 0.8), "cargo", 10)
    mesh.box((-0.75, tail + 0.15, 0.8), (0.75, front - 0.1, 1.05), UNDER, "under")
