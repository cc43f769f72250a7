"""The contract of methods: what one offers the explorer, the command line, the trainer and the scoreboard.

A method owns its latents, losses, inner loops and settings; the engine owns everything else. `latent` always means a
batch of activated scene latents, `scenes *latent_shape`: what is rendered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from engine.config import Bounds
from engine.errors import ConfigError, UnsupportedTaskError, plain
from engine.events import STAGES, Run, Step
from engine.fields.scene import Scene
from engine.methods.options import controls_of, with_settings
from engine.noise import Noise
from engine.render.region import Region
from engine.types import Views

Task = Literal["generate", "reconstruct", "complete"]
"""Tasks by which a method makes objects; each has options of its own."""


@dataclass(frozen=True)
class Capabilities:
    """Declared abilities of a method; the page, the command line and the scoreboard offer nothing else."""

    generate: str = ""
    """Source of sampled objects, in words ("prior"); empty if the method does not sample."""
    max_views: int = 0
    """Most posed views that `reconstruct` takes; 0 where it takes none."""
    interpolate: tuple[str, ...] = ()
    """Spaces in which objects are blended: "noise" (which means that it has `invert`), "latent", or the name of a part of
    the latent that can be blended alone."""
    complete: bool = False
    """True if it has `complete`."""
    edit: tuple[str, ...] = ()
    """Parts of the latent that two objects can exchange, in the order of the latent's first axis."""


@dataclass(frozen=True)
class MethodInfo:
    """Name, shape and capabilities of a method."""

    name: str
    """Key in METHODS."""
    title: str
    """Name for people."""
    paper: str
    """arXiv id."""
    latent_shape: tuple[int, ...]
    """Shape of one scene's latent."""
    capabilities: Capabilities = Capabilities()
    limit: float = math.inf
    """Largest size of a latent's numbers; what goes beyond, as a sum of directions may, is clamped."""


@dataclass(frozen=True)
class TrainingData:
    """Training data of a model."""

    category: Annotated[str, Bounds(1, 100)] | None = None
    """Name of the procedural category; None for other data."""
    distance: Annotated[float, Bounds(0.01, 100.0)] = 1.3
    """Distance of the training cameras from the object's centre, SRN units."""


