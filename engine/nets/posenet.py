"""The pose network: from a centred cut-out to a distribution over directions, and a camera's framing given a direction.

Directions lie on a grid of azimuths and elevations. The framing is asked for a direction, so that every hypothesis has a
camera of its own, and so has a direction that a person sets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SIZE = 64
"""Rows and columns of the network's pictures."""
BIN_DEG = 5.0
"""Degrees between neighbouring directions of the grid."""
AZIMUTHS, ELEVATIONS = 72, 16
LOWEST_DEG = -5.0
"""Elevation of the first row of the grid."""
HIGHEST_DEG = LOWEST_DEG + (ELEVATIONS - 1) * BIN_DEG
"""Elevation of the last."""
FRAMING = ("log_distance", "log_scale", "u", "v", "roll")
"""Numbers of a framing, see `engine.pose.guess.Guess`; roll in radians."""
LEAST_LOG_SPREAD, MOST_LOG_SPREAD = -7.0, 2.0


class _Block(nn.Module):
    """Two convolutions around a sum; a stride in the first."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The sum's positive part."""
        return F.relu(self.body(x) + self.skip(x))


class PoseNet(nn.Module):
    """A small residual network, 1.5 M parameters, with one head for the direction and one for the framing."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(4, 24, 5, 2, 2, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            _Block(24, 24),
            _Block(24, 48, 2),
            _Block(48, 48),
            _Block(48, 96, 2),
            _Block(96, 96),
            _Block(96, 128, 2),
            _Block(128, 128),
            nn.Conv2d(128, 48, 1),
            nn.Flatten(),
            nn.Linear(48 * (SIZE // 16) ** 2, 256),
            nn.ReLU(inplace=True),
        )
        self.direction = nn.Linear(256, ELEVATIONS * AZIMUTHS)
        self.framing = nn.Sequential(
            nn.Linear(256 + 4, 128), nn.ReLU(inplace=True), nn.Linear(128, 2 * len(FRAMING))
        )

    def forward(
        self, pictures: Float[Tensor, "n 4 64 64"]
    ) -> tuple[Float[Tensor, "n 256"], Float[Tensor, "n 16 72"]]:
        """Features, and logits of the directions: elevation by azimuth.

        Args:
            pictures: RGB on white and coverage, in [0, 1], the object centred (see `engine.pose.guess.centred`).
        """
        features = self.trunk(2 * pictures - 1)
        logits = self.direction(features).unflatten(1, (ELEVATIONS, AZIMUTHS))
        return features, logits

    def framed(
        self,
        features: Float[Tensor, "n 256"],
        azimuth: Float[Tensor, " n"],
        elevation: Float[Tensor, " n"],
    ) -> tuple[Float[Tensor, "n 5"], Float[Tensor, "n 5"]]:
        """Medians of the numbers of `FRAMING` given a direction, radians, and logarithms of their spreads (Laplace)."""
        angles = [azimuth.sin(), azimuth.cos(), elevation.sin(), elevation.cos()]
        told = self.framing(torch.cat([features, torch.stack(angles, 1).to(features)], 1))
        middle, spread = told.float().chunk(2, 1)
        return middle, spread.clamp(LEAST_LOG_SPREAD, MOST_LOG_SPREAD)


def bin_angles(device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Azimuths (72) and elevations (16) of the grid, radians."""
    azimuth = torch.arange(AZIMUTHS, device=device) * BIN_DEG
    elevation = torch.arange(ELEVATIONS, device=device) * BIN_DEG + LOWEST_DEG
    return torch.deg2rad(azimuth), torch.deg2rad(elevation)
