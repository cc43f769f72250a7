"""Latents under optimisation: per-scene raw latents of any rank with their own Adam state.

Source: the per-scene cache of 2304.06714's official code. Adam's step counters are per scene and persist across visits;
the learning rate is always the current one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.errors import EngineError
from engine.events import Step


@dataclass
class LatentRecords:
    """Latents under optimisation, with their state.

    Attributes:
        raw: Raw (pre-activation) latents.
        first_moment: Adam's running mean of the gradient.
        second_moment: Adam's running mean of its square.
        steps: Adam steps taken by each scene.
        grid: Occupancy grids, for methods that keep any.
    """

    raw: Float[Tensor, " scenes *latent"]
    first_moment: Float[Tensor, " scenes *latent"]
    second_moment: Float[Tensor, " scenes *latent"]
    steps: Int[Tensor, " scenes"]
    grid: Float[Tensor, "scenes gx gy gz"] | None = None

    @classmethod
    def fresh(
        cls,
        raw: Float[Tensor, " scenes *latent"],
        grid_shape: tuple[int, int, int] | None = None,
        grid_dtype: torch.dtype = torch.float32,
    ) -> LatentRecords:
        """Records that have taken no step and, where they have a grid, seen no density."""
        scenes, device = raw.shape[0], raw.device
        grid = None
        if grid_shape is not None:
            grid = torch.zeros(scenes, *grid_shape, dtype=grid_dtype, device=device)
        return cls(
            raw=raw,
            first_moment=torch.zeros_like(raw),
            second_moment=torch.zeros_like(raw),
            steps=torch.zeros(scenes, dtype=torch.long, device=device),
            grid=grid,
        )

    @classmethod
    def after(cls, step: Step, device: torch.device | str) -> LatentRecords:
        """Records that a step holds, its latent raw and the others in its state; a file may have told anything of them.

        Raises:
            EngineError: If they are no such records.
        """
        told, parts = {"raw": step.latent, **step.state}, {}
        for name, value in cls.fresh(step.latent).tensors().items():
            found = told.get(name)
            if not isinstance(found, Tensor) or found.shape != value.shape:
                raise EngineError(
                    f"{step.stage} step {step.index}: found no {name} of a fit; choose another step to go on from."
                )
            parts[name] = found.to(value.dtype).to(device, copy=True)
        return cls(**parts)

    def tensors(self) -> dict[str, Tensor]:
        """The fields that these records have, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    @torch.no_grad()
    def adam(
        self,
        gradient: Tensor,
        rate: float | Tensor,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        """One Adam step of every scene (1412.6980, Algorithm 1, as torch.optim.Adam computes it)."""
        self.steps += 1
        steps = self.steps.reshape(-1, *[1] * (self.raw.dim() - 1)).to(torch.float64)
        self.first_moment.lerp_(gradient, 1 - beta1)
        self.second_moment.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        size = (rate / (1 - beta1**steps)).to(gradient.dtype)
        correction = (1 - beta2**steps).sqrt().to(gradient.dtype)
        denominator = (self.second_moment.sqrt() / correction).add_(eps)
        self.raw = self.raw - size * self.first_moment / denominator
