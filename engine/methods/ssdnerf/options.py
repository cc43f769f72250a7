"""SSDNeRF's settings: sampling, reconstruction from posed views, and completion.

Source: Single-Stage Diffusion NeRF (2304.06714) section 4.3 and the official test-time configurations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from engine.config import Bounds, check_bounds
from engine.diffusion.sample import Sampler
from engine.errors import ConfigError
from engine.methods.base import check_views
from engine.methods.options import Candidates, Control, Plan

Mode = Literal["ours", "paper"]
"""Procedure: the published one, or with renoise-averaging."""
TIMESTEPS = 1000
"""Noise levels of every schedule there is."""
Count = Annotated[int, Bounds(0, 100_000)]
SAMPLER = Control(
    "Sampler",
    "How noise levels are walked; Heun takes two estimates a step, the others one.",
    branch=True,
)


@dataclass(frozen=True)
class RenoiseOptions:
    """Renoise-averaging: `x <- (1 - mix) x + mix * x0(renoised x, t)`, several times, t drawn anew each time."""

    steps: Count = 20
    """Number of repetitions."""
    mix: Annotated[float, Bounds(0.0, 1.0)] = 0.15
    """Share of the new estimate, in (0, 1]."""
    t_low: Annotated[int, Bounds(0, TIMESTEPS - 1)] = 30
    """Smallest timestep to renoise to."""
    t_high: Annotated[int, Bounds(1, TIMESTEPS)] = 600
    """Largest timestep to renoise to (exclusive)."""
    falling: bool = False
    """Let timesteps fall from the largest to the smallest instead of drawing them evenly."""

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
    sampler: Annotated[Sampler, SAMPLER] = "ddim"
    """Sampler over the noise levels."""
    steps: Annotated[
        int,
        Bounds(1, TIMESTEPS),
        Control("Denoising steps", "Steps from noise to object.", low=1, high=100, step=1),
    ] = 20
    """Denoising steps."""
    eta: Annotated[float, Bounds(0.0, 1.0)] = 0.0
    """Noise that DDIM adds back at each step: 0 is deterministic, 1 ancestral."""
    renoise: RenoiseOptions = RenoiseOptions()
    """Used in mode `ours`."""

    def __post_init__(self):
        check_bounds(self)

    def stages(self) -> Plan:
        """Denoising, then renoise-averaging in mode `ours`."""
        renoise = (("renoise", self.renoise.steps),) if self.mode == "ours" else ()
        return (("denoise", self.steps), *renoise)

    def least(self) -> SampleOptions:
        """One step."""
        return replace(self, mode="paper", steps=1)


@dataclass(frozen=True)
class FitOptions:
    """Reconstruction from posed views: guided sampling, then finetuning (2304.06714 section 4.3)."""

    mode: Mode = "ours"
    """`paper`: guidance and finetuning as published; `ours`: with guided renoising and averaged finetuning."""
    sampler: Annotated[Sampler, SAMPLER] = "ddim"
    """Sampler over the noise levels; only DDIM takes Langevin corrections."""
    steps: Annotated[
        int,
        Bounds(0, TIMESTEPS),
        Control("Denoising steps", "Guided steps from noise to object.", high=100, step=1),
    ] = 16
    """Guided denoising steps; 0 starts the finetuning from the mean latent."""
    guidance_gain: Annotated[
        float,
        Bounds(0.0, 1e12),
        Control(
            "Guidance gain",
            "Strength of each step's pull towards your pictures (λ_gd in the paper).",
            "λ",
            high=1e7,
            branch=True,
        ),
    ] = 2.5e4
    """lambda_gd: how hard each step is pulled towards the views."""
    snr_power: Annotated[
        float,
        Bounds(-10.0, 10.0),
        Control(
            "SNR exponent",
            "Shifts the guidance from noisy steps (small ω) to clean ones (large ω).",
            "ω",
            step=0.05,
            branch=True,
        ),
    ] = 0.5
    """omega: the guidance is scaled by sigma^(2 - 2 omega) * signal^(2 omega - 1)."""
    guide_below: Annotated[int, Bounds(0, TIMESTEPS)] = 1000
    """Timesteps that are guided; at and above it the sampler walks as the prior alone leads. Renoising is always guided."""
    through_denoiser: bool = True
    """Pass the guidance's gradient through the denoiser; without, a step costs a third and helps less."""
    langevin_steps: Annotated[
        int,
        Bounds(0, 100_000),
        Control(
            "Langevin steps",
            "Corrections of size δ after each step, which re-draw details that guidance spoilt.",
            high=8,
            step=1,
        ),
    ] = 0
    """Langevin corrections after each denoising step."""
    langevin_delta: Annotated[float, Bounds(0.0, 1e3)] = 0.4
    """Size of a Langevin correction."""
    renoise: RenoiseOptions = RenoiseOptions(steps=20, mix=0.3)
    """Guided renoise steps after the guided sampling (mode `ours`)."""
    finetune_steps: Annotated[
        int,
        Bounds(0, 100_000),
        Control(
            "Finetune steps",
            "Rounds of fitting to one picture after sampling, held together by the prior; several pictures take more.",
            high=60,
            step=1,
        ),
    ] = 10
    """Outer finetuning steps; the prior's gradient is computed once in each."""
    inner_steps: Count = 4
    """Rendering steps in each outer step."""
    learning_rate: Annotated[
        float,
        Bounds(0.0, 1e3),
        Control(
            "Finetune rate",
            "Adam's step size on the latent while finetuning one picture; the paper's mode raises it with more.",
        ),
    ] = 4e-2
    """Adam's rate on the raw latent."""
    rate_decay: Literal["exponential", "linear"] = "linear"
    """`exponential` is the paper's 0.998 per inner step; `linear` runs to 0."""
    prior_weight: Annotated[float, Bounds(0.0, 1e9)] = 1.0
    """c'_diff: weight of the diffusion loss while finetuning; 0 leaves the rendering loss alone."""
    finetune_mix: Annotated[float, Bounds(0.0, 1.0)] = 0.08
    """Renoise-averaging share before each inner block (mode `ours`)."""
    rays: Annotated[int, Bounds(1, 2**24)] = 4096
    """Rays for each gradient. The guidance counts them, so fewer rays want a larger gain."""

    def __post_init__(self):
        check_bounds(self)
        if self.langevin_steps and self.sampler != "ddim":
            raise ConfigError(
                f"Found sampler {self.sampler} for a run with Langevin corrections, expected ddim, which alone takes them; "
                "leave the sampler as it was."
            )

    def stages(self) -> Plan:
        """Guided denoising with its corrections, renoise-averaging in mode `ours`, finetuning."""
        renoise = (("renoise", self.renoise.steps),) if self.mode == "ours" else ()
        corrections = max(self.steps - 1, 0) * self.langevin_steps
        langevin = (("langevin", corrections),) if corrections else ()
        return (("guide", self.steps), *langevin, *renoise, ("finetune", self.finetune_steps))

    def least(self) -> FitOptions:
        """One guided step, one step of finetuning."""
        return replace(self, mode="paper", steps=1, finetune_steps=1, inner_steps=1)


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
    """Guidance by the kept part's renders, and finetuning on them and on the result's own. `guide_below` and the
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

    def stages(self) -> Plan:
        """Those of the fit."""
        return self.fit.stages()

    def least(self) -> KeepOptions:
        """Those of the fit."""
        return replace(self, fit=self.fit.least())


@dataclass(frozen=True)
class Growth:
    """Factors of the finetuning's settings for more views."""

    outer: float
    """Of the outer steps."""
    inner: float = 1.0
    """Of the rendering steps in each."""
    rate: float = 1.0
    """Of the learning rate."""
    prior: float = 1.0
    """Of the prior's weight."""
    mix: float = 1.0
    """Of the renoise-averaging share."""


