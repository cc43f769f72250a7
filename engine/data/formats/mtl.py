"""MTL: the materials of OBJ files, including common deviations of exporters from the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from engine.data.formats.folder import Folder
from engine.data.formats.part import Alpha, Material, Texture, Wrap, to_linear
from engine.data.formats.pictures import Pictures
from engine.errors import DataError, plain

OPTIONS = {
    "-s": 3,
    "-o": 3,
    "-t": 3,
    "-mm": 2,
    "-bm": 1,
    "-blendu": 1,
    "-blendv": 1,
    "-boost": 1,
    "-clamp": 1,
    "-cc": 1,
    "-imfchan": 1,
    "-texres": 1,
    "-type": 1,
    "-colorspace": 1,
}
"""Options of a map, and how many values may follow each."""


@dataclass(frozen=True, eq=False)
class Paint:
    """A material of an OBJ file, its linear RGBA, and the scale and shift of its texture coordinates."""

    material: Material = field(default_factory=Material)
    rgba: np.ndarray | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class _Map:
    """A texture's file name and the options that are drawn."""

    name: str
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    clamp: bool = False


def read_mtl(
    text: str, place: str, folder: Folder, pictures: Pictures, remarks: dict[str, None]
) -> dict[str, Callable[[], Paint]]:
    """The materials of a library by name, as functions that read their textures.

    Textures of a material that is never requested are not read.

    Args:
        text: The library.
        place: Its name as the OBJ file writes it: textures lie beside it, or beside the mesh.
        folder: The mesh's folder.
        pictures: The mesh's textures.
        remarks: Extended by features of materials that are not drawn.
    """
    base = place.replace("\\", "/").rpartition("/")[0]
    entries: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if "\t" in key:
            key, _, value = line.strip().partition("\t")
        if key == "newmtl":
            current = entries.setdefault(value.strip(), {})
        elif key and not key.startswith("#"):
            current[key.lower()] = value.strip()
    painter = _Painter(folder, base, pictures, remarks)
    return {name: partial(painter.paint, entry) for name, entry in entries.items()}


def parse_map(value: str) -> _Map:
    """A map's options and its file name, which may hold blanks."""
    words, found = value.split(), {}
    while words and words[0].lower() in OPTIONS:
        option = words.pop(0).lower()
        taken = []
        while words and len(taken) < OPTIONS[option] and (_number(words[0]) or not taken):
            taken.append(words.pop(0))
        found[option] = taken
    return _Map(
        " ".join(words).strip('"'),
        _pair(found.get("-s", []), 1.0),
        _pair(found.get("-o", []), 0.0),
        found.get("-clamp", ["off"])[0].lower() == "on",
    )


@dataclass(frozen=True)
class _Painter:
    folder: Folder
    base: str
    pictures: Pictures
    remarks: dict[str, None]

    def paint(self, entry: dict[str, str]) -> Paint:
        """A material.

        Kd is left out where there is a picture: exporters fill it with greys that would only darken it.
        """
        base = parse_map(entry["map_kd"]) if entry.get("map_kd") else None
        glow_map = parse_map(entry["map_ke"]) if entry.get("map_ke") else None
        mask = parse_map(entry["map_d"]) if entry.get("map_d") else None
        texture = None if base is None else self._texture(base)
        glow_texture = None if glow_map is None else self._texture(glow_map)
        opacity = self._opacity(entry)
        if mask is not None:
            texture = self._masked(texture, base, mask)
        colour = np.array(_floats(entry.get("kd", ""), 3) or (1.0, 1.0, 1.0))
        if base is not None and texture is not None:
            colour = np.ones(3)
        glow = np.array(_floats(entry.get("ke", ""), 3) or (0.0, 0.0, 0.0))
        if glow_texture is not None and not glow.any():
            glow = np.ones(3)
        see_through = opacity < 1 or mask is not None
        material = Material(
            base=texture,
            glow=tuple(float(value) for value in to_linear(glow)),
            glow_texture=glow_texture,
            alpha=Alpha.BLEND if see_through else Alpha.OPAQUE,
        )
        where = base or mask or glow_map or _Map("")
        return Paint(material, np.append(to_linear(colour), opacity), where.scale, where.shift)

    def _opacity(self, entry: dict[str, str]) -> float:
        """`d`, or `1 - Tr`; `Tr 1`, which MeshLab writes for opaque materials, counts as opaque."""
        words = entry.get("d", "").replace("-halo", "")
        found, through = _floats(words, 1), _floats(entry.get("tr", ""), 1)
        if found:
            return float(np.clip(found[0], 0, 1))
        return 1 - through[0] if through and 0 < through[0] < 1 else 1.0

    def _picture(self, name: str) -> np.ndarray | None:
        try:
            return self.pictures.get((self.base, name), plain(name), lambda: self._bytes(name))
        except DataError as error:
            self.remarks[f"a texture ({error})"] = None
            return None

    def _bytes(self, name: str) -> bytes:
        data = self.folder.picture(f"{self.base}/{name}") if self.base else None
        data = self.folder.picture(name) if data is None else data
        if data is None:
            raise DataError(f"{plain(name)} is not there")
        return data

    def _texture(self, found: _Map) -> Texture | None:
        picture = self._picture(found.name)
        if picture is None:
            return None
        wrap = Wrap.CLAMP if found.clamp else Wrap.REPEAT
        opaque = self._made(
            ("opaque", self.base, found.name), found.name, lambda: _with_alpha(picture, 255)
        )
        return None if opaque is None else Texture(opaque, (wrap, wrap))

    def _made(self, key: tuple, name: str, make: Callable[[], np.ndarray]) -> np.ndarray | None:
        """See `Pictures.made`; None, with a remark, if there are too many."""
        try:
            return self.pictures.made(key, plain(name), make)
        except DataError as error:
            self.remarks[f"a texture ({error})"] = None
            return None

    def _masked(self, texture: Texture | None, base: _Map | None, mask: _Map) -> Texture | None:
        """A texture with the alpha of `map_d`: the picture's own, or its brightness where it has none."""
        picture = self._picture(mask.name)
        if picture is None:
            return texture

        def make() -> np.ndarray:
            alpha = picture[..., 3] if picture[..., 3].min() < 255 else picture[..., :3].max(-1)
            if texture is None:
                return _with_alpha(np.full((*alpha.shape, 4), 255, np.uint8), alpha)
            rows, columns = texture.picture.shape[:2]
            i = np.arange(rows) * alpha.shape[0] // rows
            j = np.arange(columns) * alpha.shape[1] // columns
            return _with_alpha(texture.picture, alpha[i[:, None], j])

        under = None if texture is None or base is None else base.name
        rgba = self._made(("masked", self.base, under, mask.name), mask.name, make)
        if rgba is None:
            return texture
        return Texture(rgba) if texture is None else replace(texture, picture=rgba)


def _with_alpha(picture: np.ndarray, alpha: np.ndarray | int) -> np.ndarray:
    rgba = picture.copy()
    rgba[..., 3] = alpha
    return rgba


def _number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _floats(text: str, count: int) -> tuple[float, ...] | None:
    """The first `count` numbers of a line; if there are fewer, the last one is repeated, as for `Kd 0.5`."""
    words = text.split()[:count]
    if not words or not all(_number(word) for word in words):
        return None
    numbers = [float(word) for word in words]
    return tuple(numbers + [numbers[-1]] * (count - len(numbers)))


def _pair(words: list[str], default: float) -> tuple[float, float]:
    numbers = [float(word) for word in words if _number(word)] + [default, default]
    return numbers[0], numbers[1] if len(words) > 1 else default
