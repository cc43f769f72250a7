"""Triplane lookup: where a point falls on the three planes, and what is read there.

A triplane is `3 channels rows cols`; plane 0 spans (x -> col, y -> row), plane 1 (x, z), plane 2 (y, z), the first
coordinate along the width. Coordinates are in [-1, 1] across the field's box. Features come out channel-major,
plane-minor: `feature[3 * channel + plane]`. Source: 2304.06714, official code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

HIDDEN_MULTIPLE = 16
"""Kernels work through hidden layers so many channels at a time; layers are padded to a multiple."""
PLANE_AXES = ((0, 1), (0, 2), (1, 2))
"""(width axis, height axis) of each plane."""


def plane_coordinates(xyz: Float[Tensor, "*n 3"]) -> Float[Tensor, "3 *n 2"]:
    """The (col, row) coordinate of every point on each plane, in [-1, 1]."""
    return torch.stack([xyz[..., list(axes)] for axes in PLANE_AXES])


def lookup(
    triplanes: Float[Tensor, "scenes 3 channels rows cols"],
    xyz: Float[Tensor, "scenes points 3"],
) -> Float[Tensor, "scenes points features"]:
    """Bilinear features of box coordinates, clamped to the border texels outside.

    Args:
        triplanes: One triplane per scene.
        xyz: As many points for each scene, in [-1, 1] inside the box.
    """
    scenes, planes, channels, rows, cols = triplanes.shape
    grid = plane_coordinates(xyz).transpose(0, 1).reshape(scenes * planes, 1, -1, 2)
    read = F.grid_sample(
        triplanes.reshape(scenes * planes, channels, rows, cols),
        grid,
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    read = read.reshape(scenes, planes, channels, -1)
    return read.permute(0, 3, 2, 1).flatten(2)


def lookup_packed(
    triplanes: Float[Tensor, "scenes 3 channels rows cols"],
    xyz: Float[Tensor, "points 3"],
    scene: Int[Tensor, " points"] | None = None,
) -> Float[Tensor, "points features"]:
    """`lookup` for points of several scenes in one list, sorted by scene.

    Args:
        triplanes: One triplane per scene.
        xyz: Box coordinates.
        scene: Which triplane each point reads, ascending; None where there is one scene.
    """
    scenes = triplanes.shape[0]
    if scenes == 1 or scene is None:
        return lookup(triplanes[:1], xyz[None])[0]
    counts = torch.bincount(scene, minlength=scenes)
    column = torch.arange(xyz.shape[0], device=xyz.device) - (counts.cumsum(0) - counts)[scene]
    padded = xyz.new_zeros(scenes, int(counts.max()) if len(xyz) else 0, 3)
    padded = padded.index_put((scene, column), xyz)
    return lookup(triplanes, padded)[scene, column]


def stack_planes(
    triplanes: Float[Tensor, "scenes 3 channels rows cols"], *, tiled: bool = False
) -> Float[Tensor, "scenes c rows w"]:
    """Triplanes as images for a 2D network.

    Stacked: image channel = plane * channels + channel. Tiled (rollout): the planes side by side along the width.
    """
    scenes, planes, channels, rows, cols = triplanes.shape
    if tiled:
        return triplanes.permute(0, 2, 3, 1, 4).reshape(scenes, channels, rows, planes * cols)
    return triplanes.reshape(scenes, planes * channels, rows, cols)


def unstack_planes(
    images: Float[Tensor, "scenes c rows w"], *, tiled: bool = False
) -> Float[Tensor, "scenes 3 channels rows cols"]:
    """The inverse of `stack_planes`."""
    scenes, channels, rows, width = images.shape
    if tiled:
        return images.reshape(scenes, channels, rows, 3, width // 3).permute(0, 3, 1, 2, 4)
    return images.reshape(scenes, 3, channels // 3, rows, width)
