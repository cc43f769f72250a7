"""Outlines of table tops, and the slabs and prisms that are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from engine.data.procedural.builder import Builder
from engine.data.procedural.paint import Colour
from engine.data.procedural.tables.labels import PARTS

AWAY = np.array([0.677, -0.736])
"""Viewing direction of view 64 of SRN's test path, from above: it does not see sides that face +x or -y."""

BACK_FACING = 0.35
"""Least cosine between `AWAY` and the normal of a wall that is surely unseen in view 64."""


@dataclass(frozen=True)
class Outline:
    """A table top seen from above; symmetric in x.

    Attributes:
        shape: rectangular, square, rounded, round, oval, octagonal, hexagonal or
            half-round (flat towards -y).
        a: Half the length along x, metres.
        b: Half the depth along y, metres.
    """

    shape: str
    a: float
    b: float

    @property
    def straight(self) -> bool:
        """True if it has four right-angled corners."""
        return self.shape in ("rectangular", "square")

    def scaled(self, inset: float) -> Outline:
        """The same outline, smaller by `inset` metres on all sides (larger if negative)."""
        return Outline(self.shape, self.a - inset, self.b - inset)

    def half_width(self, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Half the length at y."""
        a, b = self.a, self.b
        v = np.clip(np.abs(y) / b, 0, 1)
        if self.shape == "rounded":
            r = self._corner
            over = np.clip(np.abs(y) - (b - r), 0, r)
            return a - r + np.sqrt(np.maximum(r * r - over * over, 0))
        if self.shape in ("round", "oval"):
            return a * np.sqrt(1 - v * v)
        if self.shape == "half-round":
            u = np.clip((y + b) / (2 * b), 0, 1)
            return a * np.sqrt(1 - u * u)
        if self.shape == "octagonal":
            return a - np.maximum(np.abs(y) - (b - self._corner), 0) * 0.8
        if self.shape == "hexagonal":
            return a * (1 - 0.5 * v)
        return np.full_like(v, a)

    @property
    def _corner(self) -> float:
        return min(self.a, self.b) * {"rounded": 0.42, "octagonal": 0.55}.get(self.shape, 0.0)

    def levels(self) -> Float[np.ndarray, " n"]:
        """The y at which the outline bends, from -b to b."""
        b = self.b
        if self.shape in ("round", "oval"):
            return -b * np.cos(np.linspace(0, np.pi, 17))
        if self.shape == "half-round":
            return -b + 2 * b * np.sin(np.linspace(0, np.pi / 2, 11))
        if self.shape == "rounded":
            bend = b - self._corner + self._corner * np.sin(np.linspace(0, np.pi / 2, 6))
            return np.concatenate([-bend[::-1], bend])
        if self.shape == "octagonal":
            return np.array([-b, -b + self._corner, b - self._corner, b])
        if self.shape == "hexagonal":
            return np.array([-b, 0, b])
        return np.array([-b, b])

    def loop(self, pieces: float = np.inf) -> Float[np.ndarray, "n 2"]:
        """The outline as a closed counter-clockwise loop, no edge longer than `pieces` metres."""
        y = self.levels()
        w = self.half_width(y)
        right, left = np.stack([w, y], -1), np.stack([-w, y], -1)[::-1]
        loop = np.concatenate([right, left, right[:1]])
        kept = np.linalg.norm(np.diff(loop, axis=0), axis=-1) > 1e-6
        loop = np.concatenate([loop[:-1][kept], loop[-1:]])
        out = []
        for start, end in pairwise(loop):
            count = max(1, int(np.ceil(np.linalg.norm(end - start) / pieces)))
            out.append(start + (end - start) * (np.arange(count) / count)[:, None])
        return np.concatenate([*out, loop[-1:]])


def lifted(loop: Float[np.ndarray, "n 2"], z: float) -> Float[np.ndarray, "n 3"]:
    """A loop at a height."""
    return np.concatenate([loop, np.full((len(loop), 1), z)], -1)


def add_cap(
    mesh: Builder, loop: Float[np.ndarray, "n 3"], up: bool, rgb: Colour, part: str
) -> None:
    """Fills a convex loop around the z axis."""
    hub = np.broadcast_to([0, float(loop[:, 1].mean()), loop[0, 2]], loop.shape)
    inside = (0, 0, float(loop[0, 2]) + (-1 if up else 1))
    mesh.grid(np.stack([hub, loop]), rgb, part, inside)


def add_prism(
    mesh: Builder,
    outline: Outline,
    span: tuple[float, float],
    rgb: Colour,
    part: str,
    hidden: Colour | None,
) -> None:
    """A solid of the outline's shape, partly of another colour where view 64 cannot see it.

    Args:
        mesh: Builder to add to.
        outline: Shape.
        span: Lower and upper z.
        rgb: Colour.
        part: Label.
        hidden: Colour of the middle of the unseen walls, labelled "hidden"; None for no such field.
    """
    low, high = span
    loop = outline.loop(0.12)
    edges = np.diff(loop, axis=0)
    normals = np.stack([edges[:, 1], -edges[:, 0]], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    unseen = normals @ AWAY > BACK_FACING
    unseen &= np.roll(unseen, 1) & np.roll(unseen, -1)
    heights = np.array([low, low + 0.12 * (high - low), high - 0.12 * (high - low), high])
    points = np.stack([lifted(loop, z) for z in heights])
    colours = np.broadcast_to(rgb, (3, len(edges), 3)).copy()
    parts = np.full((3, len(edges)), PARTS.index(part))
    if hidden is not None:
        colours[1, unseen] = hidden
        parts[1, unseen] = PARTS.index("hidden")
    mesh.grid(points, colours, parts, (0, 0, (low + high) / 2))
    add_cap(mesh, points[0], False, rgb, part)
    add_cap(mesh, points[-1], True, rgb, part)
