"""Mesh files as data sets: GLB, glTF, OBJ, PLY and STL, framed as in SRN and lit like the procedural vehicles.

The light is diffuse and the same for all data sets: reflections, bumps and lamps of a file are not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from engine.data.formats.folder import Folder
from engine.data.formats.part import X_UP, Y_UP, Z_UP, Alpha, Axes, Material, Part, Texture
from engine.data.formats.reader import read_mesh
from engine.data.light import brightness, corner_normals
from engine.data.raster import Soup
from engine.data.surface import Materials, Surface
from engine.errors import DataError, plain

CORE = 0.995
"""Share of a surface, by area and by number of triangles, that defines the object's size."""
FAR = 20.0
"""Triangles further away than this many times that size are not part of the object."""
MOST_STRAY = 0.1
"""Share of the surface that may lie there and be left out."""
UPS = {"x": X_UP, "y": Y_UP, "z": Z_UP}


@dataclass(frozen=True)
class AboutMesh:
    """Origin of a rendered mesh.

    Attributes:
        axes: Which of the file's axes were taken for up and front.
        assumed: True if they follow from convention alone.
        remarks: Features of the file that are not drawn, a few words each.
        digests: SHA-256 of every file that was read, see `Folder.digests`.
    """

    axes: Axes
    assumed: bool
    remarks: tuple[str, ...]
    digests: dict[str, str | None]


@dataclass(frozen=True)
class OpenMesh:
    """A mesh file, ready to be drawn.

    Attributes:
        soup: Its surface in SRN units: box centre at the origin, box diagonal 1, z up, front towards +y.
        about: Its origin.
    """

    soup: Soup
    about: AboutMesh


def load_mesh(path: str | Path, up: str = "auto", front: str = "auto") -> Soup:
    """A mesh file as lit triangles in SRN units; arguments and errors are `open_mesh`'s."""
    return open_mesh(path, up, front).soup


def open_mesh(path: str | Path, up: str = "auto", front: str = "auto") -> OpenMesh:
    """A mesh file, framed and lit.

    Args:
        path: A GLB, glTF, OBJ, PLY or STL file.
        up: The file's axis that points up: "x", "y" or "z"; "auto" takes what the file or its format says: y for glTF
            and OBJ, z for PLY, STL and this project's own OBJ.
        front: The direction that the object's front faces: "x", "-x", "y" and so on; "auto" as for `up`: z where y is
            up, y where z is up.

    Raises:
        DataError: If the file is missing, cannot be read, holds no surface, or requires an unsupported feature.
    """
    folder = Folder(Path(path))
    found = read_mesh(folder)
    name = plain(folder.path)
    axes = _axes(found.axes, up, front)
    rotation = axes.to_srn()
    parts = [_visible(part) for part in found.parts]
    parts = [replace(p, vertices=p.vertices @ rotation.T) for p in parts if len(p.faces)]
    if not parts:
        solid = any(len(part.faces) for part in found.parts)
        what = "nothing but wholly transparent triangles" if solid else "no triangles"
        raise DataError(f"{name}: holds {what}, expected a surface.")
    sizes = np.array([len(part.faces) for part in parts])
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=False)])
    near, remark = near_faces(vertices, faces, name)
    used, compact = np.unique(faces[near], return_inverse=True)
    faces = compact.reshape(-1, 3)
    vertices = framed(vertices[used], faces, name)
    surface = _surface(parts, np.repeat(np.arange(len(parts)), sizes)[near], near, vertices, faces)
    return OpenMesh(
        Soup(vertices.astype(np.float32), faces.astype(np.int32), surface=surface),
        AboutMesh(axes, not axes.why, (*found.remarks, *remark), folder.digests),
    )


def framed(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], name: object = "mesh"
) -> Float[np.ndarray, "v 3"]:
    """Vertices moved and scaled so that the surface's box is centred and its diagonal is 1.

    Raises:
        DataError: If the surface is a single point or not finite.
    """
    used = vertices[np.unique(faces)]
    low, high = used.min(0), used.max(0)
    diagonal = np.linalg.norm(high - low)
    if not (np.isfinite(diagonal) and diagonal > 0):
        raise DataError(
            f"{name}: the surface has no extent or is not finite, expected a solid object."
        )
    return (vertices - (low + high) / 2) / diagonal


def near_faces(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], name: object = "mesh"
) -> tuple[Bool[np.ndarray, " f"], tuple[str, ...]]:
    """Mask of the faces except strays far away from nearly all others, and a remark on the strays.

    Raises:
        DataError: If the far part is too large to be left out, though it would shrink the object to a dot.
    """
    if not np.isfinite(vertices).all(1)[faces].all():
        raise DataError(f"{name}: the surface is not finite, expected numbers of usual size.")
    area = _areas(vertices, faces)
    near = _within(vertices, faces, area) & _within(vertices, faces, np.ones(len(faces)))
    stray = int((~near).sum())
    if not stray:
        return near, ()
    share = area[~near].sum() / max(area.sum(), 1e-300)
    if stray > max(1, (1 - CORE) * len(faces)) or share > MOST_STRAY:
        raise DataError(
            f"{name}: {stray:,} of its {len(faces):,} triangles ({share:.2g} of its surface) lie more than {FAR:.0f} times "
            "the size of the rest away, which would be a dot; remove what does not belong together."
        )
    many = "a stray triangle" if stray == 1 else f"{stray:,} stray triangles"
    return near, (f"{many} far away ({share:.2g} of its surface)",)


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Twice the area of every triangle."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=-1)


