"""Export of scenes: one file in the format of its ending, or all files of a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from engine.errors import ExportError
from engine.events import Run, Step
from engine.fields.scene import Scene
from engine.ops.metrics import evaluation_psnr
from engine.output.mesh import FORMATS, extract_mesh, save_mesh
from engine.output.video import (
    below,
    contact_sheet,
    frame_renderer,
    save_picture,
    scene_sheet,
    turntable,
)
from engine.render.frames import RenderOptions, render_views, to_uint8
from engine.types import Camera, Views

ENDINGS = (*FORMATS, ".mp4", ".png")
"""Endings that `export_scene` writes: meshes, a turntable, a sheet of eight views."""
SHEET_SIZE = 128
"""Side of a picture in a sheet."""


def check_ending(path: Path) -> None:
    """Refuse a file that `export_scene` cannot write.

    Raises:
        ExportError: If the ending is unknown.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ExportError(
            f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(ENDINGS)}."
        )


def export_scene(scene: Scene, path: Path | str) -> Run[Path]:
    """Write a scene as a mesh, a turntable or a sheet, depending on the file's ending.

    Raises:
        ExportError: If the ending is unknown or the scene is empty.
    """
    path = Path(path)
    check_ending(path)
    ending = path.suffix.lower()
    if ending in FORMATS:
        return save_mesh((yield from extract_mesh(scene.field)), path)
    render_frame = frame_renderer(scene.field)
    if ending == ".mp4":
        return (yield from turntable(render_frame, path))
    return save_picture(path, scene_sheet(render_frame, SHEET_SIZE))


def export_result(scene: Scene, folder: Path | str, inputs: Views | None = None) -> Run[Path]:
    """Write all files of a result: scene, sheet, mesh and turntable.

    Args:
        scene: The result.
        folder: Output folder, created if need be.
        inputs: Pictures it was made from; the sheet shows them beside the render.
    """
    folder = Path(folder)
    scene.save(folder / "scene.safetensors")
    sheet = scene_sheet(frame_renderer(scene.field), SHEET_SIZE)
    if inputs is not None:
        sheet = below(_comparison(scene, inputs), sheet)
    save_picture(folder / "sheet.png", sheet)
    yield Step(stage="sheet", index=1, total=1)
    yield from export_scene(scene, folder / "mesh.glb")
    yield from export_scene(scene, folder / "turntable.mp4")
    return folder


def input_psnr(scene: Scene, inputs: Views) -> list[float]:
    """PSNR of the scene's render against each of its input pictures, dB."""
    images = render_views(scene.field, inputs.camera, RenderOptions(quality="high")).cpu()
    return evaluation_psnr(images, inputs.images.cpu()).tolist()


def _comparison(scene: Scene, inputs: Views) -> UInt8[np.ndarray, "h w 3"]:
    """Every input picture with its render at its right."""
    images = render_views(scene.field, inputs.camera, RenderOptions(quality="high")).cpu()
    pairs = torch.stack([inputs.images.cpu(), images], 1).flatten(0, 1)
    small = _resized(pairs, inputs.camera)
    return contact_sheet([picture.numpy() for picture in to_uint8(small)], columns=4)


def _resized(images: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Pictures as wide as those of the sheet."""
    height = max(1, round(SHEET_SIZE * camera.height / camera.width))
    channels = images.movedim(-1, 1)
    small = torch.nn.functional.interpolate(
        channels, (height, SHEET_SIZE), mode="bilinear", antialias=True
    )
    return small.movedim(1, -1)
