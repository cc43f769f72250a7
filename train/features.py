"""`python -m train.features`: train the small network whose features stand in for Inception's."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from train.ending import ended
from train.progress import Progress


@dataclass(frozen=True)
class Features:
    """Train the feature network of the scoreboard's fd_small and kd_small on all procedural categories."""

    out: Path | None = None
    """Folder to write (default: the bundled network, checkpoints/features)."""
    scenes: int = 300
    """Training scenes of each category."""
    iterations: int = 1200
    """Batches of 64 pictures."""
    threads: int = 0
    """Threads of the arithmetic (0: all cores)."""


def main(argv: list[str] | None = None) -> int:
    """Parse, train, write. Returns the exit code."""
    command = tyro.cli(Features, prog="python -m train.features", args=argv)
    progress = Progress()
    return ended(lambda: _train(command, progress), progress.close)


def _train(command: Features, progress: Progress) -> None:
    import torch

    from engine.config import to_json
    from engine.data.procedural.categories import CATEGORIES
    from engine.evaluation.features import FOLDER, save_features
    from engine.evaluation.features_training import FeatureRecipe, train_features
    from engine.events import finish

    torch.set_num_threads(command.threads or os.cpu_count() or 1)
    recipe = FeatureRecipe(scenes=command.scenes, iterations=command.iterations)
    net, figures = finish(train_features(tuple(CATEGORIES.values()), recipe), progress)
    provenance = {"recipe": to_json(recipe), "validation": figures}
    folder = save_features(command.out or FOLDER, net, provenance)
    progress.close()
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
    sys.stderr.write(f"wrote {folder}: {numbers}\n")


if __name__ == "__main__":
    sys.exit(main())
