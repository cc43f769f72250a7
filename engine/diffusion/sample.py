"""Samplers. Each is a run over an `Estimate`: a function from (x_t, t) to the predicted x0.

Guidance, clipping and conditioning live in the estimate; a sampler only walks the noise levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.diffusion.schedule import Chain, Level, Levels
from engine.diffusion.updates import (
    ddim_update,
    heun_update,
    langevin_update,
    multistep_update,
    times,
)
from engine.errors import ConfigError
from engine.events import Run, Step
from engine.noise import BatchNoise, Noise

Estimate = Callable[[Tensor, Tensor], tuple[Tensor, Mapping[str, float]]]
"""From (x_t, t), one level per item, to the predicted x0 (already clipped) and numbers worth plotting."""

Sampler = Literal["ddim", "dpm++2m", "unipc", "heun"]
"""First order; second order from the last two estimates; the same with each step corrected by the next estimate; second
order from two estimates in each step."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""The golden section: its multiples, modulo 1, are spread evenly however many are taken."""


@torch.no_grad()
def ddim(
    x_T: Float[Tensor, " b *state"],
    estimate: Estimate,
    schedule: Levels,
    noise: Noise | BatchNoise,
    *,
    steps: int,
    eta: float = 0.0,
    langevin_steps: int = 0,
    langevin_delta: float = 0.4,
    start: Level | None = None,
    stage: str = "denoise",
    after: Step | None = None,
) -> Run[Tensor]:
    """DDIM with optional Langevin corrections after each step, which are steps of a stage "langevin".

    Args:
        x_T: State at the first level: noise of its sigma, or what `diffuse` makes of data.
        estimate: Predicts x0.
        schedule: Noise levels.
        noise: Draws for `eta > 0` and for the corrections.
        steps: Noise levels visited.
        eta: 0 is deterministic, 1 ancestral.
        langevin_steps: Corrections after each step that ends above timestep 0.
        langevin_delta: Their size.
        start: First level; the noisiest if None.
        stage: Name in the yielded steps.
        after: A step of such a run, in images, to go on from instead of starting at `x_T`.

    Returns:
        The clean sample.
    """
    x, first, corrected = (
        (x_T, 0, None) if after is None else (after.noisy_latent, *_reached(after, steps))
    )
    pairs = schedule.sampling_steps(steps, start)
    corrections = langevin_steps * sum(t_next > 0 for _, t_next in pairs)
    for index, (t, t_next) in enumerate(pairs[first:], first):
        if corrected is None:
            x0, scalars = estimate(x, times(t, x))
            z = noise.normal(x.shape, f"{stage}/eta", index, device=x.device) if eta else None
            x = ddim_update(x, x0, t, t_next, schedule, eta=eta, z=z)
            yield _report(stage, index + 1, len(pairs), x0, x, t_next, schedule, scalars)
        for k in range(corrected or 0, langevin_steps if t_next > 0 else 0):
            x0, scalars = estimate(x, times(t_next, x))
            number = index * langevin_steps + k
            z = noise.normal(x.shape, f"{stage}/langevin", number, device=x.device)
            x = langevin_update(x, x0, t_next, langevin_delta, z, schedule)
            state = {"step": index, "correction": k + 1, "steps": len(pairs)}
            yield _report(
                "langevin", number + 1, corrections, x0, x, t_next, schedule, scalars, state
            )
        corrected = None
    return x


def _reached(after: Step, steps: int) -> tuple[int, int]:
    """The last step taken, counted from 0, and how many of its corrections are done."""
    if after.noisy_latent is None:
        raise ConfigError(
            f"Found no noisy state in {after.stage} step {after.index} to go on from; choose another step."
        )
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
    t: Level,
    schedule: Levels,
    scalars: Mapping[str, float],
    state: Mapping[str, Any] | None = None,
) -> Step:
    """A step that keeps nothing of the graph behind it."""
    return Step(
        stage=stage,
        index=index,
        total=total,
        latent=x0.detach(),
        noisy_latent=x_t.detach(),
        t=t,
        log_snr=2 * float(schedule.half_log_snr(t)) if t >= 0 else None,
        scalars=dict(scalars),
        state=state or {},
    )


