"""What a method offers the explorer, the command line and the trainer.

A method owns its latents, losses and inner loops; the engine owns everything else. `latent` always means a batch of
activated scene latents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Protocol, runtime_checkable

from torch import Tensor

from engine.config import Bounds
from engine.errors import ConfigError
from engine.events import Run, Step
from engine.fields.scene import Scene
from engine.methods.options import FitOptions as FitOptions
from engine.methods.options import KeepOptions as KeepOptions
from engine.methods.options import Mode as Mode
from engine.methods.options import RenoiseOptions as RenoiseOptions
from engine.methods.options import SampleOptions as SampleOptions
from engine.noise import Noise
from engine.render.region import Region
from engine.types import Views


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
    """Of "generate", "reconstruct", "interpolate" (which means that it has `invert`), "regenerate" (`regenerate`)."""
    latent_shape: tuple[int, ...]
    """Shape of one scene's latent."""
    max_views: int = 32
    """Most views `reconstruct` accepts."""


@dataclass(frozen=True)
class TrainingData:
    """What a prior was trained on."""

    category: Annotated[str, Bounds(1, 100)] | None = None
    """Name of the procedural category; None for other data."""
    distance: Annotated[float, Bounds(0.01, 100.0)] = 1.3
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
            num_scenes: How many; scene i is what `Noise(noise.seed + i)` alone would give, on the CPU bit for bit.
            options: Settings.
            noise: Randomness.
            x_T: Starting noise, `num_scenes *latent_shape`, instead of the seeds' own. All scenes then share the draws
                of `noise.seed`, so that neighbours on a path differ by their noise alone.
            after: A step of an earlier run to go on from: with the same settings, seed and kernels (those
                compile in the first seconds of a process) bit for bit as that run did.

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


@runtime_checkable
class Regenerative(Method, Protocol):
    """A method that draws an object anew but for a part of it; only those with the task "regenerate" do."""

    def regenerate(
        self,
        latent: Tensor,
        region: Region,
        options: KeepOptions,
        noise: Noise,
        *,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """One proposal: the object as it is in the region, the rest as the prior has it; stages as in `reconstruct`.

        Every Step carries what `reconstruct`'s do; the scalars, once the kept part guides, are "psnr" on pixels of the
        kept part (while finetuning, on the proposal's own beside them) and "guidance_norm". Seeds give proposals.

        Args:
            latent: The object, activated, `latent_shape`.
            region: What to keep, over the box of the object's field: a pixel stays whose first surface lies in it.
            options: Settings.
            noise: Randomness.
            after: A step of an earlier run of the same object and region to go on from, as in `generate`.

        Returns:
            `1 *latent_shape`. Texels that serve nothing but the kept part are bit for bit the object's.

        Raises:
            RegionError: If the object shows nothing in the region, or nothing outside it.
        """
        ...


STAGES = ("denoise", "guide", "langevin", "renoise", "finetune")
"""Of runs, in their order in time; Langevin corrections come between the steps that they correct."""


def before(step: Step | None, stage: str) -> bool:
    """Whether a run that goes on from `step` (None: that begins) has all of `stage` before it."""
    return step is None or STAGES.index(step.stage) < STAGES.index(stage)


def reached(step: Step) -> Tensor:
    """The state that a run which goes on from `step` starts from."""
    return step.latent if step.stage == "renoise" else step.noisy_latent


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
