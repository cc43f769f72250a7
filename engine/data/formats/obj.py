"""OBJ: polygons, vertex colours, materials of MTL libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field, replace

import numpy as np

from engine.data.formats.folder import MOST_TEXT_BYTES, Folder, is_absolute
from engine.data.formats.mtl import Paint, read_mtl
from engine.data.formats.part import (
    MOST_VERTICES,
    Y_UP,
    Z_UP,
    MeshFile,
    Part,
    stated_axes,
    to_linear,
)
from engine.data.formats.pictures import Pictures
from engine.data.formats.polygons import triangulate
from engine.data.formats.stl import PLAIN
from engine.errors import DataError, plain

TRIMESH_COMMENT = "# https://github.com/mikedh/trimesh"
"""First line of this project's OBJ files before they told their axes, and of others that trimesh writes: z is up."""
HEAD = 4096
"""Characters in which comments on the file are looked for."""
MOST_LINE = 2**20
"""Characters of a line."""
MOST_MATERIALS = 20_000
CURVES = {"curv", "curv2", "surf", "vp", "cstype"}


def read_obj(folder: Folder) -> MeshFile:
    """An OBJ file with its MTL libraries and textures.

    Raises:
        DataError: With a short description of the fault.
    """
    data = folder.mesh(MOST_TEXT_BYTES)
    if b"\0" in data[:HEAD]:
        raise DataError("it is not text")
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\\\n", " ")
    lines = _Lines(folder)
    for number, line in enumerate(_split(text), 1):
        if len(line) > MOST_LINE:
            raise DataError(f"line {number} has {len(line):,} characters")
        try:
            lines.take(line)
        except (ValueError, IndexError):
            raise DataError(
                f"line {number} is not understood ({plain(line.strip()[:60])!r})"
            ) from None
    usual = Z_UP if text.startswith(TRIMESH_COMMENT) else Y_UP
    axes, lit = stated_axes(text[:HEAD]) or (usual, True)
    return MeshFile(lines.parts(lit), axes, tuple(lines.remarks))


def _split(text: str) -> Iterator[str]:
    """Lines of a text, lazily: a list of them takes many times its memory."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


@dataclass
class _Lines:
    """State of the parser after the lines so far."""

    folder: Folder
    remarks: dict[str, None] = field(default_factory=dict)
    points: list[list[float]] = field(default_factory=list)
    uv: list[tuple[float, float]] = field(default_factory=list)
    corners: list[int] = field(default_factory=list)
    corner_uv: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    paint_of: list[int] = field(default_factory=list)
    paints: dict[str, Callable[[], Paint]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=lambda: {"": 0})
    current: int = 0
    pictures: Pictures = field(default_factory=Pictures)

    def take(self, line: str) -> None:
        """Reads a line.

        Raises:
            ValueError: If a number is malformed, or an index refers to nothing.
        """
        words = line.split()
        if not words or words[0].startswith("#"):
            return
        key = words[0]
        if key == "v":
            self._point([float(word) for word in words[1:8]])
        elif key == "vt":
            _check_room(self.uv, "texture coordinates")
            self.uv.append((float(words[1]), float(words[2]) if len(words) > 2 else 0.0))
        elif key in ("f", "fo"):
            self._polygon(words[1:])
        elif key == "usemtl":
            name = line.strip()[len(key) :].strip()
            self.current = self.used.setdefault(name, len(self.used))
            if len(self.used) > MOST_MATERIALS:
                raise DataError(f"it uses more than {MOST_MATERIALS:,} materials; join them")
        elif key == "mtllib":
            self._library(line.strip()[len(key) :].strip())
        elif key in ("l", "p"):
            self.remarks["points and lines"] = None
        elif key in CURVES:
            self.remarks["curves and curved surfaces"] = None

    def _point(self, numbers: list[float]) -> None:
        if len(numbers) < 3:
            raise ValueError
        _check_room(self.points, "vertices")
        self.points.append(numbers)

    def _polygon(self, words: list[str]) -> None:
        _check_room(self.sizes, "faces")
        _check_room(self.corners, "corners of faces")
        points, uvs = len(self.points), len(self.uv)
        for word in words:
            point, _, rest = word.partition("/")
            self.corners.append(_counted(int(point), points))
            uv = rest.partition("/")[0]
            self.corner_uv.append(_counted(int(uv), uvs) if uv else -1)
        self.sizes.append(len(words))
        self.paint_of.append(self.current)

    def _library(self, names: str) -> None:
        """Reads the libraries named on one line, separated by blanks; a name may contain blanks too."""
        whole = self._library_data(names)
        for name in [names] if whole is not None else names.split():
            data = whole if whole is not None else self._library_data(name)
            if data is None:
                self.remarks[f"materials ({plain(name)} is not there)"] = None
                continue
            text = data.decode("utf-8", "surrogateescape")
            paints = read_mtl(text, name, self.folder, self.pictures, self.remarks)
            self.paints = {**paints, **self.paints}

    def _library_data(self, name: str) -> bytes | None:
        """Bytes of a library in the mesh's folder (by its last name if the path is absolute); None if there is none."""
        if is_absolute(name):
            name = name.replace("\\", "/").rpartition("/")[2]
        try:
            return self.folder.beside(name, "a material library")
        except DataError:
            return None

    def parts(self, lit: bool) -> list[Part]:
        """One part for every material that is used; `lit` is `Material.lit`."""
        if not self.sizes:
            return []
        vertices, colours = _points(self.points)
        sizes = np.array(self.sizes)
        every, every_uv = np.array(self.corners, np.int64), np.array(self.corner_uv, np.int64)
        if len(every) and not 0 <= every.min() <= every.max() < len(vertices):
            raise DataError(f"a face asks for a vertex that is not there; it has {len(vertices)}")
        if (every_uv < -1).any() or (every_uv >= len(self.uv)).any():
            self.remarks["texture coordinates that are not there"] = None
            every_uv = np.where((every_uv >= 0) & (every_uv < len(self.uv)), every_uv, -1)
        triangles, owner = triangulate(vertices, every, sizes)
        paint_of = np.array(self.paint_of)[owner]
        corners, corner_uv = every[triangles], every_uv[triangles]
        uv = np.array([*self.uv, (0.0, 0.0)])[corner_uv]
        parts = []
        for name, index in self.used.items():
            rows = np.flatnonzero(paint_of == index)
            if len(rows):
                paint = self._paint(name)
                paint = replace(paint, material=replace(paint.material, lit=lit))
                parts.append(
                    _part(vertices, corners[rows], colours, uv[rows], corner_uv[rows], paint)
                )
        return parts

    def _paint(self, name: str) -> Paint:
        if name and name not in self.paints:
            missing = plain(name[:60]) if self.paints else "no library holds them"
            self.remarks[f"materials ({missing})"] = None
        return self.paints.get(name, Paint)()


