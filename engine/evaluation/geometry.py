"""Geometry against the truth: IoU and Chamfer of a field and a procedural shape, COV and MMD of sets of objects.

Procedural meshes are soups of overlapping pieces, and fields may be hollow: neither has a volume of its own. Both are
judged by what is visible of them from outside, in the same way. A field becomes its mesh, as the explorer exports it;
depth maps from all around carve away every cell that they see, and the rest is solid; surface points are kept if they
are visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from engine.data.cameras import orbit_cameras
from engine.data.procedural.shape import Shape
from engine.data.raster import Soup, rasterise_depth
from engine.errors import DataError, ExportError
from engine.events import finish
from engine.fields.base import Field
from engine.output.mesh import extract_surface
from engine.types import WORLD_PER_SRN

MESH_RESOLUTION = 128
"""Lattice points along the longest side of a field's box."""
DIRECTIONS = 128
"""Viewing directions, spread evenly over the sphere."""
WITNESSES = 3
"""Directions that must see a point: fewer look through cracks between a mesh's pieces."""
FAR = 20.0
"""Distance of the depth maps' cameras, SRN units: nearly parallel sight lines."""
PIXELS = 256
"""Rows and columns of a depth map; at an object's size of 1, a pixel is 0.004 SRN units."""
SLACK = 0.004
"""A point this far behind the visible surface still belongs to it, SRN units."""


@dataclass(frozen=True)
class Surface:
    """Triangles in SRN units, with depth maps for their visibility.

    `iou`, `chamfer` and `surface_points` take one in place of a field or shape, which saves the depth maps when several
    of them are called, or many fields are compared with one shape.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    @cached_property
    def sight(self) -> _Sight:
        """The depth maps."""
        return _look(self.vertices, self.faces)


Geometry = Field | Shape | Surface


def surface_of(source: Geometry) -> Surface:
    """The surface of a field (see `engine.output.mesh.extract_mesh`) or of a shape.

    Raises:
        ExportError: If the field is empty.
    """
    if isinstance(source, Surface):
        return source
    if isinstance(source, Shape):
        return Surface(source.vertices, source.faces)
    vertices, faces, _ = finish(extract_surface(source, MESH_RESOLUTION))
    return Surface((vertices / WORLD_PER_SRN).astype(np.float32), faces.astype(np.int32))


def iou(field: Geometry, shape: Geometry, resolution: int = 64) -> float:
    """Intersection over union of the solids of a field and of the true shape; 0 where the field is empty.

    Args:
        field: The reconstruction.
        shape: The true shape.
        resolution: Cells per SRN unit; cells count by their centres, over SRN's cube.
    """
    try:
        found = surface_of(field)
    except ExportError:
        return 0.0
    a, b = _solid(found, resolution), _solid(surface_of(shape), resolution)
    return float((a & b).sum() / max(1, (a | b).sum()))


def surface_points(source: Geometry, count: int, seed: int) -> Float[np.ndarray, "{count} 3"]:
    """Points spread evenly over the visible surface of a field or a shape, SRN units.

    Raises:
        ExportError: If the field is empty.
    """
    import trimesh  # takes half a second

    surface = surface_of(source)
    body = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    noise = np.random.default_rng(seed)
    kept = np.empty((0, 3))
    while len(kept) < count:
        points, _ = trimesh.sample.sample_surface(body, 2 * count, seed=noise)
        kept = np.concatenate([kept, points[_seen(surface.sight, np.asarray(points), SLACK)]])
    return kept[:count]


def chamfer(field: Geometry, shape: Geometry, points: int = 4096, seed: int = 0) -> float:
    """Mean distance between the visible surfaces of a field and of the true shape, SRN units.

    Infinite for an empty field. Two samplings of one surface of area A are about 0.5 sqrt(A / points) apart: 0.008 for
    a vehicle and 4096 points, which is the lower bound in practice.

    Args:
        field: The reconstruction.
        shape: The true shape.
        points: Points on each surface.
        seed: Seed of the points.
    """
    try:
        found = surface_points(field, points, seed)
    except ExportError:
        return float("inf")
    return cloud_distance(found, surface_points(shape, points, seed + 1))


def cloud_distance(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]) -> float:
    """Chamfer distance of two point clouds: mean distance to the other's nearest point, mean of both directions."""
    return _distance(cKDTree(a), cKDTree(b))


