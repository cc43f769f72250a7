"""How much is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass

from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions
from tests.bench import fields


@dataclass(frozen=True)
class Settings:
    """Of one run of the bench."""

    scenes: int = 3
    """Scenes rendered."""
    views: int = fields.VIEWS
    """Views of each whose PSNR is taken."""
    timed_views: int = 4
    """Views of each that are timed."""
    sizes: tuple[int, ...] = (128, 256, 512)
    """Sides of the pictures timed, pixels."""
    psnr_size: int = 128
    """Side of the pictures that are compared with the reference, pixels; PSNR hardly depends on it."""
    repeats: int = 5
    """Turns of every timing; the median counts."""
    train_scenes: int = 8
    """Scenes of a training batch."""
    rays: int = 4096
    """Rays of each scene in the render part of a training step."""
    reconstructions: int = 3
    """Reconstructions, after one that warms up."""
    inversions: int = 16
    """Objects drawn in mode `paper` and inverted; half as many in mode `ours`, a quarter rebuilt."""
    fit: FitOptions | None = None
    """How to reconstruct; None takes the checkpoint's settings."""
    threads: int = os.cpu_count() or 1
    """Torch's threads where all cores are used."""
    starts: int = 3
    """Starts of the explorer with warm caches (with cold ones: one fewer)."""
    drag_s: float = 4.0
    """Seconds of each drag."""


QUICK = Settings(
    scenes=1,
    views=2,
    timed_views=1,
    sizes=(128, 256),
    repeats=2,
    train_scenes=2,
    rays=1024,
    reconstructions=1,
    inversions=4,
    starts=1,
    drag_s=2.0,
)
TINY = Settings(
    scenes=1,
    views=1,
    timed_views=1,
    sizes=(16, 24, 32),
    psnr_size=24,
    repeats=1,
    train_scenes=2,
    rays=64,
    reconstructions=1,
    inversions=1,
    fit=FitOptions(
        steps=2, renoise=RenoiseOptions(steps=1), finetune_steps=1, inner_steps=1, rays=256
    ),
    threads=1,
    starts=0,
    drag_s=0.0,
)
"""What the tests run: nothing it says about speed means anything."""
