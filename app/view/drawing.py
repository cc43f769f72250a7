"""One frame of the viewport: the object, the ground under it, an input picture over it. No viser server, no threads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import viser.transforms
from jaxtyping import Float, UInt8

from app.page import present
from app.session.records import Display
from app.view.ground import lay_ground, lowest
from app.view.pacing import Size
from engine.render.frames import Baked, RenderOptions, RenderOutput, render
from engine.render.region import Region
from engine.types import WORLD_PER_SRN, Camera, Views

FAR = 160.0
"""Depth of empty pixels, viser units; its depth texture ends at 167.77."""
TINT, TINT_COLOR = 0.45, (79, 110, 247)
"""Opacity and colour of the tint of a marked part."""
BAND_STEP, BAND_MARGIN = 8, 2
"""Bands begin at multiples of this row, and normals look this many rows beyond them."""


@dataclass(frozen=True)
class Pose:
    """A viser camera.

    Attributes:
        wxyz: Orientation, camera to world, OpenCV axes.
        position: SRN units.
        fov: Vertical, radians.
        aspect: Width by height of the canvas.
        rows: Height of the canvas, pixels.
    """

    wxyz: np.ndarray
    position: np.ndarray
    fov: float
    aspect: float
    rows: int


def to_camera(pose: Pose, height: int) -> Camera:
    """The engine's camera for a viser camera, with `height` rows."""
    width = max(round(height * pose.aspect), 1)
    c2w = torch.eye(4)
    c2w[:3, :3] = torch.from_numpy(viser.transforms.SO3(np.asarray(pose.wxyz)).as_matrix())
    c2w[:3, 3] = torch.from_numpy(np.asarray(pose.position))
    focal = height / 2 / math.tan(pose.fov / 2)
    intrinsics = torch.tensor([focal, focal, width / 2, height / 2])
    return Camera.from_srn(c2w, intrinsics, height, width)


def field_of_view(camera: Camera) -> float:
    """Vertical, radians."""
    return 2 * math.atan(camera.height / 2 / float(camera.intrinsics[1]))


@dataclass(frozen=True)
class Drawn:
    """A frame ready to send.

    Attributes:
        rgb: Colours.
        depth: Depth along the camera's axis, viser's (SRN) units.
        seconds: Time it took to draw, without waiting for a turn.
    """

    rgb: UInt8[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]
    seconds: float


def draw(
    objects: Sequence[Baked],
    camera: Camera,
    display: Display,
    slots: Mapping[int, Views],
    size: Size,
    turn: AbstractContextManager | None = None,
    stop: Callable[[], bool] | None = None,
    difference: bool = False,
    region: Region | None = None,
) -> Drawn | None:
    """One frame of the viewport; None if `stop` returned True.

    Args:
        objects: Objects to render, side by side.
        camera: Their camera, with the frame's rows and columns.
        display: Display settings.
        slots: Input pictures.
        size: Quality, and in how many bands it is drawn.
        turn: Context manager that is entered for every band.
        stop: Called now and then; if it returns True, the frame is abandoned.
        difference: True to show the difference of the two objects' pictures, pixel by pixel, instead.
        region: A part of a single object that is tinted.
    """
    if difference:
        bare = replace(display, ground=False, overlay=False, channel="colour")
        pair = [_draw_one(one, camera, bare, {}, size, turn, stop) for one in objects[:2]]
        if any(one is None for one in pair):
            return None
        rgb = present.heat(pair[0].rgb, pair[1].rgb, display.background)
        return Drawn(rgb, pair[0].depth, sum(one.seconds for one in pair))
    if len(objects) == 1:
        return _draw_one(objects[0], camera, display, slots, size, turn, stop, region)
    paper = np.round(np.array(display.background) * 255).astype(np.uint8)
    rgb = np.broadcast_to(paper, (camera.height, camera.width, 3)).copy()
    depth, seconds = np.full((camera.height, camera.width), FAR, np.float32), 0.0
    for baked, cell in zip(objects, cells(camera, len(objects)), strict=True):
        drawn = _draw_one(baked, cell.camera, display, {}, size, turn, stop)
        if drawn is None:
            return None
        rgb[cell.rows, cell.cols], depth[cell.rows, cell.cols] = drawn.rgb, drawn.depth
        seconds += drawn.seconds
    return Drawn(rgb, depth, seconds)


@dataclass(frozen=True)
class Cell:
    """A part of the view with an object of its own."""

    camera: Camera
    rows: slice
    cols: slice


