"""Mesh files as data sets: any format trimesh reads, framed as in SRN and lit like the procedural vehicles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from engine.data.light import brightness, corner_normals
from engine.data.raster import Soup
from engine.errors import DataError, one_line
from engine.mesh import GLTF_FROM_SRN, READER_ERRORS

Y_UP = (".glb", ".gltf")
"""Formats whose axes are glTF's: y up, front towards +z. All others are taken z up, front towards +y."""

PLAIN = (0.7, 0.7, 0.7)
"""Colour of a mesh that brings none."""


@dataclass
class _Atlas:
    """Pictures below each other in one array."""

    pictures: list[np.ndarray] = field(default_factory=list)
    rows: int = 0

    def add(self, picture: np.ndarray) -> tuple[int, int, int]:
        """First row, rows and columns of a picture, which is kept once."""
        first = 0
        for known in self.pictures:
            if known.shape == picture.shape and np.array_equal(known, picture):
                return first, *picture.shape[:2]
            first += len(known)
        self.pictures.append(picture)
        self.rows += len(picture)
        return first, *picture.shape[:2]

    def array(self) -> np.ndarray | None:
        """All pictures, padded to the widest."""
        if not self.pictures:
            return None
        width = max(picture.shape[1] for picture in self.pictures)
        pad = [((0, 0), (0, width - picture.shape[1]), (0, 0)) for picture in self.pictures]
        padded = [np.pad(picture, p) for picture, p in zip(self.pictures, pad, strict=True)]
        return np.concatenate(padded).astype(np.float32) / 255


def load_mesh(path: str | Path) -> Soup:
    """A mesh file as lit triangles in SRN units: box centre at the origin, box diagonal 1, z up, front towards +y.

    Raises:
        DataError: Where the file is missing, cannot be read or holds no surface.
    """
    path = Path(path)
    parts = _read(path)
    atlas, blocks, start = _Atlas(), [], 0
    for part in parts:
        rgb, uv, tile = _colours(part, atlas)
        blocks.append((np.asarray(part.vertices), np.asarray(part.faces) + start, rgb, uv, tile))
        start += len(part.vertices)
    vertices, faces, rgb, uv, tile = (
        np.concatenate(arrays) for arrays in zip(*blocks, strict=True)
    )
    if path.suffix.lower() in Y_UP:
        vertices = vertices @ GLTF_FROM_SRN
    vertices = framed(vertices, faces, path)
    light = brightness(corner_normals(vertices, faces))
    lit = np.clip(rgb * light[..., None], 0, 1.1)
    return Soup(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        lit.astype(np.float32),
        uv.astype(np.float32),
        atlas.array(),
        tile.astype(np.int32),
    )


def framed(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], name: object = "mesh"
) -> Float[np.ndarray, "v 3"]:
    """Vertices moved and scaled so that the surface's box is centred and its diagonal is 1.

    Raises:
        DataError: Where the surface is a single point or not finite.
    """
    used = vertices[np.unique(faces)]
    low, high = used.min(0), used.max(0)
    diagonal = np.linalg.norm(high - low)
    if not (np.isfinite(diagonal) and diagonal > 0):
        raise DataError(
            f"{name}: the surface has no extent or is not finite, expected a solid object."
        )
    return (vertices - (low + high) / 2) / diagonal


def mesh_ids(files: Sequence[str | Path]) -> tuple[str, ...]:
    """Scene names of mesh files: their stems, numbered where two are equal."""
    names: list[str] = []
    for file in files:
        stem, name, count = Path(file).stem, Path(file).stem, 1
        while name in names:
            count += 1
            name = f"{stem}-{count}"
        names.append(name)
    return tuple(names)


def _read(path: Path) -> list[trimesh.Trimesh]:
    """The file's meshes, placed by their transforms."""
    if not path.is_file():
        raise DataError(f"{path}: found no such file, expected a mesh (GLB, OBJ, PLY or STL).")
    try:
        placed = trimesh.load_scene(path, process=False).dump()
    except READER_ERRORS as error:
        raise DataError(
            f"{path}: cannot be read as a mesh ({one_line(error)}); expected GLB, OBJ, PLY or STL."
        ) from error
    parts = [part for part in placed if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not parts:
        raise DataError(f"{path}: holds no triangles, expected a surface.")
    return parts


def _colours(part: trimesh.Trimesh, atlas: _Atlas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corner colours, texture coordinates and tiles of a mesh."""
    count = len(part.faces)
    uv, tile = np.zeros((count, 3, 2)), np.zeros((count, 3), np.int64)
    if not isinstance(part.visual, TextureVisuals):
        return _plain_colours(part), uv, tile
    picture, factor = _material(part.visual)
    if picture is not None and part.visual.uv is not None:
        tile[:] = atlas.add(picture)
        uv = np.asarray(part.visual.uv)[part.faces] * [1, -1] + [0, 1]
    return np.broadcast_to(factor, (count, 3, 3)), uv, tile


def _plain_colours(part: trimesh.Trimesh) -> np.ndarray:
    """Corner colours of a mesh without texture."""
    if part.visual.kind == "vertex":
        return np.asarray(part.visual.vertex_colors)[part.faces][..., :3] / 255
    if part.visual.kind == "face":
        return np.repeat(np.asarray(part.visual.face_colors)[:, None, :3] / 255, 3, 1)
    return np.broadcast_to(PLAIN, (len(part.faces), 3, 3))


def _material(visual: TextureVisuals) -> tuple[np.ndarray | None, np.ndarray]:
    """A material's picture and its sRGB factor.

    OBJ's Kd is left out where there is a picture: exporters fill it with greys that would only darken it.
    """
    if isinstance(visual.material, PBRMaterial):
        picture, factor = visual.material.baseColorTexture, visual.material.baseColorFactor
        rgb = np.ones(3) if factor is None else (np.asarray(factor)[:3] / 255) ** (1 / 2.2)
    else:
        picture = getattr(visual.material, "image", None)
        rgb = (
            np.ones(3) if picture is not None else np.asarray(visual.material.main_color)[:3] / 255
        )
    return None if picture is None else np.asarray(picture.convert("RGB")), rgb
