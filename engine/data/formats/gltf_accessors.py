"""Buffers and accessors of glTF: bytes to arrays, every bound checked first."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from engine.data.formats.folder import MOST_BYTES, Folder, decode_uri
from engine.data.formats.gltf_schema import Accessor, BufferView, Gltf, decode, pick
from engine.data.formats.part import MOST_VERTICES
from engine.errors import DataError, plain

TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
SHAPES = {"SCALAR": (1,), "VEC2": (2,), "VEC3": (3,), "VEC4": (4,), "MAT4": (16,)}
MOST_NUMBERS = 100_000_000
"""Numbers of all accessors of a file together."""
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942


def split_glb(data: bytes) -> tuple[bytes, bytes | None]:
    """JSON and binary chunk of a GLB file.

    Raises:
        DataError: With a short description of the fault.
    """
    if len(data) < 20:
        raise DataError("it ends within its header")
    magic, version, length = struct.unpack_from("<4sII", data)
    if magic != b"glTF":
        raise DataError("it does not begin with glTF")
    if version != 2:
        raise DataError(f"found glTF {version}, expected glTF 2")
    if length > len(data):
        raise DataError(f"found {len(data)} bytes of {length}; it is cut off")
    chunks: dict[int, bytes] = {}
    start = 12
    while start + 8 <= length:
        size, kind = struct.unpack_from("<II", data, start)
        if start + 8 + size > length:
            raise DataError("a chunk is longer than the file")
        chunks.setdefault(kind, data[start + 8 : start + 8 + size])
        start += 8 + size
    if JSON_CHUNK not in chunks:
        raise DataError("it holds no JSON")
    return chunks[JSON_CHUNK], chunks.get(BINARY_CHUNK)


@dataclass
class Store:
    """A glTF file and its buffers, which are read on first use.

    Attributes:
        folder: Its folder.
        gltf: Its JSON.
        binary: The binary chunk of a GLB file.
    """

    folder: Folder
    gltf: Gltf
    binary: bytes | None = None
    _buffers: dict[int, bytes] = field(default_factory=dict)
    _arrays: dict[tuple[int, bool, bool], np.ndarray] = field(default_factory=dict)
    _numbers: int = 0

    @classmethod
    def open(cls, folder: Folder) -> Store:
        """Reads a .glb or .gltf file, told apart by its first bytes.

        Raises:
            DataError: With a short description of the fault.
        """
        data = folder.mesh()
        if data[:4] == b"glTF":
            text, binary = split_glb(data)
            return cls(folder, decode(text), binary)
        if folder.path.suffix.lower() == ".glb":
            raise DataError("it does not begin with glTF")
        return cls(folder, decode(data.removeprefix(b"\xef\xbb\xbf")))

    def bytes_of(self, index: int) -> bytes:
        """The bytes of a buffer view.

        Raises:
            DataError: If it is compressed, or reaches beyond its buffer.
        """
        view = self._view(index)
        data = self._buffer(view.buffer)
        return data[view.byte_offset : view.byte_offset + view.byte_length]

    def count(self, index: int) -> int:
        """Entries of an accessor.

        Raises:
            DataError: If there is no such accessor.
        """
        return pick(self.gltf.accessors, index, "accessor").count

    def array(
        self, index: int, shape: str, whole: bool = False, fractions: bool = False
    ) -> np.ndarray:
        """An accessor as an array `count *shape`, float32.

        Args:
            index: Index of the accessor.
            shape: "SCALAR", "VEC3", ... or several, separated by "|".
            whole: Expects whole numbers, and leaves them as they are.
            fractions: Takes whole numbers as fractions of the type's largest, also where the file does not say so.

        Raises:
            DataError: If it is of another shape, or does not fit into its buffer.
        """
        accessor: Accessor = pick(self.gltf.accessors, index, "accessor")
        if accessor.type not in shape.split("|"):
            raise DataError(f"accessor {index} is a {accessor.type}, expected {shape}")
        if whole and (accessor.component_type == 5126 or accessor.normalized):
            raise DataError(f"accessor {index} holds fractions, expected whole numbers")
        key = index, whole, fractions
        if key not in self._arrays:
            values = self._values(accessor, index)
            if not whole:
                values = _scaled(values, accessor.normalized or fractions)
            self._arrays[key] = values
        return self._arrays[key]

    def _values(self, accessor: Accessor, index: int) -> np.ndarray:
        dtype, entry = np.dtype(TYPES[accessor.component_type]), SHAPES[accessor.type]
        self._numbers += accessor.count * int(np.prod(entry))
        if accessor.count > MOST_VERTICES or self._numbers > MOST_NUMBERS:
            raise DataError(f"accessor {index} has {accessor.count} entries, more than is read")
        if accessor.buffer_view is None:
            values = np.zeros((accessor.count, *entry), dtype)
        else:
            values = self._slice(
                accessor.buffer_view, accessor.byte_offset, accessor.count, dtype, entry
            )
        return values if accessor.sparse is None else self._replaced(values, accessor)

    def _view(self, index: int) -> BufferView:
        view: BufferView = pick(self.gltf.buffer_views, index, "buffer view")
        used = next((name for name in MESHOPT if name in view.extensions), None)
        buffer = pick(self.gltf.buffers, view.buffer, "buffer")
        if used and (used in self.gltf.extensions_required or not self._held(view.buffer)):
            raise DataError(
                f"its geometry is compressed with {used}, which is not read; save it without compression"
            )
        if view.byte_offset + view.byte_length > buffer.byte_length:
            raise DataError(f"buffer view {index} reaches beyond its buffer")
        return view

    def _held(self, index: int) -> bool:
        return self.gltf.buffers[index].uri is not None or (index == 0 and self.binary is not None)

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            buffer = self.gltf.buffers[index]
            data = self._load(index)
            if len(data) < buffer.byte_length:
                raise DataError(f"buffer {index} has {len(data)} bytes of {buffer.byte_length}")
            self._buffers[index] = data
        return self._buffers[index]

    def _load(self, index: int) -> bytes:
        uri = self.gltf.buffers[index].uri
        if uri is None:
            if self.binary is None or index > 0:
                raise DataError(f"buffer {index} has no data")
            return self.binary
        name, data = decode_uri(uri, MOST_BYTES)
        if data is None:
            data = self.folder.beside(name, "its data")
        if data is None:
            raise DataError(f"{plain(name)!r}, which holds its geometry, is not there")
        return data

    def _slice(
        self, view_index: int, offset: int, count: int, dtype: np.dtype, entry: tuple[int, ...]
    ) -> np.ndarray:
        view = self._view(view_index)
        if not count:
            return np.zeros((0, *entry), dtype)
        size = dtype.itemsize * int(np.prod(entry))
        stride = view.byte_stride or size
        end = offset + stride * (count - 1) + size
        if stride < size or end > view.byte_length:
            raise DataError(f"an accessor reaches beyond buffer view {view_index}")
        return np.ndarray(
            (count, *entry),
            dtype,
            self._buffer(view.buffer),
            view.byte_offset + offset,
            (stride, dtype.itemsize),
        )

    def _replaced(self, values: np.ndarray, accessor: Accessor) -> np.ndarray:
        sparse = accessor.sparse
        if sparse.count > accessor.count:
            raise DataError("a sparse accessor replaces more entries than it has")
        rows = self._slice(
            sparse.indices.buffer_view,
            sparse.indices.byte_offset,
            sparse.count,
            np.dtype(TYPES[sparse.indices.component_type]),
            (1,),
        )[:, 0]
        if len(rows) and rows.max() >= accessor.count:
            raise DataError("a sparse accessor replaces entries beyond its end")
        values = values.copy()
        values[rows] = self._slice(
            sparse.values.buffer_view,
            sparse.values.byte_offset,
            sparse.count,
            values.dtype,
            values.shape[1:],
        )
        return values


def _scaled(values: np.ndarray, normalized: bool) -> np.ndarray:
    if values.dtype.kind == "f" or not normalized:
        return values.astype(np.float32)
    most = np.iinfo(values.dtype).max
    return np.maximum(values.astype(np.float32) / most, -1)
