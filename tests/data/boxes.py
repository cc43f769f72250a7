"""A box whose six sides have colours of their own, as GLB files of many kinds, and how its sides must look."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from engine.data.cameras import orbit_cameras, srn_intrinsics
from engine.data.meshes import load_mesh
from engine.data.raster import Soup, rasterise

SIDES = ("front", "rear", "left", "right", "top", "bottom")
COLOURS = np.array(
    [[220, 20, 20], [20, 20, 220], [20, 180, 20], [220, 220, 20], [220, 20, 220], [60, 60, 60]]
)
"""SRGB, in the order of `SIDES`."""
SIZE = np.array([1.0, 0.6, 2.0])
"""Extent in glTF's axes: left to right, height, length."""
_NORMALS = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
"""Of the sides, in glTF's axes: the front faces +z, the left +x."""
_SRN_NORMALS = np.array([[0, 1, 0], [0, -1, 0], [-1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, -1]])
_SUN = np.array([0.42, 0.50, 0.76]) / np.linalg.norm([0.42, 0.50, 0.76])
DAYLIGHT = 0.60 + 0.09 * _SRN_NORMALS[:, 2] + 0.36 * np.maximum(_SRN_NORMALS @ _SUN, 0)
"""Brightness of the sides in a data set's light."""


def box(size: np.ndarray = SIZE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions `24 3`, faces `12 3`, counter-clockwise from outside, and every vertex's side."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    positions, faces = [], []
    for side, normal in enumerate(_NORMALS):
        across = np.roll(np.abs(normal), 1)
        up = np.cross(normal, across)
        positions += [normal + a * across + b * up for a, b in corners]
        faces += [[4 * side, 4 * side + 1, 4 * side + 2], [4 * side, 4 * side + 2, 4 * side + 3]]
    return np.array(positions) * size / 2, np.array(faces), np.repeat(np.arange(6), 4)


def linear(srgb: np.ndarray) -> np.ndarray:
    """Linear values of sRGB bytes."""
    value = np.asarray(srgb) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def atlas(
    colours: np.ndarray = COLOURS, cell: int = 8, alpha: list[int] | None = None
) -> Image.Image:
    """A picture with one square cell for each side, from left to right."""
    rgba = np.concatenate([colours, np.reshape(alpha or [255] * 6, (6, 1))], 1).astype(np.uint8)
    row = np.repeat(rgba[None], cell, 1)
    return Image.fromarray(np.repeat(row, cell, 0), "RGBA")


def atlas_uv(side: np.ndarray) -> np.ndarray:
    """Coordinates of the middle of every vertex's cell, moved a little so that they span something."""
    shift = np.tile([[-0.2, -0.2], [0.2, -0.2], [0.2, 0.2], [-0.2, 0.2]], (len(side) // 4, 1))
    return np.stack([(side + 0.5) / 6, np.full(len(side), 0.5)], -1) + shift / [6, 1]


class Glb:
    """A glTF file being put together: `tree` is its JSON."""

    def __init__(self, **tree):
        self.tree = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], **tree}
        self.blob = bytearray()

    def view(self, data: bytes, **more) -> int:
        self.blob += bytes(-len(self.blob) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data), **more}
        self.blob += data
        self.tree["bufferViews"].append(entry)
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, values: np.ndarray, normalized: bool = False, **more) -> int:
        """An accessor of an array, of the array's own type."""
        values = np.asarray(values)
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        if values.dtype == np.int64:
            values = values.astype(np.uint16)
        kinds = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
        shapes = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
        entry = {
            "bufferView": self.view(values.tobytes()),
            "componentType": kinds[values.dtype.str[1:]],
            "count": len(values),
            "type": shapes[values.shape[1:]],
            **({"normalized": True} if normalized else {}),
            **more,
        }
        self.tree["accessors"].append(entry)
        return len(self.tree["accessors"]) - 1

    def texture(self, picture: Image.Image | bytes | None = None, kind: str = "PNG", **more) -> int:
        """A texture of a picture in the file."""
        data = picture
        if not isinstance(picture, bytes):
            stream = io.BytesIO()
            (picture or atlas()).save(stream, kind)
            data = stream.getvalue()
        images = self.tree.setdefault("images", [])
        images.append({"bufferView": self.view(data), "mimeType": f"image/{kind.lower()}"})
        textures = self.tree.setdefault("textures", [])
        textures.append({"source": len(images) - 1, **more})
        return len(textures) - 1

    def primitive(
        self, positions: np.ndarray, faces: np.ndarray | None = None, **attributes
    ) -> dict:
        """A primitive; attributes are arrays, or indices of accessors."""
        entry = {"attributes": {"POSITION": self.accessor(positions)}}
        for name, values in attributes.items():
            known = isinstance(values, int)
            entry["attributes"][name] = values if known else self.accessor(values)
        if faces is not None:
            entry["indices"] = self.accessor(np.asarray(faces, np.uint16).ravel())
        return entry

    def save(self, path: Path, *primitives: dict, **tree) -> Path:
        """Writes a .glb; primitives become one mesh at one node."""
        if primitives:
            self.tree["meshes"] = [{"primitives": list(primitives)}]
        self.tree.setdefault("nodes", [{"mesh": 0}])
        self.tree |= tree
        self.tree.setdefault("buffers", [{"byteLength": len(self.blob)}])
        text = json.dumps(
            {name: value for name, value in self.tree.items() if value != []}
        ).encode()
        text += b" " * (-len(text) % 4)
        blob = bytes(self.blob) + bytes(-len(self.blob) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(blob), b"BIN\0") + blob
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path


