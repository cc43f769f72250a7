"""How much is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass

from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions
from tests.bench import fields


@dataclass(frozen=True)
class Settings:
    """Of one run of the bench."""

    scenes: int = 2
    """Scenes rendered."""
    views: int = 2
    """Views of each whose PSNR is taken."""
    timed_views: int = 1
    """Views of each that are timed."""
    sizes: tuple[int, ...] = (128, 256, 512)
    """Sides of the pictures timed, pixels."""
    psnr_size: int = 128
    """Side of the pictures that are compared with the reference, pixels; PSNR hardly depends on it."""
    repeats: int = 3
    """Turns of every timing; the median counts."""
    train_scenes: int = 8
    """Scenes of a training batch."""
    rays: int = 4096
    """Rays of each scene in the render part of a training step."""
    reconstructions: int = 2
    """Reconstructions, after one that warms up."""
    inversions: int = 1
    """Objects drawn in mode `paper` and inverted; half as many in mode `ours`, a quarter rebuilt."""
    regenerated: int = 1
    """Objects of which a part is kept."""
    boxes: int = 1
    """Parts of each that are kept."""
    fit: FitOptions | None = None
    """How to reconstruct; None takes the checkpoint's settings."""
    threads: int = os.cpu_count() or 1
    """Torch's threads where all cores are used."""
    starts: int = 1
    """Starts of the explorer with warm caches (with cold ones one fewer, but at least one)."""
    drags: int = 2
    """Drags of each kind; the median counts."""
    drag_s: float = 2.0
    """Seconds of each drag."""
    scrubs: int = 8
    """Jumps to another step of a timeline."""
    busy: int = 2
    """Processes beside which the main rows are measured again; 0 leaves that out."""


LONG = Settings(
    scenes=3,
    views=fields.VIEWS,
    timed_views=4,
    repeats=5,
    reconstructions=3,
    inversions=16,
    regenerated=4,
    boxes=4,
    starts=3,
    drags=3,
    drag_s=4.0,
    scrubs=24,
)
QUICK = Settings(
    scenes=1,
    views=2,
    timed_views=1,
    sizes=(128, 256),
    repeats=2,
    train_scenes=2,
    rays=1024,
    reconstructions=1,
    regenerated=1,
    starts=1,
    drags=1,
    scrubs=6,
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
    regenerated=1,
    boxes=1,
    starts=0,
    drag_s=0.0,
    busy=1,
)
"""What the tests run: nothing it says about speed means anything."""
