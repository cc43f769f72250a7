"""The command that takes a denoising apart: `launch.py denoise`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from app.commands.settings import USUAL, Settings
from train.arguments import MAX_SIZE, check_range, check_seed

if TYPE_CHECKING:
    from engine.events import Step
    from engine.methods.base import Method
    from train.progress import Progress

STRIP_FRAMES = 12
"""Most steps in the film strip."""
LOOKS = ("x0", "x_t", "difference")


@dataclass(frozen=True)
class Denoise:
    """Draw an object and keep every step: pictures, curves, and the whole run as a file that the explorer opens.

    The pictures show what each step predicted, the noisy state beside it, and where the two differ.
    """

    out: Path
    """Folder for x0/, x_t/, difference/, filmstrip.png, curves.csv, run.safetensors and report.json."""
    seed: int = 0
    """Seed of the object."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = USUAL
    """Settings of the sampling."""
    azimuth: float = 40.0
    """Degrees; from where the pictures are taken."""
    elevation: float = 18.0
    """Degrees; 0 is level."""
    size: int = 160
    """Side of a picture, pixels."""
    checkpoint: str = "vehicles"
    """Name under checkpoints/, or a folder."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Draw and write."""
        from app.session import runs
        from app.session.records import Record
        from engine.config import to_json
        from engine.events import finish
        from engine.files import check_folder, write_json
        from engine.noise import Noise
        from engine.store.checkpoint import open_method
        from engine.store.timeline import of_scene, on_cpu, result_step

        check_seed(self.seed)
        check_range("--size", self.size, 16, MAX_SIZE)
        check_range("--azimuth", self.azimuth, -360, 360)
        check_range("--elevation", self.elevation, -90, 90)
        check_folder(self.out)
        method = open_method(self.checkpoint, self.device)
        options = self.settings.of(method, "generate")
        progress.restart()
        steps: list[Step] = []

        def note(step: Step) -> None:
            steps.append(of_scene(on_cpu(step), 0))
            progress(step)

        latents = finish(method.generate(1, options, Noise(self.seed)), note)
        steps.append(result_step(latents))
        about = {
            "task": "generate",
            "checkpoint": method.checkpoint,
            "seed": self.seed,
            "settings": to_json(options),
        }
        self._draw(method, steps)
        self._write_curves(method, steps)
        record = Record("generate", f"Seed {self.seed}", about, steps, method, state="done")
        runs.save(record, self.out / "run.safetensors")
        seconds = {name: round(value, 3) for name, value in progress.seconds.items()}
        write_json(self.out / "report.json", {"command": "denoise", **about, "seconds": seconds})
        progress.close()
        print(
            f"{self.out}: {len(steps)} steps in x0/ x_t/ difference/, filmstrip.png curves.csv run.safetensors report.json",
            file=sys.stderr,
        )

    def _draw(self, method: Method, steps: Sequence[Step]) -> None:
        """Pictures of all steps, and a strip of some."""
        from app.page.present import heat
        from engine.ops.cameras import orbit_camera
        from engine.output.video import contact_sheet, frame_renderer, save_picture
        from engine.store.timeline import noisy

        distance = method.data.distance
        camera = orbit_camera(self.azimuth, self.elevation, distance, self.size)
        rows: dict[str, list] = {look: [] for look in LOOKS}
        for step in steps:
            seen = frame_renderer(method.scene(step.latent[0]).field)(camera)
            clean = not noisy(step)
            noise = (
                seen if clean else frame_renderer(method.scene(step.noisy_latent[0]).field)(camera)
            )
            for look, picture in zip(
                LOOKS, (seen, noise, heat(seen, noise, (1, 1, 1))), strict=True
            ):
                rows[look].append(picture)
        for look, pictures in rows.items():
            for place, (step, picture) in enumerate(zip(steps, pictures, strict=True)):
                name = f"{place:03d}_{step.stage}_{step.index:03d}.png"
                save_picture(self.out / look / name, picture)
        count = min(STRIP_FRAMES, len(steps))
        places = [round(k * (len(steps) - 1) / max(count - 1, 1)) for k in range(count)]
        labels = [f"{steps[place].stage} {steps[place].index}" for place in places]
        chosen = [rows[look][place] for look in LOOKS for place in places]
        sheet = contact_sheet(chosen, count, [*labels, *([""] * (2 * count))])
        save_picture(self.out / "filmstrip.png", sheet)

    def _write_curves(self, method: Method, steps: Sequence[Step]) -> None:
        from engine.explore.curves import curves, to_csv
        from engine.files import replacing

        found = curves(steps, lambda latent: method.scene(latent).field, method.data.distance)
        with replacing(self.out / "curves.csv") as temporary:
            temporary.write_text(to_csv(steps, found), encoding="utf-8")
