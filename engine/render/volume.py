"""Volume rendering of packed samples.

Source: NeRF (2003.08934) eq. 3; stopping rule of torch-ngp: a ray ends after the sample that takes its transmittance
below the threshold, and that last sample receives no gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from engine.render.march import Samples

STOP_TRANSMITTANCE = 1e-4
"""A ray ends once less than this passes."""


def sample_weights(
    density: Float[Tensor, " n"], samples: Samples, stop: float = STOP_TRANSMITTANCE
) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """Weight of each sample, and mask of the samples that pass a gradient to their colour.

    Args:
        density: Density per engine unit, >= 0.
        samples: Their samples.
        stop: Transmittance at which a ray ends.

    Returns:
        Weights in [0, 1], whose sum over a ray is its opacity, and mask of the samples before the stop.
    """
    starts = samples.counts.cumsum(0) - samples.counts
    column = torch.arange(len(samples), device=density.device) - starts[samples.ray]
    rays, longest = len(samples.counts), int(samples.counts.max()) if len(samples) else 0
    optical_depth = density * samples.dt
    dense = optical_depth.new_zeros(rays, longest)
    with torch.no_grad():
        passed = dense.index_put((samples.ray, column), optical_depth).cumsum(1)
        live = torch.exp(-passed[samples.ray, column]) >= stop
    optical_depth = torch.where(live, optical_depth, optical_depth.detach())
    passed = dense.index_put((samples.ray, column), optical_depth).cumsum(1)
    before = F.pad(passed[:, :-1], (1, 0))[samples.ray, column]
    transmittance = torch.exp(-before)
    weights = transmittance * -torch.expm1(-optical_depth)
    return torch.where(transmittance >= stop, weights, torch.zeros_like(weights)), live


def composite(
    density: Float[Tensor, " n"],
    rgb: Float[Tensor, "n 3"],
    samples: Samples,
    stop: float = STOP_TRANSMITTANCE,
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Colour, opacity and depth of every ray, over black.

    Depth is the weighted sum of the samples' start distances, not divided by opacity, and passes no gradient.
    """
    weights, live = sample_weights(density, samples, stop)
    rgb = torch.where(live[:, None], rgb, rgb.detach())
    rays = len(samples.counts)
    image = rgb.new_zeros(rays, 3).index_add(0, samples.ray, weights[:, None] * rgb)
    opacity = rgb.new_zeros(rays).index_add(0, samples.ray, weights)
    depth = rgb.new_zeros(rays).index_add(0, samples.ray, weights.detach() * samples.t_starts)
    return image, opacity, depth
