"""Samplers. Each is a run over an `Estimate`: a function from (x_t, t) to the predicted x0.

Guidance, clipping and conditioning live in the estimate; a sampler only walks the noise levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.diffusion.schedule import Schedule
from engine.errors import ConfigError
from engine.events import Run, Step
from engine.noise import BatchNoise, Noise

Estimate = Callable[[Tensor, Tensor], tuple[Tensor, Mapping[str, float]]]
"""From (x_t, t), one timestep per item, to the predicted x0 (already clipped) and numbers worth plotting."""

Sampler = Literal["ddim", "dpm++2m", "unipc"]
"""First order; second order from the last two estimates; the same with each step corrected by the next estimate."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""The golden section: its multiples, modulo 1, are spread evenly however many are taken."""


def times(t: int, x: Tensor) -> Tensor:
    """The timestep `t` for every item of a batch."""
    return torch.full((x.shape[0],), t, dtype=torch.long, device=x.device)


def ddim_update(
    x_t: Float[Tensor, "b c h w"],
    x0: Float[Tensor, "b c h w"],
    t: int,
    t_next: int,
    schedule: Schedule,
    *,
    eta: float = 0.0,
    z: Float[Tensor, "b c h w"] | None = None,
) -> Float[Tensor, "b c h w"]:
    """One step from `t` to `t_next` (-1 returns x0 itself). Source: DDIM (2010.02502) eq. 12.

    The variance at `eta` is that of the full chain, `eta^2 * tilde_beta_t`, as in the official code.
    """
    if t_next < 0:
        return x0
    here, there = times(t, x_t), times(t_next, x_t)
    eps = schedule.eps_from_x0(x_t, x0, here)
    variance = float(schedule.tilde_betas[t]) * eta**2
    x = (
        schedule.signal(there) * x0
        + (schedule.sigma(there) ** 2 - variance).clamp_min(0).sqrt() * eps
    )
    return x if z is None or not variance else x + variance**0.5 * z


def langevin_update(
    x_t: Float[Tensor, "b c h w"],
    x0: Float[Tensor, "b c h w"],
    t: int,
    delta: float,
    z: Float[Tensor, "b c h w"],
    schedule: Schedule,
) -> Float[Tensor, "b c h w"]:
    """One Langevin correction at noise level `t`. Source: SSDNeRF (2304.06714) section 4.3."""
    here = times(t, x_t)
    sigma, eps = schedule.sigma(here), schedule.eps_from_x0(x_t, x0, here)
    return x_t - 0.5 * delta * sigma * eps + delta**0.5 * sigma * z


@torch.no_grad()
def ddim(
    x_T: Float[Tensor, "b c h w"],
    estimate: Estimate,
    schedule: Schedule,
    noise: Noise | BatchNoise,
    *,
    steps: int,
    eta: float = 0.0,
    langevin_steps: int = 0,
    langevin_delta: float = 0.4,
    stage: str = "denoise",
) -> Run[Tensor]:
    """DDIM with optional Langevin corrections after each step.

    Args:
        x_T: Starting noise.
        estimate: Predicts x0.
        schedule: Noise levels.
        noise: Draws for `eta > 0` and for the corrections.
        steps: Noise levels visited.
        eta: 0 is deterministic, 1 ancestral.
        langevin_steps: Corrections after each step that does not end at clean data.
        langevin_delta: Their size.
        stage: Name in the yielded steps.

    Returns:
        The clean sample.
    """
    x = x_T
    pairs = schedule.sampling_steps(steps)
    for index, (t, t_next) in enumerate(pairs):
        x0, scalars = estimate(x, times(t, x))
        z = noise.normal(x.shape, f"{stage}/eta", index, device=x.device) if eta else None
        x = ddim_update(x, x0, t, t_next, schedule, eta=eta, z=z)
        if t_next > 0:
            for k in range(langevin_steps):
                x0, scalars = estimate(x, times(t_next, x))
                draw = noise.normal(
                    x.shape, f"{stage}/langevin", index * langevin_steps + k, device=x.device
                )
                x = langevin_update(x, x0, t_next, langevin_delta, draw, schedule)
        yield Step(
            stage=stage,
            index=index + 1,
            total=len(pairs),
            latent=x0.detach(),
            x_t=x.detach(),
            t=t_next,
            scalars=dict(scalars),
        )
    return x


