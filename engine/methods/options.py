"""Settings of what a method is used for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from engine.config import Bounds, check_bounds
from engine.diffusion.sample import Sampler
from engine.errors import ConfigError

TIMESTEPS = 1000
"""Noise levels of every schedule there is."""
Count = Annotated[int, Bounds(0, 100_000)]

Mode = Literal["ours", "paper"]
"""`paper` is the published procedure; `ours` adds renoise-averaging, which removes the plaid of young priors."""


@dataclass(frozen=True)
class RenoiseOptions:
    """Renoise-averaging: `x <- (1 - mix) x + mix * x0(renoised x, t)`, several times, t drawn anew each time."""

    steps: Count = 20
    """How many times."""
    mix: Annotated[float, Bounds(0.0, 1.0)] = 0.15
    """Share of the new estimate, in (0, 1]."""
    t_low: Annotated[int, Bounds(0, TIMESTEPS - 1)] = 30
    """Smallest timestep to renoise to."""
    t_high: Annotated[int, Bounds(1, TIMESTEPS)] = 600
    """Largest timestep to renoise to (exclusive)."""
    falling: bool = False
    """Whether timesteps fall from the largest to the smallest; they are drawn evenly else."""

    def __post_init__(self):
        check_bounds(self)
        if self.t_low >= self.t_high:
            raise ConfigError(
                f"Found renoise t_low {self.t_low}, expected less than t_high {self.t_high}."
            )


@dataclass(frozen=True)
class SampleOptions:
    """Unconditional sampling."""

    mode: Mode = "ours"
    """`paper`: the sampler alone; `ours`: then renoise-averaging."""
    sampler: Sampler = "ddim"
    """How noise levels are walked."""
    steps: Annotated[int, Bounds(1, TIMESTEPS)] = 20
    """Denoising steps."""
    eta: Annotated[float, Bounds(0.0, 1.0)] = 0.0
    """Noise that DDIM adds back at each step: 0 is deterministic, 1 ancestral."""
    renoise: RenoiseOptions = RenoiseOptions()
    """Used in mode `ours`."""

    def __post_init__(self):
        check_bounds(self)


@dataclass(frozen=True)
class FitOptions:
    """Reconstruction from posed views: guided sampling, then finetuning (spec sections 5.2 and 5.3)."""

    mode: Mode = "ours"
    """`paper`: guidance and finetuning as published; `ours`: with guided renoising and averaged finetuning."""
    sampler: Sampler = "ddim"
    """How noise levels are walked; only DDIM takes Langevin corrections."""
    steps: Annotated[int, Bounds(0, TIMESTEPS)] = 16
    """Guided denoising steps; 0 starts the finetuning from the mean latent."""
    guidance_gain: Annotated[float, Bounds(0.0, 1e12)] = 2.5e4
    """lambda_gd: how hard each step is pulled towards the views."""
    snr_power: Annotated[float, Bounds(-10.0, 10.0)] = 0.5
    """omega: the guidance is scaled by sigma^(2 - 2 omega) * signal^(2 omega - 1)."""
    guide_below: Annotated[int, Bounds(0, TIMESTEPS)] = 1000
    """Timesteps that are guided; at and above it the sampler walks as the prior alone leads. Renoising is always guided."""
    through_denoiser: bool = True
    """Whether the guidance's gradient runs through the denoiser; without, a step costs a third and helps less."""
    langevin_steps: Count = 0
    """Langevin corrections after each denoising step."""
    langevin_delta: Annotated[float, Bounds(0.0, 1e3)] = 0.4
    """Size of a Langevin correction."""
    renoise: RenoiseOptions = RenoiseOptions(steps=20, mix=0.3)
    """Guided renoise steps after the guided sampling (mode `ours`)."""
    finetune_steps: Count = 10
    """Outer finetuning steps; the prior's gradient is computed once in each."""
    inner_steps: Count = 4
    """Rendering steps in each outer step."""
    learning_rate: Annotated[float, Bounds(0.0, 1e3)] = 4e-2
    """Adam's rate on the raw latent."""
    rate_decay: Literal["exponential", "linear"] = "linear"
    """`exponential` is the paper's 0.998 per inner step; `linear` runs to 0."""
    prior_weight: Annotated[float, Bounds(0.0, 1e9)] = 1.0
    """c'_diff: weight of the diffusion loss while finetuning; 0 leaves the rendering loss alone."""
    finetune_mix: Annotated[float, Bounds(0.0, 1.0)] = 0.08
    """Renoise-averaging share before each inner block (mode `ours`)."""
    rays: Annotated[int, Bounds(1, 2**24)] = 4096
    """Rays for each gradient. The guidance counts them (spec 2.7), so fewer rays want a larger gain."""

    def __post_init__(self):
        check_bounds(self)


@dataclass(frozen=True)
class KeepOptions:
    """Keeping a part of an object while the prior draws the rest anew; the defaults suit the bundled priors."""

    fit: FitOptions = FitOptions(
        steps=16,
        guidance_gain=3e4,
        guide_below=220,
        renoise=RenoiseOptions(steps=24, mix=0.3, t_high=310, falling=True),
        finetune_steps=20,
        inner_steps=8,
        prior_weight=0.3,
        finetune_mix=0.0,
    )
    """How the kept part's renders guide, and how the result is finetuned on them and on its own. `guide_below` and the
    renoising's `t_high` are how bold the proposals are: the lower, the more the rest differs from the original, and the
    harder the two are to reconcile."""
    cameras: Annotated[int, Bounds(1, 256)] = 32
    """Renders of the original, spread over the sphere from a little below the horizon to the top."""
    size: Annotated[int, Bounds(8, 512)] = 128
    """Rows and columns of each, pixels."""
    softness: Annotated[float, Bounds(0.0, 1e3)] = 8.0
    """Texels that serve the kept part and others are held by the share of their matter that is kept, to this power."""

    def __post_init__(self):
        check_bounds(self)
