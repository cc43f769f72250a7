"""What the commands of launch.py ask of their arguments, and how they open a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.methods.base import Method

Mode = Literal["ours", "paper"]
MAX_SIZE = 4096
"""Most pixels of a picture's side."""


def check_range(name: str, value: float | int, low: float | int, high: float | int) -> None:
    """Refuse a number that makes no sense, `nan` included."""
    if not low <= value <= high:
        raise ConfigError(f"Found {name} {value}, expected {low} to {high}.")


def open_method(checkpoint: str, device: str) -> Method:
    """A trained method, ready to use."""
    from engine.checkpoint import open_checkpoint
    from engine.device import pick_device

    return open_checkpoint(checkpoint, pick_device(device))


def check_orbit(azimuth: float, elevation: float, distance: float) -> None:
    """Refuse a camera that makes no sense."""
    check_range("--azimuth", azimuth, -360, 360)
    check_range("--elevation", elevation, -90, 90)
    check_range("--distance", distance, 0.1, 100)
