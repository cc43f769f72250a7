"""The command that draws a saved scene: `launch.py render`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from train.arguments import MAX_SIZE, check_orbit, check_range

if TYPE_CHECKING:
    from train.progress import Progress


@dataclass(frozen=True)
class Render:
    """Render a saved scene from one camera."""

    scene: tyro.conf.Positional[Path]
    """A scene.safetensors file."""
    azimuth: float
    """Degrees; 0 stands in front of the object, 90 looks at its left side."""
    elevation: float
    """Degrees; 0 is level."""
    out: Path
    """PNG file."""
    distance: float = 1.3
    """From the object's centre, SRN units."""
    size: int = 256
    """Side of the picture, pixels."""
    channel: Literal["rgb", "depth", "normal", "opacity"] = "rgb"
    """Channel to show: colour; z-depth, 16 bits, 10,000 levels an SRN unit; world normals; or opacity."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Render and write."""
        from engine.device import pick_device
        from engine.errors import ExportError
        from engine.fields.scene import Scene
        from engine.files import check_file
        from engine.ops.cameras import orbit_camera
        from engine.output.video import save_pass
        from engine.render.frames import RenderOptions, bake, render

        check_range("--size", self.size, 1, MAX_SIZE)
        check_orbit(self.azimuth, self.elevation, self.distance)
        if self.out.suffix.lower() != ".png":
            raise ExportError(f"{self.out}: found the ending {self.out.suffix!r}, expected .png.")
        check_file(self.out)
        scene = Scene.load(self.scene, pick_device(self.device))
        camera = orbit_camera(self.azimuth, self.elevation, self.distance, self.size)
        options = RenderOptions(quality="high", normals=self.channel == "normal")
        picture = render(bake(scene.field), camera, options)
        save_pass(self.out, self.channel, picture)
