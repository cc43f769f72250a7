"""PLY: polygons with colours of vertices or faces, and texture coordinates as MeshLab writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from engine.data.formats.folder import MOST_TEXT_BYTES, Folder
from engine.data.formats.part import (
    MOST_FACES,
    MOST_VERTICES,
    Z_UP,
    Material,
    MeshFile,
    Part,
    Texture,
    stated_axes,
    to_linear,
)
from engine.data.formats.pictures import Pictures
from engine.data.formats.polygons import triangulate
from engine.data.formats.stl import PLAIN
from engine.errors import DataError, plain

TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
MOST_HEADER = 65_536
MOST_PROPERTIES = 256
MOST_LIST = 65_536
"""Entries of a list, on average over its element."""


@dataclass
class _Property:
    """A number, or a list of numbers whose count has a type of its own."""

    name: str
    dtype: str
    count: str | None = None


@dataclass
class _Element:
    """A table of the file: columns by name; a list is a pair of values and lengths."""

    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    lists: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def read_ply(folder: Folder) -> MeshFile:
    """A PLY file, ASCII or binary.

    Raises:
        DataError: With a short description of the fault.
    """
    data = folder.mesh()
    form, elements, comments, start = _header(data)
    if form == "ascii":
        if len(data) > MOST_TEXT_BYTES:
            raise DataError(f"it has {len(data) >> 20} MB of text; save it as a binary PLY")
        _read_ascii(data[start:], elements)
    else:
        _read_binary(data, start, elements, "<" if "little" in form else ">")
    tables = {element.name: element for element in elements}
    remarks: dict[str, None] = {}
    texture = _texture(folder, comments, remarks)
    axes, lit = stated_axes("\n".join(f"comment {line}" for line in comments)) or (Z_UP, True)
    parts = _parts(tables, texture, lit, remarks)
    return MeshFile(parts, axes, tuple(remarks))


def _header(data: bytes) -> tuple[str, list[_Element], list[str], int]:
    end = data[:MOST_HEADER].find(b"end_header")
    if data[:3] != b"ply" or end < 0:
        raise DataError("it has no PLY header")
    start = data.find(b"\n", end) + 1 or len(data)
    form, elements, comments = "", [], []
    for line in data[:end].decode("utf-8", "surrogateescape").splitlines()[1:]:
        words = line.split()
        try:
            if words[:1] == ["format"]:
                form = words[1]
            elif words[:1] == ["comment"]:
                comments.append(line.strip()[len("comment") :].strip())
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2])))
            elif words[:1] == ["property"]:
                elements[-1].properties.append(_property(words[1:]))
        except (IndexError, ValueError, KeyError):
            raise DataError(f"its header line {plain(line[:60])!r} is not understood") from None
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise DataError(f"its format {plain(form[:40])!r} is not understood")
    for element in elements:
        if not 0 <= element.count <= MOST_VERTICES or len(element.properties) > MOST_PROPERTIES:
            raise DataError(f"it has {element.count} entries of {plain(element.name[:40])}")
    return form, elements, comments, start


def _property(words: list[str]) -> _Property:
    if words[0] == "list":
        if TYPES[words[1]][0] == "f":
            raise ValueError
        return _Property(words[3], TYPES[words[2]], TYPES[words[1]])
    return _Property(words[1], TYPES[words[0]])


def _read_ascii(data: bytes, elements: list[_Element]) -> None:
    """Fills the tables; a row is a run of numbers, whatever the line breaks."""
    most = sum(_most_words(element) for element in elements)
    words = data.split(None, most)
    if len(words) > most:
        raise DataError("it holds more numbers than its header says")
    try:
        numbers = np.array(words, np.float64)
    except ValueError:
        raise DataError("a value is not a number") from None
    at = 0
    for element in elements:
        if not any(entry.count for entry in element.properties):
            width = len(element.properties)
            table = numbers[at : at + element.count * width]
            if len(table) < element.count * width:
                raise DataError("it is cut off")
            table = table.reshape(element.count, width)
            at += table.size
            for column, entry in enumerate(element.properties):
                element.columns[entry.name] = table[:, column].astype(entry.dtype)
            continue
        at = _rows(element, lambda _, count, at: _numbers(numbers, count, at), at)
    if at < len(numbers):
        raise DataError("it holds more numbers than its header says")


def _most_words(element: _Element) -> int:
    """Most numbers that an element can have."""
    lists = sum(entry.count is not None for entry in element.properties)
    entries = min(element.count * MOST_LIST, MOST_VERTICES)
    return element.count * len(element.properties) + lists * entries


def _numbers(numbers: np.ndarray, count: int, at: int) -> tuple[np.ndarray, int]:
    if at + count > len(numbers):
        raise DataError("it is cut off")
    return numbers[at : at + count], at + count


def _read_binary(data: bytes, at: int, elements: list[_Element], order: str) -> None:
    def take(dtype: str, count: int, at: int) -> tuple[np.ndarray, int]:
        size = np.dtype(dtype).itemsize * count
        if at + size > len(data):
            raise DataError("it is cut off")
        return np.frombuffer(data, order + dtype, count, at), at + size

    for element in elements:
        if not element.properties:
            continue
        table = _table(element, data, at, order)
        if table is None and not any(entry.count for entry in element.properties):
            raise DataError("it is cut off")
        if table is None:
            at = _rows(element, take, at)
            continue
        at += table.nbytes
        for k, entry in enumerate(element.properties):
            if entry.count:
                values = table[f"v{k}"].reshape(-1)
                element.lists[entry.name] = values, table[f"n{k}"].astype(np.int64)
            else:
                element.columns[entry.name] = table[f"v{k}"]


def _table(element: _Element, data: bytes, at: int, order: str) -> np.ndarray | None:
    """An element's records, if all its rows have lists as long as the first's; else None."""
    fields, start = [], at
    for k, entry in enumerate(element.properties):
        if entry.count is None:
            fields.append((f"v{k}", order + entry.dtype))
            at += np.dtype(entry.dtype).itemsize
            continue
        size = np.dtype(entry.count).itemsize
        if not element.count or at + size > len(data):
            return None
        length = int(np.frombuffer(data, order + entry.count, 1, at)[0])
        if not 0 <= length <= 1024:
            return None
        fields += [(f"n{k}", order + entry.count), (f"v{k}", order + entry.dtype, (length,))]
        at += size + length * np.dtype(entry.dtype).itemsize
    dtype = np.dtype(fields)
    if start + dtype.itemsize * element.count > len(data):
        return None
    table = np.frombuffer(data, dtype, element.count, start)
    lengths = [table[name] for name in dtype.names if name.startswith("n")]
    return table if all((column == column[0]).all() for column in lengths) else None


def _rows(element: _Element, take: Callable, at: int) -> int:
    """Reads an element with lists of differing lengths row by row; returns the offset of its end."""
    if element.count > MOST_FACES:
        raise DataError(f"it has {element.count:,} entries of {plain(element.name[:40])}")
    values: dict[str, list[np.ndarray]] = {entry.name: [] for entry in element.properties}
    for _ in range(element.count):
        for entry in element.properties:
            count = 1
            if entry.count:
                length, at = take(entry.count, 1, at)
                count = int(length[0])
                if count < 0:
                    raise DataError("a list has a negative length")
            found, at = take(entry.dtype, count, at)
            values[entry.name].append(found)
    for entry in element.properties:
        rows = values[entry.name]
        flat = np.concatenate(rows) if rows else np.zeros(0)
        flat = flat.astype(entry.dtype)
        if entry.count:
            lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
            element.lists[entry.name] = flat, lengths
        else:
            element.columns[entry.name] = flat
    return at


def _texture(folder: Folder, comments: list[str], remarks: dict[str, None]) -> Texture | None:
    names = [c[len("TextureFile") :].strip() for c in comments if c.startswith("TextureFile")]
    if len(names) > 1:
        remarks["all textures but the first"] = None
    if not names:
        return None
    try:
        data = folder.picture(names[0])
        if data is None:
            raise DataError(f"{plain(names[0])} is not there")
        return Texture(Pictures().get(names[0], plain(names[0]), lambda: data))
    except DataError as error:
        remarks[f"a texture ({error})"] = None
        return None


def _parts(
    tables: dict[str, _Element], texture: Texture | None, lit: bool, remarks: dict[str, None]
) -> list[Part]:
    vertex = tables.get("vertex")
    face = next((tables[name] for name in ("face", "faces") if name in tables), None)
    if vertex is None or not {"x", "y", "z"} <= vertex.columns.keys():
        raise DataError("it has no vertices")
    if "tristrips" in tables and (face is None or not face.count):
        raise DataError(
            "its surface is in triangle strips, which are not read; save it as polygons"
        )
    if face is None:
        return []
    indices = next(
        (face.lists[n] for n in ("vertex_indices", "vertex_index") if n in face.lists), None
    )
    if indices is None:
        raise DataError("its faces have no vertex_indices")
    vertices = np.stack([vertex.columns[axis] for axis in "xyz"], -1).astype(np.float64)
    corners, sizes = indices[0].astype(np.int64), indices[1]
    if len(corners) and not 0 <= corners.min() <= corners.max() < len(vertices):
        raise DataError(f"a face asks for vertex {corners.max()} of {len(vertices)}")
    if len(sizes) > MOST_FACES:
        raise DataError(
            f"it has {len(sizes):,} faces, expected at most {MOST_FACES:,}; simplify it"
        )
    triangles, owner = triangulate(vertices, corners, sizes)
    faces = corners[triangles]
    uv = _uv(vertex, face, triangles, faces, sizes)
    material = Material(base=texture if uv is not None else None, lit=lit)
    if texture is not None and uv is None:
        remarks["a texture without its coordinates"] = None
    rgba = _colours(vertex, face, faces, owner, material.base is not None)
    return [Part(vertices, faces, rgba, material, uv if material.base is not None else None)]


def _uv(
    vertex: _Element, face: _Element, triangles: np.ndarray, faces: np.ndarray, sizes: np.ndarray
) -> np.ndarray | None:
    """Texture coordinates of the corners, from the faces or else from the vertices."""
    if "texcoord" in face.lists:
        values, lengths = face.lists["texcoord"]
        if (lengths == 2 * sizes).all():
            return (values.reshape(-1, 2)[triangles] * [1, -1] + [0, 1]).astype(np.float32)
    for names in (("s", "t"), ("u", "v"), ("texture_u", "texture_v")):
        if set(names) <= vertex.columns.keys():
            uv = np.stack([vertex.columns[name] for name in names], -1)
            return (uv[faces] * [1, -1] + [0, 1]).astype(np.float32)
    return None


def _colours(
    vertex: _Element, face: _Element, faces: np.ndarray, owner: np.ndarray, textured: bool
) -> np.ndarray:
    """Linear RGBA of the corners."""
    of_faces, of_vertices = _table_colours(face), _table_colours(vertex)
    if of_vertices is not None:
        rgb = of_vertices[faces]
    elif of_faces is not None:
        rgb = np.repeat(of_faces[owner][:, None], 3, 1)
    else:
        rgb = np.broadcast_to([1, 1, 1] if textured else PLAIN[:3], (len(faces), 3, 3))
    return np.concatenate([rgb, np.ones((len(faces), 3, 1))], -1).astype(np.float32)


def _table_colours(table: _Element) -> np.ndarray | None:
    for prefix in ("", "diffuse_"):
        names = [prefix + name for name in ("red", "green", "blue")]
        if all(name in table.columns for name in names):
            columns = [table.columns[name] for name in names]
            most = np.iinfo(columns[0].dtype).max if columns[0].dtype.kind in "iu" else 1
            return to_linear(np.stack(columns, -1).astype(np.float64) / most)
    return None
