"""Limits on images, the formats that are read, and the form of a request."""

from __future__ import annotations

import struct

from engine.errors import ImageError

SMALLEST = 16
"""Pixels that a picture needs along each side."""
LARGEST = 16_384
"""Pixels that a picture may have along each side."""
MOST_PIXELS = 50_000_000
"""Pixels that a picture may have."""
KEPT = 2048
"""Most pixels a side; larger pictures are reduced by a whole factor, since no model uses more."""
MOST_BYTES = 256 << 20
"""Size that a picture's file may have."""
MOST_SCANS = 100
"""Scans that a JPEG may have, each of which goes over the whole picture; programs write about ten."""
MOST_SECONDS = 2.5
"""Time of a processor that a picture may take to decode."""
WAITING = 1.4
"""Factor on that time by the clock, for busy machines and those that cannot limit CPU time."""
MOST_MEMORY = 1400 << 20
"""Address space of a process that decodes, bytes."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "PPM")
WANTED = "a PNG, JPEG or WebP picture"

REQUEST = struct.Struct("<QQQ")
"""Pixels that a side needs, and the lengths of a name (UTF-8) and of a file, which follow."""


def check_size(width: int, height: int, name: str, smallest: int = SMALLEST) -> None:
    """Refuse unusable sizes.

    Args:
        width: Columns.
        height: Rows.
        name: Name of the picture in messages.
        smallest: Pixels that it needs along each side.

    Raises:
        ImageError: If it is too small or too large.
    """
    if min(width, height) < smallest:
        raise ImageError(
            f"{name} is {width} x {height} pixels; expected at least {smallest} x {smallest}."
        )
    if max(width, height) > LARGEST or width * height > MOST_PIXELS:
        raise ImageError(
            f"{name} is {width} x {height} pixels; expected at most {LARGEST} a side and "
            f"{MOST_PIXELS // 10**6} million in all, so make it smaller."
        )


def png_size(data: bytes) -> tuple[int, int] | None:
    """Columns and rows that a PNG file's header promises; None if it is no PNG."""
    if len(data) < 24 or data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    return struct.unpack(">II", data[16:24])