@runtime_checkable
class Method(Protocol):
    """A trained method, ready for the tasks that its capabilities name."""

    info: MethodInfo
    presets: dict[str, dict[str, Any]]
    """Options by task, then by preset (`ours`, the first, and `paper`): those of the checkpoint, for one view."""
    data: TrainingData
    """Data that it was trained on."""
    checkpoint: str | None
    """Name of the checkpoint the method was opened from."""
    mean_latent: Tensor
    """Mean of the training latents (activated)."""
    directions: Tensor
    """The main directions of the training latents, `n *latent_shape`, scaled to one standard deviation."""
    gallery: Tensor
    """Some training latents, `n *latent_shape`."""

    def scene(self, latent: Tensor, **provenance) -> Scene:
        """Wrap one activated latent (`latent_shape`) as a renderable scene; cheap."""
        ...

    def for_views(self, options: Any, num_views: int) -> Any:
        """Options of `reconstruct` for one view made fit for several.

        Raises:
            ConfigError: If there is no view.
        """
        ...

    def generate(
        self,
        num_scenes: int,
        options: Any,
        noise: Noise,
        *,
        x_T: Tensor | None = None,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """Sample scenes.

        Every Step carries `latent` (the prediction of the whole batch), where there is noise `noisy_latent` and its level,
        and what `after` needs.

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

        Raises:
            UnsupportedTaskError: If it draws no objects.
        """
        ...

    def reconstruct(
        self, views: Views, options: Any, noise: Noise, *, after: Step | None = None
    ) -> Run[Tensor]:
        """Fit one scene to posed views.

        Every Step carries `latent` (`1 *latent_shape`), the scalar "psnr" on the inputs where it is known, and what
        `after` needs: an earlier run is gone on with as in `generate`. Returns `1 *latent_shape`.

        Raises:
            UnsupportedTaskError: If it takes no views, or fewer.
        """
        ...

    def starting_noise(self, num_scenes: int, noise: Noise) -> Tensor:
        """The `x_T` that `generate` starts from, `num_scenes *latent_shape`."""
        ...


@runtime_checkable
class Invertible(Method, Protocol):
    """A method that also finds the noise an object comes from; only those that interpolate in "noise" do."""

    def invert(self, latents: Tensor, steps: int = 100) -> Run[Tensor]:
        """The `x_T` from which `generate` with `inverse_options` of as many steps returns `latents`: stage "invert".

        Args:
            latents: Activated latents, `n *latent_shape`, wherever they come from.
            steps: Noise levels.

        Returns:
            `n *latent_shape`; of unit variance only where the prior could have drawn the object.
        """
        ...

    def inverse_options(self, steps: int, like: Any = None) -> Any:
        """Options of `generate` that undo an inversion of `steps` levels, in all else as `like` where it is given."""
        ...


@runtime_checkable
class Completing(Method, Protocol):
    """A method that samples an object anew but for a part of it; only those with the capability "complete" do."""

    def complete(
        self,
        latent: Tensor,
        region: Region,
        options: Any,
        noise: Noise,
        *,
        after: Step | None = None,
    ) -> Run[Tensor]:
        """One proposal: the object as it is in the region, the rest drawn by the model; stages as in `reconstruct`.

        Every Step carries what `reconstruct`'s do; the scalars, once the kept part guides, are "psnr" on pixels of the
        kept part (while finetuning, on the proposal's own beside them) and "guidance_norm". Seeds give proposals.

        Args:
            latent: The object, activated, `latent_shape`.
            region: What to keep, over the box of the object's field: a pixel stays whose first surface lies in it.
            options: Settings.
            noise: Randomness.
            after: A step of an earlier run of the same object and region to go on from, as in `generate`.

        Returns:
            `1 *latent_shape`. What serves nothing but the kept part is bit for bit the object's.

        Raises:
            RegionError: If the object shows nothing in the region, or nothing outside it.
        """
        ...


_ORDER = tuple(STAGES)


def before(step: Step | None, stage: str) -> bool:
    """True if a run that goes on from `step` (None: that begins) has all of `stage` before it."""
    return step is None or _ORDER.index(step.stage) < _ORDER.index(stage)


def reached(step: Step) -> Tensor:
    """The state that a run which goes on from `step` starts from."""
    return step.latent if step.stage == "renoise" else step.noisy_latent


def taken(step: Step | None, stage: str) -> int:
    """Steps of `stage` that a run which goes on from `step` has taken when it comes there."""
    return step.index if step is not None and step.stage == stage else 0


def options_of(method: Method, task: Task, mode: str = "ours") -> Any:
    """The method's options of a task, for one view: the preset of that name, or the first one if there is none.

    `ours` is what was found to be best on validation scenes, `paper` the published procedure.

    Raises:
        UnsupportedTaskError: If the method does not have the task.
    """
    check_task(method, task)
    presets = method.presets[task]
    return presets.get(mode, next(iter(presets.values())))


def chosen_options(method: Method, task: Task, preset: str, changes: Mapping[str, Any]) -> Any:
    """The method's options of a task, for one view: a preset with some settings changed by name.

    Raises:
        UnsupportedTaskError: If the method does not have the task.
        ConfigError: If there is no such preset or setting, or a value is none of its setting's.
    """
    usual = options_of(method, task, preset)
    if preset not in method.presets[task]:
        known = ", ".join(method.presets[task])
        raise ConfigError(f"Found the preset {plain(preset, 40)}, expected one of {known}.")
    return with_settings(usual, changes, controls_of(type(usual)))


def fit_options_for(method: Method, mode: str, num_views: int) -> Any:
    """The method's tuned options of `reconstruct`, for a number of views."""
    return method.for_views(options_of(method, "reconstruct", mode), num_views)


def can(method: Method, task: Task) -> bool:
    """True if a method has a task."""
    told = method.info.capabilities
    return bool(
        {"generate": told.generate, "reconstruct": told.max_views, "complete": told.complete}[task]
    )


def check_task(method: Method, task: Task, num_views: int = 0) -> None:
    """Refuse what a method cannot do.

    Raises:
        UnsupportedTaskError: If it does not have the task, or takes fewer views.
    """
    info = method.info
    if not can(method, task):
        able = [name for name in ("generate", "reconstruct", "complete") if can(method, name)]
        raise UnsupportedTaskError(
            f"found the method {info.title}, which can {' and '.join(able) or 'only show objects'} but not {task}; choose "
            "another model."
        )
    most = info.capabilities.max_views
    if num_views > most and task == "reconstruct":
        raise UnsupportedTaskError(
            f"found {num_views} views, expected at most {most}; leave some out."
        )


def check_views(num_views: int) -> None:
    """Refuse a reconstruction from nothing.

    Raises:
        ConfigError: If there is no view.
    """
    if num_views < 1:
        raise ConfigError(f"Found {num_views} views, expected at least one; give a picture.")
