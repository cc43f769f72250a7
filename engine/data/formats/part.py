"""Parts of a mesh as every reader hands them over: triangles, linear colours, texture coordinates, a material."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from jaxtyping import Float, Int, UInt8

from engine.errors import DataError
from engine.ops import srgb

MOST_FACES = 4_000_000
"""Triangles that a mesh may have, instances and all."""
MOST_VERTICES = 3 * MOST_FACES

STATEMENT = re.compile(r"^(?:#|comment) up (-?[xyz]), front (-?[xyz])(, unlit)?\s*$", re.MULTILINE)
"""The comment of this project's OBJ and PLY files: `# up z, front y, unlit`."""

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


class Wrap(IntEnum):
    """Continuation of a texture beyond its borders."""

    REPEAT = 0
    CLAMP = 1
    MIRROR = 2


class Alpha(IntEnum):
    """Meaning of a material's alpha, as in glTF."""

    OPAQUE = 0
    MASK = 1
    BLEND = 2


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture on a surface: straight RGBA in sRGB, its wrap modes (u, v), and whether it is interpolated."""

    picture: UInt8[np.ndarray, "h w 4"]
    wrap: tuple[Wrap, Wrap] = (Wrap.REPEAT, Wrap.REPEAT)
    smooth: bool = True


@dataclass(frozen=True, eq=False)
class Material:
    """Appearance of a part.

    Attributes:
        base: Multiplied with the corners' colours.
        glow: Emitted light, linear RGB; multiplied with `glow_texture`.
        glow_texture: Picture of the emission; looked up at the part's `glow_uv`.
        alpha: Meaning of alpha.
        cutoff: Least visible alpha, for `Alpha.MASK`.
        two_sided: True if faces are visible from behind.
        lit: False if the colours include lighting already.
    """

    base: Texture | None = None
    glow: tuple[float, float, float] = (0.0, 0.0, 0.0)
    glow_texture: Texture | None = None
    alpha: Alpha = Alpha.OPAQUE
    cutoff: float = 0.5
    two_sided: bool = True
    lit: bool = True


@dataclass(frozen=True, eq=False)
class Part:
    """Triangles of one material.

    Attributes:
        vertices: Positions in the file's own axes and units.
        faces: Vertex indices, counter-clockwise seen from outside.
        rgba: Colour of every corner, linear, straight alpha.
        material: Its material.
        uv: Texture coordinates of `material.base`, (0, 0) at a picture's upper left.
        glow_uv: Those of `material.glow_texture`.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    rgba: Float[np.ndarray, "f 3 4"]
    material: Material = field(default_factory=Material)
    uv: Float[np.ndarray, "f 3 2"] | None = None
    glow_uv: Float[np.ndarray, "f 3 2"] | None = None


@dataclass(frozen=True)
class Axes:
    """Directions in a file: which of its axes points up, and which way an object's front faces; "-x" is minus x.

    Attributes:
        up: Axis that points up.
        front: Axis that the front faces.
        why: Source of that knowledge; empty if it was assumed.
    """

    up: str
    front: str
    why: str = ""

    def to_srn(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from the file's axes to SRN's (front +y, right +x, up +z).

        Raises:
            DataError: If front and up lie on one line.
        """
        up, front = (_direction(axis) for axis in (self.up, self.front))
        if up @ front:
            raise DataError(
                f"Found up {self.up} and front {self.front}, expected two directions that are square to each other; "
                "set --up and --front."
            )
        return np.stack([np.cross(front, up), front, up])


GLTF_AXES = Axes("y", "z", "as glTF says")
Y_UP, Z_UP, X_UP = Axes("y", "z"), Axes("z", "y"), Axes("x", "z")
"""Usual fronts by upward axis: glTF's for y, SRN's own for z."""


@dataclass(frozen=True)
class MeshFile:
    """Contents of a mesh file, as read.

    Attributes:
        parts: Its surface.
        axes: Its directions.
        remarks: Features of the file that are not drawn, a few words each.
    """

    parts: list[Part]
    axes: Axes
    remarks: tuple[str, ...] = ()


def stated_axes(text: str) -> tuple[Axes, bool] | None:
    """Axes of a file written by this project, and True if its colours are to be lit; None for other files."""
    found = STATEMENT.search(text)
    return None if found is None else (Axes(found[1], found[2], "as the file says"), not found[3])


def to_linear(values: np.ndarray) -> np.ndarray:
    """Linear values of sRGB ones; what lies outside [0, 1] is clipped first."""
    return srgb.to_linear(np.clip(values, 0, 1))


def _direction(axis: str) -> np.ndarray:
    return np.array(AXES[axis[-1]]) * (-1 if axis.startswith("-") else 1)
