"""Samplers. Each is a run over an `Estimate`: a function from (x_t, t) to the predicted x0.

Guidance, clipping and conditioning live in the estimate; a sampler only walks the noise levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

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
    after: Step | None = None,
) -> Run[Tensor]:
    """DDIM with optional Langevin corrections after each step, which are steps of a stage "langevin".

    Args:
        x_T: Starting noise.
        estimate: Predicts x0.
        schedule: Noise levels.
        noise: Draws for `eta > 0` and for the corrections.
        steps: Noise levels visited.
        eta: 0 is deterministic, 1 ancestral.
        langevin_steps: Corrections after each step that ends above timestep 0.
        langevin_delta: Their size.
        stage: Name in the yielded steps.
        after: A step of such a run, in images, to go on from instead of starting at `x_T`.

    Returns:
        The clean sample.
    """
    x, first, corrected = (x_T, 0, None) if after is None else (after.x_t, *_reached(after, steps))
    pairs = schedule.sampling_steps(steps)
    corrections = langevin_steps * sum(t_next > 0 for _, t_next in pairs)
    for index, (t, t_next) in enumerate(pairs[first:], first):
        if corrected is None:
            x0, scalars = estimate(x, times(t, x))
            z = noise.normal(x.shape, f"{stage}/eta", index, device=x.device) if eta else None
            x = ddim_update(x, x0, t, t_next, schedule, eta=eta, z=z)
            yield _report(stage, index + 1, len(pairs), x0, x, t_next, scalars)
        for k in range(corrected or 0, langevin_steps if t_next > 0 else 0):
            x0, scalars = estimate(x, times(t_next, x))
            number = index * langevin_steps + k
            z = noise.normal(x.shape, f"{stage}/langevin", number, device=x.device)
            x = langevin_update(x, x0, t_next, langevin_delta, z, schedule)
            state = {"step": index, "correction": k + 1, "steps": len(pairs)}
            yield _report("langevin", number + 1, corrections, x0, x, t_next, scalars, state)
        corrected = None
    return x


def _reached(after: Step, steps: int) -> tuple[int, int]:
    """The last step taken, counted from 0, and how many of its corrections are done."""
    walked = after.state["steps"] if after.stage == "langevin" else after.total
    if walked != steps:
        raise ConfigError(
            f"Found a run of {walked} steps to go on from, expected {steps}; keep its number of steps."
        )
    if after.stage == "langevin":
        return after.state["step"], after.state["correction"]
    return after.index - 1, 0


def _report(
    stage: str,
    index: int,
    total: int,
    x0: Tensor,
    x_t: Tensor,
    t: int,
    scalars: Mapping[str, float],
    state: Mapping[str, Any] | None = None,
) -> Step:
    """A step that keeps nothing of the graph behind it."""
    return Step(
        stage=stage,
        index=index,
        total=total,
        latent=x0.detach(),
        x_t=x_t.detach(),
        t=t,
        scalars=dict(scalars),
        state=state or {},
    )


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
    after: Step | None = None,
) -> Run[Tensor]:
    """DPM-Solver++(2M), or UniPC of second order: what DDIM reaches, in fewer estimates.

    Args:
        x_T: Starting noise.
        estimate: Predicts x0.
        schedule: Noise levels.
        steps: Noise levels visited, one estimate each.
        correct: Whether each estimate also corrects the step that led to it (UniPC).
        stage: Name in the yielded steps.
        after: A step of any sampler's run, in images, to go on from instead of starting at `x_T`.

    Returns:
        The clean sample.
    """
    x, x_t, first = x_T, x_T, 0
    x0s: list[Tensor] = []
    ts: list[int] = []
    pairs = schedule.sampling_steps(steps)
    if after is not None:
        x_t, first = after.x_t, _reached(after, steps)[0] + 1
        if "corrected" in after.state:
            x, x0s, ts = after.state["corrected"], [after.latent], [pairs[first - 1][0]]
        if "earlier" in after.state:
            x0s, ts = [after.state["earlier"], *x0s], [pairs[first - 2][0], *ts]
    for index, (t, t_next) in enumerate(pairs[first:], first):
        x0, scalars = estimate(x_t, times(t, x_t))
        x = multistep_update(x, x0s, ts, t, schedule, x0) if correct and x0s else x_t
        x0s, ts = [*x0s[-1:], x0], [*ts[-1:], t]
        x_t = multistep_update(x, x0s, ts, t_next, schedule)
        state = {"corrected": x.detach()}
        if len(x0s) == 2:
            state["earlier"] = x0s[0].detach()
        yield _report(stage, index + 1, len(pairs), x0, x_t, t_next, scalars, state)
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
    after: Step | None = None,
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
            after=after,
        )
    if eta or langevin_steps:
        raise ConfigError(
            f"Found sampler {sampler} with eta {eta} and {langevin_steps} Langevin steps, expected 0 of both; use ddim."
        )
    correct = sampler == "unipc"
    return multistep(
        x_T, estimate, schedule, steps=steps, correct=correct, stage=stage, after=after
    )


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


def falling_time(low: int, high: int, steps: int, index: int) -> int:
    """The `index`-th of some timesteps that fall evenly through [low, high): the middle of its share."""
    return high - 1 - int((high - low) * (index + 0.5) / steps)


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
    falling: bool = False,
    stage: str = "renoise",
    first: int = 0,
) -> Run[Tensor]:
    """Pull a clean sample towards the prior's local mean: `x <- (1 - mix) x + mix * x0(renoised x)`.

    The gradient-free cousin of finetuning a sample with the diffusion loss; it removes texel noise that a young
    prior cannot tell from signal. Ours (measured in the model card). Timesteps are drawn evenly, or fall from the
    largest to the smallest; `first` steps are done already.
    """
    for index in range(first, steps):
        if falling:
            t = times(falling_time(t_low, t_high, steps, index), x)
        else:
            t = even_times(x, t_low, t_high, noise, f"{stage}/t", index)
        eps = noise.normal(x.shape, f"{stage}/eps", index, device=x.device)
        x_t = schedule.diffuse(x, eps, t)
        x0, scalars = estimate(x_t, t)
        x = torch.lerp(x, x0, mix)
        yield _report(stage, index + 1, steps, x, x_t, int(t[0]), scalars, {"t": t.detach()})
    return x
