"""The command line's data sets: procedural scenes and meshes, written in the SRN layout."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

from engine.data.cameras import SPIRAL_VIEWS, spiral_cameras, srn_intrinsics, training_cameras
from engine.data.meshes import load_mesh, mesh_ids
from engine.data.pack import GENERATOR
from engine.data.procedural import Category
from engine.data.raster import rasterise
from engine.data.shape import render_shape, scene_seed
from engine.data.srn import SRNDataset, SRNScene, write_srn
from engine.errors import DataError
from engine.events import Run


def write_scenes(
    category: Category,
    out: str | Path,
    scenes: int,
    views: int = 50,
    spiral: bool = False,
    size: int = 128,
    seed: int = 0,
    split: str | None = None,
) -> Run[SRNDataset]:
    """Writes procedural scenes as RGBA pictures in the SRN layout.

    Args:
        category: What to draw.
        out: Folder; finished scenes in it are kept.
        scenes: How many.
        views: Random pictures per scene.
        spiral: The 251 pictures of SRN's test path instead.
        size: Rows and columns.
        seed: First scene of the split.
        split: "train", "val" or "test"; default: test for the spiral, train for random pictures.

    Raises:
        DataError: On numbers out of range, or where `out` holds scenes of other settings.
    """
    _check(scenes, views, size)
    split = split or ("test" if spiral else "train")
    seeds = [scene_seed(split, seed + index) for index in range(scenes)]
    intrinsics = srn_intrinsics(size)

    def make(index: int) -> SRNScene:
        shape = category.build(seeds[index])
        c2w = category.cameras(seeds[index], None if spiral else views)
        about = {"seed": seeds[index], "caption": shape.caption, "attributes": shape.attributes}
        return SRNScene(render_shape(shape, c2w, intrinsics, size), c2w, intrinsics, about)

    request = {
        "kind": category.name,
        "generator": GENERATOR,
        **_picture_request(views, spiral, size),
    }
    ids = [f"{category.word}-{value:07d}" for value in seeds]
    return (yield from write_srn(out, ids, make, request))


def write_meshes(
    files: Sequence[str | Path],
    out: str | Path,
    views: int = 50,
    spiral: bool = False,
    size: int = 128,
) -> Run[SRNDataset]:
    """Writes pictures of mesh files in the SRN layout, one scene per file.

    Args:
        files: GLB and glTF with their own axes (y up, front +z); others z up, front +y.
        out: Folder; finished scenes in it are kept.
        views: Random pictures per scene; a file's name decides which.
        spiral: The 251 pictures of SRN's test path instead.
        size: Rows and columns.

    Raises:
        DataError: Where a file cannot be used, or `out` holds scenes of other settings.
    """
    _check(len(files), views, size)
    ids = mesh_ids(files)
    intrinsics = srn_intrinsics(size)

    def make(index: int) -> SRNScene:
        soup = load_mesh(files[index])
        seed = zlib.crc32(ids[index].encode())
        c2w = spiral_cameras() if spiral else training_cameras(seed, views)
        about = {"caption": ids[index], "attributes": {"file": Path(files[index]).name}}
        return SRNScene(rasterise(soup, c2w, intrinsics, size, size), c2w, intrinsics, about)

    request = {"kind": "meshes", **_picture_request(views, spiral, size)}
    return (yield from write_srn(out, ids, make, request))


def _picture_request(views: int, spiral: bool, size: int) -> dict[str, int | bool]:
    return {"views": SPIRAL_VIEWS if spiral else views, "spiral": spiral, "size": size}


def _check(scenes: int, views: int, size: int) -> None:
    for name, value, low, high in (
        ("scenes", scenes, 1, 1_000_000),
        ("views", views, 1, 10_000),
        ("size", size, 8, 4096),
    ):
        if not low <= value <= high:
            raise DataError(f"Found {name} = {value}, expected {low} to {high}.")
