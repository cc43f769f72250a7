"""Thinning: few samples decide a ray's colour, so densities are computed first, to select the samples to evaluate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from engine.config import Bounds
from engine.render.march import Samples


@dataclass(frozen=True)
class ThinConfig:
    """Settings of thinning: the samples to keep."""

    thinnest: Annotated[float, Bounds(0.0, 1.0)] = 5e-3
    """Samples of a smaller optical depth are nearly empty; only a share of them is kept."""
    share: Annotated[float, Bounds(1e-3, 1.0)] = 0.15
    """That share, drawn at random; those kept stand for the others, so that a ray's optical depth stays right on average."""
    dimmest: Annotated[float, Bounds(0.0, 1.0)] = 1e-2
    """Samples that less light reaches are left out."""


@torch.no_grad()
def thinned(
    samples: Samples, density: Float[Tensor, " n"], draws: Float[Tensor, " n"], config: ThinConfig
) -> Samples:
    """Samples that matter to their rays' colours, and a share of the empty ones, so that matter can still grow there.

    Args:
        samples: All samples.
        density: Density of each, per engine unit.
        draws: Uniform in [0, 1), one for each.
        config: Settings of the selection.
    """
    depth = density * samples.dt
    passed = (depth.double().cumsum(0) - depth).to(depth.dtype)
    starts = (samples.counts.cumsum(0) - samples.counts).clamp_max(max(len(samples) - 1, 0))
    first = passed[starts] if len(samples) else passed.new_zeros(len(starts))
    lit = torch.exp(first[samples.ray] - passed) >= config.dimmest
    empty = depth < config.thinnest
    (kept,) = torch.nonzero(lit & (~empty | (draws < config.share)), as_tuple=True)
    return replace(
        samples,
        xyz=samples.xyz[kept],
        ray=samples.ray[kept],
        scene=None if samples.scene is None else samples.scene[kept],
        t_starts=samples.t_starts[kept],
        dt=torch.where(empty, samples.dt / config.share, samples.dt)[kept],
        counts=torch.bincount(samples.ray[kept], minlength=len(samples.counts)),
    )
