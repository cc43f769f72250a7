"""Paths between objects as films and strips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from engine.events import Run
from engine.methods.base import Method
from engine.ops.cameras import orbit_camera
from engine.output.video import contact_sheet, film, film_size, frame_renderer

AZIMUTH, ELEVATION = 40.0, 20.0
"""The three-quarter view, degrees."""
STRIP = 9
"""Pictures of a strip."""


def even_points(num_frames: int) -> list[tuple[float, float]]:
    """`u`, `v` of a film's pictures from A to B, both ends included."""
    return [(index / max(num_frames - 1, 1), 0.0) for index in range(num_frames)]


def path_film(
    method: Method,
    codes: Float[Tensor, " frames *shape"],
    file: Path | str,
    *,
    size: int = 256,
    fps: int = 30,
    turn_deg: float = 0.0,
) -> Run[Path]:
    """Write a path as a film, one object to a picture: stage "film", each picture as its step's `item`.

    Args:
        method: Method whose latents they are.
        codes: Latents of the objects, as `path` returns them.
        file: Output file, ending in .mp4 or .gif.
        size: Rows and columns; odd sizes grow by one, since MP4 requires even ones.
        fps: Pictures per second.
        turn_deg: Angle by which the camera goes round during the film, counter-clockwise seen from above, starting at
            the three-quarter view.

    Raises:
        ExportError: See `engine.output.video.film`.
    """
    size, count = film_size(size), len(codes)
    pictures = _pictures(method, codes, range(count), size, turn_deg)
    return film(pictures, file, count, fps)


def path_strip(
    method: Method,
    codes: Float[Tensor, " frames *shape"],
    *,
    size: int = 128,
    turn_deg: float = 0.0,
) -> UInt8[np.ndarray, "rows cols 3"]:
    """Nine pictures of the film of a path (all where there are fewer) side by side, from the first to the last."""
    count = min(STRIP, len(codes))
    places = [round(k * (len(codes) - 1) / max(count - 1, 1)) for k in range(count)]
    return contact_sheet(list(_pictures(method, codes, places, size, turn_deg)), columns=count)


def _pictures(
    method: Method,
    codes: Float[Tensor, " frames *shape"],
    places: Iterable[int],
    size: int,
    turn_deg: float,
) -> Iterator[np.ndarray]:
    """A film's pictures at some places."""
    points = even_points(len(codes))
    for place in places:
        azimuth = AZIMUTH + turn_deg * points[place][0]
        camera = orbit_camera(azimuth, ELEVATION, method.data.distance, size)
        yield frame_renderer(method.scene(codes[place]).field, "high")(camera)
