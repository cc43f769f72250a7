"""The toy's settings: one frozen dataclass for training and one for each task.

A field with a `Control` is shown on the page and set by name; `Bounds` are what pages, commands and files are held to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from engine.config import Bounds, check_bounds
from engine.diffusion.sample import Sampler
from engine.methods.options import Control, Plan

TIMESTEPS = 400
"""Noise levels of its schedule."""


@dataclass(frozen=True)
class TrainOptions:
    """Settings of training."""

    rays: int = 256
    """Rays of each scene in an iteration."""
    rate: float = 3e-2
    """Adam's rate on the blobs' numbers."""


@dataclass(frozen=True)
class DrawOptions:
    """Settings of `generate` and `complete`."""

    sampler: Annotated[
        Sampler, Control("Sampler", "How noise levels are walked.", branch=True)
    ] = "dpm++2m"  # fmt: skip
    """Solver of the sampling equation."""
    steps: Annotated[
        int,
        Bounds(1, TIMESTEPS),
        Control("Steps", "Steps from noise to a car.", low=1, high=100, step=1),
    ] = 12
    """Noise levels visited."""
    spread: Annotated[
        float,
        Bounds(0.0, 3.0),
        Control("Spread", "How far cars stray from the mean one.", "s", high=2, step=0.05, branch=True),
    ] = 1.0  # fmt: skip
    """Standard deviation of what is drawn, in that of the training scenes."""

    def __post_init__(self):
        check_bounds(self)

    def stages(self) -> Plan:
        """One."""
        return (("denoise", self.steps),)

    def least(self) -> DrawOptions:
        """One step."""
        return replace(self, steps=1)


@dataclass(frozen=True)
class MatchOptions:
    """Settings of `reconstruct`: guided sampling, then Adam on the blobs."""

    levels: Annotated[
        int,
        Bounds(1, TIMESTEPS),
        Control("Noise levels", "Guided steps from noise to a car.", low=1, high=100, step=1),
    ] = 12
    """Noise levels visited."""
    pull: Annotated[
        float,
        Bounds(0.0, 1e6),
        Control("Pull", "How hard each step is drawn to your pictures.", "p", high=1e4, branch=True),
    ] = 1e3  # fmt: skip
    """Weight of the pictures' mean squared error as a log-likelihood."""
    rounds: Annotated[
        int,
        Bounds(0, 10_000),
        Control("Adam steps", "Steps on the blobs after sampling.", high=100, step=1),
    ] = 12
    """Steps of Adam, for one picture."""
    rate: Annotated[
        float, Bounds(0.0, 1.0), Control("Rate", "Adam's step size on the blobs' numbers.", branch=True)
    ] = 4e-2  # fmt: skip
    """Adam's rate."""
    rays: Annotated[int, Bounds(16, 65_536)] = 512
    """Pixels that each step looks at."""

    def __post_init__(self):
        check_bounds(self)

    def stages(self) -> Plan:
        """Guided sampling, then fitting."""
        return (("guide", self.levels), ("fit", self.rounds))

    def least(self) -> MatchOptions:
        """One step of both."""
        return replace(self, levels=1, rounds=1, rays=16)
