"""A procedural pickup as a GLB that asks much of its reader, and the triangles that it must become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from engine.data.light import brightness, corner_normals
from engine.data.procedural.shape import Shape, scene_seed
from engine.data.procedural.vehicles import build_vehicle
from engine.data.raster import Soup
from engine.ops.srgb import to_linear
from tests.data.boxes import Glb

PALETTE = "Textures/palette.png"
COLUMNS, CELL = 8, 4
"""Of the palette: colours in a row, and pixels along each."""
NEAREST, CLAMP, MIRROR = 9728, 33071, 33648
TO_GLTF = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
"""From SRN's axes: left, up, forward."""
WHEELS = ("tyre", "rim")
PAINT = ("body", "roof", "cargo")


def pickup() -> Shape:
    """A silver pickup with crates, of the test split."""
    return build_vehicle(scene_seed("test", 311))


def lit(shape: Shape) -> Soup:
    """Its triangles in a data set's light, without the darkening towards the ground that meshes do not get."""
    light = brightness(corner_normals(shape.vertices, shape.faces))
    rgb = (shape.face_rgb[:, None] * light[..., None]).clip(0, 1)
    return Soup(shape.vertices, shape.faces, rgb.astype(np.float32))


def write_pickup(folder: Path) -> Path:
    """Writes `pickup.glb` and the palette beside it.

    Three primitives at three nodes below a root that is moved, turned and scaled: paint and the rest by one palette in a
    file of its own, through two samplers and two texture transforms; wheels by 16-bit vertex colours, mirrored by their
    node.
    """
    shape = pickup()
    wheels, paint = shape.labelled(WHEELS), shape.labelled(PAINT)
    root = {"translation": [4.0, -2, 7], "rotation": [0, 0.6, 0, 0.8], "scale": [2.5] * 3}
    tipped = _matrix([0, 1.0, 3], [0.6, 0, 0, 0.8], [1.0, 1, 1])
    nodes = [
        root | {"children": [1, 2, 3]},
        {"mesh": 0, "matrix": tipped.T.ravel().tolist()},
        {"mesh": 1, "translation": [-1.0, 0, 0.5], "scale": [0.5, 2, 1]},
        {"mesh": 2, "scale": [-1.0, 1, 1]},
    ]
    glb = Glb(nodes=nodes, scenes=[{"nodes": [0]}], scene=0)
    colours = _palette(folder, shape)
    glb.tree |= _materials()
    placed = [_matrix(**root) @ _local(node) for node in nodes[1:]]
    parts = [_points(shape, faces) for faces in (paint, ~paint & ~wheels, wheels)]
    stored = [_moved(points, world) for points, world in zip(parts, placed, strict=True)]
    uv = [_coordinates(colours[faces]) for faces in (paint, ~paint & ~wheels)]
    primitives = [
        glb.primitive(stored[0], _order(stored[0]), TEXCOORD_0=_unturned(2 - uv[0])),
        glb.primitive(stored[1], _order(stored[1]), TEXCOORD_0=uv[1] * [2, 4]),
        glb.primitive(
            stored[2],
            _order(stored[2])[:, ::-1],
            COLOR_0=_vertex_colours(glb, shape.face_rgb[wheels]),
        ),
    ]
    for index, primitive in enumerate(primitives):
        primitive["material"] = index
    glb.tree["meshes"] = [{"primitives": [primitive]} for primitive in primitives]
    return glb.save(folder / "pickup.glb")


TURN, SCALE, OFFSET = 0.7, np.array([1.5, 0.5]), np.array([0.25, -0.5])
"""Of the paint's texture transform."""


def _materials() -> dict:
    paint = {"offset": OFFSET.tolist(), "rotation": TURN, "scale": SCALE.tolist()}
    textured = [
        {
            "baseColorTexture": {
                "index": index,
                "extensions": {"KHR_texture_transform": transform},
            }
        }
        for index, transform in enumerate((paint, {"scale": [0.5, 0.25]}))
    ]
    return {
        "images": [{"uri": PALETTE}],
        "samplers": [
            {"magFilter": NEAREST, "wrapS": MIRROR, "wrapT": MIRROR},
            {"magFilter": NEAREST, "wrapS": CLAMP, "wrapT": CLAMP},
        ],
        "textures": [{"source": 0, "sampler": 0}, {"source": 0, "sampler": 1}],
        "materials": [
            {"pbrMetallicRoughness": textured[0], "doubleSided": True},
            {"pbrMetallicRoughness": textured[1], "doubleSided": True},
            {},
        ],
        "extensionsUsed": ["KHR_texture_transform"],
    }


def _palette(folder: Path, shape: Shape) -> np.ndarray:
    """Writes every colour of the shape as a cell; returns every face's cell."""
    rgb = np.round(shape.face_rgb * 255).astype(np.uint8)
    colours, cells = np.unique(rgb, axis=0, return_inverse=True)
    padded = np.zeros((COLUMNS * COLUMNS, 3), np.uint8)
    padded[: len(colours)] = colours
    pixels = padded.reshape(COLUMNS, COLUMNS, 3).repeat(CELL, 0).repeat(CELL, 1)
    (folder / PALETTE).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / PALETTE)
    return cells.ravel()


def _coordinates(cells: np.ndarray) -> np.ndarray:
    """Where the three corners of every face look: the middle of its cell."""
    middle = np.stack([cells % COLUMNS + 0.5, cells // COLUMNS + 0.5], -1) / COLUMNS
    return middle.repeat(3, 0)


def _unturned(uv: np.ndarray) -> np.ndarray:
    """Coordinates that the paint's texture transform brings to `uv`."""
    cosine, sine = np.cos(TURN), np.sin(TURN)
    back = np.array([[cosine, -sine], [sine, cosine]])
    return ((uv - OFFSET) @ back.T) / SCALE


def _vertex_colours(glb: Glb, rgb: np.ndarray) -> int:
    return glb.accessor(np.round(to_linear(rgb.repeat(3, 0)) * 65535).astype(np.uint16), True)


def _points(shape: Shape, faces: np.ndarray) -> np.ndarray:
    return shape.vertices[shape.faces[faces]].reshape(-1, 3) @ TO_GLTF.T


def _order(points: np.ndarray) -> np.ndarray:
    return np.arange(len(points)).reshape(-1, 3)


def _matrix(translation: list, rotation: list, scale: list) -> np.ndarray:
    placed = np.eye(4)
    placed[:3, :3] = Rotation.from_quat(rotation).as_matrix() * scale
    placed[:3, 3] = translation
    return placed


def _local(node: dict) -> np.ndarray:
    if "matrix" in node:
        return np.reshape(node["matrix"], (4, 4)).T
    still = {"translation": [0.0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1.0, 1, 1]}
    return _matrix(**{name: node.get(name, value) for name, value in still.items()})


def _moved(points: np.ndarray, world: np.ndarray) -> np.ndarray:
    """What a node must hold so that its world's matrix brings it to `points`."""
    back = np.linalg.inv(world)
    return points @ back[:3, :3].T + back[:3, 3]
