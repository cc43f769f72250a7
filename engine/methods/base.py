"""What a method offers the explorer, the command line and the trainer.

A method owns its latents, losses and inner loops; the engine owns everything else. `latent` always means a batch of
activated scene latents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from engine.diffusion.sample import Sampler
from engine.errors import ConfigError
from engine.events import Run, Step
from engine.noise import Noise
from engine.scene import Scene
from engine.types import Views

Mode = Literal["ours", "paper"]
"""`paper` is the published procedure; `ours` adds renoise-averaging, which removes the plaid of young priors."""


@dataclass(frozen=True)
class RenoiseOptions:
    """Renoise-averaging: `x <- (1 - mix) x + mix * x0(renoised x, t)`, several times, t drawn anew each time."""

    steps: int = 20
    """How many times."""
    mix: float = 0.15
    """Share of the new estimate, in (0, 1]."""
    t_low: int = 30
    """Smallest timestep to renoise to."""
    t_high: int = 600
    """Largest timestep to renoise to (exclusive)."""


@dataclass(frozen=True)
class SampleOptions:
    """Unconditional sampling."""

    mode: Mode = "ours"
    """`paper`: the sampler alone; `ours`: then renoise-averaging."""
    sampler: Sampler = "ddim"
    """How noise levels are walked."""
    steps: int = 20
    """Denoising steps."""
    eta: float = 0.0
    """Noise that DDIM adds back at each step: 0 is deterministic, 1 ancestral."""
    renoise: RenoiseOptions = RenoiseOptions()
    """Used in mode `ours`."""


@dataclass(frozen=True)
class FitOptions:
    """Reconstruction from posed views: guided sampling, then finetuning (spec sections 5.2 and 5.3)."""

    mode: Mode = "ours"
    """`paper`: guidance and finetuning as published; `ours`: with guided renoising and averaged finetuning."""
    sampler: Sampler = "ddim"
    """How noise levels are walked; only DDIM takes Langevin corrections."""
    steps: int = 16
    """Guided denoising steps; 0 starts the finetuning from the mean latent."""
    guidance_gain: float = 2.5e4
    """lambda_gd: how hard each step is pulled towards the views."""
    snr_power: float = 0.5
    """omega: the guidance is scaled by sigma^(2 - 2 omega) * signal^(2 omega - 1)."""
    through_denoiser: bool = True
    """Whether the guidance's gradient runs through the denoiser; without, a step costs a third and helps less."""
    langevin_steps: int = 0
    """Langevin corrections after each denoising step."""
    langevin_delta: float = 0.4
    """Size of a Langevin correction."""
    renoise: RenoiseOptions = RenoiseOptions(steps=20, mix=0.3)
    """Guided renoise steps after the guided sampling (mode `ours`)."""
    finetune_steps: int = 10
    """Outer finetuning steps; the prior's gradient is computed once in each."""
    inner_steps: int = 4
    """Rendering steps in each outer step."""
    learning_rate: float = 4e-2
    """Adam's rate on the raw latent."""
    rate_decay: Literal["exponential", "linear"] = "linear"
    """`exponential` is the paper's 0.998 per inner step; `linear` runs to 0."""
    prior_weight: float = 1.0
    """c'_diff: weight of the diffusion loss while finetuning; 0 leaves the rendering loss alone."""
    finetune_mix: float = 0.08
    """Renoise-averaging share before each inner block (mode `ours`)."""
    rays: int = 4096
    """Rays for each gradient. The guidance counts them (spec 2.7), so fewer rays want a larger gain."""


@dataclass(frozen=True)
class MethodInfo:
    """What a method is and what it can do."""

    name: str
    """Key in METHODS."""
    title: str
    """Name for people."""
    paper: str
    """arXiv id."""
    tasks: frozenset[str]
    """Of "generate", "reconstruct", "interpolate" (which means that it has `invert`)."""
    latent_shape: tuple[int, ...]
    """Shape of one scene's latent."""
    max_views: int = 32
    """Most views `reconstruct` accepts."""


@dataclass(frozen=True)
class TrainingData:
    """What a prior was trained on."""

    category: str | None = None
    """Name of the procedural category; None for other data."""
    distance: float = 1.3
    """Of the training cameras from the object's centre, SRN units."""


