"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import nn


def ema_decay(step: int, half_life_images: float = 4000.0, batch: int = 16) -> float:
    """Decay after `step` iterations: ramps up while training is young.

    Source: the official configurations, `0.5^(batch / min(4000, 0.8 (step + 1)))` for the paper's 16; EDM's ramp.
    """
    return 0.5 ** (batch / min(half_life_images, 0.8 * (step + 1)))


@torch.no_grad()
def update_ema(average: nn.Module, live: nn.Module, decay: float) -> None:
    """Move `average` towards `live`; buffers are copied."""
    parameters = list(average.parameters())
    if parameters:  # a method may learn nothing but its scenes' latents
        torch._foreach_lerp_(parameters, [p.detach() for p in live.parameters()], 1 - decay)
    for buffer, source in zip(average.buffers(), live.buffers(), strict=True):
        buffer.copy_(source)
