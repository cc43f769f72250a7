"""Fields to vertex-coloured meshes, and meshes to files and back.

A `Mesh` speaks SRN units in SRN axes (front +y, right +x, up +z), colours are sRGB bytes. OBJ, PLY and STL are written
like that; GLB is written as glTF wants it: y up, the front on +z (so the right on -x), vertex colours linear. Its
material is unlit, because a radiance field's colours hold their shading already.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy import ndimage
from skimage.measure import marching_cubes

from engine.errors import ExportError, one_line
from engine.events import Run, Step, finish
from engine.fields.base import SURFACE, Field
from engine.files import replacing
from engine.ops.srgb import to_linear, to_srgb
from engine.types import WORLD_PER_SRN
from engine.vision.framing import extreme_points, generic_objects

FORMATS = (".glb", ".obj", ".ply", ".stl")
"""File endings that `save_mesh` knows."""

EMPTY = SURFACE / 20
"""A field thinner than this everywhere, per engine unit, shows nothing."""
SPECK = 0.01
"""Parts of less than this share of the largest part's volume are dropped."""
FLOOR = 1e-3
"""Densities below this share of the threshold count as empty."""
FRAMING_RESOLUTION = 40
"""Lattice points along an object's longest side, for its outline alone."""
SKIN_OUTSIDE, SKIN_INSIDE = 0.04, 0.12
"""Distances from a vertex within which its colour is integrated, engine units."""
SKIN_SAMPLES = 16
"""Samples over that distance."""
POINTS = 1 << 17
"""Points per density query."""

READER_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,
    RuntimeError,
    struct.error,
)
"""Exceptions that trimesh's readers raise on files that are not meshes."""

STATEMENT = "up z, front y, unlit"
"""A comment of our OBJ and PLY files, which `engine.data.formats` reads: other programs' axes differ, and light is in the
colours already."""

GLTF_FROM_SRN = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
"""A rotation, and its own inverse."""


