"""Packing: scenes into one folder that training reads memory-mapped.

`images.npy` uint8 `scenes views h w 3` on white, `c2w.npy` float32 `scenes views 4 4` in SRN units, `intrinsics.npy`
float32 `scenes 4`, and `meta.json`, written last. Everything is built under a temporary name, so that a folder is either
finished or absent. `meta.json` holds the content key of every scene; a folder whose scenes have other keys now is packed
anew or refused, never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.content import key_of
from engine.data.base import PackedDataset, SceneDataset, read_meta
from engine.data.cameras import SPIRAL_VIEWS, srn_intrinsics
from engine.data.parallel import in_parallel
from engine.data.procedural.categories import Category
from engine.data.procedural.shape import soups_key
from engine.errors import DataError
from engine.events import Run, Step
from engine.files import in_turn, write_json, writing

log = logging.getLogger(__name__)

FORMAT = 2
"""Version of a packed folder's files; folders of another one are packed anew."""
GENERATOR = 1
"""Version of the procedural categories; a new one makes packed folders stale."""

SAMPLED = 64
"""Most scenes, spread over all, whose objects are built to see whether the generator still makes the same: 35 ms each. A
change that none of them shows goes unnoticed, unless `GENERATOR` is raised."""

FILES = ("images.npy", "c2w.npy", "intrinsics.npy")
"""Files of a packed folder beside `meta.json`."""

Scene = tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]
"""Pictures, SRN poses, intrinsics and a scene's entry in `meta.json`."""


@dataclass(frozen=True)
class _Wanted:
    """Wanted contents of a packed folder.

    Attributes:
        request: Settings of the data set; a folder with other settings belongs to somebody else.
        keys: Content key of every scene.
        names: Name of every scene.
        stamp: See `SceneDataset.stamp`.
    """

    request: dict[str, Any]
    keys: list[str]
    names: list[str]
    stamp: str | None = None


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
    """Renders procedural scenes into a packed folder; a finished folder of the same scenes is reused.

    Args:
        folder: Output folder; must not hold anything else.
        category: Category of the objects.
        seeds: Scene seeds (`scene_seed(split, index)`).
        views: Random pictures per scene.
        size: Rows and columns.
        spiral: The 251 pictures of SRN's test path instead of random ones.
        augment: True to give half of the scenes other colours, light and proportions.

    Raises:
        DataError: If the folder holds something else.
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

    names = [f"{category.word}-{seed:07d}" for seed in seeds]
    sampled = seeds[:: -(-len(seeds) // SAMPLED) or 1]
    built = soups_key(category.shape(seed, augment).soup() for seed in sampled)
    drawn = key_of(built, _drawing_key(scene(seeds[0]))) if seeds else ""
    wanted = _Wanted(request, [key_of(drawn, seed) for seed in seeds], names)
    return (yield from _pack(Path(folder), wanted, lambda: in_parallel(scene, seeds), True))


def _drawing_key(scene: Scene) -> str:
    """Digest of the first scene's drawing, which changes with the code that turns objects into pictures."""
    pictures, c2w, intrinsics, _ = scene
    state = hashlib.blake2b(digest_size=8)
    for array in (pictures, c2w, intrinsics):
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def pack_dataset(
    dataset: SceneDataset,
    folder: str | Path,
    *,
    renew: bool = True,
    check: Callable[[], object] = lambda: None,
) -> Run[PackedDataset]:
    """Copies a data set (an SRN folder, say) into a packed folder; a finished one of the same contents is reused.

    Args:
        dataset: Data set to copy.
        folder: Output folder.
        renew: True to pack a folder anew if its scenes have changed since.
        check: Called before anything is packed; raises what it finds wrong.

    Raises:
        DataError: If scenes differ in number or size of pictures, the folder holds something else or, without `renew`,
            other contents, or the data set changes while it is copied.
    """
    folder = Path(folder)
    stamp = dataset.stamp
    done = read_meta(folder)
    same = done is not None and _is_current(done) and stamp is not None and done["stamp"] == stamp
    if same and damage_of(folder, done) is None:
        yield Step(stage="dataset", index=len(dataset), total=len(dataset))
        return PackedDataset(folder)
    keys = []
    for index in range(len(dataset)):
        keys.append(dataset.key(index))
        yield Step(stage="compare" if done else "read", index=index + 1, total=len(dataset))

    def scene(index: int) -> Scene:
        views = dataset.views(index)
        pictures = (views.images.clamp(0, 1) * 255).round().byte().numpy()
        intrinsics = views.camera.intrinsics.reshape(-1, 4)
        if not bool((intrinsics == intrinsics[:1]).all()):
            raise DataError(
                f"{dataset.ids[index]}: pictures differ in their intrinsics, expected one for all."
            )
        if dataset.key(index) != keys[index]:
            raise DataError(
                f"{dataset.ids[index]}: its files changed while they were packed; start again when they are complete."
            )
        entry = {"seed": None, "caption": "", "attributes": {}, **dataset.describe(index)}
        entry["id"] = dataset.ids[index]
        return pictures, views.camera.srn_c2w().numpy(), intrinsics[0].numpy(), entry

    def scenes() -> Generator[Scene, None, None]:
        check()
        return in_parallel(scene, range(len(dataset)))

    wanted = _Wanted({"kind": "copy"}, keys, list(dataset.ids), stamp)
    return (yield from _pack(folder, wanted, scenes, renew))


