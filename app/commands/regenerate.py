"""The command that keeps a part of an object and draws the rest anew: `launch.py regenerate`."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from app.commands.results import write_result
from app.commands.settings import USUAL, Settings
from engine.errors import ConfigError
from train.arguments import check_range, check_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from engine.methods.base import Method
    from engine.render.region import Region
    from train.progress import Progress

MAX_PROPOSALS = 64
THINNEST = 1 / 64
"""Least width of a box to keep, SRN units."""


@dataclass(frozen=True)
class Regenerate:
    """Keep the part of an object that lies in a box and let the model draw the rest anew."""

    scene: tyro.conf.Positional[Path]
    """A scene.safetensors file, as generate and reconstruct write it."""
    keep_box: str
    """Two opposite corners of the box to keep, x0,y0,z0,x1,y1,z1, SRN units: x to the object's right, y to its front, z
    up, its centre at 0."""
    out: Path
    """Folder for proposal_1, proposal_2, ..., sheet.png and report.json."""
    proposals: int = 3
    """Number of proposals."""
    seed: int = 0
    """Randomness of the first; seeds count up."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = USUAL
    """Settings of the completion."""
    checkpoint: str | None = None
    """Name under checkpoints/, or a folder (default: the one that made the scene)."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Draw, write and judge."""
        from engine.config import to_json
        from engine.device import pick_device
        from engine.events import finish
        from engine.explore.fitting import scene_latent
        from engine.fields.scene import Scene
        from engine.files import check_folder
        from engine.noise import Noise
        from engine.store.checkpoint import open_method

        check_range("--proposals", self.proposals, 1, MAX_PROPOSALS)
        check_seed(self.seed, self.proposals)
        box = read_box(self.keep_box)
        check_folder(self.out)
        scene = Scene.load(self.scene, pick_device(self.device))
        checkpoint = self.checkpoint or scene.provenance.get("checkpoint") or "vehicles"
        method = open_method(checkpoint, self.device)
        original = scene_latent(method, scene, str(self.scene))
        region = box_region(method, box)
        options, results, seconds = self.settings.of(method, "complete"), [], []
        for number in range(1, self.proposals + 1):
            progress.restart()
            seed = self.seed + number - 1
            latent = finish(method.complete(original, region, options, Noise(seed)), progress)[0]
            results.append(latent)
            seconds.append(round(sum(progress.seconds.values()), 3))
            about = {
                "command": "regenerate",
                "checkpoint": checkpoint,
                "seed": seed,
                "settings": to_json(options),
                "original": self.scene.name,
                "keep_box": box,
            }
            write_result(method, latent, about, self.out / f"proposal_{number}", progress)
        self._judge(method, original, results, region, {**about, "seed": self.seed}, seconds)

    def _judge(
        self,
        method: Method,
        original: Tensor,
        proposals: Sequence[Tensor],
        region: Region,
        about: dict,
        seconds: list[float],
    ) -> None:
        """Write the sheet and the report, and say what was reached."""
        from engine.explore import completion as keep_metrics
        from engine.files import write_json
        from engine.output.video import save_picture

        figures, *looks = keep_metrics.judged(method, original, region, proposals)
        save_picture(self.out / "sheet.png", keep_metrics.keep_sheet(*looks))
        report = {**about, "proposals": len(proposals), "seconds": seconds, **asdict(figures)}
        write_json(self.out / "report.json", report)
        told = "kept where no view of the report looks"
        if figures.kept_psnr:
            told = f"kept at {statistics.mean(figures.kept_psnr):.1f} dB"
        if figures.between_psnr:
            told += f", {statistics.mean(figures.between_psnr):.1f} dB between proposals elsewhere"
        print(f"{self.out}: sheet.png report.json, {told}", file=sys.stderr)


def read_box(text: str) -> list[list[float]]:
    """Lower and upper corner, SRN units, of `x0,y0,z0,x1,y1,z1`; swapped corners are put right.

    Raises:
        ConfigError: If it is not six numbers, or the box has no volume.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 6 or not all(map(math.isfinite, values)):
        raise ConfigError(
            f"Found --keep-box {text!r}, expected six numbers x0,y0,z0,x1,y1,z1 in SRN units."
        )
    pairs = [sorted(pair) for pair in zip(values[:3], values[3:], strict=True)]
    if any(high - low < THINNEST for low, high in pairs):
        raise ConfigError(
            f"Found --keep-box {text!r}, which is thinner than {THINNEST:.3f}; give two opposite corners of a box."
        )
    return [[low for low, _ in pairs], [high for _, high in pairs]]


def box_region(method: Method, box: list[list[float]]) -> Region:
    """A box in SRN units as a region of the method's field."""
    import torch

    from engine.render.region import Region
    from engine.types import WORLD_PER_SRN

    aabb = method.scene(method.mean_latent).field.aabb
    return Region.from_box(torch.tensor(box) * WORLD_PER_SRN, aabb)
