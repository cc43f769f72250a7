"""The command that exports a saved scene: `launch.py export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from train.progress import Progress


@dataclass(frozen=True)
class Export:
    """Export a saved scene: a mesh (glb, obj, ply, stl), a turntable (mp4) or a sheet of eight views (png)."""

    scene: tyro.conf.Positional[Path]
    """A scene.safetensors file."""
    out: Path
    """File to write; its ending decides the format."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Write the file."""
        from engine.device import pick_device
        from engine.events import finish
        from engine.fields.scene import Scene
        from engine.files import check_file
        from engine.output.export import check_ending, export_scene

        check_ending(self.out)
        check_file(self.out)
        finish(export_scene(Scene.load(self.scene, pick_device(self.device)), self.out), progress)
