"""Normally distributed data: the one model whose denoiser is known in closed form.

With mean m and covariance C, and `x_t = signal x0 + sigma eps`, x0 given x_t is normally distributed too, with covariance
`(C^-1 + signal^2 / sigma^2)^-1`. Along an eigenvector of C all of it is a factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor

from engine.diffusion.sample import Estimate
from engine.diffusion.schedule import Levels


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution over states of any shape.

    Attributes:
        mean: Its mean.
        covariance: Of flattened states.
    """

    mean: Float[Tensor, "*state"]
    covariance: Float[Tensor, "numbers numbers"]

    def estimator(self, levels: Levels) -> Estimate:
        """The mean of x0 given x_t, which denoisers are trained to estimate, as samplers take it."""

        def estimate(x_t: Tensor, t: Tensor) -> tuple[Tensor, dict[str, float]]:
            signal, sigma = levels.signal(t, 2), levels.sigma(t, 2)
            variances, _ = self._modes
            gains = signal * variances / (signal**2 * variances + sigma**2)
            off = x_t - levels.signal(t, x_t.ndim) * self.mean
            return self.mean + self._scaled(off, gains), {}

        return estimate

    def shift(
        self, gradient: Float[Tensor, " b *state"], t: Real[Tensor, " b"], levels: Levels
    ) -> Float[Tensor, " b *state"]:
        """Covariance of x0 given x_t, times the gradient of a log-likelihood: how far that moves the mean.

        Source: diffusion posterior sampling (2209.14687), whose Jacobian is this covariance but for a factor.
        """
        signal, sigma = levels.signal(t, 2), levels.sigma(t, 2)
        variances, _ = self._modes
        return self._scaled(gradient, variances * sigma**2 / (signal**2 * variances + sigma**2))

    def given(self, known: Bool[Tensor, "*state"], values: Float[Tensor, "*state"]) -> Gaussian:
        """The distribution of those states whose known numbers have these values."""
        here, rest = known.flatten(), ~known.flatten()
        off = (values - self.mean).flatten()[here]
        across = self.covariance[rest][:, here]
        ratio = torch.linalg.solve(self.covariance[here][:, here], across.T).T
        mean, covariance = values.flatten().clone(), torch.zeros_like(self.covariance)
        mean[rest] = self.mean.flatten()[rest] + ratio @ off
        covariance[rest.outer(rest)] = (self.covariance[rest][:, rest] - ratio @ across.T).flatten()
        return Gaussian(mean.view_as(values), covariance)

    @cached_property
    def _modes(self) -> tuple[Float[Tensor, " numbers"], Float[Tensor, "numbers numbers"]]:
        """Variances along the eigenvectors of the covariance, and these, one a column."""
        variances, axes = torch.linalg.eigh(self.covariance.double())
        return variances.clamp_min(0).float(), axes.float()

    def _scaled(
        self, states: Float[Tensor, " b *state"], factors: Float[Tensor, "b numbers"]
    ) -> Float[Tensor, " b *state"]:
        """States scaled along the eigenvectors, one after the other: each comes out as it would alone, to the bit."""
        _, axes = self._modes
        pairs = zip(states, factors, strict=True)
        return torch.stack([(axes @ (f * (axes.T @ x.flatten()))).view_as(x) for x, f in pairs])
