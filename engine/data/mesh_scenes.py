"""Scenes of mesh files: their names and sources; a scene is identified by the content of its files."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import from_json
from engine.data.formats.folder import unchanged
from engine.data.meshes import AboutMesh
from engine.errors import ConfigError, DataError, plain
from engine.files import MEGABYTE
from engine.reading import read_json

MOST_NAME = 120
"""Characters of a scene's name."""
MOST_BYTES = 16 * MEGABYTE
"""Largest attributes.json of a scene that is read, bytes."""
MOST_SAID = 20
"""Files that a run's remarks name one by one."""


@dataclass(frozen=True)
class Place:
    """A file's scene.

    Attributes:
        scene: Its name.
        kept: True if it exists already, drawn from the same content.
        avoided: Preferred name, if a scene of other content has it already.
    """

    scene: str
    kept: bool
    avoided: str = ""


def scene_names(path: Path, folders: bool = True) -> Iterator[str]:
    """Names for a file's scene, in order of preference: its stem, with its folders' names before it, then numbered."""
    stem = _name(path.stem) or "mesh"
    yield stem
    if folders:
        parents = [_name(part) for part in path.absolute().parent.parts[1:]]
        for count in range(1, len(parts := [part for part in parents if part]) + 1):
            yield "-".join([*parts[-count:], stem])[-MOST_NAME:].lstrip("-. ")
    for number in itertools.count(2):
        yield f"{stem}-{number}"


def _name(text: str) -> str:
    """A text as a folder's name that every program can write: not hidden, no control characters or broken bytes."""
    whole = os.fsencode(text).decode("utf-8", "replace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ufffd/\\:]", "_", whole).strip(". ")[:MOST_NAME]


def find_places(files: list[Path], out: Path | None) -> list[Place]:
    """Folder of every file's scene.

    Raises:
        DataError: If a file has changed since its scene was drawn.
    """
    taken: set[str] = set()
    places = []
    for number, path in enumerate(files):
        folders = path.absolute() not in {other.absolute() for other in files[:number]}
        names = (name for name in scene_names(path, folders) if name not in taken)
        places.append(_place(path, out, names))
        taken.add(places[-1].scene)
    return places


def _place(path: Path, out: Path | None, names: Iterator[str]) -> Place:
    avoided = ""
    for name in names:
        record = None if out is None else _record(out / name)
        if record is None:
            return Place(name, False, avoided)
        if unchanged(path, record.files):
            return Place(name, True, avoided)
        if record.place == digest_of_place(path):
            raise DataError(
                f"{plain(path)}: has changed since {plain(out / name)} was drawn from it; remove that scene, or choose "
                "another folder."
            )
        avoided = avoided or name
    raise AssertionError("names never end")


@dataclass(frozen=True)
class _Source:
    """Source of a scene: digest of the mesh's place (`digest_of_place`), and digests of all its files by their place."""

    place: str
    files: dict[str, str | None]


def _record(scene: Path) -> _Source | None:
    """Source of a scene as recorded in its folder; None if it records none or does not exist."""
    try:
        told = read_json(
            scene / "attributes.json",
            dict[str, Any],
            DataError,
            "what a scene shows",
            most_bytes=MOST_BYTES,
        )
        source = from_json(_Source, told.get("source"), "source")
    except (ConfigError, DataError):
        return None
    return source if source.files else None


def digest_of_place(path: Path) -> str:
    """Digest of a file's absolute path: tells files of one name apart without revealing their folders."""
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]


def sentences(
    files: list[Path], out: Path, places: list[Place], drawn: dict[int, AboutMesh]
) -> Iterator[str]:
    """Messages of a run about its files."""
    kept = [path for path, place in zip(files, places, strict=True) if place.kept]
    if kept:
        yield f"Kept: {_listed(kept)}, drawn from the same content before."
    for index in sorted(drawn)[:MOST_SAID]:
        place, name = places[index], plain(files[index])
        if place.avoided:
            yield f"{name}: written as {place.scene}, because {place.avoided} was drawn from another mesh."
        if drawn[index].remarks:
            yield f"{name}: drawn without {'; '.join(drawn[index].remarks)}."
    if len(drawn) > MOST_SAID:
        yield "What is left out of the others stands in their attributes.json."
    assumed = Counter(
        (mesh.axes.up, mesh.axes.front, files[index].suffix.upper()[1:])
        for index, mesh in drawn.items()
        if mesh.assumed
    )
    for (up, front, ending), count in assumed.items():
        yield (
            f"Assumed of {count} {ending} file{'s' if count > 1 else ''}: {up} is up and the front faces {front}; --up and "
            "--front tell otherwise."
        )


def _listed(paths: list[Path]) -> str:
    names = ", ".join(plain(path) for path in paths[:3])
    return names if len(paths) <= 3 else f"{names} and {len(paths) - 3} more"
