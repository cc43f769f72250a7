"""A latent as a sheet of tiles, whatever its rank. No gradio, no viser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

GAP = 2
"""Pixels between two tiles of a sheet."""
SIDE = 64
"""Approximate side of a folded code, pixels."""
PLANES = ("xy plane", "xz plane", "yz plane")
"""Rows of a sheet of three planes."""


@dataclass(frozen=True)
class Layout:
    """The sheet of a latent shape.

    Attributes:
        rows: Names of the rows of tiles; empty names where there is one row.
        cols: Names of the columns.
        tile: Height and width of a tile, pixels.
        note: Description of the tiles, and of parts that are not drawn.
        unit: Name of a tile's numbers, for people.
    """

    rows: tuple[str, ...]
    cols: tuple[str, ...]
    tile: tuple[int, int]
    note: str
    unit: str = "texels"


def layout(shape: Sequence[int], parts: Sequence[str] = ()) -> Layout:
    """The sheet of latents of a shape.

    Args:
        shape: Shape of one scene's latent.
        parts: Names along its first axis, if the model has names for them.
    """
    planes, (height, width) = _kinds(shape)
    scale = _scale(shape)
    tile = (height * scale, width * scale)
    if planes:
        note = "planes xy, xz, yz \u00d7 channels"
        return Layout(PLANES, _numbered("channel", shape[1]), tile, note)
    if len(shape) < 3:
        count = shape[0] if len(shape) == 2 else 1
        named = len(parts) == count
        names = tuple(f"{part} code" for part in parts) if named else _numbered("code", count)
        told = " and ".join(names) if named else f"{count} code{'s' if count > 1 else ''}"
        note = f"{told}: {shape[-1]} numbers each, folded"
        return Layout(("",), names, tile, note, "numbers")
    if len(shape) == 3:
        return Layout(("",), _numbered("channel", shape[0]), tile, "channels")
    rows = tuple(f"middle slice across axis {axis}" for axis in (1, 2, 3))
    channels = math.prod(shape[:-3])
    note = "middle slices across each axis \u00d7 channels; the other slices are not drawn"
    return Layout(rows, _numbered("channel", channels), tile, note, "voxels")


def tiles(latent: Tensor) -> Float[Tensor, "rows cols height width"]:
    """The numbers of a latent in the tiles of `layout`; NaN in unused pixels."""
    planes, (height, width) = _kinds(latent.shape)
    if planes:
        return latent
    if latent.ndim < 3:
        codes = torch.atleast_2d(latent)
        missing = height * width - codes.shape[-1]
        return F.pad(codes, (0, missing), value=torch.nan).reshape(1, -1, height, width)
    if latent.ndim == 3:
        return latent[None]
    volumes = latent.flatten(0, -4)
    slices = [volumes.select(axis, volumes.shape[axis] // 2) for axis in (1, 2, 3)]
    room = [(0, width - one.shape[-1], 0, height - one.shape[-2]) for one in slices]
    return torch.stack(
        [F.pad(one, pad, value=torch.nan) for one, pad in zip(slices, room, strict=True)]
    )


def picture(latent: Tensor, largest: float) -> UInt8[np.ndarray, "rows cols 3"]:
    """A latent's sheet as pixels: blue below zero, red above, full colour at `largest`; planes with their rows upwards."""
    values = tiles(latent).clamp(-largest, largest) / largest
    values = values.flip(-2) if _kinds(latent.shape)[0] else values
    scale = _scale(latent.shape)
    values = values.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    framed = F.pad(values, (0, GAP, 0, GAP), value=torch.nan)
    sheet = torch.cat([torch.cat(list(row), 1) for row in framed])
    return diverging(sheet[:-GAP, :-GAP].numpy())


def diverging(values: np.ndarray) -> UInt8[np.ndarray, "rows cols 3"]:
    """Values in [-1, 1] as colours from blue over white to red; grey for NaN."""
    level = np.abs(np.nan_to_num(values))[..., None]
    ends = np.where(values[..., None] < 0, (36, 84, 196), (196, 44, 40))
    colors = 255 * (1 - level) + ends * level
    colors[np.isnan(values)] = (128, 134, 148)
    return colors.round().astype(np.uint8)


def _kinds(shape: Sequence[int]) -> tuple[bool, tuple[int, int]]:
    """True for a latent of three planes, and a tile's height and width in numbers."""
    if len(shape) < 3:
        height = max(math.isqrt(shape[-1]), 1)
        return False, (height, math.ceil(shape[-1] / height))
    if len(shape) == 3 or (len(shape) == 4 and shape[0] == 3):
        return len(shape) == 4, (shape[-2], shape[-1])
    depth, height, width = shape[-3:]
    return False, (max(height, depth), max(width, height))


def _scale(shape: Sequence[int]) -> int:
    """Pixels along the side of one number: several for a folded code."""
    return max(SIDE // max(_kinds(shape)[1]), 1) if len(shape) < 3 else 1


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word} {k + 1}" for k in range(count))