@torch.no_grad()
def multistep(
    x_T: Float[Tensor, " b *state"],
    estimate: Estimate,
    schedule: Levels,
    *,
    steps: int,
    correct: bool,
    start: Level | None = None,
    stage: str = "denoise",
    after: Step | None = None,
) -> Run[Tensor]:
    """DPM-Solver++(2M), or UniPC of second order: what DDIM reaches, in fewer estimates.

    Args:
        x_T: State at the first level: noise of its sigma, or what `diffuse` makes of data.
        estimate: Predicts x0.
        schedule: Noise levels.
        steps: Noise levels visited, one estimate each.
        correct: Whether each estimate also corrects the step that led to it (UniPC).
        start: First level; the noisiest if None.
        stage: Name in the yielded steps.
        after: A step of any sampler's run, in images, to go on from instead of starting at `x_T`.

    Returns:
        The clean sample.
    """
    x, x_t, first = x_T, x_T, 0
    x0s: list[Tensor] = []
    ts: list[Level] = []
    pairs = schedule.sampling_steps(steps, start)
    if after is not None:
        x_t, first = after.noisy_latent, _reached(after, steps)[0] + 1
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
        yield _report(stage, index + 1, len(pairs), x0, x_t, t_next, schedule, scalars, state)
    return x_t


@torch.no_grad()
def heun(
    x_T: Float[Tensor, " b *state"],
    estimate: Estimate,
    schedule: Levels,
    *,
    steps: int,
    start: Level | None = None,
    stage: str = "denoise",
    after: Step | None = None,
) -> Run[Tensor]:
    """EDM's deterministic sampler (2206.00364, Algorithm 1 without churn): two estimates per step, one in the last.

    Args:
        x_T: State at the first level: noise of its sigma, or what `diffuse` makes of data.
        estimate: Predicts x0.
        schedule: Noise levels.
        steps: Noise levels visited.
        start: First level; the noisiest if None.
        stage: Name in the yielded steps, whose latent is the last estimate.
        after: A step of any sampler's run, in images, to go on from instead of starting at `x_T`.

    Returns:
        The clean sample.
    """
    x, first = (x_T, 0) if after is None else (after.noisy_latent, _reached(after, steps)[0] + 1)
    pairs = schedule.sampling_steps(steps, start)
    for index, (t, t_next) in enumerate(pairs[first:], first):
        x_t = x
        x0, scalars = estimate(x_t, times(t, x_t))
        x = ddim_update(x_t, x0, t, t_next, schedule)
        if t_next >= 0:
            x0, scalars = estimate(x, times(t_next, x))
            x = heun_update(x_t, x, x0, t, t_next, schedule)
        yield _report(stage, index + 1, len(pairs), x0, x, t_next, schedule, scalars)
    return x


def solve(
    sampler: Sampler,
    x_T: Float[Tensor, " b *state"],
    estimate: Estimate,
    schedule: Levels,
    noise: Noise | BatchNoise,
    *,
    steps: int,
    eta: float = 0.0,
    langevin_steps: int = 0,
    langevin_delta: float = 0.4,
    start: Level | None = None,
    stage: str = "denoise",
    after: Step | None = None,
) -> Run[Tensor]:
    """From noise to clean data by the named sampler; arguments as for `ddim`.

    Raises:
        ConfigError: If noise is asked of a sampler that adds none.
    """
    walk: dict[str, Any] = {"steps": steps, "start": start, "stage": stage, "after": after}
    if sampler == "ddim":
        added = {"eta": eta, "langevin_steps": langevin_steps, "langevin_delta": langevin_delta}
        return ddim(x_T, estimate, schedule, noise, **added, **walk)
    if eta or langevin_steps:
        raise ConfigError(
            f"Found sampler {sampler} with eta {eta} and {langevin_steps} Langevin steps, expected 0 of both; use ddim."
        )
    if sampler == "heun":
        return heun(x_T, estimate, schedule, **walk)
    return multistep(x_T, estimate, schedule, correct=sampler == "unipc", **walk)


def even_times(
    x: Float[Tensor, " b *state"],
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
    x: Float[Tensor, " b *state"],
    estimate: Estimate,
    schedule: Chain,
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
        levels = [2 * schedule.half_log_snr(level) for level in t.tolist()]
        state = {"t": t.detach(), "log_snr": torch.tensor(levels)}
        yield _report(stage, index + 1, steps, x, x_t, int(t[0]), schedule, scalars, state)
    return x
