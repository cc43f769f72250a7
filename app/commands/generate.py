"""The command that draws objects: `launch.py generate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from app.commands.results import write_result
from app.commands.settings import USUAL, Settings
from train.arguments import check_range, check_seed

if TYPE_CHECKING:
    from engine.methods.base import Method
    from train.progress import Progress

MAX_COUNT = 1024


@dataclass(frozen=True)
class Generate:
    """Sample objects from a model."""

    out: Path
    """Folder for scene.safetensors, mesh.glb, turntable.mp4, sheet.png and report.json."""
    seed: int = 0
    """Seed of the object; the same seed gives the same object."""
    count: int = 1
    """Number of objects; seeds count up, and each object gets a folder of its own inside --out if there are several."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = USUAL
    """Settings of the sampling."""
    checkpoint: str = "vehicles"
    """Name under checkpoints/, or a folder."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Draw and write."""
        from engine.files import check_folder
        from engine.store.checkpoint import open_method

        check_range("--count", self.count, 1, MAX_COUNT)
        check_seed(self.seed, self.count)
        check_folder(self.out)
        method = open_method(self.checkpoint, self.device)
        options = self.settings.of(method, "generate")
        for seed in range(self.seed, self.seed + self.count):
            folder = self.out if self.count == 1 else self.out / f"seed_{seed:04d}"
            self._one(method, options, seed, folder, progress)

    def _one(self, method: Method, options, seed: int, folder: Path, progress: Progress) -> None:
        from engine.config import to_json
        from engine.events import finish
        from engine.noise import Noise

        progress.restart()
        latent = finish(method.generate(1, options, Noise(seed)), progress)[0]
        about = {"checkpoint": self.checkpoint, "seed": seed, "settings": to_json(options)}
        write_result(method, latent, {"command": "generate", **about}, folder, progress)
