"""One task: an entry reconstructs a scene, is compared with the truth, and its pictures are saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from engine.errors import ExportError
from engine.evaluation.entries import Entry
from engine.evaluation.geometry import chamfer, iou, surface_of
from engine.evaluation.intervals import DIGITS
from engine.evaluation.protocol import SHAPED_SCENES, SHOWN_PLACES, SHOWN_SCENES, given_views
from engine.evaluation.scenes import Answer, TestScene
from engine.ops.metrics import evaluation_psnr, ssim
from engine.output.video import save_picture
from engine.render.frames import to_uint8
from engine.types import Views

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""LPIPS of pictures against the truth, one number each."""
NOTHING = 1.0
"""Chamfer distance of an empty field: an object's diagonal, SRN units."""


@dataclass(frozen=True)
class Task:
    """An entry on a scene with a number of given views."""

    entry: str
    num_views: int
    scene: int

    def part(self, folder: Path) -> Path:
        """File of its scores."""
        return folder / "parts" / self.entry / f"{self.num_views:02d}-{self.scene:04d}.json"


def measure(
    entry: Entry, scene: TestScene, num_views: int, pictures: Path, perceptual: Perceptual | None
) -> dict[str, float]:
    """Scores of one entry on one scene; writes the pictures of the first scenes.

    Args:
        entry: The entry.
        scene: The scene to reconstruct.
        num_views: Number of given views.
        pictures: Folder of the pictures.
        perceptual: LPIPS, if its weights are available.
    """
    places = given_views(num_views)
    answer = entry.answer(scene, places)
    scores = {
        **compare(answer.images, scene.views, places),
        "seconds": round(answer.seconds, 3),
        **_geometry(answer, scene),
    }
    if perceptual is not None:
        held_out = others(scene.views, places)
        distance = perceptual(answer.images[held_out], scene.views.images[held_out]).mean()
        scores["lpips"] = round(float(distance), DIGITS)
    if scene.index < SHOWN_SCENES:
        write_pictures(pictures, entry.name, scene, num_views, answer.images)
    return scores


def compare(
    images: Float[Tensor, "places height width 3"], truth: Views, given: tuple[int, ...]
) -> dict[str, float]:
    """PSNR (dB) and SSIM as published, averaged over the places that were not given, and PSNR on the given ones."""
    held_out, inputs = others(truth, given), list(given)
    psnr = evaluation_psnr(images[held_out], truth.images[held_out]).mean()
    alike = ssim(images[held_out], truth.images[held_out]).mean()
    on_inputs = evaluation_psnr(images[inputs], truth.images[inputs]).mean()
    scores = {"psnr": psnr, "ssim": alike, "input_psnr": on_inputs}
    return {name: round(float(value), DIGITS) for name, value in scores.items()}


def others(views: Views, given: tuple[int, ...]) -> list[int]:
    """The places that were not given."""
    return [k for k in range(len(views)) if k not in given]


def _geometry(answer: Answer, scene: TestScene) -> dict[str, float]:
    """IoU and Chamfer distance (SRN units) against the true mesh, for the first scenes."""
    if answer.solid is None or scene.index >= SHAPED_SCENES:
        return {}
    try:
        found = surface_of(answer.solid)
    except ExportError:
        return {"iou": 0.0, "chamfer": NOTHING}
    overlap, distance = iou(found, scene.surface), chamfer(found, scene.surface)
    return {"iou": round(overlap, DIGITS), "chamfer": round(min(distance, NOTHING), 6)}


def write_pictures(
    folder: Path,
    entry: str,
    scene: TestScene,
    num_views: int,
    images: Float[Tensor, "places height width 3"],
) -> None:
    """The input, the truth and the answer from the shown places that were not given."""
    places, views = given_views(num_views), scene.views
    stem = f"{scene.index:03d}-{num_views:02d}"
    _keep(folder / f"{stem}-input.png", views, places[0])
    for place in SHOWN_PLACES:
        if place not in places:
            _keep(folder / f"{stem}-{place:03d}-truth.png", views, place)
            save_rgb(folder / f"{stem}-{place:03d}-{entry}.png", images[place])


def _keep(path: Path, views: Views, place: int) -> None:
    """File name stem of a true picture, which all entries share."""
    if not path.exists():
        save_rgb(path, views.images[place])


def save_rgb(path: Path, rgb: Float[Tensor, "height width 3"]) -> None:
    """Colours in [0, 1] as PNG."""
    save_picture(path, to_uint8(torch.as_tensor(rgb)).cpu().numpy())
