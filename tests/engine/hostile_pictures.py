"""Picture files that are made to do harm, or to say unusual things of themselves."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_of_scans(count: int, side: int) -> bytes:
    """A progressive JPEG whose first scan is there `count` times: each makes the decoder go over the whole picture."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (side // 64, side // 64, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST)
    data = encoded(picture, "JPEG", progressive=True, quality=20)
    start = data.index(b"\xff\xda")
    end = min(
        at for marker in (b"\xff\xda", b"\xff\xc4") if (at := data.find(marker, start + 2)) > 0
    )
    return data[:start] + data[start:end] * (count - data.count(b"\xff\xda") + 1) + data[end:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG file from its rows (each with a filter byte before it); `extra` are chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(rows, 1))
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + body + png_chunk(b"IEND", b"")
    )


def png_bomb(width: int, height: int, depth: int = 16, color: int = 0) -> bytes:
    """A PNG of nothing but zeros, which is about a thousandth of what it becomes."""
    channels = {0: 1, 2: 3, 6: 4}[color]
    row, packer = bytes(1 + (width * channels * depth + 7) // 8), zlib.compressobj(1)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def with_chunks(data: bytes, chunks: bytes) -> bytes:
    """A PNG file with more chunks after its header."""
    return data[:33] + chunks + data[33:]


def icc_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 ICC profile of a display with the given tags."""
    offset = 128 + 4 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", offset + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    connection = b"Lab " if space == b"CMYK" else b"XYZ "
    head = struct.pack(
        ">I4sI4s4s4s", offset + len(bodies), bytes(4), 0x02400000, kind, space, connection
    )
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(*D50) + bytes(48)
    return head[:128] + table + bodies


D50 = (0.9642, 1.0, 0.8249)


def fixed(*values: float) -> bytes:
    """Numbers as ICC's s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def curve(values: np.ndarray) -> bytes:
    """A tone curve: light of equally spaced numbers."""
    return (
        b"curv"
        + bytes(4)
        + struct.pack(f">I{len(values)}H", len(values), *np.round(values * 65535).astype(int))
    )


def xyz(*values: float) -> bytes:
    """A colour."""
    return b"XYZ " + bytes(4) + fixed(*values)


def described(name: bytes) -> bytes:
    """A profile's name."""
    return b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(1 + 12 + 67)
