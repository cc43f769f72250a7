"""Losses on latents and colours."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor


def pixel_scale(num_rays: int, coefficient: float) -> float:
    """Weight of a scene's pixels, growing with how many there are: `1 - exp(-coefficient * num_rays)`.

    Source: spec section 2.7 (0.095 for one 128 px view, 0.993 for fifty, at 0.1 / 128^2).
    """
    return -math.expm1(-coefficient * num_rays)


def total_variation(
    triplanes: Float[Tensor, "scenes 3 channels rows cols"],
) -> Float[Tensor, ""]:
    """Mean squared difference of neighbouring texels, along rows and along columns."""
    along_rows = (triplanes[..., 1:, :] - triplanes[..., :-1, :]).square().mean()
    along_cols = (triplanes[..., 1:] - triplanes[..., :-1]).square().mean()
    return along_rows + along_cols