@dataclass(frozen=True)
class Mesh:
    """A closed, vertex-coloured triangle mesh.

    Attributes:
        vertices: SRN units and axes.
        faces: Vertex indices, counter-clockwise seen from outside.
        colors: sRGB.
        normals: Unit vectors pointing outwards.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    colors: UInt8[np.ndarray, "vertices 3"]
    normals: Float[np.ndarray, "vertices 3"]


@torch.no_grad()
def extract_mesh(
    field: Field, resolution: int = 192, threshold: float | int | None = None
) -> Run[Mesh]:
    """The surface of a field as a mesh: stage "mesh", one step per few slabs of the density lattice.

    Closed hollows are filled and small floating parts dropped. A vertex has the colour of a ray against its normal.

    Args:
        field: The field.
        resolution: Lattice points along the longest side of the field's box.
        threshold: Density of the surface, per engine unit. None takes `SURFACE`, or a quarter of the field's
            peak where that is less, so that thin objects have a surface too.

    Raises:
        ExportError: If the field is empty.

    Source: marching cubes on a regular lattice as in 2304.06714's official code, here on the logarithm of density,
    which is linear in the decoder's output.
    """
    vertices, faces, steps = yield from extract_surface(field, resolution, threshold)
    normals = _vertex_normals(vertices, faces)
    colors = _surface_colors(field, vertices, normals)
    yield Step(stage="mesh", index=steps, total=steps)
    return Mesh(
        (vertices / WORLD_PER_SRN).astype(np.float32), faces.astype(np.int32), colors, normals
    )


@torch.no_grad()
def extract_surface(
    field: Field, resolution: int, threshold: float | int | None = None
) -> Run[tuple[np.ndarray, np.ndarray, int]]:
    """The mesh without its colours: vertices (engine units), faces, and the number of steps `extract_mesh` takes.

    Args and errors are `extract_mesh`'s.
    """
    low, high = (corner.double().cpu().numpy() for corner in field.aabb)
    counts = np.maximum(2, np.round((high - low) / (high - low).max() * (resolution - 1)) + 1)
    counts = counts.astype(int)
    slabs = []
    for step, slab in _density_slabs(field, counts):
        slabs.append(slab)
        yield step
    density = np.concatenate(slabs)
    peak = float(np.percentile(density, 99.9))
    if not peak > EMPTY:
        raise ExportError(
            f"The field is empty (its density nowhere exceeds {density.max():.2g}); "
            "generate or reconstruct an object before exporting a mesh."
        )
    level = min(SURFACE, peak / 4) if threshold is None else float(threshold)
    if density.max() <= level:
        raise ExportError(
            f"The threshold {level:g} is above the field's largest density {density.max():.3g}; lower it."
        )
    spacing = (high - low) / (counts - 1)
    solid = _solid(np.pad(density, 1), level)
    vertices, faces, _, _ = marching_cubes(
        solid, np.log(level), spacing=tuple(spacing), gradient_direction="ascent"
    )
    return np.clip(vertices - spacing + low, low, high), faces, len(slabs) + 1


def framing_objects(fields: Iterable[Field]) -> Float[np.ndarray, "n points 3"]:
    """Outermost points of a model's objects, SRN units, by which dropped pictures are framed.

    Args:
        fields: Some of the model's objects, as `method.scene(latent).field` of its gallery; empty ones are skipped.
            Without any, generic bodies stand in.
    """
    objects = []
    for field in fields:
        try:
            vertices, _, _ = finish(extract_surface(field, FRAMING_RESOLUTION))
        except ExportError:
            continue
        objects.append(extreme_points((vertices / WORLD_PER_SRN).astype(np.float32)))
    return np.stack(objects) if objects else generic_objects()


def save_mesh(mesh: Mesh, path: Path | str) -> Path:
    """Write a mesh, whole or not at all; the ending decides the format (`FORMATS`). STL holds no colours.

    Raises:
        ExportError: If the ending is unknown.
        WriteError: If the file cannot be written.
    """
    path = Path(path)
    data = _encode(mesh, path)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def load_mesh(path: Path | str) -> Mesh:
    """Read a file written by `save_mesh`, in SRN units and axes; white if it has no colours.

    Raises:
        ExportError: If the file is missing or is not a mesh.
    """
    import trimesh  # takes half a second

    path = Path(path)
    _check_ending(path)
    try:
        scene = trimesh.load_scene(path, process=path.suffix.lower() == ".stl")
    except READER_ERRORS as error:
        raise ExportError(f"{path}: cannot be read as a mesh ({one_line(error)}).") from error
    meshes = [part for part in scene.geometry.values() if len(getattr(part, "faces", ()))]
    if len(meshes) != 1:
        raise ExportError(f"{path}: holds {len(meshes)} meshes, expected one.")
    (mesh,) = meshes
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)
    colors = np.full((len(vertices), 3), 255, np.uint8)
    if mesh.visual.kind == "vertex":
        colors = np.asarray(mesh.visual.vertex_colors)[:, :3]
    if path.suffix.lower() == ".glb":
        vertices = vertices @ GLTF_FROM_SRN.T.astype(np.float32)
        linear = mesh.visual.vertex_attributes.get("color")
        if linear is not None:
            colors = np.round(to_srgb(linear[:, :3]) * 255).astype(np.uint8)
    return Mesh(vertices, faces, colors, _vertex_normals(vertices, faces))


def _density_slabs(field: Field, counts: np.ndarray) -> Iterator[tuple[Step, np.ndarray]]:
    """Densities of the lattice over the field's box, ends included, some x-slabs at a time."""
    low, high = field.aabb
    axes = [
        torch.linspace(0, 1, int(n), device=low.device) * (high[a] - low[a]) + low[a]
        for a, n in enumerate(counts)
    ]
    groups = axes[0].split(max(1, POINTS // int(counts[1] * counts[2])))
    for index, xs in enumerate(groups, 1):
        xyz = torch.cartesian_prod(xs, axes[1], axes[2])
        slab = field.density(xyz).float().cpu().numpy().reshape(len(xs), *counts[1:])
        yield Step(stage="mesh", index=index, total=len(groups) + 1), slab


def _solid(density: np.ndarray, level: float) -> np.ndarray:
    """Log density without small parts and with closed hollows filled; the lattice's border must be empty."""
    values = np.log(np.maximum(density, level * FLOOR))
    inside, _ = ndimage.label(density > level, np.ones((3, 3, 3)))
    sizes = np.bincount(inside.ravel())
    sizes[0] = 0
    crumbs = sizes < SPECK * sizes.max()
    crumbs[0] = False
    values[crumbs[inside]] = np.log(level * FLOOR)
    outside, _ = ndimage.label(values <= np.log(level))
    values[(outside > 0) & (outside != outside[0, 0, 0])] = np.log(level / FLOOR)
    return values


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals: the mean of the faces around each vertex, weighted by their area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 0, normals / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])
    return normals.astype(np.float32)


