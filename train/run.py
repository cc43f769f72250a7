"""A recipe from its scenes to a tuned checkpoint, as one run that the commands consume."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.config import to_json
from engine.data.base import PackedDataset
from engine.data.pack import pack_dataset, pack_scenes
from engine.data.procedural.categories import find_category
from engine.data.procedural.shape import scene_seed
from engine.data.reading import SRN, CameraReading
from engine.data.srn import SRNDataset
from engine.data.srn_check import check_srn
from engine.evaluation.tune import settle
from engine.events import Run
from engine.files import alone
from engine.store.checkpoint import open_checkpoint, save_checkpoint
from engine.training import keeping
from engine.training.loop import train
from engine.training.preview import save_preview
from engine.training.recipe import DataOptions, Recipe
from engine.training.state import TrainState

log = logging.getLogger(__name__)

CHECKED_PICTURES = 4
"""Pictures of each scene of a folder that are looked at before training on it; poses are all checked."""


def run_folder(recipe: Recipe) -> Path:
    """A recipe's default run folder."""
    return Path("runs") / recipe.name


def run_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    pictures: Path | None = None,
    reading: CameraReading = SRN,
    changed_data: bool = False,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> Run[Path]:
    """Pack the scenes, train, save, and choose the settings at test time; goes on where an earlier run stopped.

    Args:
        recipe: What to train.
        folder: Of the run: state, log, previews. Closing the run leaves a state to go on from.
        pictures: An SRN folder to train on instead of procedural scenes.
        reading: How that folder's cameras are meant.
        changed_data: Whether a run that has begun goes on when its scenes have changed since.
        checkpoint: Where to write the finished checkpoint; None means `folder / "checkpoint"`.
        device: Where to compute.

    Returns:
        The finished checkpoint.
    """
    with alone(folder, "is training there"):
        return (
            yield from _train(recipe, folder, pictures, reading, changed_data, checkpoint, device)
        )


def _train(
    recipe: Recipe,
    folder: Path,
    pictures: Path | None,
    reading: CameraReading,
    changed_data: bool,
    checkpoint: Path | None,
    device: str,
) -> Run[Path]:
    begun, loop = keeping.begun(folder), recipe.loop
    data = yield from _scenes(recipe.data, folder, pictures, reading, changed_data or not begun)
    state = TrainState.fresh(recipe, len(data), device)
    state.data_key = data.key
    if begun:
        changes = keeping.load_state(state, folder, changed_data=changed_data)
        log.info("resuming %s at iteration %d", folder, state.step)
        if changes:
            log.info("with other settings than before: %s", ", ".join(changes))
    elif loop.start is not None:
        state.warm_start(open_checkpoint(loop.start, device))
    run = train(state, data, folder)
    try:
        while True:
            step = next(run)
            if loop.preview_every and step.index % loop.preview_every == 0:
                save_preview(state, data, folder)
            yield step
    except StopIteration as end:
        method = end.value
    finally:
        run.close()
    target = checkpoint or folder / "checkpoint"
    provenance = {"recipe": to_json(recipe), "iterations": state.step, "data": data.key}
    provenance["cpu_seconds"] = round(state.cpu_seconds)
    save_checkpoint(target, method, provenance=provenance)
    log.info("wrote %s", target)
    if loop.tune_scenes and pictures is None:
        yield from settle(target, device=device, num_scenes=loop.tune_scenes)
    return target


def _scenes(
    wanted: DataOptions, folder: Path, pictures: Path | None, reading: CameraReading, renew: bool
) -> Run[PackedDataset]:
    """Training scenes, packed once for what they hold; packed anew or refused when they have changed."""
    if pictures is not None:

        def check() -> None:
            for doubt in check_srn(pictures, CHECKED_PICTURES, reading=reading).doubts:
                log.warning("doubtful: %s", doubt)

        dataset = SRNDataset(pictures, reading)
        return (yield from pack_dataset(dataset, folder / "data", renew=renew, check=check))
    first = wanted.first_scene
    seeds = [scene_seed("train", first + k) for k in range(wanted.scenes)]
    name = f"{wanted.category}-{wanted.scenes}x{wanted.views}-{wanted.size}"
    name = f"{name}-from-{first}" if first else name
    name = f"{name}-augmented" if wanted.augment else name
    return (
        yield from pack_scenes(
            Path("data") / name,
            find_category(wanted.category),
            seeds,
            wanted.views,
            wanted.size,
            augment=wanted.augment,
        )
    )
