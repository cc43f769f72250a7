"""Single steps of the samplers as formulas, for any `Levels` and states of any rank."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from engine.diffusion.schedule import Level, Levels


def times(t: Level, x: Tensor) -> Tensor:
    """The level `t` for every item of a batch: whole numbers for a timestep, float32 for EDM's sigma."""
    return torch.full((x.shape[0],), t, device=x.device)


def ddim_update(
    x_t: Float[Tensor, " b *state"],
    x0: Float[Tensor, " b *state"],
    t: Level,
    t_next: Level,
    schedule: Levels,
    *,
    eta: float = 0.0,
    z: Float[Tensor, " b *state"] | None = None,
) -> Float[Tensor, " b *state"]:
    """One step from `t` to `t_next` (-1 returns x0 itself). Source: DDIM (2010.02502) eq. 12.

    The variance at `eta` is that of the full chain, `eta^2 * tilde_beta_t`, as in the official code.
    """
    if t_next < 0:
        return x0
    here, there = times(t, x_t), times(t_next, x_t)
    eps = schedule.eps_from_x0(x_t, x0, here)
    variance = schedule.posterior_variance(t) * eta**2 if eta else 0.0
    x = (
        schedule.signal(there, x_t.ndim) * x0
        + (schedule.sigma(there, x_t.ndim) ** 2 - variance).clamp_min(0).sqrt() * eps
    )
    return x if z is None or not variance else x + variance**0.5 * z


def langevin_update(
    x_t: Float[Tensor, " b *state"],
    x0: Float[Tensor, " b *state"],
    t: Level,
    delta: float,
    z: Float[Tensor, " b *state"],
    schedule: Levels,
) -> Float[Tensor, " b *state"]:
    """One Langevin correction at noise level `t`. Source: 2304.06714, section 4.3."""
    here = times(t, x_t)
    sigma, eps = schedule.sigma(here, x_t.ndim), schedule.eps_from_x0(x_t, x0, here)
    return x_t - 0.5 * delta * sigma * eps + delta**0.5 * sigma * z


def heun_update(
    x_t: Float[Tensor, " b *state"],
    x: Float[Tensor, " b *state"],
    x0_next: Float[Tensor, " b *state"],
    t: Level,
    t_next: Level,
    schedule: Levels,
) -> Float[Tensor, " b *state"]:
    """Heun's second-order correction of a DDIM step. Source: EDM (2206.00364) Algorithm 1.

    The probability-flow ODE is `dx = x0 dsignal + eps dsigma`, and DDIM is its Euler step. This is the trapezoid rule,
    with x0 and eps averaged over both ends of the step; where signal is 1, as in EDM, it reads
    `x_t + (sigma_next - sigma) * (eps + eps_next) / 2`. Written so, it also takes a chain's first steps well, over which
    sigma / signal falls by orders of magnitude.

    Args:
        x_t: State at `t`.
        x: Where `ddim_update` took it.
        x0_next: Estimate there.
        t: Noise level.
        t_next: That of `x`, not clean data.
        schedule: Noise levels.
    """
    # where the second estimate's own step to x would begin
    begun = ddim_update(x, x0_next, t_next, t, schedule)
    return x_t + 0.5 * ((x - x_t) + (x - begun))


def multistep_update(
    x: Float[Tensor, " b *state"],
    x0s: Sequence[Float[Tensor, " b *state"]],
    ts: Sequence[Level],
    t_next: Level,
    schedule: Levels,
    x0_next: Float[Tensor, " b *state"] | None = None,
) -> Float[Tensor, " b *state"]:
    """One second-order step of the probability-flow ODE; with the estimate at its end, third-order.

    Without `x0_next` this is DPM-Solver++(2M) (2211.01095, Algorithm 2), which is also UniPC's predictor; with it,
    UniPC's corrector (2302.04867, Algorithm 1 with B(h) = e^h - 1 and the data prediction). A step to clean data
    returns the last estimate, the limit of first order.

    Args:
        x: State at the last of `ts`.
        x0s: The last one or two estimates, oldest first.
        ts: Their levels.
        t_next: Where to go; -1 is clean data.
        schedule: Noise levels.
        x0_next: Estimate at `t_next`.
    """
    if t_next < 0:
        return x0s[-1]
    step = schedule.half_log_snr(t_next) - schedule.half_log_snr(ts[-1])
    shrink = math.expm1(-step)
    slope = None
    if len(x0s) == 2:
        before = schedule.half_log_snr(ts[-1]) - schedule.half_log_snr(ts[0])
        slope = (x0s[1] - x0s[0]) * (step / before)
    x0 = x0s[-1]
    if x0_next is None:
        change = 0 if slope is None else 0.5 * slope
    elif slope is None:
        change = 0.5 * (x0_next - x0)
    else:
        first, second = _corrector(step, before / step)
        change = first * slope + second * (x0_next - x0)
    here, there = times(ts[-1], x), times(t_next, x)
    keep = schedule.sigma(there, x.ndim) / schedule.sigma(here, x.ndim)
    return keep * x - schedule.signal(there, x.ndim) * shrink * (x0 + change)


def _corrector(step: float, ratio: float) -> tuple[float, float]:
    """Weights of the slope before a step and of the change over it, exact for quadratic x0 (UniPC's equation 9)."""
    shrink = math.expm1(-step)
    phi1 = -shrink / step - 1
    phi2 = -phi1 / step - 0.5
    both, skew = phi1 / shrink, 2 * phi2 / shrink
    first = (both - skew) / (1 + ratio)
    return first, both - first
