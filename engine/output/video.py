"""Renders to files for people: films, turntables, sheets, pictures and passes.

Everything here draws through a function from one camera to RGB bytes, whatever is rendered. Angles are degrees and
distances SRN units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from engine.errors import ExportError
from engine.events import Run, Step
from engine.fields.base import Field
from engine.files import replacing
from engine.ops.cameras import orbit_camera
from engine.output.ffmpeg import FORMATS, Encoder
from engine.render.frames import (
    EMPTY_DEPTH,
    Quality,
    RenderOptions,
    RenderOutput,
    bake,
    render,
    to_uint8,
)
from engine.types import WORLD_PER_SRN, Camera

RenderFrame = Callable[[Camera], np.ndarray]
"""One camera to `height width 3` RGB bytes."""
Pass = Literal["rgb", "depth", "normal", "opacity"]

DEPTH_STEPS = 10_000
"""Levels of a depth picture in one SRN unit: an object of diagonal 1 m is measured in tenths of a millimetre."""
SHEET_VIEWS = (
    *((azimuth, 20.0) for azimuth in (30.0, 120.0, 210.0, 300.0)),
    *((0.0, 5.0), (90.0, 5.0), (180.0, 40.0), (60.0, 75.0)),
)
"""Azimuth and elevation of the pictures of a scene sheet."""
MAX_GIF_FPS = 50
"""Players show faster GIFs at a tenth of their speed."""
LABEL_ROWS = 14
"""Pixels of the strip above a labelled picture."""


def frame_renderer(field: Field, quality: Quality = "standard") -> RenderFrame:
    """A function that draws one field from any camera; the field is prepared once."""
    baked, options = bake(field), RenderOptions(quality=quality)

    def render_frame(camera: Camera) -> np.ndarray:
        return to_uint8(render(baked, camera, options).rgb).cpu().numpy()

    return render_frame


def film(
    frames: Iterable[np.ndarray],
    path: Path | str,
    num_frames: int,
    fps: int = 30,
    stage: str = "film",
) -> Run[Path]:
    """Write pictures as MP4 (H.264, 4:2:0) or looping GIF (256 colours), by the ending; each is its step's `item`.

    The file appears when it is complete; a run that is closed early leaves nothing. A picture is requested only when
    the one before it has been written, so `frames` may render lazily.

    Args:
        frames: `size size 3` RGB bytes each; MP4 requires even sizes (`film_size`).
        path: Output file, ending in .mp4 or .gif.
        num_frames: Number of pictures.
        fps: Pictures per second; a GIF's last whole hundredths, and players slow down more than 50 of them.
        stage: Name in the yielded steps.

    Raises:
        ExportError: If the ending is wrong, a GIF is to be faster than 50 pictures per second, or ffmpeg fails.
        WriteError: If the file cannot be written.
    """
    path = Path(path)
    check_film(path, fps)
    with replacing(path) as temporary, Encoder(temporary, path, fps) as encoder:
        for index, frame in enumerate(frames, 1):
            frame = np.ascontiguousarray(frame)
            encoder.add(frame)
            yield Step(stage=stage, index=index, total=num_frames, item=frame)
        encoder.finish()
    return path


def check_film(path: Path, fps: int) -> None:
    """Refuse a film that cannot be written, before its pictures are drawn.

    Raises:
        ExportError: If the ending is neither .mp4 nor .gif, or a GIF is to be faster than 50 pictures per second.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise ExportError(
            f"{path}: found the ending {path.suffix or 'none'!r}, expected {' or '.join(FORMATS)}."
        )
    if ending == ".gif" and fps > MAX_GIF_FPS:
        raise ExportError(
            f"{path}: found {fps} pictures per second, expected at most {MAX_GIF_FPS} in a GIF; write .mp4."
        )


def film_size(size: int) -> int:
    """The smallest size of a film that is not below `size`."""
    return size + size % 2


