"""SSDNeRF that answers at once and counts how often it was asked."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from engine.methods.base import TrainingData
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.options import FitOptions
from engine.noise import Noise
from train.recipes import RECIPES


class CountingMethod(SSDNeRF):
    """Small untrained networks, whose objects are coloured bricks; every reconstruction is the same one."""

    def __init__(self, answer: Tensor | None = None):
        config = RECIPES["smoke"].model
        solid = dataclasses.replace(config.decoder, density_bias=6.0)
        torch.manual_seed(0)
        super().__init__(dataclasses.replace(config, decoder=solid))
        self.eval().requires_grad_(False)
        self.data = TrainingData("vehicles")
        self.mean_latent = Noise(0).normal(self.latent_shape, "mean")
        self.answer = self.mean_latent if answer is None else answer
        self.asked: list[FitOptions] = []

    @torch.no_grad()
    def reconstruct(self, views, options, noise):
        """The answer."""
        self.asked.append(options)
        yield from ()
        return self.answer[None]

    @torch.no_grad()
    def generate(self, num_scenes, options, noise):
        """The mean and noise of each seed."""
        yield from ()
        return self.mean_latent + 0.1 * self.starting_noise(num_scenes, noise)
