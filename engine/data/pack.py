"""Packing: scenes into one folder that training reads memory-mapped.

`images.npy` uint8 `scenes views h w 3` on white, `c2w.npy` float32 `scenes views 4 4` in SRN units, `intrinsics.npy`
float32 `scenes 4`, and `meta.json`, written last. Everything is built under a temporary name, so that a folder is either
finished or absent.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.base import PackedDataset, SceneDataset, read_meta
from engine.data.cameras import SPIRAL_VIEWS, srn_intrinsics
from engine.data.parallel import in_parallel
from engine.data.procedural import Category
from engine.errors import DataError
from engine.events import Run, Step

GENERATOR = 1
"""Version of the procedural categories; a new one makes packed folders stale."""

Scene = tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]
"""Pictures, SRN poses, intrinsics and a scene's entry in `meta.json`."""


def pack_scenes(
    folder: str | Path,
    category: Category,
    seeds: Sequence[int],
    views: int = 50,
    size: int = 128,
    *,
    spiral: bool = False,
    augment: bool = False,
) -> Run[PackedDataset]:
    """Renders procedural scenes into a packed folder; a finished folder of the same request is reused.

    Args:
        folder: Where to; must not hold anything else.
        category: What to draw.
        seeds: Scene seeds (`scene_seed(split, index)`).
        views: Random pictures per scene.
        size: Rows and columns.
        spiral: The 251 pictures of SRN's test path instead of random ones.
        augment: Whether half of the scenes get other colours, light and proportions.

    Raises:
        DataError: Where the folder holds something else.
    """
    seeds = [int(seed) for seed in seeds]
    request = {"kind": category.name, "generator": GENERATOR, "seeds": seeds, "size": size}
    request |= {"views": SPIRAL_VIEWS if spiral else views, "spiral": spiral, "augment": augment}

    def scene(seed: int) -> Scene:
        shape = category.shape(seed, augment)
        c2w = category.cameras(seed, None if spiral else views)
        entry = {"id": f"{category.word}-{seed:07d}", "seed": seed}
        entry |= {"caption": shape.caption, "attributes": shape.attributes}
        return category.pictures(shape, c2w, size), c2w, srn_intrinsics(size), entry

    return (yield from _pack(Path(folder), request, in_parallel(scene, seeds), len(seeds)))


def pack_dataset(dataset: SceneDataset, folder: str | Path) -> Run[PackedDataset]:
    """Copies a data set (an SRN folder, say) into a packed folder; a finished one of the same scenes is reused.

    Raises:
        DataError: Where scenes differ in number or size of pictures, or the folder holds something else.
    """
    request = {"kind": "copy", "ids": list(dataset.ids), "source": dataset.fingerprint}

    def scene(index: int) -> Scene:
        views = dataset.views(index)
        pictures = (views.images.clamp(0, 1) * 255).round().byte().numpy()
        intrinsics = views.camera.intrinsics.reshape(-1, 4)
        if not bool((intrinsics == intrinsics[:1]).all()):
            raise DataError(
                f"{dataset.ids[index]}: pictures differ in their intrinsics, expected one for all."
            )
        entry = {"seed": None, "caption": "", "attributes": {}, **dataset.describe(index)}
        entry["id"] = dataset.ids[index]
        return pictures, views.camera.srn_c2w().numpy(), intrinsics[0].numpy(), entry

    scenes = in_parallel(scene, range(len(dataset)))
    return (yield from _pack(Path(folder), request, scenes, len(dataset)))


def _pack(
    folder: Path, request: dict[str, Any], scenes: Generator[Scene, None, None], total: int
) -> Run[PackedDataset]:
    """Writes scenes into `folder` under a temporary name and renames it when everything is there."""
    if total == 0:
        raise DataError(f"{folder}: found no scenes to pack, expected at least one.")
    done = read_meta(folder)
    if done is not None and done["request"] == request:
        yield Step(stage="dataset", index=total, total=total)
        return PackedDataset(folder)
    if folder.exists():
        raise DataError(
            f"{folder}: holds something other than the requested data set; remove it or choose another folder."
        )
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with contextlib.closing(scenes):
            yield from _write(partial, request, scenes, total)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return PackedDataset(folder)


def _write(
    folder: Path, request: dict[str, Any], scenes: Generator[Scene, None, None], total: int
) -> Run[None]:
    """Writes a packed folder's files."""
    entries, poses, intrinsics = [], [], []
    with (folder / "images.npy").open("wb") as file:
        for index, (pictures, c2w, matrix, entry) in enumerate(scenes):
            if index == 0:
                shape = pictures.shape
                _write_header(file, (total, *shape))
            elif pictures.shape != shape:
                raise DataError(
                    f"{entry['id']}: found pictures of shape {pictures.shape}, expected {shape} as in the first scene."
                )
            file.write(np.ascontiguousarray(pictures, np.uint8))
            poses.append(c2w)
            intrinsics.append(matrix)
            entries.append(entry)
            yield Step(stage="dataset", index=index + 1, total=total)
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / "c2w.npy", np.stack(poses).astype(np.float32))
    np.save(folder / "intrinsics.npy", np.stack(intrinsics).astype(np.float32))
    meta = json.dumps({"request": request, "scenes": entries})
    (folder / "meta.json").write_text(meta, encoding="utf-8")


def _write_header(file: Any, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
