"""What runs are made with, by their kind; and which stages a run will have: for progress and time left."""

from __future__ import annotations

from collections.abc import Mapping

from app.session.jobs import Plan
from engine.methods.base import FitOptions, KeepOptions, SampleOptions

Options = SampleOptions | FitOptions | KeepOptions
OPTIONS: Mapping[str, type[Options]] = {
    "generate": SampleOptions,
    "reconstruct": FitOptions,
    "regenerate": KeepOptions,
    "blend": SampleOptions,
}
"""Of the runs that can be gone on with, by the kind of their record."""


def plan(options: Options) -> Plan:
    """Stages of a sampling run, a reconstruction, or one proposal, with their numbers of steps."""
    if isinstance(options, KeepOptions):
        options = options.fit
    renoise = (("renoise", options.renoise.steps),) if options.mode == "ours" else ()
    if isinstance(options, SampleOptions):
        return (("denoise", options.steps), *renoise)
    corrections = max(options.steps - 1, 0) * options.langevin_steps
    langevin = (("langevin", corrections),) if corrections else ()
    return (("guide", options.steps), *langevin, *renoise, ("finetune", options.finetune_steps))
