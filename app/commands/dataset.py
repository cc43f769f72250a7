"""The commands that write pictures of scenes as SRN folders: `launch.py dataset vehicles`, and so on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import tyro

from engine.errors import ConfigError

if TYPE_CHECKING:
    from train.progress import Progress


@dataclass(frozen=True)
class Procedural:
    """Write procedural scenes as an SRN folder; test scenes with --spiral, training scenes without."""

    out: Path
    """Folder to write; finished scenes in it are kept."""
    scenes: int
    """How many."""
    views: int | None = None
    """Random pictures of each scene (default 50)."""
    spiral: bool = False
    """The 251 pictures of SRN's test path instead of random ones."""
    size: int = 128
    """Side of a picture, pixels."""
    seed: int = 0
    """First scene of the split."""

    category: ClassVar[str]

    def run(self, progress: Progress) -> None:
        """Write the folder."""
        from engine.data.procedural import find_category
        from engine.data.write import write_scenes
        from engine.events import finish

        run = write_scenes(
            find_category(self.category),
            self.out,
            self.scenes,
            number_of_views(self.views, self.spiral),
            self.spiral,
            self.size,
            self.seed,
        )
        finish(run, progress)


class Vehicles(Procedural):
    """Write procedural vehicles as an SRN folder; test scenes with --spiral, training scenes without."""

    category = "vehicles"


class Chairs(Procedural):
    """Write procedural chairs as an SRN folder; test scenes with --spiral, training scenes without."""

    category = "chairs"


class Tables(Procedural):
    """Write procedural tables as an SRN folder; test scenes with --spiral, training scenes without."""

    category = "tables"


@dataclass(frozen=True)
class Meshes:
    """Write pictures of mesh files as an SRN folder: centred, diagonal 1, glTF axes converted."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """GLB, glTF, OBJ, PLY or STL files."""
    out: Path
    """Folder to write; finished scenes in it are kept."""
    views: int | None = None
    """Random pictures of each scene (default 50)."""
    spiral: bool = False
    """The 251 pictures of SRN's test path instead of random ones."""
    size: int = 128
    """Side of a picture, pixels."""

    def run(self, progress: Progress) -> None:
        """Write the folder."""
        from engine.data.write import write_meshes
        from engine.events import finish

        views = number_of_views(self.views, self.spiral)
        finish(write_meshes(self.files, self.out, views, self.spiral, self.size), progress)


def number_of_views(views: int | None, spiral: bool) -> int:
    """Random pictures of each scene."""
    if spiral and views is not None:
        raise ConfigError("Found both --views and --spiral, expected one of them; drop the other.")
    return 50 if views is None else views