GROWTH: dict[Mode, dict[int, Growth]] = {
    "paper": {
        1: Growth(outer=1.0),
        2: Growth(outer=2.0, rate=2.0),
        4: Growth(outer=4.0, rate=4.0),
        8: Growth(outer=6.4, inner=1.25, rate=8.0),
        16: Growth(outer=8.0, inner=2.0, rate=16.0),
        32: Growth(outer=8.0, inner=2.0, rate=16.0),
    },
    "ours": {
        1: Growth(outer=1.0),
        2: Growth(outer=2.0, mix=0.5),
        4: Growth(outer=4.0, mix=0.25),
        8: Growth(outer=5.0, inner=1.25, mix=0.1),
        16: Growth(outer=6.0, inner=2.0, mix=0.0),
        32: Growth(outer=8.0, inner=2.0, mix=0.0),
    },
}
"""By number of views; numbers between take the row below. The paper's are those of its official configurations, ours were found on
validation scenes: more steps at one rate, and less and less of the prior."""


def for_views(options: FitOptions, num_views: int) -> FitOptions:
    """Settings for one view made fit for several.

    Raises:
        ConfigError: If there is no view.
    """
    check_views(num_views)
    rows = GROWTH[options.mode]
    growth = rows[max(count for count in rows if count <= num_views)]
    return replace(
        options,
        finetune_steps=round(options.finetune_steps * growth.outer),
        inner_steps=round(options.inner_steps * growth.inner),
        learning_rate=options.learning_rate * growth.rate,
        prior_weight=options.prior_weight * growth.prior,
        finetune_mix=options.finetune_mix * growth.mix,
    )


