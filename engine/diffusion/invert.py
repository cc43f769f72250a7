"""Deterministic DDIM backwards: from clean data to the noise that it comes from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from engine.diffusion.sample import Estimate
from engine.diffusion.schedule import Level, Levels
from engine.diffusion.updates import times
from engine.errors import ConfigError
from engine.events import Run, Step


@torch.no_grad()
def invert_ddim(
    x0: Float[Tensor, " b *state"],
    estimate: Estimate,
    schedule: Levels,
    *,
    steps: int,
    corrections: int,
    stage: str = "invert",
) -> Run[Tensor]:
    """The noise from which `ddim` of as many steps, with eta 0, returns `x0`.

    Plain inversion takes each step's estimate at the wrong end, where it is known; a correction takes it again at the
    state just found, so that more of them near the solution of `ddim_update(x_t, estimate(x_t)) = x`. The step to clean
    data, whose `x_t` no estimate has led to, is a fixed point of its own and takes one correction more. What an
    estimate cuts off (its clipping) cannot be brought back. For normal data, corrections converge where no step more than
    doubles sigma / signal. Costs `steps * (1 + corrections)` estimates.

    Args:
        x0: Clean data.
        estimate: Predicts x0.
        schedule: Noise levels.
        steps: Noise levels that are walked up.
        corrections: Fixed-point corrections of each step.
        stage: Name in the yielded steps, one per noise level; their scalar "change" is the last correction's size
            relative to the state.

    Returns:
        The noise, shaped like `x0`.

    Raises:
        ConfigError: If `steps` is below 1 or `corrections` below 0.

    Source: DDIM (2010.02502) section 4.3; the corrections are those of fixed-point inversion (AIDI, 2309.04907).
    """
    if steps < 1 or corrections < 0:
        raise ConfigError(
            f"Found {steps} steps and {corrections} corrections to invert with, expected at least 1 and 0."
        )
    x = x0
    for index, (t, t_next) in enumerate(reversed(schedule.sampling_steps(steps)), 1):
        rounds, change = corrections, None
        if t_next < 0:
            rounds, x_t, x0_t = corrections + 1, schedule.signal(times(t, x), x.ndim) * x, x
        else:
            x0_t, _ = estimate(x, times(t_next, x))
            x_t = _before(x, x0_t, x, t, t_next, schedule)
        for _ in range(rounds):
            x0_t, _ = estimate(x_t, times(t, x))
            better = _before(x, x0_t, x_t, t, t_next, schedule)
            change = float((better - x_t).norm() / better.norm().clamp_min(1e-12))
            x_t = better
        x = x_t
        yield Step(
            stage=stage,
            index=index,
            total=steps,
            latent=x0_t,
            noisy_latent=x,
            t=t,
            log_snr=2 * schedule.half_log_snr(t),
            scalars={} if change is None else {"change": change},
        )
    return x


def _before(
    x: Float[Tensor, " b *state"],
    x0: Float[Tensor, " b *state"],
    x_t: Float[Tensor, " b *state"],
    t: Level,
    t_next: Level,
    schedule: Levels,
) -> Float[Tensor, " b *state"]:
    """The state at `t` that `ddim_update` takes to `x` at `t_next` where `x0` is the estimate.

    For clean data that is `x0` alone, so there `x_t`, whose estimate `x0` is, moves by what is missing.
    """
    here, there = times(t, x), times(t_next, x)
    if t_next < 0:
        return x_t + schedule.signal(here, x.ndim) * (x - x0)
    return schedule.diffuse(x0, schedule.eps_from_x0(x, x0, there), here)
