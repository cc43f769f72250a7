"""Fittings between top and legs (aprons, rear panels, drawers) and things on the top."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import Colour, shade
from engine.data.procedural.tables.outline import Outline, add_prism

BOARD = 0.032
"""Thickness of boards, metres."""
RAISED = 0.006
"""Distance by which the hidden field stands out of the rear panel, metres."""


def add_rear_panel(
    mesh: Builder,
    x: tuple[float, float],
    y: float,
    z: tuple[float, float],
    rgb: Colour,
    hidden: Colour,
    part: str = "apron",
) -> None:
    """A board whose rear side carries a field of another colour, unseen from the front.

    Args:
        mesh: Builder to add to.
        x: Left and right end.
        y: Its rear side; it reaches `BOARD` to the front.
        z: Lower and upper edge.
        rgb: Colour.
        hidden: Colour of the field.
        part: Label of the board.
    """
    mesh.box((x[0], y, z[0]), (x[1], y + BOARD, z[1]), rgb, part)
    rim_x, rim_z = 0.03, 0.012
    low = (x[0] + rim_x, y - RAISED, z[0] + rim_z)
    mesh.box(low, (x[1] - rim_x, y, z[1] - rim_z), hidden, "hidden")


def add_panels(
    mesh: Builder,
    half: tuple[float, float],
    gap: float,
    z: tuple[float, float],
    rear: float,
    rgb: Colour,
    hidden: Colour,
) -> None:
    """Four boards under a straight top, between its legs.

    Args:
        mesh: Builder to add to.
        half: Half the frame's size in x and y, metres.
        gap: Room for a leg at every corner.
        z: Lower and upper edge.
        rear: Lower edge of the rear board.
        rgb: Colour.
        hidden: Colour of the rear board's hidden field.
    """
    a, b = half
    mesh.box((gap - a, b - BOARD, z[0]), (a - gap, b, z[1]), rgb, "apron")
    mesh.box((a - BOARD, gap - b, z[0]), (a, b - gap, z[1]), rgb, "apron", True)
    add_rear_panel(mesh, (gap - a, a - gap), -b, (rear, z[1]), rgb, hidden)


def add_drawer(
    mesh: Builder,
    x: tuple[float, float],
    y: float,
    z: tuple[float, float],
    rgb: Colour,
    handle: Colour,
    style: str,
    mirror: bool = False,
) -> None:
    """A drawer's front, closed, with its handle.

    Args:
        mesh: Builder to add to.
        x: Left and right edge.
        y: The surface it stands out of, towards the front.
        z: Lower and upper edge.
        rgb: Colour of the front.
        handle: Colour of the handle.
        style: knob, bar or cup.
        mirror: Also add the mirror image.
    """
    mesh.box((x[0], y, z[0]), (x[1], y + 0.014, z[1]), rgb, "drawer", mirror)
    cx, cz, front = (x[0] + x[1]) / 2, (z[0] + z[1]) / 2, y + 0.014
    width = x[1] - x[0]
    if style == "knob":
        spots = (cx,) if width < 0.5 else (cx - 0.25 * width, cx + 0.25 * width)
        for spot in spots:
            mesh.ellipsoid(
                (spot, front + 0.016, cz), (0.022, 0.022, 0.022), handle, "handle", mirror
            )
    elif style == "bar":
        reach = min(0.3 * width, 0.12)
        mesh.box(
            (cx - reach, front, cz - 0.014),
            (cx + reach, front + 0.025, cz + 0.014),
            handle,
            "handle",
            mirror,
        )
    else:
        mesh.box(
            (cx - 0.045, front, cz - 0.02),
            (cx + 0.045, front + 0.02, cz + 0.02),
            handle,
            "handle",
            mirror,
        )


@dataclass(frozen=True)
class Fronts:
    """Appearance of drawers: colours of front and handle, and the handle's style."""

    rgb: Colour
    handle: Colour
    style: str

    def row(
        self, mesh: Builder, x: tuple[float, float], y: float, z: tuple[float, float], count: int
    ) -> None:
        """`count` drawers beside each other."""
        edges = np.linspace(x[0], x[1], count + 1)
        for low, high in pairwise(edges):
            add_drawer(mesh, (low + 0.012, high - 0.012), y, z, self.rgb, self.handle, self.style)

    def stack(
        self,
        mesh: Builder,
        x: tuple[float, float],
        y: float,
        z: tuple[float, float],
        count: int,
        mirror: bool = False,
    ) -> None:
        """`count` drawers above each other."""
        edges = np.linspace(z[0], z[1], count + 1)
        for low, high in pairwise(edges):
            span = (low + 0.01, high - 0.01)
            add_drawer(
                mesh,
                (x[0] + 0.012, x[1] - 0.012),
                y,
                span,
                self.rgb,
                self.handle,
                self.style,
                mirror,
            )


