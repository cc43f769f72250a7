"""From a file's bytes to pixels. Runs in the decoding process only: Pillow and NumPy, no torch."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from pillow_heif import register_heif_opener

from engine.errors import ImageError
from engine.vision.decoding.colours import depth_to_srgb, picture_to_srgb
from engine.vision.decoding.kinds import other_kind
from engine.vision.decoding.limits import FORMATS, KEPT, MOST_PIXELS, MOST_SCANS, WANTED, check_size

Image.MAX_IMAGE_PIXELS = MOST_PIXELS
register_heif_opener(thumbnails=False, decode_threads=1)
Image.init()

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""Exceptions that Pillow's decoders raise on damaged files."""
ADOBE_INDEX = "R03"
"""EXIF's interoperability index of pictures in Adobe RGB without a profile."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation to the operation that makes the picture upright."""
NOT_READ = "which cannot be read here; save it as JPEG or PNG"
SCAN = b"\xff\xda"
RAW_TAG = 50706
"""DNG's version."""


def read(data: bytes, name: str, smallest: int) -> tuple[np.ndarray, tuple[int, int]]:
    """A picture file as upright sRGB pixels, at most `KEPT` a side, with its original height and width.

    Args:
        data: The file.
        name: Its name in messages.
        smallest: Pixels that it needs along each side.

    Returns:
        `height width channels` of one, three or four channels, straight alpha: uint8, uint16, or float32 of any range;
        and the upright picture's own height and width.

    Raises:
        ImageError: If it is not a picture, damaged, animated, too small or too large.
    """
    if not data:
        raise ImageError(f"{name} is an empty file; expected {WANTED}.")
    try:
        picture, (width, height) = _loaded(data, name, smallest)
        pixels, turned = _pixels(picture, data, name)
        return pixels, (width, height) if turned else (height, width)
    except MemoryError:
        raise ImageError(
            f"{name} needs too much memory; save it again as an ordinary PNG or JPEG."
        ) from None


def _loaded(data: bytes, name: str, smallest: int) -> tuple[Image.Image, tuple[int, int]]:
    """The decoded picture, possibly reduced, with its original width and height."""
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        _check(picture, data, name, smallest)
        size = picture.size
        factor = -(-max(size) // KEPT)
        picture.draft(None, (picture.width // factor, picture.height // factor))
        picture.load()
        return picture, size
    except DECODER_ERRORS as error:
        raise ImageError(_refusal(name, data, error)) from None


def _check(picture: Image.Image, data: bytes, name: str, smallest: int) -> None:
    check_size(*picture.size, name, smallest)
    if picture.format in ("JPEG", "MPO") and data.count(SCAN) > MOST_SCANS:
        raise ImageError(
            f"{name} is a JPEG of {data.count(SCAN)} scans, expected at most {MOST_SCANS}; save it again."
        )
    if picture.format == "TIFF" and RAW_TAG in picture.tag_v2:
        raise ImageError(f"{name} is a raw photograph, {NOT_READ}.")
    frames = getattr(picture, "n_frames", 1)
    # Phones write MPO: a photograph whose further pictures are previews and depth.
    if frames > 1 and picture.format != "MPO":
        raise ImageError(
            f"{name} is animated or has several pages ({frames}); save one of them as a still picture."
        )
    if picture.mode in ("LAB", "HSV", "YCbCr"):
        raise ImageError(f"{name} stores its colours as {picture.mode}; save it as an RGB picture.")


def _refusal(name: str, data: bytes, error: BaseException) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"{name} has far too many pixels; expected at most {MOST_PIXELS // 10**6} million."
    if kind := other_kind(data):
        return f"{name} is {kind}, {NOT_READ}."
    if isinstance(error, UnidentifiedImageError):
        return f"{name} is not an image; expected {WANTED}."
    return f"{name} is damaged or truncated; expected {WANTED}."


def _pixels(picture: Image.Image, data: bytes, name: str) -> tuple[np.ndarray, bool]:
    """A loaded picture, reduced, in sRGB and upright; True if rows and columns were exchanged."""
    orientation, adobe = _notes(picture)
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    turned = turn is not None and orientation >= 5
    if picture.mode == "F" or picture.mode.startswith("I"):
        pixels = _deep(picture, name)
        return pixels if turn is None else _turned(pixels, turn), turned
    small = picture_to_srgb(_reduced(picture), picture.info, adobe, data, name)
    pixels = np.asarray(small if turn is None else small.transpose(turn))
    return pixels if pixels.ndim == 3 else pixels[..., None], turned


def _notes(picture: Image.Image) -> tuple[int, bool]:
    """EXIF's orientation, and True if it says Adobe RGB; damaged EXIF is ignored."""
    try:
        exif = picture.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(1) if ExifTags.IFD.Interop in details else ""
        return exif.get(ExifTags.Base.Orientation), str(index).strip("\0 ") == ADOBE_INDEX
    except DECODER_ERRORS:
        return 1, False


def _reduced(picture: Image.Image) -> Image.Image:
    """The picture in L, LA, RGB, RGBA or CMYK, at most `KEPT` a side."""
    if picture.has_transparency_data:
        wanted = "RGBA" if picture.mode != "LA" else "LA"
    else:
        wanted = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(picture.mode, "RGB")
    factor = -(-max(picture.size) // KEPT)
    if picture.mode != wanted:
        picture = picture.convert(wanted)
    if factor == 1:
        return picture
    if wanted in (
        "RGBA",
        "LA",
    ):  # averaged with its colours multiplied, so that no fringes are left
        solid = {"RGBA": "RGBa", "LA": "La"}[wanted]
        return picture.convert(solid).reduce(factor).convert(wanted)
    return picture.reduce(factor)


def _deep(picture: Image.Image, name: str) -> np.ndarray:
    """A grey picture of more than eight bits: uint16, or float32 where the file has floats."""
    factor = -(-max(picture.size) // KEPT)
    clear = picture.info.get("transparency")
    alpha = None
    if isinstance(clear, int):
        alpha = Image.fromarray(np.where(np.asarray(picture) == clear, 0, 255).astype(np.uint8))
    if factor > 1:
        picture = picture.convert("F" if picture.mode == "F" else "I").reduce(factor)
        alpha = alpha and alpha.reduce(factor)
    values = np.asarray(picture)
    if values.dtype.kind == "f":
        return values[..., None]
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{name} has values in [{values.min()}, {values.max()}], expected 8 or 16 bits; save it as PNG."
        )
    grey = depth_to_srgb(values.astype(np.uint16), picture.info)[..., None]
    if alpha is None:
        return grey
    return np.concatenate([grey.repeat(3, -1), np.asarray(alpha, np.uint16)[..., None] * 257], -1)


def _turned(pixels: np.ndarray, turn: Image.Transpose) -> np.ndarray:
    channels = [
        np.asarray(Image.fromarray(pixels[..., k].astype(np.float32)).transpose(turn))
        for k in range(pixels.shape[-1])
    ]
    return np.stack(channels, -1).astype(pixels.dtype)
