"""Pictures from outside: opening anything a user may drop, and turning it into views of an object.

Pictures are float32 RGBA arrays in [0, 1] with straight alpha until they become `Views`. Angles here are degrees and
distances SRN units, as users see them. Files are decoded by `engine.vision.decoding`, in a process of their own; faults
of a picture are reported as one sentence in an `ImageError`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from engine.errors import ImageError, plain
from engine.files import regular
from engine.ops.cameras import orbit_camera
from engine.types import Camera, Views
from engine.vision.cutting import Cutout, cut
from engine.vision.decoding import KEPT, decode, decode_sized
from engine.vision.decoding.limits import MOST_BYTES, WANTED, check_size
from engine.vision.framing import expected_frame, outline, place
from engine.vision.matting import cut_out, matte

__all__ = [
    "Source",
    "cut_out",
    "cut_picture",
    "frame_view",
    "join_views",
    "matte",
    "on_white",
    "open_image",
    "open_mask",
    "open_sized",
    "open_texture",
    "posed_view",
]

Source = Path | str | bytes | np.ndarray
"""Source of a picture: a file, its bytes, or an array."""

CUT_SIDE = 1024
"""Most pixels a side of a picture that is cut out: an object in it becomes a view of 128."""
_cutting = threading.BoundedSemaphore(2)
"""Pictures cut out at the same time; each takes about a hundred megabytes."""

Number = float | int
"""An angle in degrees or a length, as sliders and command lines give them."""


def open_image(source: Source, name: str | None = None) -> Float[np.ndarray, "height width 4"]:
    """Read a picture of any common format, upright and in sRGB.

    Args:
        source: A path, a file's bytes, or an array: 8-bit, 16-bit or float in [0, 1], grey, RGB or RGBA.
        name: What messages call it; None for the file's name without its folder.

    Returns:
        RGBA in [0, 1], straight alpha, at most `KEPT` pixels a side.

    Raises:
        ImageError: If it is not a picture, damaged, animated, too small or too large.
    """
    return open_sized(source, name)[0]


def open_sized(
    source: Source, name: str | None = None
) -> tuple[Float[np.ndarray, "height width 4"], tuple[int, int]]:
    """A picture (see `open_image`), and its own height and width before it was reduced."""
    if isinstance(source, np.ndarray):
        return _from_user_array(source), source.shape[:2]
    if isinstance(source, bytes):
        name, data = name or "The file", source
    else:
        name = plain(Path(source).name) if name is None else name
        data = _read_bytes(Path(source), name)
    pixels, size = decode_sized(data, name)
    return _from_array(pixels, name), size


def open_mask(source: Source, name: str | None = None) -> Bool[np.ndarray, "height width"]:
    """A picture file as a mask: True where it is bright and opaque.

    Args:
        source: See `open_image`.
        name: See `open_image`.

    Raises:
        ImageError: If it cannot be read, or marks nothing.
    """
    rgba = open_image(source, name)
    mask = rgba[..., :3].mean(-1) * rgba[..., 3] > 0.5
    if not mask.any():
        called = name or (
            plain(Path(source).name) if isinstance(source, Path | str) else "The mask"
        )
        raise ImageError(
            f"{called} marks nothing; expected a mask that is white where the object is."
        )
    return mask


def open_texture(data: bytes, name: str) -> UInt8[np.ndarray, "height width 4"]:
    """A picture file of any size from one pixel on as 8-bit sRGB with straight alpha, at most `KEPT` a side.

    Args:
        data: The file.
        name: Its name in messages.

    Raises:
        ImageError: If it cannot be read.
    """
    rgba = _to_float(decode(data, name, smallest=1), name)
    return np.round(rgba * 255).astype(np.uint8)


def frame_view(
    cutout: Float[np.ndarray, "height width 4"],
    azimuth_deg: Number,
    elevation_deg: Number,
    distance: Number,
    size: int,
    objects: Float[np.ndarray, "n points 3"],
) -> Views:
    """Move and scale a cut-out object to the place in the image that the model's objects have from a camera, on white.

    A model's objects have a bounding box of diagonal 1 around the origin, seen at SRN's focal length; a photograph's
    object has any size and place. The training objects whose outline from this camera has about the picture's
    proportions determine its size and place.

    Args:
        cutout: The picture with its object's alpha (see `cut_out`).
        azimuth_deg: Azimuth of the camera, 0 in front of the object, counter-clockwise from above.
        elevation_deg: Elevation of the camera, 0 level.
        distance: Distance from the object's centre, SRN units.
        size: Side of the result in pixels.
        objects: Outermost points of the model's objects, SRN units (see `engine.output.mesh.framing_objects`).

    Returns:
        One view with alpha.

    Raises:
        ImageError: If there is no object in the picture.
    """
    camera = orbit_camera(float(azimuth_deg), float(elevation_deg), float(distance), size)
    found = outline(cutout[..., 3])
    placed = place(cutout, found, expected_frame(found, camera, objects), size)
    return on_white(placed, camera)


def cut_picture(
    source: Source,
    brush: Bool[np.ndarray, "rows cols"] | None = None,
    name: str | None = None,
    *,
    accept: bool = False,
) -> Cutout:
    """A dropped picture's object on a transparent ground, at most `CUT_SIDE` pixels a side: `open_image`, `cut`.

    Raises:
        CutoutError: If the object cannot be told from its background with certainty and `accept` is False.
        ImageError: If the picture cannot be used at all.
    """
    rgba = _fitting(open_image(source, name), CUT_SIDE)
    with _cutting:
        return cut(rgba, brush, accept=accept)


def posed_view(
    rgba: Float[np.ndarray, "rows columns 4"],
    size: tuple[int, int],
    c2w: Float[Tensor, "4 4"],
    intrinsics: Float[Tensor, "4"],
    resolution: tuple[int, int] | None = None,
) -> Views:
    """A picture whose camera is known: pixels as they are, transparent ones white.

    Args:
        rgba: The picture, see `open_sized`.
        size: Its own height and width, see `open_sized`.
        c2w: Camera to world, OpenCV axes, SRN units.
        intrinsics: fx, fy, cx, cy in pixels of an image of `resolution`.
        resolution: Height and width that the intrinsics belong to; None if they are the picture's own.

    Raises:
        ImageError: If the picture's proportions are not those of `resolution`.
    """
    height, width = size
    rows, cols = resolution or size
    pixel = max(1, height / rows)  # of the coarser of the two
    if abs(height / rows - width / cols) * max(rows, cols) > pixel:
        raise ImageError(
            f"The picture is {width} x {height} pixels but its intrinsics are for {cols} x {rows}; "
            "give the intrinsics of this very picture."
        )
    camera = Camera.from_srn(c2w.float(), intrinsics.float(), rows, cols)
    camera = camera.resized(*rgba.shape[:2])
    return on_white(rgba, camera)


def join_views(views: Sequence[Views]) -> Views:
    """Several views of one size as one.

    Raises:
        ImageError: If their sizes differ.
    """
    sizes = sorted({(v.camera.width, v.camera.height) for v in views})
    if len(sizes) != 1:
        found = " and ".join(f"{w} x {h}" for w, h in sizes)
        raise ImageError(f"Found pictures of {found} pixels; give pictures of one size.")
    camera = views[0].camera
    joint = Camera(
        torch.cat([v.camera.c2w for v in views]),
        torch.cat([v.camera.intrinsics for v in views]),
        camera.height,
        camera.width,
    )
    alphas = [v.alpha for v in views if v.alpha is not None]
    alpha = torch.cat(alphas) if len(alphas) == len(views) else None
    return Views(torch.cat([v.images for v in views]), joint, alpha)


def on_white(rgba: Float[np.ndarray, "height width 4"], camera: Camera) -> Views:
    """A picture with its camera as one view, transparent pixels white."""
    alpha = rgba[..., 3:]
    images = rgba[..., :3] * alpha + (1 - alpha)
    batched = Camera(camera.c2w[None], camera.intrinsics[None], camera.height, camera.width)
    return Views(
        torch.from_numpy(images.astype(np.float32))[None],
        batched,
        torch.from_numpy(alpha.astype(np.float32))[None],
    )


def _read_bytes(path: Path, name: str) -> bytes:
    regular(path, ImageError, WANTED, MOST_BYTES, name=name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({error.strerror}); expected {WANTED}.") from None


def _from_user_array(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"The picture is an array of shape {pixels.shape}; expected height x width x 1, 3 or 4."
        )
    check_size(pixels.shape[1], pixels.shape[0], "The picture")
    return _from_array(pixels, "The picture")


def _from_array(pixels: np.ndarray, name: str) -> np.ndarray:
    return _fitting(_to_float(pixels, name), KEPT)


def _to_float(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype in (np.uint8, np.uint16):
        values = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    elif pixels.dtype.kind == "f":
        values = pixels.astype(np.float32)
    else:
        raise ImageError(
            f"{name}: its numbers are {pixels.dtype}; expected 8-bit, 16-bit or floats in [0, 1]."
        )
    if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1 + 1e-3:
        raise ImageError(
            f"{name}: its values lie in [{values.min():g}, {values.max():g}]; expected floats in [0, 1]."
        )
    height, width, channels = values.shape
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = values[..., :3]
    if channels == 4:
        rgba[..., 3] = values[..., 3]
    return rgba.clip(0, 1)


def _fitting(rgba: np.ndarray, side: int) -> np.ndarray:
    """A picture reduced by a whole factor, if need be, to at most `side` pixels a side."""
    factor = -(-max(rgba.shape[:2]) // side)
    return _reduce(rgba, factor) if factor > 1 else rgba


def _reduce(rgba: np.ndarray, factor: int) -> np.ndarray:
    height, width = (side // factor * factor for side in rgba.shape[:2])
    solid = rgba[:height, :width].copy()
    solid[..., :3] *= solid[..., 3:]
    blocks = solid.reshape(height // factor, factor, width // factor, factor, 4)
    mean = blocks.mean((1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
    return mean
