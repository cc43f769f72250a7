"""The commands for trained models and the feature network: `launch.py tune`, `card`, `blend` and `features`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from train.arguments import check_range, check_seed

if TYPE_CHECKING:
    from train.progress import Progress


@dataclass(frozen=True)
class Tune:
    """Choose a model's settings on validation scenes, and write them into its config.json and metrics.json."""

    checkpoint: tyro.conf.Positional[Path]
    """The checkpoint's folder."""
    scenes: int = 8
    """Validation scenes for each decision."""
    samples: int = 32
    """Samples for the sampling settings."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""
    threads: int = 0
    """Threads of the CPU's arithmetic (0: all cores)."""

    def run(self, progress: Progress) -> None:
        """Tune and write."""
        from engine.device import pick_device
        from engine.evaluation.tune import settle
        from engine.events import finish

        check_range("--scenes", self.scenes, 1, 10_000)
        check_range("--samples", self.samples, 1, 10_000)
        use_threads(self.threads)
        run = settle(
            self.checkpoint,
            device=pick_device(self.device),
            num_scenes=self.scenes,
            num_samples=self.samples,
        )
        finish(run, progress)
        progress.close()


@dataclass(frozen=True)
class Card:
    """Measure a model's samples and draw its model card's pictures, into its folder."""

    checkpoint: tyro.conf.Positional[str]
    """Name or folder of the checkpoint."""
    run_: Annotated[Path | None, tyro.conf.arg(name="run")] = None
    """Folder of the training run, for the curve."""
    samples: int = 64
    """Number of samples."""
    training_scenes: int | None = None
    """Training scenes that samples are compared with (default: as many as the checkpoint's recipe says)."""
    reconstructions: int = 8
    """Unseen scenes on the sheet of reconstructions."""
    seed: int = 0
    """Seed of the first sample."""

    def run(self, progress: Progress) -> None:
        """Measure, draw and write."""
        from engine.store.checkpoint import find_checkpoint
        from train.card import draw_card

        check_range("--samples", self.samples, 1, 10_000)
        check_seed(self.seed, self.samples)
        draw_card(
            find_checkpoint(self.checkpoint),
            samples=self.samples,
            training_scenes=self.training_scenes,
            reconstructions=self.reconstructions,
            seed=self.seed,
            run=self.run_,
        )


@dataclass(frozen=True)
class Blend:
    """Average the weights of a model and of its finetuned descendant.

    The blend keeps most of what the first knows of its own data and most of what the second learned of others
    (Wortsman et al., Robust fine-tuning, 2109.01903).
    """

    first: tyro.conf.Positional[str]
    """Name or folder of the model."""
    second: tyro.conf.Positional[str]
    """Name or folder of what was trained from it; its settings and gallery are kept."""
    out: Path
    """Folder of the blend."""
    share: float = 0.5
    """Weight of the second model, 0 to 1."""

    def run(self, progress: Progress) -> None:
        """Blend and write."""
        from engine.files import check_folder
        from engine.store.checkpoint import find_checkpoint, open_checkpoint, save_checkpoint
        from train.blend import blend

        check_folder(self.out)
        folders = [find_checkpoint(self.first), find_checkpoint(self.second)]
        method = blend(*(open_checkpoint(folder) for folder in folders), self.share)
        names = [folder.name for folder in folders]
        save_checkpoint(self.out, method, provenance={"blend": names, "share": self.share})
        print(f"wrote {self.out}", file=sys.stderr)


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
    """Threads of the CPU's arithmetic (0: all cores)."""

    def run(self, progress: Progress) -> None:
        """Train and write."""
        from engine.config import to_json
        from engine.data.procedural.categories import CATEGORIES
        from engine.evaluation.features import FOLDER, save_features
        from engine.evaluation.features_training import FeatureRecipe, train_features
        from engine.events import finish
        from engine.files import check_folder

        folder = self.out or FOLDER
        check_folder(folder)
        use_threads(self.threads)
        recipe = FeatureRecipe(scenes=self.scenes, iterations=self.iterations)
        net, figures = finish(train_features(tuple(CATEGORIES.values()), recipe), progress)
        provenance = {"recipe": to_json(recipe), "validation": figures}
        folder = save_features(folder, net, provenance)
        progress.close()
        numbers = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        print(f"wrote {folder}: {numbers}", file=sys.stderr)


def use_threads(number: int) -> None:
    """Let torch use so many threads; 0 means all cores."""
    import torch

    torch.set_num_threads(number or os.cpu_count() or 1)
