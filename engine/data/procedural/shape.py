"""Procedural scenes: a coloured, labelled mesh that is a pure function of its seed, framed as in SRN."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from engine.data.light import DAYLIGHT, Light, brightness, corner_normals
from engine.data.procedural.builder import Builder
from engine.data.raster import Soup, rasterise
from engine.errors import DataError

SPLITS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
"""First scene seed of every split."""

SPLIT_SIZE = 1_000_000
GLOW = 0.93
"""Brightness of parts that shine by themselves."""


def scene_seed(split: str, index: int) -> int:
    """Seed of a split's scene; no two splits share one.

    Raises:
        DataError: If the split is unknown or the index outside it.
    """
    if split not in SPLITS:
        raise DataError(f"Found split {split!r}, expected one of {', '.join(SPLITS)}.")
    if not 0 <= index < SPLIT_SIZE:
        raise DataError(f"Found scene {index} of split {split!r}, expected 0 to {SPLIT_SIZE - 1}.")
    return SPLITS[split] + index


def seeded(seed: int) -> np.random.Generator:
    """A scene's source of randomness.

    Raises:
        DataError: If the seed is outside the three splits.
    """
    if not 0 <= seed < len(SPLITS) * SPLIT_SIZE:
        raise DataError(f"Found seed {seed}, expected 0 to {len(SPLITS) * SPLIT_SIZE - 1}.")
    return np.random.default_rng(seed)


@dataclass(frozen=True)
class Shape:
    """A procedural object in SRN units: box diagonal 1, box centre at the origin, forward +y, up +z.

    Attributes:
        vertices: Corners.
        faces: Counter-clockwise seen from outside.
        face_rgb: Paint of every face, sRGB in [0, 1], without light.
        corner_normals: Unit normals of every face's corners, smooth over curved panels.
        part: Index into `parts` of every face.
        parts: Names of the part labels.
        seed: Seed that it was built from.
        attributes: Type, colours, extras and the hidden factor; plain JSON values.
        caption: One sentence about it.
        glowing: Names of the parts that shine by themselves.
        light: Light that it is drawn in.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    face_rgb: Float[np.ndarray, "f 3"]
    corner_normals: Float[np.ndarray, "f 3 3"]
    part: Int[np.ndarray, " f"]
    parts: tuple[str, ...]
    seed: int
    attributes: dict[str, Any]
    caption: str
    glowing: tuple[str, ...] = ()
    light: Light = DAYLIGHT

    def soup(self) -> Soup:
        """The lit triangles, ready to be drawn; towards the ground it gets a little darker."""
        low, high = self.vertices[:, 2].min(), self.vertices[:, 2].max()
        level = (self.vertices[self.faces][..., 2] - low) / (high - low)
        dimmed = 0.80 + 0.20 * np.clip(level / 0.3, 0, 1)
        light = brightness(self.corner_normals, self.light) * dimmed
        light[self.labelled(self.glowing)] = GLOW
        rgb = np.clip(self.face_rgb[:, None] * light[..., None], 0, 1)
        return Soup(self.vertices, self.faces, rgb.astype(np.float32))

    def labelled(self, names: Sequence[str]) -> np.ndarray:
        """Mask of the faces that belong to the parts of these names."""
        return np.isin(self.part, [self.parts.index(name) for name in names])


def soups_key(soups: Iterable[Soup]) -> str:
    """Digest of objects' vertices, faces and colours; it changes when the generator does."""
    state = hashlib.blake2b(digest_size=8)
    for soup in soups:
        state.update(soup.vertices.tobytes() + soup.faces.tobytes() + soup.corner_rgb.tobytes())
    return state.hexdigest()


def finish_shape(
    mesh: Builder,
    seed: int,
    attributes: dict[str, Any],
    caption: str,
    glowing: tuple[str, ...] = (),
) -> Shape:
    """Centres and scales what was built, and gives it normals."""
    vertices, faces, rgb, part, group = mesh.triangles()
    low, high = vertices.min(0), vertices.max(0)
    vertices = (vertices - (low + high) / 2) / np.linalg.norm(high - low)
    return Shape(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        face_rgb=rgb.astype(np.float32),
        corner_normals=corner_normals(vertices, faces, group).astype(np.float32),
        part=part.astype(np.int32),
        parts=mesh.parts,
        seed=seed,
        attributes=attributes,
        caption=caption,
        glowing=glowing,
    )


def render_shape(
    shape: Shape,
    c2w: Float[np.ndarray, "n 4 4"],
    intrinsics: Float[np.ndarray, "4"],
    size: int,
    samples: int = 3,
) -> UInt8[np.ndarray, "n size size 4"]:
    """Pictures of a shape: straight RGBA (`engine.data.raster.composite_white` lays it on white).

    Args:
        shape: Object to draw.
        c2w: Cameras in SRN units.
        intrinsics: fx, fy, cx, cy in pixels.
        size: Rows and columns.
        samples: Supersampling per axis.
    """
    return rasterise(shape.soup(), c2w, intrinsics, size, size, samples)
