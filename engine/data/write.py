"""The command line's data sets: procedural scenes and meshes, written in the SRN layout."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.data.cameras import SPIRAL_VIEWS, spiral_cameras, srn_intrinsics, training_cameras
from engine.data.mesh_scenes import digest_of_place, find_places, sentences
from engine.data.meshes import AboutMesh, open_mesh
from engine.data.pack import GENERATOR
from engine.data.procedural.categories import Category
from engine.data.procedural.shape import render_shape, scene_seed
from engine.data.raster import rasterise
from engine.data.srn import SRNDataset, SRNScene, write_srn
from engine.errors import DataError, plain
from engine.events import Run

READER = 2
"""Version of how meshes are read and drawn; scenes of another one are not taken for finished."""


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
        category: Category of the objects.
        out: Folder; finished scenes in it are kept.
        scenes: Number of scenes.
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
    up: str = "auto",
    front: str = "auto",
    say: Callable[[str], object] = lambda sentence: None,
) -> Run[SRNDataset]:
    """Writes pictures of mesh files in the SRN layout, one scene per file.

    Args:
        files: GLB, glTF, OBJ, PLY or STL.
        out: Folder. A scene in it that was drawn from the same content is kept; a mesh of the same name and other content
            gets a name of its own.
        views: Random pictures per scene; the scene's name decides which.
        spiral: The 251 pictures of SRN's test path instead.
        size: Rows and columns.
        up: The files' axis that points up, see `open_mesh`.
        front: The direction that their objects' fronts face, see `open_mesh`.
        say: Called with a sentence on everything assumed, kept or left out.

    Raises:
        DataError: If a file cannot be used or has changed since its scene was drawn, or `out` holds scenes of other
            settings.
    """
    _check(len(files), views, size)
    files, out = [Path(file) for file in files], Path(out)
    places = find_places(files, out)
    intrinsics = srn_intrinsics(size)
    drawn: dict[int, AboutMesh] = {}

    def make(index: int) -> SRNScene:
        mesh, place = open_mesh(files[index], up, front), places[index]
        seed = zlib.crc32(place.scene.encode())
        c2w = spiral_cameras() if spiral else training_cameras(seed, views)
        pictures = rasterise(mesh.soup, c2w, intrinsics, size, size)
        about = {
            "caption": place.scene,
            "attributes": {"file": plain(files[index].name)},
            "source": {"place": digest_of_place(files[index]), "files": mesh.about.digests},
            "axes": {"up": mesh.about.axes.up, "front": mesh.about.axes.front},
            "left_out": list(mesh.about.remarks),
        }
        drawn[index] = mesh.about
        return SRNScene(pictures, c2w, intrinsics, about)

    request = {"kind": "meshes", "reader": READER, **_picture_request(views, spiral, size)}
    request |= {"up": up, "front": front}
    try:
        return (yield from write_srn(out, [place.scene for place in places], make, request))
    finally:
        for sentence in sentences(files, out, places, drawn):
            say(sentence)


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