def cells(camera: Camera, count: int) -> list[Cell]:
    """The view divided among `count` objects, all seen from where `camera` stands: in one row, four in two rows.

    In a cell narrower than high, the field of view applies to its width, so that objects fit.
    """
    columns = 2 if count == 4 else count
    height, width = camera.height // (2 if count == 4 else 1), camera.width // columns
    zoom = height / camera.height * min(1.0, width / height)
    focal = camera.intrinsics[:2] * zoom
    intrinsics = torch.cat([focal, torch.tensor([width / 2, height / 2])])
    own = Camera(camera.c2w, intrinsics, height, width)
    corners = [divmod(place, columns) for place in range(count)]
    return [
        Cell(own, slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width))
        for i, j in corners
    ]


def _draw_one(
    baked: Baked,
    camera: Camera,
    display: Display,
    slots: Mapping[int, Views],
    size: Size,
    turn: AbstractContextManager | None,
    stop: Callable[[], bool] | None,
    region: Region | None = None,
) -> Drawn | None:
    """A frame of one object; arguments as for `draw`."""
    options = RenderOptions(
        quality=size.quality, background=display.background, normals=display.channel == "normals"
    )
    outputs, seconds = [], 0.0
    for first, last in _bands(camera.height, size.bands):
        with turn or nullcontext():
            before = time.perf_counter()
            output = _render_rows(baked, camera, options, first, last, stop)
            seconds += time.perf_counter() - before
        if output is None:
            return None
        outputs.append(output)
    before = time.perf_counter()
    rgb, depth = _compose(_stacked(outputs), camera, display, slots, lowest(baked), region)
    return Drawn(rgb, depth, seconds + time.perf_counter() - before)


def reduced(depth: Float[np.ndarray, "height width"], rows: int) -> np.ndarray:
    """Depth with at most `rows` rows, which is enough to hide things behind the object."""
    height, width = depth.shape
    if height <= rows:
        return depth
    size = (round(width * rows / height), rows)
    return cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)


def _bands(height: int, count: int) -> list[tuple[int, int]]:
    """First and last row (exclusive) of up to `count` bands."""
    rows = math.ceil(height / count / BAND_STEP) * BAND_STEP
    return [(first, min(first + rows, height)) for first in range(0, height, rows)]


def _render_rows(
    baked: Baked,
    camera: Camera,
    options: RenderOptions,
    first: int,
    last: int,
    stop: Callable[[], bool] | None,
) -> RenderOutput | None:
    """Some rows of a picture, identical to those of the whole picture."""
    margin = BAND_MARGIN if options.normals else 0
    top, bottom = max(first - margin, 0), min(last + margin, camera.height)
    shift = torch.tensor([0.0, 0.0, 0.0, float(top)])
    band = replace(camera, intrinsics=camera.intrinsics - shift, height=bottom - top)
    output = render(baked, band, options, stop)
    if output is None:
        return None
    rows = slice(first - top, last - top)
    normal = None if output.normal is None else output.normal[rows].cpu()
    return RenderOutput(
        output.rgb[rows].cpu(), output.opacity[rows].cpu(), output.depth[rows].cpu(), normal
    )


def _stacked(bands: list[RenderOutput]) -> RenderOutput:
    if len(bands) == 1:
        return bands[0]
    normal = None if bands[0].normal is None else torch.cat([band.normal for band in bands])
    return RenderOutput(
        torch.cat([band.rgb for band in bands]),
        torch.cat([band.opacity for band in bands]),
        torch.cat([band.depth for band in bands]),
        normal,
    )


def _compose(
    output: RenderOutput,
    camera: Camera,
    display: Display,
    slots: Mapping[int, Views],
    floor: float,
    region: Region | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Colours and depths of the frame."""
    rgb = present.channel_image(output, display.channel, display.background)
    if region is not None:
        kept = (region.pixels(output.depth, camera) & (output.opacity > 0.5)).numpy()
        rgb[kept] = (rgb[kept] * (1 - TINT) + np.array(TINT_COLOR) * TINT).astype(np.uint8)
    if display.ground:
        rgb = lay_ground(rgb, output.opacity.numpy(), camera, floor, display.background)
    if display.overlay:
        for views in slots.values():
            rgb = present.overlay(rgb, camera, views)
    depth = torch.where(output.opacity > 0.5, output.depth / WORLD_PER_SRN, FAR).clamp(max=FAR)
    return rgb, depth.numpy()
