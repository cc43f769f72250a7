"""The noise schedule and the algebra between x0, eps and v.

Notation: `alpha_bar` is the kept signal power, `signal = sqrt(alpha_bar)`, `sigma = sqrt(1 - alpha_bar)`,
`x_t = signal * x0 + sigma * eps`, `v = signal * eps - sigma * x0`. Timesteps run from 0 (cleanest) to T - 1; -1 stands
for clean data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.config import Bounds
from engine.errors import ConfigError

Beta = Annotated[float, Bounds(1e-8, 0.999)]
MOST_NOISE = 64.0
"""Largest -log of the signal power that is left at the end: beyond, a state knows nothing of what it came from."""


@dataclass(frozen=True)
class Schedule:
    """DDPM's linear schedule (2006.11239), the one every SSDNeRF config uses."""

    timesteps: Annotated[int, Bounds(1, 10_000)] = 1000
    """T."""
    beta_start: Beta = 1e-4
    """First beta."""
    beta_end: Beta = 2e-2
    """Last beta."""

    def check(self) -> None:
        """Refuse noise that leaves nothing of an object."""
        largest = max(self.beta_start, self.beta_end)
        if -self.timesteps * math.log1p(-largest) > MOST_NOISE:
            raise ConfigError(
                f"Found {self.timesteps} timesteps of up to {largest:g} noise each, which leave nothing of an object; "
                "expected fewer or smaller ones."
            )

    @cached_property
    def betas(self) -> Float[Tensor, " T"]:
        """Variance added by each step, float64."""
        return torch.from_numpy(np.linspace(self.beta_start, self.beta_end, self.timesteps))

    @cached_property
    def alpha_bar(self) -> Float[Tensor, " T"]:
        """Signal power left at each timestep, float64."""
        return torch.cumprod(1 - self.betas, 0)

    @cached_property
    def tilde_betas(self) -> Float[Tensor, " T"]:
        """Posterior variances, float64."""
        before = torch.cat([self.alpha_bar.new_ones(1), self.alpha_bar[:-1]])
        return self.betas * (1 - before) / (1 - self.alpha_bar)

    @cached_property
    def _moved(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}

    def _tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """`_signals` and `_sigmas` on a device, where they stay (a CUDA graph cannot fetch them)."""
        if device not in self._moved:
            self._moved[device] = self._signals.to(device), self._sigmas.to(device)
        return self._moved[device]

    @cached_property
    def _signals(self) -> Float[Tensor, " T1"]:
        """sqrt(alpha_bar) in float32, and last, where index -1 reads it, that of clean data."""
        return torch.cat([self.alpha_bar.sqrt(), self.alpha_bar.new_ones(1)]).float()

    @cached_property
    def _sigmas(self) -> Float[Tensor, " T1"]:
        """sqrt(1 - alpha_bar) in the same way."""
        return torch.cat([(1 - self.alpha_bar).sqrt(), self.alpha_bar.new_zeros(1)]).float()

    def signal(self, t: Int[Tensor, " b"]) -> Float[Tensor, "b 1 1 1"]:
        """sqrt(alpha_bar) of each timestep (1 at t = -1), float32, ready to broadcast over images."""
        return self._tables(t.device)[0][t][:, None, None, None]

    def sigma(self, t: Int[Tensor, " b"]) -> Float[Tensor, "b 1 1 1"]:
        """sqrt(1 - alpha_bar) of each timestep (0 at t = -1), float32, ready to broadcast over images."""
        return self._tables(t.device)[1][t][:, None, None, None]

    def half_log_snr(self, t: int) -> float:
        """log(signal / sigma) of a timestep: the time in which samplers take their steps."""
        kept = float(self.alpha_bar[t])
        return 0.5 * math.log(kept / (1 - kept))

    def sampling_steps(self, steps: int) -> list[tuple[int, int]]:
        """`(t, t_next)` pairs of a strided sampler, from T - 1 down to -1.

        Source: spec section 5.1, `trunc(arange(T - 1, -1, -T / steps))`, in float32 as in the official code.
        """
        times = (
            torch.arange(self.timesteps - 1, -1, -self.timesteps / steps).long()[:steps].tolist()
        )
        return list(zip(times, [*times[1:], -1], strict=True))

    def diffuse(
        self, x0: Float[Tensor, "b c h w"], eps: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """x_t."""
        return self.signal(t) * x0 + self.sigma(t) * eps

    def v_target(
        self, x0: Float[Tensor, "b c h w"], eps: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """What a v-predicting network should answer."""
        return self.signal(t) * eps - self.sigma(t) * x0

    def x0_from_v(
        self, x_t: Float[Tensor, "b c h w"], v: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """Clean data from a noisy state and v."""
        return self.signal(t) * x_t - self.sigma(t) * v

    def eps_from_x0(
        self, x_t: Float[Tensor, "b c h w"], x0: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The noise that takes `x0` to `x_t`."""
        return (x_t - self.signal(t) * x0) / self.sigma(t)

    def snr_weight(self, t: Int[Tensor, " b"], power: float) -> Float[Tensor, " b"]:
        """Weight of the squared v error: (signal / sigma)^(2 power) * sigma^2. Source: SSDNeRF eq. 6."""
        signal, sigma = self.signal(t).flatten(), self.sigma(t).flatten()
        return (signal / sigma) ** (2 * power) * sigma**2

    def sampling_probabilities(self, power: float, share: float = 0.0) -> Float[Tensor, " T"]:
        """Chance of drawing each timestep, proportional to `snr_weight(t, power) ** share`, float64.

        Losses of timesteps drawn so are weighted by `snr_weight / (T * probability)`, which keeps their expectation.
        Source: the official `SNRWeightedTimeStepSampler`; every released config has share 0, which is uniform.
        """
        snr = self.alpha_bar / (1 - self.alpha_bar)
        weights = (snr**power * (1 - self.alpha_bar)) ** share
        return weights / weights.sum()