PAPER_FIT = FitOptions(
    mode="paper",
    steps=75,
    guidance_gain=3.2 * 2**14,
    finetune_steps=25,
    inner_steps=4,
    learning_rate=5e-3,
    rate_decay="exponential",
    rays=16384,
)
"""The paper's settings for cars from one view (the official configuration of one view)."""


def without_prior(ours: FitOptions, rate: float) -> FitOptions:
    """A fit from the mean latent by the rendering loss alone, never with fewer steps nor other rays than `ours`."""
    inner = 4
    steps = max(-(-ours.finetune_steps * ours.inner_steps // inner), 25)
    return FitOptions(
        mode="paper",
        steps=0,
        finetune_steps=steps,
        inner_steps=inner,
        learning_rate=rate,
        prior_weight=0.0,
        rate_decay="exponential",
        rays=ours.rays,
    )


ABLATION: dict[str, tuple[str, Mode | None, dict[str, Any]]] = {
    "rendering_only": (
        "finetuned by rendering only",
        None,
        {"prior_weight": 0.0, "finetune_mix": 0.0},
    ),
    "guidance_only": ("not finetuned", None, {"finetune_steps": 0}),
    "A2": ("finetuned by rendering only", "paper", {"prior_weight": 0.0}),
    "A3": ("not finetuned", "paper", {"finetune_steps": 0}),
}
"""The paper's ablation of reconstruction (its table 4): title, preset (None: the one that is measured), settings."""

FIT_CANDIDATES: Candidates = (
    ("guidance_gain", (1e4, 2.5e4, 6e4)),
    ("learning_rate", (3e-2, 4e-2, 6e-2)),
    ("finetune_mix", (0.08, 0.15, 0.25)),
    ("prior_weight", (0.3, 1.0, 3.0)),
    ("finetune_steps", (10, 16, 24)),
    ("renoise.mix", (0.2, 0.3)),
    ("renoise.steps", (10, 20, 30)),
    ("steps", (16, 24)),
)
"""Settings of reconstruction in mode `ours` that are tuned, with their candidates."""

PAPER_CANDIDATES: Candidates = (
    ("guidance_gain", (3e3, 1e4, 3e4)),
    ("learning_rate", (5e-3, 1e-2, 2e-2)),
)
"""For mode `paper`: numbers only, the procedure stays the published one."""

RENOISE_CANDIDATES = (
    RenoiseOptions(steps=5, mix=0.15, t_low=30, t_high=300),
    RenoiseOptions(steps=10, mix=0.15, t_low=30, t_high=300),
    RenoiseOptions(steps=20, mix=0.15, t_low=30, t_high=300),
    RenoiseOptions(steps=10, mix=0.15, t_low=30, t_high=600),
    RenoiseOptions(steps=20, mix=0.15, t_low=30, t_high=600),
    RenoiseOptions(steps=40, mix=0.10, t_low=30, t_high=600),
)
"""Renoise-averaging of samples, from the most detailed to the cleanest."""
TUNING = {"ours": FIT_CANDIDATES, "paper": PAPER_CANDIDATES, "renoise": RENOISE_CANDIDATES}
"""Candidates that are tried on validation scenes when training ends."""
