"""Noise levels, DDPM's and EDM's, and the algebra between x0, eps and v.

Notation: a state at level `t` is `x_t = signal * x0 + sigma * eps`. In a chain of T timesteps levels are whole numbers
from T - 1 (noisiest) to 0, `alpha_bar` is the kept signal power, `signal = sqrt(alpha_bar)`, `sigma = sqrt(1 - alpha_bar)`,
and `v = signal * eps - sigma * x0`. EDM's levels are sigma itself, and its signal is 1. Level -1 is clean data in both.

Tables are float64, what multiplies states float32. States have any shape behind their batch dimension.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int, Real
from torch import Tensor

from engine.config import Bounds
from engine.errors import ConfigError

MOST_BETA = 0.999
"""Largest share of a state's variance that one timestep may replace."""
MOST_NOISE = 64.0
"""Largest -log of the signal power that is left at the end: beyond, a state knows nothing of what it came from."""

Timesteps = Annotated[int, Bounds(1, 10_000)]
Beta = Annotated[float, Bounds(1e-8, MOST_BETA)]
Sigma = Annotated[float, Bounds(1e-6, 1e6)]
Level = int | float
"""A timestep, or EDM's sigma; -1 is clean data."""


class Levels(ABC):
    """Noise levels, as samplers know them."""

    @abstractmethod
    def signal(self, t: Real[Tensor, " b"], ndim: int = 4) -> Float[Tensor, " b *ones"]:
        """Scale of x0 at each level, with `ndim` dimensions (images: 4), ready to broadcast over a batch of states."""

    @abstractmethod
    def sigma(self, t: Real[Tensor, " b"], ndim: int = 4) -> Float[Tensor, " b *ones"]:
        """Scale of the noise at each level (0 at -1), in the same way."""

    @abstractmethod
    def half_log_snr(self, t: Level) -> float:
        """log(signal / sigma) of a noisy level: the time in which multistep samplers take their steps."""

    @abstractmethod
    def sampling_steps(self, steps: int, start: Level | None = None) -> list[tuple[Level, Level]]:
        """`(t, t_next)` of each step from the noisiest level, or from `start`, down to clean data.

        Raises:
            ConfigError: If there are no such steps from `start`.
        """

    def posterior_variance(self, t: Level) -> float:
        """Variance of the chain's state before `t`, given the one at `t` and x0.

        Raises:
            ConfigError: If the levels are no chain.
        """
        raise ConfigError(
            f"Found noise to add at level {t:g} of levels without a chain, expected none; set eta to 0."
        )

    def diffuse(
        self,
        x0: Float[Tensor, " b *state"],
        eps: Float[Tensor, " b *state"],
        t: Real[Tensor, " b"],
    ) -> Float[Tensor, " b *state"]:
        """The noisy state x_t."""
        return self.signal(t, x0.ndim) * x0 + self.sigma(t, x0.ndim) * eps

    def eps_from_x0(
        self,
        x_t: Float[Tensor, " b *state"],
        x0: Float[Tensor, " b *state"],
        t: Real[Tensor, " b"],
    ) -> Float[Tensor, " b *state"]:
        """The noise that takes `x0` to `x_t`."""
        return (x_t - self.signal(t, x0.ndim) * x0) / self.sigma(t, x0.ndim)

    def x0_from_eps(
        self,
        x_t: Float[Tensor, " b *state"],
        eps: Float[Tensor, " b *state"],
        t: Real[Tensor, " b"],
    ) -> Float[Tensor, " b *state"]:
        """Clean data from a noisy state and its noise."""
        return (x_t - self.sigma(t, x_t.ndim) * eps) / self.signal(t, x_t.ndim)