def _check_room(found: Sized, what: str) -> None:
    if len(found) >= MOST_VERTICES:
        raise DataError(f"it has more than {MOST_VERTICES:,} {what}; simplify it")


def _part(
    vertices: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray | None,
    uv: np.ndarray,
    corner_uv: np.ndarray,
    paint: Paint,
) -> Part:
    used, compact = np.unique(faces, return_inverse=True)
    material = paint.material
    if paint.rgba is not None:
        rgba = np.broadcast_to(paint.rgba, (len(faces), 3, 4))
        if colours is not None and material.base is None:
            rgba = np.concatenate([colours[faces], rgba[..., 3:]], -1)
    elif colours is not None:
        rgba = np.concatenate([colours[faces], np.ones((len(faces), 3, 1))], -1)
    else:
        rgba = np.broadcast_to(PLAIN, (len(faces), 3, 4))
    uv = uv * np.array(paint.scale) + np.array(paint.shift)
    uv = np.where(corner_uv[..., None] >= 0, uv * [1, -1] + [0, 1], 0).astype(np.float32)
    return Part(
        vertices[used],
        compact.reshape(-1, 3),
        rgba.astype(np.float32),
        material,
        uv if material.base is not None else None,
        uv if material.glow_texture is not None else None,
    )


def _points(points: list[list[float]]) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions and linear colours of vertices (`v x y z r g b`); `stl.PLAIN` for those without a colour."""
    vertices = np.array([point[:3] for point in points], np.float64).reshape(-1, 3)
    coloured = [index for index, point in enumerate(points) if len(point) >= 6]
    if not coloured:
        return vertices, None
    found = np.nan_to_num(np.array([points[index][3:6] for index in coloured]))
    colours = np.tile(PLAIN[:3], (len(points), 1)).astype(np.float64)
    colours[coloured] = to_linear(found / (255 if found.max() > 1 else 1))
    return vertices, colours


def _counted(number: int, count: int) -> int:
    """Zero-based index from OBJ's (from 1, or backwards from -1); a large negative number if it is neither."""
    return number - 1 if number > 0 else count + number if number else -2