def multistep_update(
    x: Float[Tensor, "b c h w"],
    x0s: Sequence[Float[Tensor, "b c h w"]],
    ts: Sequence[int],
    t_next: int,
    schedule: Schedule,
    x0_next: Float[Tensor, "b c h w"] | None = None,
) -> Float[Tensor, "b c h w"]:
    """One second-order step of the probability-flow ODE; with the estimate at its end, third-order.

    Without `x0_next` this is DPM-Solver++(2M) (2211.01095, Algorithm 2), which is also UniPC's predictor; with it,
    UniPC's corrector (2302.04867, Algorithm 1 with B(h) = e^h - 1 and the data prediction). A step to clean data
    returns the last estimate, the limit of first order.

    Args:
        x: State at the last of `ts`.
        x0s: The last one or two estimates, oldest first.
        ts: Their timesteps.
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
    keep = schedule.sigma(there) / schedule.sigma(here)
    return keep * x - schedule.signal(there) * shrink * (x0 + change)


def _corrector(step: float, ratio: float) -> tuple[float, float]:
    """Weights of the slope before a step and of the change over it, exact for quadratic x0 (UniPC's equation 9)."""
    shrink = math.expm1(-step)
    phi1 = -shrink / step - 1
    phi2 = -phi1 / step - 0.5
    both, skew = phi1 / shrink, 2 * phi2 / shrink
    first = (both - skew) / (1 + ratio)
    return first, both - first


@torch.no_grad()
def multistep(
    x_T: Float[Tensor, "b c h w"],
    estimate: Estimate,
    schedule: Schedule,
    *,
    steps: int,
    correct: bool,
    stage: str = "denoise",
) -> Run[Tensor]:
    """DPM-Solver++(2M), or UniPC of second order: what DDIM reaches, in fewer estimates.

    Args:
        x_T: Starting noise.
        estimate: Predicts x0.
        schedule: Noise levels.
        steps: Noise levels visited, one estimate each.
        correct: Whether each estimate also corrects the step that led to it (UniPC).
        stage: Name in the yielded steps.

    Returns:
        The clean sample.
    """
    x, x_t = x_T, x_T
    x0s: list[Tensor] = []
    ts: list[int] = []
    pairs = schedule.sampling_steps(steps)
    for index, (t, t_next) in enumerate(pairs):
        x0, scalars = estimate(x_t, times(t, x_t))
        x = multistep_update(x, x0s, ts, t, schedule, x0) if correct and x0s else x_t
        x0s, ts = [*x0s[-1:], x0], [*ts[-1:], t]
        x_t = multistep_update(x, x0s, ts, t_next, schedule)
        yield Step(
            stage=stage,
            index=index + 1,
            total=len(pairs),
            latent=x0.detach(),
            x_t=x_t.detach(),
            t=t_next,
            scalars=dict(scalars),
        )
    return x_t


def solve(
    sampler: Sampler,
    x_T: Float[Tensor, "b c h w"],
    estimate: Estimate,
    schedule: Schedule,
    noise: Noise | BatchNoise,
    *,
    steps: int,
    eta: float = 0.0,
    langevin_steps: int = 0,
    langevin_delta: float = 0.4,
    stage: str = "denoise",
) -> Run[Tensor]:
    """From noise to clean data by the named sampler; arguments as for `ddim`.

    Raises:
        ConfigError: If noise is asked of a sampler that adds none.
    """
    if sampler == "ddim":
        return ddim(
            x_T,
            estimate,
            schedule,
            noise,
            steps=steps,
            eta=eta,
            langevin_steps=langevin_steps,
            langevin_delta=langevin_delta,
            stage=stage,
        )
    if eta or langevin_steps:
        raise ConfigError(
            f"Found sampler {sampler} with eta {eta} and {langevin_steps} Langevin steps, expected 0 of both; use ddim."
        )
    correct = sampler == "unipc"
    return multistep(x_T, estimate, schedule, steps=steps, correct=correct, stage=stage)


def even_times(
    x: Float[Tensor, "b c h w"],
    low: int,
    high: int,
    noise: Noise | BatchNoise,
    stage: str,
    index: int,
) -> Int[Tensor, " b"]:
    """The `index`-th of each item's timesteps in [low, high), however many there will be.

    They start anywhere and go round by the golden section, so that few of them cover the range evenly; as many
    independent ones leave gaps, and results differ more from seed to seed.
    """
    first = noise.integers(low, high, x.shape[:1], stage, device=x.device)
    return low + (first - low + round(index * GOLDEN * (high - low))) % (high - low)


@torch.no_grad()
def renoise_average(
    x: Float[Tensor, "b c h w"],
    estimate: Estimate,
    schedule: Schedule,
    noise: Noise | BatchNoise,
    *,
    steps: int,
    mix: float,
    t_low: int,
    t_high: int,
    stage: str = "renoise",
) -> Run[Tensor]:
    """Pull a clean sample towards the prior's local mean: `x <- (1 - mix) x + mix * x0(renoised x)`.

    The gradient-free cousin of finetuning a sample with the diffusion loss; it removes texel noise that a young
    prior cannot tell from signal. Ours (measured in the model card).
    """
    for index in range(steps):
        t = even_times(x, t_low, t_high, noise, f"{stage}/t", index)
        eps = noise.normal(x.shape, f"{stage}/eps", index, device=x.device)
        x0, scalars = estimate(schedule.diffuse(x, eps, t), t)
        x = torch.lerp(x, x0, mix)
        yield Step(
            stage=stage,
            index=index + 1,
            total=steps,
            latent=x.detach(),
            x_t=x.detach(),
            t=int(t[0]),
            scalars=dict(scalars),
        )
    return x
