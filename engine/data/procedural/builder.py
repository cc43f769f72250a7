"""Building blocks of procedural shapes: curved grids, boxes, solids of revolution, each with colour and part name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

Number = float | int
Point = tuple[Number, Number, Number]
"""A point in metres, or a colour in [0, 1]."""

MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass
class Builder:
    """Collects quads; metres, x right, y forward, z up.

    Attributes:
        parts: Names of the part labels, in their order.
        corners: Blocks of quads, counter-clockwise seen from outside.
        rgb: One block of quad colours per block of quads.
        part: One block of part indices per block of quads.
        group: Smoothing group of each block.
    """

    parts: tuple[str, ...]
    corners: list[np.ndarray] = field(default_factory=list)
    rgb: list[np.ndarray] = field(default_factory=list)
    part: list[np.ndarray] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    _groups: int = 0

    def new_group(self) -> int:
        """A smoothing group nobody else uses."""
        self._groups += 1
        return self._groups

    def grid(
        self,
        points: Float[np.ndarray, "r c 3"],
        rgb: np.ndarray | Point,
        part: str | np.ndarray,
        inside: Point | None = None,
        group: int | None = None,
        mirror: bool = False,
    ) -> None:
        """A sheet of quads over a grid of points.

        Args:
            points: Grid.
            rgb: One colour, or one per cell.
            part: One part name, or one index per cell.
            inside: A point behind the sheet; normals point away from it. Default: the middle plane at the sheet's
                mean y and z, which is right for sheets on the sides of something symmetric.
            group: Smoothing group; sheets of one group are smooth across their common edges.
            mirror: Also add the sheet's mirror image.
        """
        group = self.new_group() if group is None else group
        quads = np.stack([points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]], 2)
        cells = quads.shape[:2]
        quads = quads.reshape(-1, 4, 3)
        centre = quads.mean(1)
        if inside is None:
            inside = (0.0, float(centre[:, 1].mean()), float(centre[:, 2].mean()))
        normals = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
        if np.sum(normals * (centre - np.asarray(inside))) < 0:
            quads = quads[:, ::-1]
        colours = np.broadcast_to(np.asarray(rgb, np.float64), (*cells, 3)).reshape(-1, 3)
        index = self.parts.index(part) if isinstance(part, str) else part
        parts = np.broadcast_to(index, cells).reshape(-1)
        self._add(quads, colours, parts, group)
        if mirror:
            self._add((quads * MIRROR)[:, ::-1], colours, parts, group)

    def _add(self, quads: np.ndarray, rgb: np.ndarray, part: np.ndarray, group: int) -> None:
        self.corners.append(quads)
        self.rgb.append(rgb)
        self.part.append(part)
        self.group.append(group)

    def box(
        self,
        low: Point,
        high: Point,
        rgb: Point,
        part: str,
        mirror: bool = False,
    ) -> None:
        """A box between two corners."""
        a, b = np.minimum(low, high), np.maximum(low, high)
        centre = tuple((a + b) / 2)
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            for side in (a, b):
                points = np.empty((2, 2, 3))
                points[..., axis] = side[axis]
                points[..., u] = np.array([[a[u], a[u]], [b[u], b[u]]])
                points[..., v] = np.array([[a[v], b[v]], [a[v], b[v]]])
                self.grid(points, rgb, part, centre, mirror=mirror)

    def rounded_box(
        self,
        low: Point,
        high: Point,
        radius: float,
        rgb: Point,
        part: str,
        group: int | None = None,
    ) -> None:
        """A box along y whose four long edges are rounded, with flat ends."""
        a, b = np.asarray(low, float), np.asarray(high, float)
        angle = np.deg2rad([0, 30, 60, 90])
        ring = []
        for sx, sz, start in ((1, 1, 0), (-1, 1, 90), (-1, -1, 180), (1, -1, 270)):
            turn = angle + np.deg2rad(start)
            cx = (b[0] if sx > 0 else a[0]) - sx * radius
            cz = (b[2] if sz > 0 else a[2]) - sz * radius
            ring.append(np.stack([cx + radius * np.cos(turn), cz + radius * np.sin(turn)], -1))
        ring = np.concatenate([*ring, ring[0][:1]])
        middle = (a + b) / 2
        ends = [np.stack([ring[:, 0], np.full(len(ring), y), ring[:, 1]], -1) for y in (a[1], b[1])]
        self.grid(np.stack(ends), rgb, part, tuple(middle), group)
        for end in ends:
            hub = np.broadcast_to([middle[0], end[0, 1], middle[2]], end.shape)
            self.grid(np.stack([hub, end]), rgb, part, tuple(middle))

    def revolve(
        self,
        profile: Float[np.ndarray, "p 2"],
        centre: Point,
        axis: int,
        rgb: np.ndarray | Point,
        part: str | np.ndarray,
        segments: int = 16,
        scale: Point = (1.0, 1.0, 1.0),
        mirror: bool = False,
    ) -> None:
        """A solid of revolution.

        Args:
            profile: Points (along the axis, radius), from one end to the other.
            centre: Position of the axis' origin.
            axis: 0, 1 or 2.
            rgb: One colour, or one per (profile step, segment).
            part: One part name, or an index per (profile step, segment).
            segments: Steps around.
            scale: Stretch per axis about the centre.
            mirror: Also add the mirror image.
        """
        turn = np.linspace(0, 2 * np.pi, segments + 1)
        u, v = (axis + 1) % 3, (axis + 2) % 3
        points = np.empty((len(profile), segments + 1, 3))
        points[..., axis] = profile[:, :1]
        points[..., u] = profile[:, 1:] * np.cos(turn)
        points[..., v] = profile[:, 1:] * np.sin(turn)
        points = points * np.asarray(scale) + np.asarray(centre)
        self.grid(points, rgb, part, centre, mirror=mirror)

    def ellipsoid(
        self,
        centre: Point,
        radii: Point,
        rgb: Point,
        part: str,
        mirror: bool = False,
    ) -> None:
        """A coarse ellipsoid."""
        turn = np.deg2rad([0, 35, 90, 145, 180])
        profile = np.stack([-np.cos(turn), np.sin(turn)], -1)
        self.revolve(profile, centre, 1, rgb, part, 8, radii, mirror)

    def triangles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Vertices, faces, face colours, face parts and smoothing groups; slivers are left out."""
        quads = np.concatenate(self.corners)
        rgb, part = np.concatenate(self.rgb), np.concatenate(self.part)
        group = np.repeat(self.group, [len(block) for block in self.corners])
        index = np.arange(len(quads) * 4).reshape(-1, 4)
        faces = np.stack([index[:, [0, 1, 2]], index[:, [0, 2, 3]]], 1).reshape(-1, 3)
        vertices = quads.reshape(-1, 3)
        rgb, part, group = (np.repeat(array, 2, 0) for array in (rgb, part, group))
        corners = vertices[faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        kept = np.linalg.norm(cross, axis=-1) > 1e-8
        return vertices, faces[kept], rgb[kept], part[kept], group[kept]