def coverage_and_mmd(
    samples: Sequence[np.ndarray], reference: Sequence[np.ndarray]
) -> tuple[float, float]:
    """Coverage and minimum matching distance of a set of point clouds, each `n 3`.

    Coverage is the share of the reference that is the nearest neighbour of some sample; the minimum matching distance
    is the mean over the reference of the distance to the nearest sample. The distance is `cloud_distance`, which is not
    squared, so that MMD and `chamfer` compare.

    Raises:
        DataError: If one of the sets is empty.

    Source: Achlioptas et al. 2018 (1707.02392), section 5.
    """
    if not samples or not reference:
        raise DataError(
            f"Found {len(samples)} samples and {len(reference)} reference clouds, expected some of both."
        )
    ours, theirs = [cKDTree(cloud) for cloud in samples], [cKDTree(cloud) for cloud in reference]
    distances = np.array([[_distance(a, b) for b in theirs] for a in ours])
    coverage = len(np.unique(distances.argmin(1))) / len(reference)
    return coverage, float(distances.min(0).mean())


def _distance(a: cKDTree, b: cKDTree) -> float:
    return float((b.query(a.data)[0].mean() + a.query(b.data)[0].mean()) / 2)


@dataclass(frozen=True)
class _Sight:
    """Depth maps of a surface.

    Attributes:
        c2w: Cameras in SRN units.
        focal: Focal length of all of them, in pixels.
        depth: Along each camera's axis; infinite where nothing is hit.
    """

    c2w: Float[np.ndarray, "n 4 4"]
    focal: float
    depth: Float[np.ndarray, "n h w"]


def _look(vertices: np.ndarray, faces: np.ndarray) -> _Sight:
    """Depth maps from all around (directions on Fibonacci's spiral)."""
    index = np.arange(DIRECTIONS)
    elevation = np.arcsin((2 * index + 1) / DIRECTIONS - 1)
    c2w = orbit_cameras(index * np.pi * (3 - np.sqrt(5)), elevation, FAR)
    radius = 1.01 * float(np.linalg.norm(vertices, axis=1).max())
    focal = PIXELS / 2 * (FAR - radius) / radius
    intrinsics = np.array([focal, focal, PIXELS / 2, PIXELS / 2])
    soup = Soup(vertices, faces, np.zeros((len(faces), 3, 3), np.float32))
    depth = [rasterise_depth(soup, pose, intrinsics, PIXELS, PIXELS) for pose in c2w]
    return _Sight(c2w, focal, np.stack(depth))


def _seen(
    sight: _Sight, points: Float[np.ndarray, "n 3"], slack: float = 0.0
) -> Bool[np.ndarray, " n"]:
    """Mask of the points visible from at least `WITNESSES` directions, at most `slack` behind the nearest surface."""
    witnesses = np.zeros(len(points), int)
    for pose, depth in zip(sight.c2w, sight.depth, strict=True):
        left = np.flatnonzero(witnesses < WITNESSES)
        x, y, z = ((points[left] - pose[:3, 3]) @ pose[:3, :3]).T
        column = np.floor(x / z * sight.focal + PIXELS / 2).astype(int)
        row = np.floor(y / z * sight.focal + PIXELS / 2).astype(int)
        beside = (column < 0) | (column >= PIXELS) | (row < 0) | (row >= PIXELS)
        front = depth[row.clip(0, PIXELS - 1), column.clip(0, PIXELS - 1)]
        witnesses[left] += beside | (z <= front + slack)
    return witnesses >= WITNESSES


def _solid(surface: Surface, resolution: int) -> Bool[np.ndarray, "r r r"]:
    """Mask of the cells of SRN's cube whose centres are not visible."""
    axis = (np.arange(resolution) + 0.5) / resolution - 0.5
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    low, high = surface.vertices.min(0), surface.vertices.max(0)
    near = np.flatnonzero(((centres >= low) & (centres <= high)).all(1))
    solid = np.zeros(len(centres), bool)
    solid[near] = ~_seen(surface.sight, centres[near])
    return solid.reshape(resolution, resolution, resolution)
