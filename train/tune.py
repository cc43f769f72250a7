"""`python -m train.tune CHECKPOINT`: choose a finished checkpoint's test-time settings on validation scenes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from train.ending import ended
from train.progress import Progress


@dataclass(frozen=True)
class Tune:
    """Choose the settings that a checkpoint is used with, and write them into its config.json and metrics.json."""

    checkpoint: tyro.conf.Positional[Path]
    """The checkpoint's folder."""
    scenes: int = 8
    """Validation scenes for each decision."""
    samples: int = 32
    """Objects to draw for the sampling settings."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""
    threads: int = 0
    """Threads of the CPU's arithmetic (0: all cores)."""


def main(argv: list[str] | None = None) -> int:
    """Parse, tune, report. Returns the exit code."""
    command = tyro.cli(Tune, prog="python -m train.tune", args=argv)
    progress = Progress()
    return ended(lambda: _tune(command, progress), progress.close)


def _tune(command: Tune, progress: Progress) -> None:
    import torch

    from engine.device import pick_device
    from engine.evaluation.tune import settle
    from engine.events import finish

    torch.set_num_threads(command.threads or os.cpu_count() or 1)
    run = settle(
        command.checkpoint,
        device=pick_device(command.device),
        num_scenes=command.scenes,
        num_samples=command.samples,
    )
    finish(run, progress)
    progress.close()


if __name__ == "__main__":
    sys.exit(main())
