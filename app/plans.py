"""Which stages a run will have, and how many steps of each: for progress and time left."""

from __future__ import annotations

from app.jobs import Plan
from engine.methods.base import FitOptions, SampleOptions


def plan(options: SampleOptions | FitOptions) -> Plan:
    """Stages of a sampling run or of a reconstruction."""
    renoise = (("renoise", options.renoise.steps),) if options.mode == "ours" else ()
    if isinstance(options, SampleOptions):
        return (("denoise", options.steps), *renoise)
    corrections = max(options.steps - 1, 0) * options.langevin_steps
    langevin = (("langevin", corrections),) if corrections else ()
    return (("guide", options.steps), *langevin, *renoise, ("finetune", options.finetune_steps))