def turntable(
    render_frame: RenderFrame,
    path: Path | str,
    frames: int = 96,
    size: int = 256,
    elevation_deg: float | int = 20.0,
    distance: float | int = 1.3,
    fps: int = 30,
) -> Run[Path]:
    """Write a `film` of one turn around the object: stage "turntable".

    The first frame shows the object from its front; then the camera goes counter-clockwise, seen from above. The last
    frame leads into the first.

    Args:
        render_frame: See `frame_renderer`.
        path: Output file, ending in .mp4 or .gif.
        frames: Pictures of one turn.
        size: Rows and columns; odd sizes grow by one, since MP4 requires even ones.
        elevation_deg: Elevation of the camera.
        distance: Its distance from the object's centre.
        fps: Pictures per second.

    Raises:
        ExportError: See `film`.
    """
    size = film_size(size)
    angles = (360.0 * index / frames for index in range(frames))
    cameras = (orbit_camera(a, float(elevation_deg), float(distance), size) for a in angles)
    return film(map(render_frame, cameras), path, frames, fps, stage="turntable")


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    columns: int,
    labels: Sequence[str] | None = None,
    gap: int = 4,
) -> UInt8[np.ndarray, "rows cols 3"]:
    """Pictures in rows on white, each in a cell of the largest one's size, with its label above it.

    Args:
        images: Pictures of any sizes; at least one.
        columns: Pictures in a row.
        labels: One short text for each picture.
        gap: White pixels between pictures.
    """
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    strip = LABEL_ROWS if labels else 0
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell_rows, cell_cols = strip + height + gap, width + gap
    sheet = np.full((rows * cell_rows - gap, columns * cell_cols - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * cell_rows, index % columns * cell_cols
        if labels:
            _write_label(sheet[top : top + strip, left : left + width], labels[index])
        top += strip
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def below(
    *sheets: UInt8[np.ndarray, "_ _ 3"],
) -> UInt8[np.ndarray, "rows cols 3"]:
    """Sheets one above the other, white where one is narrower."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=255)
        for sheet in sheets
    ]
    return np.concatenate(padded)


def scene_sheet(
    render_frame: RenderFrame, size: int = 128, distance: float | int = 1.3
) -> UInt8[np.ndarray, "rows cols 3"]:
    """One object from eight sides (`SHEET_VIEWS`): four around, then front and side low, from behind and from above."""
    cameras = (orbit_camera(a, e, float(distance), size) for a, e in SHEET_VIEWS)
    return contact_sheet([render_frame(camera) for camera in cameras], columns=4)


def save_picture(path: Path | str, pixels: UInt8[np.ndarray, "rows cols channels"]) -> Path:
    """Write an RGB or RGBA picture as PNG, whole or not at all.

    Raises:
        ExportError: If the ending is not .png.
        WriteError: If the file cannot be written.
    """
    code = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return _write_png(path, cv2.cvtColor(np.ascontiguousarray(pixels), code))


def check_picture(path: Path) -> None:
    """Refuse a picture's file name, before it is drawn.

    Raises:
        ExportError: If the ending is not .png.
    """
    if path.suffix.lower() != ".png":
        raise ExportError(f"{path}: found the ending {path.suffix or 'none'!r}, expected .png.")


def save_pass(path: Path | str, kind: Pass, output: RenderOutput) -> Path:
    """Write one channel of a render as PNG.

    rgb: colour. opacity: 8-bit grey. depth: 16-bit grey, z-depth in 1 / `DEPTH_STEPS` SRN units, 0 in empty pixels.
    normal: the world frame's x, y, z from [-1, 1] to [0, 255] as red, green, blue; 0 0 0 in empty pixels.

    Raises:
        ExportError: If the render holds no normals, or the ending is not .png.
        WriteError: If the file cannot be written.
    """
    if kind == "rgb":
        return save_picture(path, _bytes(output.rgb))
    if kind == "opacity":
        return _write_png(path, _bytes(output.opacity))
    if kind == "depth":
        steps = output.depth.cpu().numpy().astype(np.float64) / WORLD_PER_SRN * DEPTH_STEPS
        steps[output.depth.cpu().numpy() >= EMPTY_DEPTH] = 0
        return _write_png(path, steps.round().clip(0, 65535).astype(np.uint16))
    if output.normal is None:
        raise ExportError(f"{path}: the picture was rendered without normals; ask for them.")
    seen = output.normal.norm(dim=-1, keepdim=True) > 0.5
    return save_picture(path, _bytes((output.normal + 1) / 2 * seen))


def _write_label(strip: np.ndarray, text: str) -> None:
    """Write a text into a white strip, scaled to fit its width."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    (width, _), _ = cv2.getTextSize(text, font, scale, 1)
    scale *= min(1.0, (strip.shape[1] - 2) / max(width, 1))
    canvas = strip.copy()
    baseline = math.ceil(strip.shape[0] * 0.75)
    cv2.putText(canvas, text, (1, baseline), font, scale, (40, 40, 40), 1, cv2.LINE_AA)
    strip[:] = canvas


def _bytes(values: Tensor) -> np.ndarray:
    return to_uint8(values).cpu().numpy()


def _write_png(path: Path | str, pixels: np.ndarray) -> Path:
    path = Path(path)
    check_picture(path)
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
    return path
