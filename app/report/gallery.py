"""The pictures of a scoreboard's folder, prepared for embedding in a page.

Names say what a picture shows: `{scene}-{views}-input.png`, `{scene}-{views}-{place}-truth.png`,
`{scene}-{views}-{place}-{entry}.png`, `sample-{number}-{side}.png` and `nearest-{number}.png`. Pictures become lossless
WebP in data addresses: the same pixels in two thirds of a PNG's bytes.
"""

from __future__ import annotations

import base64
import io
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from engine.errors import DataError
from engine.evaluation.board import SEEN
from engine.ops.metrics import evaluation_psnr

BUDGET = 13 * 2**20
"""Most characters of the scenes' pictures on the page; the rest stay in the folder."""
SIDE = re.compile(r"sample-(\d+)-(\d+)\.png")


@dataclass(frozen=True)
class Shot:
    """One picture: its data address, and its PSNR to the truth (None for the truth itself)."""

    source: str
    psnr: float | None = None


@dataclass(frozen=True)
class Place:
    """Images at one held-out camera: the truth and each entry's render."""

    number: int
    truth: Shot
    entries: dict[str, Shot]


@dataclass(frozen=True)
class Reconstruction:
    """One scene reconstructed from `views` pictures."""

    scene: int
    views: int
    input: Shot | None
    places: tuple[Place, ...]

    @property
    def size(self) -> int:
        """Characters of all its pictures."""
        shots = [shot for place in self.places for shot in (place.truth, *place.entries.values())]
        return sum(len(shot.source) for shot in [*shots, *([self.input] if self.input else [])])

    def psnr(self, entry: str) -> float | None:
        """An entry's mean over the places shown; None if it is not shown."""
        values = [p.entries[entry].psnr for p in self.places if entry in p.entries]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True)
class Sample:
    """One unconditional sample from several sides, and the training scene that looks most like it."""

    number: int
    sides: tuple[Shot, ...]
    nearest: Shot | None


@dataclass(frozen=True)
class Gallery:
    """Images of the gallery, and the number of reconstructions left out."""

    reconstructions: tuple[Reconstruction, ...]
    omitted: int
    samples: tuple[Sample, ...]


def read_gallery(folder: Path, budget: int = BUDGET) -> Gallery:
    """The pictures of a folder; an empty gallery if it does not exist.

    Args:
        folder: Folder of the PNG files.
        budget: Characters that the reconstructions may take; scenes come in their order until it is spent.

    Raises:
        DataError: If a picture cannot be read, or differs in size from its truth.
    """
    names = sorted(path.name for path in folder.glob("*.png"))
    found: dict[tuple[int, int], dict[int, dict[str, str]]] = defaultdict(dict)
    for name in names:
        if match := SEEN.fullmatch(name):
            scene, views, place = (int(part) for part in match.groups()[:3])
            found[scene, views].setdefault(place, {})[match[4]] = name
    kept: list[Reconstruction] = []
    for scene, views in sorted(found):
        one = _reconstruction(folder, scene, views, found[scene, views])
        budget -= one.size
        if budget < 0:
            break
        kept.append(one)
    return Gallery(tuple(kept), len(found) - len(kept), _samples(folder, names))


def _reconstruction(
    folder: Path, scene: int, views: int, places: dict[int, dict[str, str]]
) -> Reconstruction:
    shown = []
    for number in sorted(places):
        names = dict(places[number])
        if "truth" not in names:
            continue
        truth = _pixels(folder / names.pop("truth"))
        entries = {entry: _compared(folder / name, truth) for entry, name in names.items()}
        shown.append(Place(number, Shot(_source(truth)), entries))
    given = folder / f"{scene:03d}-{views:02d}-input.png"
    image = Shot(_source(_pixels(given))) if given.is_file() else None
    return Reconstruction(scene, views, image, tuple(shown))


def _samples(folder: Path, names: list[str]) -> tuple[Sample, ...]:
    sides: dict[int, dict[int, str]] = defaultdict(dict)
    for name in names:
        if match := SIDE.fullmatch(name):
            sides[int(match[1])][int(match[2])] = name
    samples = []
    for number, seen in sorted(sides.items()):
        nearest = folder / f"nearest-{number:03d}.png"
        samples.append(
            Sample(
                number,
                tuple(Shot(_source(_pixels(folder / seen[side]))) for side in sorted(seen)),
                Shot(_source(_pixels(nearest))) if nearest.is_file() else None,
            )
        )
    return tuple(samples)


def _compared(path: Path, truth: np.ndarray) -> Shot:
    image = _pixels(path)
    if image.shape != truth.shape:
        raise DataError(
            f"{path}: found {image.shape[1]} x {image.shape[0]} pixels, expected its truth's "
            f"{truth.shape[1]} x {truth.shape[0]}; delete the folder's pictures and run the scoreboard again."
        )
    render, target = (torch.from_numpy(pixels).float() / 255 for pixels in (image, truth))
    return Shot(_source(image), float(evaluation_psnr(render, target)))


def _pixels(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(
            f"{path}: not readable as a picture; delete it and run the scoreboard again."
        ) from error


def _source(pixels: np.ndarray) -> str:
    """A picture as a data address."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "webp", lossless=True, quality=20, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