def textured(material: dict | None = None, **tree) -> tuple[Glb, dict]:
    """A file and its primitive: the box with an atlas; `material` is merged into its material."""
    glb = Glb(**tree)
    positions, faces, side = box()
    primitive = glb.primitive(positions, faces, TEXCOORD_0=atlas_uv(side))
    primitive["material"] = 0
    base = {"baseColorTexture": {"index": glb.texture()}}
    glb.tree["materials"] = [{"pbrMetallicRoughness": base, **(material or {})}]
    return glb, primitive


def draw_sides(mesh: Path | Soup, size: int = 32) -> np.ndarray:
    """Pictures `6 size size 4` of the sides, looked at straight."""
    soup = mesh if isinstance(mesh, Soup) else load_mesh(mesh)
    azimuth = np.deg2rad([90.0, 270, 180, 0, 90, 90])
    elevation = np.deg2rad([0.0, 0, 0, 0, 89.9, -89.9])
    cameras = orbit_cameras(azimuth, elevation, 1.3)
    return rasterise(soup, cameras, srn_intrinsics(size), size, size).astype(int)


def centres(pictures: np.ndarray) -> np.ndarray:
    """Mean colour of the middle pixels."""
    middle = pictures.shape[1] // 2
    return pictures[:, middle - 1 : middle + 1, middle - 1 : middle + 1, :3].mean((1, 2))


def assert_sides(
    mesh: Path | Soup, colours: np.ndarray = COLOURS, light: np.ndarray = DAYLIGHT
) -> None:
    """The box is whole: every side's outline and colour are those of its own."""
    pictures = draw_sides(mesh)
    np.testing.assert_allclose(
        centres(pictures), np.minimum(colours * light[:, None], 255), atol=2.5
    )
    rows, columns = ((pictures[..., 3] > 127).any(axis).sum(1) for axis in (2, 1))
    ratio = rows / columns
    assert ratio[0] < 1
    assert ratio[2] < 0.5
    assert ratio[4] > 1.5


def assert_colour(picture: np.ndarray, colour: np.ndarray, atol: float = 3) -> None:
    """The middle of a picture has a colour."""
    np.testing.assert_allclose(centres(picture[None])[0], colour, atol=atol)