@runtime_checkable
class Method(Protocol):
    """A trained method, ready to generate and reconstruct."""

    info: MethodInfo
    sample_options: SampleOptions
    """Test-time settings tuned on validation scenes (from the checkpoint's config.json), mode `ours`."""
    fit_options: FitOptions
    paper_sample_options: SampleOptions
    """The same for mode `paper`."""
    paper_fit_options: FitOptions
    data: TrainingData
    """What it was trained on."""
    checkpoint: str | None
    """Name of the checkpoint the method was opened from."""
    mean_latent: Tensor
    """Mean of the training latents (activated)."""
    directions: Tensor
    """The eight main directions of the training latents, `8 *latent_shape`, scaled to one standard deviation."""
    gallery: Tensor
    """Some training latents, `n *latent_shape`."""

    def scene(self, latent: Tensor, **provenance) -> Scene:
        """Wrap one activated latent (`latent_shape`) as a renderable scene; cheap."""
        ...

    def generate(
        self,
        num_scenes: int,
        options: SampleOptions,
        noise: Noise,
        *,
        x_T: Tensor | None = None,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """Draw scenes from the prior; stages "denoise", then "renoise" in mode `ours`.

        Every Step carries `latent` (predicted x0 of the whole batch), `x_t` and `t`, and what `after` needs.

        Args:
            num_scenes: How many; scene i is bit for bit what `Noise(noise.seed + i)` alone would give.
            options: Settings.
            noise: Randomness.
            x_T: Starting noise, `num_scenes *latent_shape`, instead of the seeds' own. All scenes then share the draws
                of `noise.seed`, so that neighbours on a path differ by their noise alone.
            after: A step of an earlier run to go on from: with the same settings and seed bit for bit as that run did.

        Returns:
            `num_scenes *latent_shape`.
        """
        ...

    def reconstruct(
        self, views: Views, options: FitOptions, noise: Noise, *, after: Step | None = None
    ) -> Run[Tensor]:
        """Fit one scene to posed views; stages "guide", "renoise", "finetune".

        Every Step carries `latent` (`1 *latent_shape`), the scalar "psnr" on the inputs where it is known, and what
        `after` needs: an earlier run is gone on with as in `generate`. Returns `1 *latent_shape`.
        """
        ...

    def starting_noise(self, num_scenes: int, noise: Noise) -> Tensor:
        """The `x_T` that `generate` starts from, `num_scenes *latent_shape`."""
        ...


@runtime_checkable
class Invertible(Method, Protocol):
    """A method that also finds the noise an object comes from; only those with the task "interpolate" do."""

    def invert(self, latents: Tensor, steps: int = 100) -> Run[Tensor]:
        """The `x_T` from which `generate` in mode `paper` with DDIM of as many steps returns `latents`: stage "invert".

        Args:
            latents: Activated latents, `n *latent_shape`, wherever they come from.
            steps: Noise levels.

        Returns:
            `n *latent_shape`; of unit variance only where the prior could have drawn the object.
        """
        ...


STAGES = ("denoise", "guide", "langevin", "renoise", "finetune")
"""Of runs, in their order in time; Langevin corrections come between the steps that they correct."""


def before(step: Step | None, stage: str) -> bool:
    """Whether a run that goes on from `step` (None: that begins) has all of `stage` before it."""
    return step is None or STAGES.index(step.stage) < STAGES.index(stage)


def taken(step: Step | None, stage: str) -> int:
    """Steps of `stage` that a run which goes on from `step` has taken when it comes there."""
    return step.index if step is not None and step.stage == stage else 0


def sample_options_of(method: Method, mode: Mode) -> SampleOptions:
    """The method's tuned sampling settings of a mode."""
    return method.paper_sample_options if mode == "paper" else method.sample_options


def fit_options_of(method: Method, mode: Mode) -> FitOptions:
    """The method's tuned reconstruction settings of a mode, for one view."""
    return method.paper_fit_options if mode == "paper" else method.fit_options


@dataclass(frozen=True)
class Growth:
    """What more views multiply the finetuning's settings by."""

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
"""By number of views; numbers between take the row below. The paper's are those of spec section 5.3, ours were found on
validation scenes: more steps at one rate, and less and less of the prior."""


def for_views(options: FitOptions, num_views: int) -> FitOptions:
    """Settings for one view made fit for several.

    Raises:
        ConfigError: Where there is no view.
    """
    if num_views < 1:
        raise ConfigError(f"Found {num_views} views, expected at least one; give a picture.")
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


def fit_options_for(method: Method, mode: Mode, num_views: int) -> FitOptions:
    """The method's tuned reconstruction settings of a mode, for a number of views."""
    return for_views(fit_options_of(method, mode), num_views)
