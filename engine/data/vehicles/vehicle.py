"""A vehicle from a seed: proportions, paint and extras put together, framed as in SRN, with a caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from engine.data.light import brightness, corner_normals
from engine.data.raster import Soup, rasterise
from engine.data.vehicles import shapes
from engine.data.vehicles.design import Design
from engine.data.vehicles.mesh import PARTS, Builder
from engine.errors import DataError

SPLITS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
"""First scene seed of every split."""

SPLIT_SIZE = 1_000_000


def scene_seed(split: str, index: int) -> int:
    """Seed of a split's scene; no two splits share one.

    Raises:
        DataError: Where the split is unknown or the index outside it.
    """
    if split not in SPLITS:
        raise DataError(f"Found split {split!r}, expected one of {', '.join(SPLITS)}.")
    if not 0 <= index < SPLIT_SIZE:
        raise DataError(f"Found scene {index} of split {split!r}, expected 0 to {SPLIT_SIZE - 1}.")
    return SPLITS[split] + index


@dataclass(frozen=True)
class Vehicle:
    """A procedural vehicle in SRN units: box diagonal 1, box centre at the origin, forward +y, up +z.

    Attributes:
        vertices: Corners.
        faces: Counter-clockwise seen from outside.
        face_rgb: Paint of every face, sRGB in [0, 1], without light.
        corner_normals: Unit normals of every face's corners, smooth over curved panels.
        part: Index into `PARTS` of every face.
        seed: What it was built from.
        attributes: Body type, colours and extras; plain JSON values.
        caption: One sentence about it.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    face_rgb: Float[np.ndarray, "f 3"]
    corner_normals: Float[np.ndarray, "f 3 3"]
    part: Int[np.ndarray, " f"]
    seed: int
    attributes: dict[str, Any]
    caption: str

    def soup(self) -> Soup:
        """The lit triangles, ready to be drawn."""
        low, high = self.vertices[:, 2].min(), self.vertices[:, 2].max()
        level = (self.vertices[self.faces][..., 2] - low) / (high - low)
        dimmed = 0.80 + 0.20 * np.clip(level / 0.3, 0, 1)
        light = brightness(self.corner_normals) * dimmed
        light[self._glowing()] = 0.93
        rgb = np.clip(self.face_rgb[:, None] * light[..., None], 0, 1)
        return Soup(self.vertices, self.faces, rgb.astype(np.float32))

    def _glowing(self) -> np.ndarray:
        return np.isin(self.part, [PARTS.index("headlight"), PARTS.index("taillight")])


def render_vehicle(
    vehicle: Vehicle,
    c2w: Float[np.ndarray, "n 4 4"],
    intrinsics: Float[np.ndarray, "4"],
    size: int,
    samples: int = 3,
) -> UInt8[np.ndarray, "n size size 4"]:
    """Pictures of a vehicle: straight RGBA (`engine.data.raster.composite_white` lays it on white).

    Args:
        vehicle: What to draw.
        c2w: Cameras in SRN units.
        intrinsics: fx, fy, cx, cy in pixels.
        size: Rows and columns.
        samples: Supersampling per axis.
    """
    return rasterise(vehicle.soup(), c2w, intrinsics, size, size, samples)


def build_vehicle(seed: int) -> Vehicle:
    """The vehicle of a seed; the same seed gives the same bytes.

    Raises:
        DataError: Where the seed is outside the three splits.
    """
    if not 0 <= seed < len(SPLITS) * SPLIT_SIZE:
        raise DataError(f"Found seed {seed}, expected 0 to {len(SPLITS) * SPLIT_SIZE - 1}.")
    noise = np.random.default_rng(seed)
    weights = np.array([weight for _, weight in shapes.KINDS], float)
    kind = shapes.KINDS[noise.choice(len(weights), p=weights / weights.sum())][0]
    mesh = Builder()
    attributes = Design(kind, noise).build(mesh)
    vertices, faces, rgb, part, group = mesh.triangles()
    low, high = vertices.min(0), vertices.max(0)
    vertices = (vertices - (low + high) / 2) / np.linalg.norm(high - low)
    return Vehicle(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        face_rgb=rgb.astype(np.float32),
        corner_normals=corner_normals(vertices, faces, group).astype(np.float32),
        part=part.astype(np.int32),
        seed=seed,
        attributes=attributes,
        caption=_caption(attributes),
    )


def _caption(attributes: dict[str, Any]) -> str:
    """One sentence: colour, type, extras."""
    colour, kind, extras = attributes["colour"], attributes["body_type"], attributes["extras"]
    article = "an" if colour[0] in "aeiou" else "a"
    ending = f" with {', '.join(extras)}" if extras else ""
    return f"{article} {colour} {kind}{ending}"
