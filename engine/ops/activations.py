"""Squashing functions between the raw latent that is optimised and the latent that everything else sees."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

LatentActivation = Literal["tanh", "normalized_tanh", "identity"]
CLIP = 2.0
"""Scale of the tanh and clip range of the sampler."""


class TanhLatent(nn.Module):
    """latent = 2 tanh(raw). Source: `TanhCode(scale=2)` of 2304.06714's official code."""

    def forward(self, raw: Float[Tensor, "*b"], update: bool = False) -> Float[Tensor, "*b"]:
        """The latent, in (-2, 2); there are no statistics to `update`."""
        return CLIP * torch.tanh(raw)

    def inverse(self, latent: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The raw latent; values at the rim are pulled 1e-5 inside."""
        return torch.atanh((latent / CLIP).clamp(-1 + 1e-5, 1 - 1e-5))


class IdentityLatent(nn.Module):
    """No squashing (the paper's ablation)."""

    def forward(self, raw: Float[Tensor, "*b"], update: bool = False) -> Float[Tensor, "*b"]:
        """The latent, which is the raw one."""
        return raw

    def inverse(self, latent: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The raw latent, which is the latent."""
        return latent


class NormalizedTanhLatent(nn.Module):
    """Standardise by running statistics, then squash softly. Source: `NormalizedTanhCode` of 2304.06714's official code."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        mean: float = 0.0,
        std: float = 0.5,
        clip: float = CLIP,
        eps: float = 1e-5,
        momentum: float = 0.001,
    ):
        super().__init__()
        self.mean, self.std, self.clip, self.eps, self.momentum = mean, std, clip, eps, momentum
        self.register_buffer("running_mean", torch.zeros(1))
        self.register_buffer("running_var", torch.full((1,), std**2))

    def forward(self, raw: Float[Tensor, "*b"], update: bool = False) -> Float[Tensor, "*b"]:
        """The latent; `update` first moves the running statistics towards this batch's."""
        if update:
            with torch.no_grad():
                variance, mean = torch.var_mean(raw)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        scale = self.std / (self.running_var.sqrt() + self.eps)
        y = raw * scale + (self.mean - self.running_mean * scale)
        return self.clip * torch.tanh(y / self.clip)

    def inverse(self, latent: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The raw latent; values at the rim are pulled slightly inside."""
        scale = (self.running_var.sqrt() + self.eps) / self.std
        inside = (latent / self.clip).clamp(-1 + self.eps, 1 - self.eps)
        return self.clip * scale * torch.atanh(inside) + self.running_mean - self.mean * scale


def latent_activation(kind: LatentActivation) -> nn.Module:
    """The activation of that name."""
    return {
        "tanh": TanhLatent,
        "normalized_tanh": NormalizedTanhLatent,
        "identity": IdentityLatent,
    }[kind]()