class Chain(Levels):
    """DDPM's chain of T timesteps (2006.11239): all that follows from its betas."""

    timesteps: int
    betas: Float[Tensor, " T"]

    @cached_property
    def alpha_bar(self) -> Float[Tensor, " T"]:
        """Signal power left at each timestep, float64."""
        return torch.cumprod(1 - self.betas, 0)

    @cached_property
    def tilde_betas(self) -> Float[Tensor, " T"]:
        """Posterior variances, float64."""
        before = torch.cat([self.alpha_bar.new_ones(1), self.alpha_bar[:-1]])
        return self.betas * (1 - before) / (1 - self.alpha_bar)

    def posterior_variance(self, t: Level) -> float:
        """tilde_beta of a timestep."""
        return float(self.tilde_betas[t])

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

    def signal(self, t: Int[Tensor, " b"], ndim: int = 4) -> Float[Tensor, " b *ones"]:
        """sqrt(alpha_bar) of each timestep (1 at -1). See `Levels.signal`."""
        return _over(self._tables(t.device)[0][t], ndim)

    def sigma(self, t: Int[Tensor, " b"], ndim: int = 4) -> Float[Tensor, " b *ones"]:
        """sqrt(1 - alpha_bar) of each timestep (0 at -1). See `Levels.sigma`."""
        return _over(self._tables(t.device)[1][t], ndim)

    def half_log_snr(self, t: Level) -> float:
        """See `Levels.half_log_snr`."""
        kept = float(self.alpha_bar[t])
        return 0.5 * math.log(kept / (1 - kept))

    def sampling_steps(self, steps: int, start: Level | None = None) -> list[tuple[Level, Level]]:
        """`trunc(arange(T - 1, -1, -T / steps))` and -1, in float32.

        See `Levels.sampling_steps`; with a `start` its number takes the place of T - 1.
        """
        top = self.timesteps - 1 if start is None else start
        if not (0 <= top < self.timesteps and 1 <= steps <= top + 1):
            raise ConfigError(
                f"Found {steps} steps from timestep {top}, expected one to {top + 1} steps, and a start from 0 to "
                f"{self.timesteps - 1}."
            )
        times = torch.arange(top, -1, -(top + 1) / steps).long()[:steps].tolist()
        return list(zip(times, [*times[1:], -1], strict=True))

    def v_target(
        self, x0: Float[Tensor, " b *state"], eps: Float[Tensor, " b *state"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, " b *state"]:
        """The target of a v-predicting network."""
        return self.signal(t, x0.ndim) * eps - self.sigma(t, x0.ndim) * x0

    def x0_from_v(
        self, x_t: Float[Tensor, " b *state"], v: Float[Tensor, " b *state"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, " b *state"]:
        """Clean data from a noisy state and v."""
        return self.signal(t, x_t.ndim) * x_t - self.sigma(t, x_t.ndim) * v

    def snr_weight(self, t: Int[Tensor, " b"], power: float) -> Float[Tensor, " b"]:
        """Weight of the squared v error: (signal / sigma)^(2 power) * sigma^2. Source: 2304.06714, eq. 6."""
        signal, sigma = self.signal(t, 1), self.sigma(t, 1)
        return (signal / sigma) ** (2 * power) * sigma**2

    def sampling_probabilities(self, power: float, share: float = 0.0) -> Float[Tensor, " T"]:
        """Chance of drawing each timestep, proportional to `snr_weight(t, power) ** share`, float64.

        Losses of timesteps drawn so are weighted by `snr_weight / (T * probability)`, which keeps their expectation.
        Source: the official `SNRWeightedTimeStepSampler`; every released config has share 0, which is uniform.
        """
        snr = self.alpha_bar / (1 - self.alpha_bar)
        weights = (snr**power * (1 - self.alpha_bar)) ** share
        return weights / weights.sum()


@dataclass(frozen=True)
class Schedule(Chain):
    """DDPM's linear schedule (2006.11239)."""

    timesteps: Timesteps = 1000
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


@dataclass(frozen=True)
class CosineSchedule(Chain):
    """The cosine schedule of improved DDPM (2102.09672, equation 17)."""

    timesteps: Timesteps = 1000
    """T."""
    offset: Annotated[float, Bounds(0.0, 1.0)] = 0.008
    """s, which keeps the first betas from vanishing."""

    @cached_property
    def betas(self) -> Float[Tensor, " T"]:
        """1 - alpha_bar_t / alpha_bar_(t - 1), at most 0.999, float64."""
        angle = (np.arange(self.timesteps + 1) / self.timesteps + self.offset) / (1 + self.offset)
        kept = np.cos(angle * math.pi / 2) ** 2
        return torch.from_numpy(np.minimum(1 - kept[1:] / kept[:-1], MOST_BETA))


@dataclass(frozen=True)
class EDMSchedule(Levels):
    """EDM's levels (2206.00364, equation 5): any sigma is one, and noise is added to data that keep their scale."""

    sigma_min: Sigma = 0.002
    """The last level above clean data."""
    sigma_max: Sigma = 80.0
    """The noisiest level."""
    rho: Annotated[float, Bounds(1.0, 100.0)] = 7.0
    """The larger, the more of the steps are at low levels."""

    def check(self) -> None:
        """Refuse levels that do not fall."""
        if self.sigma_min >= self.sigma_max:
            raise ConfigError(
                f"Found sigma_min {self.sigma_min:g}, expected less than sigma_max {self.sigma_max:g}."
            )

    def signal(self, t: Real[Tensor, " b"], ndim: int = 4) -> Float[Tensor, " b *ones"]:
        """1. See `Levels.signal`."""
        return _over(torch.ones_like(t, dtype=torch.float32), ndim)

    def sigma(self, t: Real[Tensor, " b"], ndim: int = 4) -> Float[Tensor, " b *ones"]:
        """The level itself. See `Levels.sigma`."""
        return _over(t.float().clamp_min(0), ndim)

    def half_log_snr(self, t: Level) -> float:
        """See `Levels.half_log_snr`."""
        return -math.log(t)

    def sampling_steps(self, steps: int, start: Level | None = None) -> list[tuple[Level, Level]]:
        """Equal steps of sigma^(1 / rho) down to sigma_min, then -1. See `Levels.sampling_steps`."""
        top, root = self.sigma_max if start is None else start, 1 / self.rho
        if top <= self.sigma_min:
            raise ConfigError(
                f"Found sigma {top:g} to start from, expected more than sigma_min {self.sigma_min:g}."
            )
        high, low = top**root, self.sigma_min**root
        levels = [(high + i / max(steps - 1, 1) * (low - high)) ** self.rho for i in range(steps)]
        return list(zip(levels, [*levels[1:], -1], strict=True))


def _over(values: Float[Tensor, " b"], ndim: int) -> Float[Tensor, " b *ones"]:
    """One value per item, ready to broadcast over states of `ndim` dimensions, the batch included."""
    return values.reshape(-1, *[1] * (ndim - 1))
