"""The commands that write pictures of scenes as SRN folders: `launch.py dataset vehicles`, and so on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

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
    """Number of scenes."""
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
        from engine.data.procedural.categories import find_category
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
    """Write pictures of mesh files as an SRN folder: upright, centred, box diagonal 1, in diffuse light."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """GLB, glTF, OBJ, PLY or STL files."""
    out: Path
    """Folder to write; scenes in it that were drawn from the same content are kept."""
    views: int | None = None
    """Random pictures of each scene (default 50)."""
    spiral: bool = False
    """The 251 pictures of SRN's test path instead of random ones."""
    size: int = 128
    """Side of a picture, pixels."""
    up: Literal["auto", "x", "y", "z"] = "auto"
    """The files' axis that points up; auto: y of glTF and OBJ, z of PLY, STL and this program's own OBJ."""
    front: Literal["auto", "x", "-x", "y", "-y", "z", "-z"] = "auto"
    """The direction that the objects' fronts face; auto: z where y is up, y where z is up."""

    def run(self, progress: Progress) -> None:
        """Write the folder, and say what was assumed and left out."""
        from engine.data.write import write_meshes
        from engine.events import finish

        views = number_of_views(self.views, self.spiral)
        said: list[str] = []
        run = write_meshes(
            self.files, self.out, views, self.spiral, self.size, self.up, self.front, said.append
        )
        try:
            finish(run, progress)
        finally:
            progress.close()
            print(*said, sep="\n", end="\n" if said else "")


def number_of_views(views: int | None, spiral: bool) -> int:
    """Random pictures of each scene."""
    if spiral and views is not None:
        raise ConfigError("Found both --views and --spiral, expected one of them; drop the other.")
    return 50 if views is None else views