def _surface_colors(field: Field, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Colour of each vertex: that of a ray against its normal, over a short distance around it, at full opacity.

    The colour at the vertex itself is no use: a soft surface's outermost layer contributes little to a render, so
    training leaves it pale or wrong.
    """
    device = field.aabb.device
    low, high = field.aabb
    step = (SKIN_OUTSIDE + SKIN_INSIDE) / SKIN_SAMPLES
    depths = torch.arange(SKIN_SAMPLES, device=device) * step + step / 2 - SKIN_OUTSIDE
    xyz = torch.from_numpy(vertices).float().to(device)
    dirs = -torch.from_numpy(normals).float().to(device)
    chunks = []
    rays = POINTS // SKIN_SAMPLES
    for origins, towards in zip(xyz.split(rays), dirs.split(rays), strict=True):
        points = origins[:, None] + depths[:, None] * towards[:, None]
        inside = ((points >= low) & (points <= high)).all(-1)
        points = torch.minimum(torch.maximum(points, low), high)
        spread = towards[:, None].expand_as(points)
        density, rgb = field.query(points.reshape(-1, 3), spread.reshape(-1, 3))
        optical_depth = density.reshape(inside.shape) * inside * step
        before = optical_depth.cumsum(1) - optical_depth
        weights = torch.exp(-before) * -torch.expm1(-optical_depth)
        weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-8)
        chunks.append((weights[..., None] * rgb.reshape(*inside.shape, 3)).sum(1))
    return (torch.cat(chunks).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _check_ending(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise ExportError(
            f"{path}: found the ending {path.suffix or 'none'!r}, expected one of {', '.join(FORMATS)}."
        )


def _encode(mesh: Mesh, path: Path) -> bytes:
    import trimesh  # takes half a second

    _check_ending(path)
    ending = path.suffix.lower()
    if ending == ".glb":
        return _encode_glb(mesh)
    body = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=mesh.colors,
        process=False,
    )
    buffer = io.BytesIO()
    options = {"include_normals": True} if ending == ".obj" else {}
    if ending == ".ply":
        options = {"vertex_normal": True}
    data = body.export(buffer, file_type=ending[1:], **options) or buffer.getvalue()
    data = data.encode() if isinstance(data, str) else data
    if ending == ".obj":
        return f"# {STATEMENT}\n".encode() + data
    return (
        data.replace(b"\nelement", f"\ncomment {STATEMENT}\nelement".encode(), 1)
        if ending == ".ply"
        else data
    )


def _encode_glb(mesh: Mesh) -> bytes:
    import trimesh  # takes half a second
    from trimesh.exchange.gltf import export_glb

    body = trimesh.Trimesh(
        mesh.vertices @ GLTF_FROM_SRN.T,
        mesh.faces,
        vertex_normals=mesh.normals @ GLTF_FROM_SRN.T,
        vertex_attributes={"_color": to_linear(mesh.colors / 255).astype(np.float32)},
        process=False,
    )
    return export_glb(body, include_normals=True, tree_postprocessor=_finish_gltf)


def _finish_gltf(tree: dict) -> None:
    """Make the float attribute the vertex colour (trimesh would write bytes, too coarse for linear darks)."""
    primitive = tree["meshes"][0]["primitives"][0]
    primitive["attributes"]["COLOR_0"] = primitive["attributes"].pop("_color")
    primitive["material"] = 0
    tree["materials"] = [
        {
            "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
            "extensions": {"KHR_materials_unlit": {}},
        }
    ]
    tree["extensionsUsed"] = ["KHR_materials_unlit"]
