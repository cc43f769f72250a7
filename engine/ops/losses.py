"""Losses on latents and colours."""

from __future__ import annotations

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def pixel_scale(num_rays: int, coefficient: float) -> float:
    """Weight of a scene's pixels, growing with how many there are: `1 - exp(-coefficient * num_rays)`.

    Source: the official code of 2304.06714 (0.095 for one 128 px view, 0.993 for fifty, at 0.1 / 128^2).
    """
    return -math.expm1(-coefficient * num_rays)


def total_variation(
    planes: Float[Tensor, "scenes planes channels rows cols"], power: float = 2.0
) -> Float[Tensor, ""]:
    """Mean size of the gradient at each texel, raised to `power`.

    The gradient is the pair of forward differences along rows and columns, zero past the border. Source:
    the official code, whose first-stage configurations use power 1.5.
    """
    along_rows = F.pad(planes.diff(dim=-2), (0, 0, 0, 1))
    along_cols = F.pad(planes.diff(dim=-1), (0, 1))
    squared = along_rows.square() + along_cols.square()
    if power == 2:
        return squared.mean()
    flat = squared == 0  # where the power's gradient would be infinite
    return squared.masked_fill(flat, 1).pow(power / 2).masked_fill(flat, 0).mean()
