"""Colours of any profile as sRGB.

A picture's colour space is given by an ICC profile, by a PNG's cICP, gAMA and cHRM chunks, or by EXIF; the default is
sRGB. Information that is damaged or contradicts the picture is ignored, as in browsers.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from engine.errors import ImageError
from engine.ops.srgb import to_linear, to_srgb

SPACES = {"RGB ": ("RGB",), "GRAY": ("L",), "CMYK": ("CMYK",)}
"""A profile's space to the modes it can describe."""
D65 = (0.3127, 0.3290)
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
REC2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 256 / 563
SRGB_GAMMA, ALIKE = 1 / 2.2, 0.02
"""The gAMA that programs write for sRGB, and how far others may be from it."""
CODES = {1: REC709, 9: REC2020, 12: P3}
"""Primaries by their number in a cICP chunk."""
TRANSFERS = {1: SRGB_GAMMA, 4: 1 / 2.2, 5: 1 / 2.8, 6: SRGB_GAMMA, 8: 1.0, 13: SRGB_GAMMA, 14: SRGB_GAMMA, 15: SRGB_GAMMA}  # fmt: skip
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclass(frozen=True)
class Meaning:
    """Colour space of an image without an ICC profile.

    Attributes:
        primaries: x and y of red, green and blue.
        white: x and y of white.
        gamma: Exponent from light to numbers; `SRGB_GAMMA` stands for sRGB's own curve.
    """

    primaries: tuple[float, ...] = REC709
    white: tuple[float, float] = D65
    gamma: float = SRGB_GAMMA

    @property
    def is_srgb(self) -> bool:
        """True if no conversion is needed."""
        same = np.allclose((*self.primaries, *self.white), (*REC709, *D65), atol=2e-3)
        return same and self.gamma == SRGB_GAMMA


def picture_to_srgb(
    picture: Image.Image, info: Mapping[str, Any], adobe: bool, data: bytes, name: str
) -> Image.Image:
    """A picture in L, LA, RGB, RGBA or CMYK as L, RGB or RGBA in sRGB.

    Args:
        picture: Its pixels.
        info: Pillow's `info` of its file.
        adobe: True if its EXIF says Adobe RGB.
        data: The file.
        name: Its name in messages.

    Raises:
        ImageError: If it has a larger range than sRGB (HDR).
    """
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    if alpha is not None:
        picture = picture.convert(picture.mode[:-1])
    meaning = _of_code(data, name)
    if meaning is None:
        converted = _by_profile(picture, info.get("icc_profile"))
        meaning = Meaning() if converted else _of_chunks(info, adobe)
        picture = converted or picture
    if not meaning.is_srgb and picture.mode in ("L", "RGB"):
        picture = Image.fromarray(_by_meaning(np.asarray(picture.convert("RGB")), meaning))
    if alpha is None:
        return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    picture = picture.convert("RGB")
    picture.putalpha(alpha)
    return picture


def depth_to_srgb(grey: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
    """Grey values of 16 bits as sRGB, by the file's colour information."""
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    converted = _by_profile(ramp, info.get("icc_profile"))
    if converted is None:
        meaning = _of_chunks(info, False)
        if meaning.gamma == SRGB_GAMMA:
            return grey
        light = (grey / 65535) ** (1 / meaning.gamma)
        return np.round(to_srgb(light) * 65535).astype(np.uint16)
    curve = np.asarray(converted.convert("L"), np.float64)[0] * 257
    return np.round(np.interp(grey, np.arange(256) * 257, curve)).astype(np.uint16)


def _by_profile(picture: Image.Image, profile: bytes | None) -> Image.Image | None:
    """The picture by its ICC profile; None if there is none, or none for such a picture."""
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        modes = SPACES.get(source.profile.xcolor_space, ())
        if picture.mode == "L" and "RGB" in modes:
            picture = picture.convert("RGB")
        if picture.mode not in modes:
            return None
        return ImageCms.profileToProfile(
            picture,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _of_code(data: bytes, name: str) -> Meaning | None:
    """Colour space of a PNG's cICP chunk; None without one."""
    body = _png_chunk(data, b"cICP")
    if body is None or len(body) != 4:
        return None
    if body[1] not in TRANSFERS or body[0] not in CODES:
        raise ImageError(
            f"{name} is an HDR picture (cICP {body[0]}/{body[1]}); save it with ordinary sRGB colours."
        )
    return Meaning(CODES[body[0]], gamma=TRANSFERS[body[1]])


def _png_chunk(data: bytes, wanted: bytes) -> bytes | None:
    """Content of a chunk that precedes the pixels; None if there is none."""
    if not data.startswith(b"\x89PNG"):
        return None
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == wanted:
            return data[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            return None
        at += 12 + length
    return None


def _of_chunks(info: Mapping[str, Any], adobe: bool) -> Meaning:
    """Colour space by a PNG's sRGB, gAMA and cHRM chunks or a camera's EXIF."""
    if "srgb" in info:
        return Meaning()
    if adobe:
        return Meaning(ADOBE, gamma=ADOBE_GAMMA)
    gamma, primaries, white = SRGB_GAMMA, REC709, D65
    if info.get("gamma", 0) > 0.05 and abs(info["gamma"] / SRGB_GAMMA - 1) > ALIKE:
        gamma = info["gamma"]
    chromaticity = info.get("chromaticity")
    if chromaticity and len(chromaticity) == 8 and _is_gamut(chromaticity):
        white, primaries = tuple(chromaticity[:2]), tuple(chromaticity[2:])
    return Meaning(primaries, white, gamma)


def _is_gamut(chromaticity: tuple[float, ...]) -> bool:
    """True if these are a white point and three primaries that are not collinear."""
    points = np.array(chromaticity).reshape(4, 2)
    inside = (points > 0).all() and (points < 1).all()
    (rx, ry), (gx, gy), (bx, by) = points[1:]
    return bool(inside and abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)) > 0.01)


def _by_meaning(rgb: np.ndarray, meaning: Meaning) -> np.ndarray:
    numbers = np.arange(256) / 255
    light = (
        to_linear(numbers) if meaning.gamma == SRGB_GAMMA else numbers ** (1 / meaning.gamma)
    ).astype(np.float32)
    matrix = np.linalg.inv(_to_xyz(REC709, D65)) @ _to_xyz(meaning.primaries, meaning.white)
    mixed = light[rgb] @ matrix.T.astype(np.float32)
    return np.round(to_srgb(mixed.clip(0, 1)) * 255).astype(np.uint8)


def _to_xyz(primaries: tuple[float, ...], white: tuple[float, float]) -> np.ndarray:
    """From linear RGB to XYZ under D65."""
    points = np.array([*primaries]).reshape(3, 2)
    columns = np.stack([_xyz(*point) for point in points], 1)
    matrix = columns * np.linalg.solve(columns, _xyz(*white))
    cones = (BRADFORD @ _xyz(*D65)) / (BRADFORD @ _xyz(*white))
    return np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ matrix


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])
