"""Latents under optimisation: per-scene raw latents with their own Adam state and occupancy grids.

Source: SSDNeRF's per-scene cache (spec section 1.1). Adam's step counters are per scene and persist across visits;
the learning rate is always the current one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass
class LatentRecords:
    """Latents under optimisation, with their state.

    Attributes:
        raw: Raw (pre-activation) latents.
        first_moment: Adam's running mean of the gradient.
        second_moment: Adam's running mean of its square.
        steps: Adam steps taken by each scene.
        grid: Occupancy grids.
    """

    raw: Float[Tensor, "scenes 3 channels rows cols"]
    first_moment: Float[Tensor, "scenes 3 channels rows cols"]
    second_moment: Float[Tensor, "scenes 3 channels rows cols"]
    steps: Int[Tensor, " scenes"]
    grid: Float[Tensor, "scenes gx gy gz"]

    @classmethod
    def fresh(
        cls,
        raw: Float[Tensor, "scenes 3 channels rows cols"],
        grid_shape: tuple[int, int, int],
        grid_dtype: torch.dtype = torch.float32,
    ) -> LatentRecords:
        """Records that have taken no step and seen no density."""
        scenes = raw.shape[0]
        return cls(
            raw=raw,
            first_moment=torch.zeros_like(raw),
            second_moment=torch.zeros_like(raw),
            steps=torch.zeros(scenes, dtype=torch.long, device=raw.device),
            grid=torch.zeros(scenes, *grid_shape, dtype=grid_dtype, device=raw.device),
        )

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
        steps = self.steps[:, None, None, None, None].to(torch.float64)
        self.first_moment.lerp_(gradient, 1 - beta1)
        self.second_moment.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        size = (rate / (1 - beta1**steps)).to(gradient.dtype)
        correction = (1 - beta2**steps).sqrt().to(gradient.dtype)
        denominator = (self.second_moment.sqrt() / correction).add_(eps)
        self.raw = self.raw - size * self.first_moment / denominator