def add_cloth(
    mesh: Builder,
    outline: Outline,
    z: tuple[float, float],
    rgb: Colour,
    rim: Colour,
    hidden: Colour,
) -> None:
    """A tablecloth with a hem, over the edge; z: its lower edge and the top's surface."""
    low, top = z
    hem = low + 0.25 * (top - low)
    add_prism(mesh, outline.scaled(-0.016), (low, hem), rim, "cloth", None)
    add_prism(mesh, outline.scaled(-0.012), (hem, top + 0.012), rgb, "cloth", hidden)


def add_runner(
    mesh: Builder,
    outline: Outline,
    top: float,
    half: float,
    drop: float,
    rgb: Colour,
    fringe: Colour,
) -> None:
    """A strip of cloth along a straight table that hangs down at both ends."""
    a = outline.a + 0.03
    mesh.box((-a, -half, top), (a, half, top + 0.012), rgb, "cloth")
    mesh.box((outline.a, -half, top - drop), (a, half, top), rgb, "cloth", True)
    mesh.box((outline.a, -half, top - drop * 1.3), (a, half, top - drop), fringe, "cloth", True)


def add_vase(mesh: Builder, spot: tuple[float, float, float], rgb: Colour, leaves: Colour) -> None:
    """A vase with a round bunch of leaves."""
    profile = np.array([(0, 0), (0, 0.04), (0.06, 0.065), (0.12, 0.05), (0.16, 0.035), (0.16, 0)])
    mesh.revolve(profile, spot, 2, rgb, "decoration", 12)
    mesh.ellipsoid((spot[0], spot[1], spot[2] + 0.22), (0.09, 0.09, 0.08), leaves, "decoration")


def add_bowl(mesh: Builder, spot: tuple[float, float, float], rgb: Colour, fruit: Colour) -> None:
    """A bowl with fruit."""
    profile = np.array([(0, 0), (0, 0.07), (0.04, 0.12), (0.08, 0.15), (0.08, 0)])
    mesh.revolve(profile, spot, 2, rgb, "decoration", 16)
    for dx, dy in ((-0.06, -0.03), (0.06, -0.03), (0, 0.06)):
        mesh.ellipsoid(
            (spot[0] + dx, spot[1] + dy, spot[2] + 0.085), (0.052,) * 3, fruit, "decoration"
        )


def add_books(mesh: Builder, spot: tuple[float, float, float], colours: list[Colour]) -> None:
    """A pile of books."""
    x, y, z = spot
    for k, rgb in enumerate(colours):
        w, d = 0.14 - 0.015 * k, 0.10 - 0.01 * k
        mesh.box(
            (x - w, y - d, z + 0.04 * k), (x + w, y + d, z + 0.04 * (k + 1)), rgb, "decoration"
        )


def add_lamp(mesh: Builder, spot: tuple[float, float, float], rgb: Colour, foot: Colour) -> None:
    """A lamp with a conical shade."""
    profile = np.array([(0, 0), (0, 0.075), (0.03, 0.07), (0.04, 0.022), (0.2, 0.022), (0.2, 0)])
    mesh.revolve(profile, spot, 2, foot, "decoration", 10)
    shape = np.array([(0.2, 0), (0.2, 0.13), (0.38, 0.08), (0.38, 0)])
    mesh.revolve(shape, spot, 2, rgb, "decoration", 14)


def add_laptop(
    mesh: Builder, spot: tuple[float, float, float], rgb: Colour, screen: Colour
) -> None:
    """An open laptop whose screen faces the user at +y."""
    x, y, z = spot
    mesh.box((x - 0.17, y - 0.11, z), (x + 0.17, y + 0.12, z + 0.025), rgb, "decoration")
    mesh.box((x - 0.17, y - 0.14, z), (x + 0.17, y - 0.11, z + 0.23), rgb, "decoration")
    mesh.box((x - 0.15, y - 0.11, z + 0.04), (x + 0.15, y - 0.104, z + 0.21), screen, "decoration")


def add_vise(mesh: Builder, spot: tuple[float, float, float], rgb: Colour) -> None:
    """A bench vise at the front edge of a workbench."""
    x, y, z = spot
    mesh.box((x - 0.1, y - 0.05, z), (x + 0.1, y, z + 0.12), rgb, "decoration")
    mesh.box((x - 0.1, y + 0.05, z - 0.02), (x + 0.1, y + 0.1, z + 0.12), rgb, "decoration")
    mesh.box(
        (x - 0.03, y - 0.1, z + 0.02), (x + 0.03, y + 0.16, z + 0.08), shade(rgb, 0.7), "decoration"
    )
