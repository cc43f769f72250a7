"""A method's side of training: stages, weights with their rates, latents of scenes, and one iteration.

The trainer (`engine.training.loop`) owns batches, learning-rate schedules, averages and files; everything between a batch
and the next step of the weights is the method's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.methods.optimise import LatentRecords
from engine.noise import Noise
from engine.types import SceneBatch


class Stage(NamedTuple):
    """A part of training, which has its own warm-up and decay of the rates."""

    name: str
    """Of the method's choosing."""
    first: int = 0
    """First iteration; the stage ends where the next one begins."""


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that one optimiser trains: Adam, or AdamW where they decay."""

    parameters: Sequence[nn.Parameter]
    rate: float
    """Learning rate before warm-up and decay."""
    weight_decay: float = 0.0


@runtime_checkable
class Trainable(Protocol):
    """A method that can be trained: a torch module that is made from its config alone.

    `options` are the method's own training settings, the recipe's `train`.
    """

    config: Any
    """Config that it was made from."""
    network_dtype: torch.dtype | None
    """Precision of the networks' arithmetic; None for float32."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        ...

    def stages(self, options: Any, iterations: int) -> Sequence[Stage]:
        """The parts of a run of so many iterations, in order; the first begins at iteration 0."""
        ...

    def begin_stage(self, stage: str, records: LatentRecords | None) -> None:
        """Prepare for a stage, before its first iteration; what it leaves behind must be in the state dict.

        Args:
            stage: Its name.
            records: Latents of all scenes as they are now, or None where the method keeps none.
        """
        ...

    def bank(self, scenes: int, noise: Noise, options: Any) -> LatentRecords | None:
        """Latents of scenes that were never visited, on the CPU; None for a method that keeps nothing per scene."""
        ...

    def parameter_groups(self, options: Any) -> dict[str, ParameterGroup]:
        """Weights to be trained, by name of their optimiser."""
        ...

    def training_step(
        self,
        batch: SceneBatch,
        records: LatentRecords | None,
        optimizers: Mapping[str, torch.optim.Optimizer],
        options: Any,
        step: int,
        noise: Noise,
        rate_factor: float | Tensor = 1.0,
    ) -> dict[str, Tensor]:
        """One iteration: update the weights by `optimizers`, and `records` in place.

        Args:
            batch: All views of some scenes.
            records: Their latents and Adam state.
            optimizers: One of each parameter group, with their current rates.
            options: Settings.
            step: Iteration, from 0.
            noise: Randomness of this iteration.
            rate_factor: Share of the full rates at this iteration, without warm-up: for the latents.

        Returns:
            Numbers to log, each a tensor of one element.
        """
        ...

    def iteration_kind(self, options: Any, step: int) -> Hashable | None:
        """A key of the operations that an iteration consists of: those of equal keys can be one CUDA graph.

        None where an iteration cannot be captured: its shapes vary, or it waits for the GPU.
        """
        ...

    def networks(self) -> Hashable:
        """Everything that must be equal for weights to mean the same; a run may start from such weights."""
        ...

    def activated(self, raw: Float[Tensor, " n *latent"]) -> Float[Tensor, " n *latent"]:
        """Latents from raw ones."""
        ...

    def deactivated(self, latents: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Raw latents that `activated` takes to these."""
        ...

    def finish(self, raw: Float[Tensor, " scenes *latent"]) -> None:
        """Keep what generating and reconstructing need to know of the raw latents of all visited scenes."""
        ...


class LatentStatistics(NamedTuple):
    """Statistics of training latents."""

    mean: Float[Tensor, " *latent"]
    directions: Float[Tensor, " directions *latent"]
    """Principal components, each as long as one standard deviation along it."""
    gallery: Float[Tensor, " some *latent"]
    """Some of the latents."""


def latent_statistics(
    latents: Float[Tensor, " scenes *latent"], directions: int = 8, gallery: int = 16
) -> LatentStatistics:
    """Mean, at most so many principal directions, and a gallery spread evenly over the scenes."""
    mean = latents.mean(0)
    flat = (latents - mean).flatten(1)
    keep = min(directions, len(flat))
    # eigenvectors of the small Gram matrix: scenes are far fewer than texels
    values, vectors = torch.linalg.eigh((flat @ flat.T).double() / max(1, len(flat) - 1))
    top = vectors[:, -keep:].flip(1).float()
    axes = torch.nn.functional.normalize(top.T @ flat, dim=1)
    deviation = values[-keep:].flip(0).clamp_min(0).sqrt().float()
    scaled = (axes * deviation[:, None]).reshape(keep, *latents.shape[1:])
    picked = torch.linspace(0, len(latents) - 1, min(gallery, len(latents))).long()
    return LatentStatistics(mean, scaled, latents[picked].clone())
