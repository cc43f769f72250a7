"""The two camera paths of the SRN data sets, in SRN units (OpenCV axes, z up, looking at the origin)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from engine.ops import cameras

SRN_DISTANCE = 1.3
"""Distance of SRN's car cameras from the origin."""

SPIRAL_VIEWS = 251
"""Pictures of a test scene."""


def orbit_cameras(
    azimuth: Float[np.ndarray, " n"], elevation: Float[np.ndarray, " n"], distance: float
) -> Float[np.ndarray, "n 4 4"]:
    """Cameras on a sphere that look at its centre, upright; also well defined above the pole.

    Args:
        azimuth: Radians from +x towards +y (phi of SRN's path, not the page's azimuth).
        elevation: Radians above the horizon.
        distance: Radius of the sphere.

    Returns:
        Camera to world.

    Source: closed form of SRN's poses (1906.01618).
    """
    zero = np.zeros_like(azimuth)
    sin_a, cos_a = np.sin(azimuth), np.cos(azimuth)
    sin_e, cos_e = np.sin(elevation), np.cos(elevation)
    outward = np.stack([cos_e * cos_a, cos_e * sin_a, sin_e], -1)
    c2w = np.tile(np.eye(4), (len(azimuth), 1, 1))
    c2w[:, :3, 0] = np.stack([-sin_a, cos_a, zero], -1)
    c2w[:, :3, 1] = np.stack([cos_a * sin_e, sin_a * sin_e, -cos_e], -1)
    c2w[:, :3, 2] = -outward
    c2w[:, :3, 3] = distance * outward
    return c2w


def training_cameras(
    seed: int, count: int = 50, distance: float = SRN_DISTANCE
) -> Float[np.ndarray, "n 4 4"]:
    """Random cameras: azimuth uniform, elevation -5 to 90 degrees uniform in its sine.

    Args:
        seed: Scene seed; the same seed gives the same cameras.
        count: Number of cameras.
        distance: Distance from the origin, SRN units.
    """
    noise = np.random.default_rng([seed, 0xCA])
    azimuth = noise.uniform(0, 2 * np.pi, count)
    elevation = np.arcsin(noise.uniform(np.sin(np.deg2rad(-5)), 1.0, count))
    return orbit_cameras(azimuth, elevation, distance)


def spiral_cameras(distance: float = SRN_DISTANCE) -> Float[np.ndarray, "251 4 4"]:
    """SRN's test path: ten thirds of a turn while climbing from the horizon to the top."""
    part = np.arange(SPIRAL_VIEWS) / (SPIRAL_VIEWS - 1)
    return orbit_cameras(20 * (1 - part), np.deg2rad(90 * part), distance)


def srn_intrinsics(size: int) -> Float[np.ndarray, "4"]:
    """Intrinsics fx, fy, cx, cy of a square SRN picture of `size` pixels."""
    return cameras.srn_intrinsics(size).double().numpy()