def _pack(
    folder: Path,
    wanted: _Wanted,
    scenes: Callable[[], Generator[Scene, None, None]],
    renew: bool,
) -> Run[PackedDataset]:
    """Writes scenes into `folder` under a temporary name and renames it when everything is there.

    If another process is already packing it, wait for its result.
    """
    total = len(wanted.keys)
    if total == 0:
        raise DataError(f"{folder}: found no scenes to pack, expected at least one.")

    def waiting() -> None:
        log.warning("%s: another process packs the same scenes; waiting for it", folder)

    if not _is_ready(folder, wanted):
        with in_turn(folder, waiting):
            if not _is_ready(folder, wanted):
                _check_place(folder, wanted, renew)
                yield from _build(folder, wanted, scenes)
                return PackedDataset(folder)
    yield Step(stage="dataset", index=total, total=total)
    return PackedDataset(folder)


def _is_ready(folder: Path, wanted: _Wanted) -> bool:
    """True if a packed folder holds exactly these scenes, undamaged; updates its stamp in that case."""
    done = read_meta(folder)
    if done is None or not _holds(done, wanted) or damage_of(folder, done) is not None:
        return False
    if done["stamp"] != wanted.stamp:
        write_json(folder / "meta.json", done | {"stamp": wanted.stamp})
    return True


def _check_place(folder: Path, wanted: _Wanted, renew: bool) -> None:
    """Log the reason for packing an existing folder anew.

    Raises:
        DataError: If it must not be.
    """
    done = read_meta(folder)
    if done is not None and _holds(done, wanted):
        log.warning("%s: damaged (%s); packing it anew", folder, damage_of(folder, done))
    elif folder.exists():
        if done is None or not _is_of(done, wanted.request):
            raise DataError(
                f"{folder}: holds something other than the requested data set; remove it or choose another folder."
            )
        change = _change(done, wanted)
        if not renew:
            raise DataError(
                f"{folder}: {change}, and a run has begun with what is packed; choose another --out, or go on with the "
                "changed data by --changed-data."
            )
        log.info("%s: %s; packing them anew", folder, change)


def _build(
    folder: Path, wanted: _Wanted, scenes: Callable[[], Generator[Scene, None, None]]
) -> Run[None]:
    """Writes a packed folder, replacing an existing one."""
    partial = folder.with_name(folder.name + ".partial")
    drawn = scenes()
    try:
        with writing(folder), contextlib.closing(drawn):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            yield from _write(partial, wanted, drawn)
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_current(done: dict[str, Any]) -> bool:
    return done.get("format") == FORMAT


def _holds(done: dict[str, Any], wanted: _Wanted) -> bool:
    """True if a packed folder holds exactly these scenes."""
    return (
        _is_current(done)
        and done["request"] == wanted.request
        and [(scene["id"], scene["key"]) for scene in done["scenes"]]
        == list(zip(wanted.names, wanted.keys, strict=True))
    )


def _is_of(done: dict[str, Any], request: dict[str, Any]) -> bool:
    """True if a packed folder was made for the same request, with any contents."""
    return done["request"].get("kind") == "copy" == request["kind"] or done["request"] == request


def _change(done: dict[str, Any], wanted: _Wanted) -> str:
    """Description of a change since the folder was packed."""
    if not _is_current(done):
        return "packed by an older version, which did not note the contents of the scenes"
    before = {scene["id"]: scene["key"] for scene in done["scenes"]}
    now = dict(zip(wanted.names, wanted.keys, strict=True))
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not changed:
        return "the scenes come in another order than when they were packed"
    others = f" and {len(changed) - 1} others" if len(changed) > 1 else ""
    return f"pictures or cameras of {changed[0]}{others} have changed since they were packed"


def _write(folder: Path, wanted: _Wanted, scenes: Generator[Scene, None, None]) -> Run[None]:
    """Writes a packed folder's files."""
    total = len(wanted.keys)
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
            entries.append(entry | {"key": wanted.keys[index]})
            yield Step(stage="dataset", index=index + 1, total=total)
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / "c2w.npy", np.stack(poses).astype(np.float32))
    np.save(folder / "intrinsics.npy", np.stack(intrinsics).astype(np.float32))
    sums = {name: _sum(folder / name) for name in FILES}
    meta = {"format": FORMAT, "request": wanted.request, "stamp": wanted.stamp, "files": sums}
    meta["scenes"] = entries
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def damage_of(folder: Path, done: dict[str, Any]) -> str | None:
    """Damage to a packed folder's files, in words; None if sizes and checksums agree or were not recorded."""
    for name, noted in done.get("files", {}).items():
        try:
            found = _sum(folder / name)
        except OSError as error:
            return f"{name}: {error.strerror}"
        if found != noted:
            return f"the checksum of {name} differs"
    return None


def _sum(path: Path) -> list[int]:
    """Bytes and CRC-32 of a file."""
    size = crc = 0
    with path.open("rb") as file:
        while part := file.read(2**22):
            size, crc = size + len(part), zlib.crc32(part, crc)
    return [size, crc]


def _write_header(file: Any, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
