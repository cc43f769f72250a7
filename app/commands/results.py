"""Output files of commands that make objects."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from engine.methods.base import Method
    from engine.types import Views
    from train.progress import Progress


def write_result(
    method: Method,
    latent: Tensor,
    about: dict,
    folder: Path,
    progress: Progress,
    views: Views | None = None,
) -> None:
    """Write a result's files and its report.

    Args:
        method: What made it.
        latent: The object, `latent_shape`.
        about: Where it comes from, JSON values; all but "command" go into the scene's provenance, all into the report.
        folder: Where to; created if need be.
        progress: Shows the steps, and knows the seconds.
        views: Pictures that the object was made from.
    """
    from engine.events import finish
    from engine.files import write_json
    from engine.output.export import export_result, input_psnr

    scene = method.scene(latent, **{key: value for key, value in about.items() if key != "command"})
    finish(export_result(scene, folder, views), progress)
    report = {**about, "method": method.info.name, "seconds": {}}
    if views is not None:
        values = input_psnr(scene, views)
        report["psnr"] = {"mean": sum(values) / len(values), "views": values}
    report["seconds"] = {name: round(value, 3) for name, value in progress.seconds.items()}
    write_json(folder / "report.json", report)
    progress.close()
    psnr = f", {report['psnr']['mean']:.2f} dB on the inputs" if views is not None else ""
    print(
        f"{folder}: scene.safetensors mesh.glb turntable.mp4 sheet.png report.json{psnr}",
        file=sys.stderr,
    )