def _within(vertices: np.ndarray, faces: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mask of the triangles near the box that holds the share `CORE` of `weight`."""
    spans = []
    for axis in range(3):
        corners = vertices[faces, axis]
        order = np.argsort(corners.mean(1))
        sums = np.cumsum(weight[order])
        edge = (1 - CORE) / 2 * sums[-1]
        first, last = np.searchsorted(sums, [edge, sums[-1] - edge])
        core = corners[order[first : min(last, len(order) - 1) + 1]]
        spans.append((core.min(), core.max()))
    reach = FAR * max(np.linalg.norm([high - low for low, high in spans]), 1e-300)
    near = np.ones(len(faces), bool)
    for axis, (low, high) in enumerate(spans):
        near &= (np.abs(vertices[faces, axis] - (low + high) / 2) <= reach).all(1)
    return near


def _axes(found: Axes, up: str, front: str) -> Axes:
    if up == front == "auto":
        return found
    axes = found if up in ("auto", found.up) else UPS[up]
    return Axes(axes.up, axes.front if front == "auto" else front, "as was asked for")


def _visible(part: Part) -> Part:
    """A part without the faces that are wholly transparent."""
    material = part.material
    if material.alpha is Alpha.OPAQUE:
        return part
    most = 1.0 if material.base is None else material.base.picture[..., 3].max() / 255
    alpha = part.rgba[..., 3].max(1) * most
    seen = alpha > 0 if material.alpha is Alpha.BLEND else alpha >= material.cutoff
    picked = {
        name: None if value is None else value[seen]
        for name in ("faces", "rgba", "uv", "glow_uv")
        for value in [getattr(part, name)]
    }
    return replace(part, **picked)


def _surface(
    parts: list[Part],
    part_of: np.ndarray,
    near: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
) -> Surface:
    """Appearance of the faces of all parts; `near` selects the faces kept, `part_of` is the part of each of these."""
    materials = list(dict.fromkeys(part.material for part in parts))
    row = {material: index for index, material in enumerate(materials)}
    rows = np.array([row[part.material] for part in parts])[part_of]
    numbers, texels = _numbers(materials)
    normals = corner_normals(vertices, faces)
    light = np.stack([brightness(normals), brightness(-normals)], -1)
    light[~np.array([material.lit for material in materials])[rows]] = 1
    return Surface(
        np.ascontiguousarray(np.concatenate([part.rgba for part in parts])[near], np.float32),
        light.astype(np.float32),
        _coordinates([part.uv for part in parts], parts)[near],
        _coordinates([part.glow_uv for part in parts], parts)[near],
        rows,
        numbers,
        texels,
    )


def _coordinates(uv: list[np.ndarray | None], parts: list[Part]) -> np.ndarray:
    blocks = [
        np.zeros((len(part.faces), 3, 2), np.float32) if found is None else np.nan_to_num(found)
        for found, part in zip(uv, parts, strict=True)
    ]
    return np.ascontiguousarray(np.concatenate(blocks), np.float32)


def _numbers(materials: list[Material]) -> tuple[Materials, np.ndarray]:
    """The rasteriser's numbers of materials, and the texels of all pictures."""
    pictures: dict[int, int] = {}
    texels, total = [np.zeros((0, 4), np.uint8)], 0

    def tile(texture: Texture | None) -> tuple[int, int, int]:
        nonlocal total
        if texture is None:
            return 0, 0, 0
        picture = texture.picture
        if id(picture) not in pictures:
            pictures[id(picture)] = total
            texels.append(picture.reshape(-1, 4))
            total += len(texels[-1])
        return pictures[id(picture)], *picture.shape[:2]

    plain_texture = Texture(np.zeros((1, 1, 4), np.uint8))
    pairs = [(m.base or plain_texture, m.glow_texture or plain_texture) for m in materials]
    numbers = Materials(
        base=np.array([tile(m.base) for m in materials], np.int64),
        glow=np.array([tile(m.glow_texture) for m in materials], np.int64),
        wrap=np.array([(*base.wrap, *glow.wrap) for base, glow in pairs], np.int64),
        smooth=np.array([(base.smooth, glow.smooth) for base, glow in pairs]),
        alpha=np.array([m.alpha for m in materials], np.int64),
        cutoff=np.array([m.cutoff for m in materials], np.float64),
        two_sided=np.array([m.two_sided for m in materials]),
        glow_rgb=np.array([m.glow for m in materials], np.float64),
    )
    return numbers, np.concatenate(texels)
