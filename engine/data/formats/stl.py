"""STL: triangles without colours."""

from __future__ import annotations

import re

import numpy as np

from engine.data.formats.folder import Folder
from engine.data.formats.part import MOST_FACES, Z_UP, MeshFile, Part
from engine.errors import DataError

HEADER = 84
RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
VERTEX = re.compile(rb"^\s*vertex\s+(\S+)\s+(\S+)\s+(\S+)\s*$", re.MULTILINE | re.IGNORECASE)


def read_stl(folder: Folder) -> MeshFile:
    """A binary or ASCII STL file.

    Raises:
        DataError: With a short description of the fault.
    """
    data = folder.mesh()
    remarks: tuple[str, ...] = ()
    count = int.from_bytes(data[80:HEADER], "little") if len(data) >= HEADER else -1
    if count >= 0 and len(data) >= HEADER + count * RECORD.itemsize and not _is_text(data, count):
        _check(count)
        records = np.frombuffer(data, RECORD, count, HEADER)
        corners = records["corners"].astype(np.float64)
        if b"COLOR=" in data[:80] or (records["attribute"] & 0x8000).any():
            remarks = ("colours in an STL's attribute bytes",)
    else:
        corners = _ascii(data)
    faces = np.arange(3 * len(corners)).reshape(-1, 3)
    return MeshFile([plain_part(corners.reshape(-1, 3), faces)], Z_UP, remarks)


def plain_part(vertices: np.ndarray, faces: np.ndarray) -> Part:
    """A part in the colour of meshes without colours, `PLAIN`."""
    return Part(vertices, faces, np.broadcast_to(PLAIN, (len(faces), 3, 4)))


PLAIN = np.array([0.448, 0.448, 0.448, 1], np.float32)
"""Colour of a mesh without colours, linear: sRGB 0.7."""


def _is_text(data: bytes, count: int) -> bool:
    return data.lstrip()[:5].lower() == b"solid" and len(data) != HEADER + count * RECORD.itemsize


def _ascii(data: bytes) -> np.ndarray:
    if data.lstrip()[:5].lower() != b"solid":
        raise DataError("it is cut off, or no STL")
    numbers = [match.groups() for match in VERTEX.finditer(data)]
    if len(numbers) % 3 or not numbers:
        raise DataError("its triangles are not whole")
    _check(len(numbers) // 3)
    try:
        return np.array(numbers, np.float64).reshape(-1, 3, 3)
    except ValueError:
        raise DataError("a vertex is not three numbers") from None


def _check(count: int) -> None:
    if count > MOST_FACES:
        raise DataError(f"it has {count:,} triangles, expected at most {MOST_FACES:,}; simplify it")
