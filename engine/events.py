"""Steps and runs: how slow work reports itself.

Slow work is a generator that yields `Step` and returns its result. Whoever pulls it decides what to show; pausing is
not pulling, cancelling is `close()`. Nothing is yielded inside `torch.no_grad()` or `autocast` blocks (decorate the
generator with `@torch.no_grad()` instead), and what is yielded is detached.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a run.

    Attributes:
        stage: What is being done: "guide", "denoise", "renoise", "finetune", "render", "train", "dataset", ...
        index: Steps of this stage finished, this one included (1 .. total).
        total: Steps this stage will have.
        latent: What is rendered: scene latents as predicted now, `scenes *latent_shape`; what `method.scene` takes.
            Detached.
        noisy_latent: x_t after the step, shaped like `latent` (a noisy state of another shape belongs to `state`); in stage
            "renoise", where the state after the step is `latent` itself, what that was renoised to before it.
        t: Level of x_t in the method's own count (a timestep, or EDM's sigma; -1 is clean data), or None.
        log_snr: Log signal-to-noise ratio of x_t, natural logarithm; None for clean data and where there is no noise.
        state: What else a run needs to go on from here, as a run given this step does: tensors, one row per scene, and
            whole numbers. Detached.
        scalars: Numbers worth plotting, by name.
        item: Anything else a consumer may show (an image row, a file path).
    """

    stage: str
    index: int
    total: int
    latent: Any = None
    noisy_latent: Any = None
    t: int | float | None = None
    log_snr: float | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    scalars: Mapping[str, float] = field(default_factory=dict)
    item: Any = None


STAGES = {
    "denoise": "Denoising",
    "guide": "Guided denoising",
    "langevin": "Langevin correction",
    "renoise": "Renoise-averaging",
    "sample": "Sampling",
    "fit": "Fitting",
    "finetune": "Finetuning",
}
"""Stages of the runs that make objects, in their order in time, with their names for people; Langevin corrections come
between the steps that they correct."""

Run = Generator[Step, None, T]
"""Yields `Step`s, returns a `T`; compose with `yield from`."""


def finish(run: Run[T], on_step: Callable[[Step], object] = lambda step: None) -> T:
    """Pull a run to its end.

    Args:
        run: The run.
        on_step: Called with every step.

    Returns:
        What the run returned.
    """
    while True:
        try:
            on_step(next(run))
        except StopIteration as stop:
            return stop.value
