"""Data sets: what every one of them offers, and the packed, memory-mapped form that training reads."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from engine.content import key_of
from engine.errors import DataError, one_line
from engine.files import MEGABYTE
from engine.reading import read_json
from engine.types import Camera, Views

MOST_META_BYTES = 512 * MEGABYTE
SCENES_BETWEEN_RELEASES = 256
"""After so many reads the mapped pages are given back, so that a process stays small."""


@runtime_checkable
class SceneDataset(Protocol):
    """Scenes with posed pictures."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Name of every scene."""
        ...

    def __len__(self) -> int:
        """Number of scenes."""
        ...

    @property
    def stamp(self) -> str | None:
        """Text that stays the same only while no file changes (`engine.content.stamp`); None if that is not known."""
        ...

    def key(self, index: int) -> str:
        """Content key of a scene: its pictures, cameras and description, and how they are read."""
        ...

    def views(self, index: int, which: Sequence[int] | None = None) -> Views:
        """Pictures of a scene, in engine units: all, or those of the given positions."""
        ...

    def describe(self, index: int) -> dict[str, Any]:
        """Seed, caption and attributes of a scene, as far as they are known; plain JSON values."""
        ...


class PackedDataset:
    """A folder written by `engine.data.pack`: all pictures in one memory-mapped file.

    Attributes:
        folder: Its folder.
        images: All pictures, uint8, laid on white; mapped, so only what is touched is read. Long random reading
            through it should call `release` now and then; `raw` and `views` do so themselves.
        c2w: Poses in SRN units, `scenes views 4 4`.
        intrinsics: fx, fy, cx, cy in pixels, `scenes 4`.
        meta: Contents of `meta.json`: the request it was built for, and id, seed, caption, attributes of every scene.
    """

    def __init__(self, folder: str | Path):
        """Opens a finished folder.

        Raises:
            DataError: If the folder is not a finished packed data set.
        """
        self.folder = Path(folder)
        meta = read_meta(self.folder)
        if meta is None:
            raise DataError(
                f"{self.folder}: found no meta.json, expected a finished packed data set; build it again."
            )
        self.meta: dict[str, Any] = meta
        try:
            self._open()
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{self.folder}: damaged ({one_line(error)}); remove the folder and build it again."
            ) from error
        if not len(self.images) == len(self.c2w) == len(self.intrinsics) == len(meta["scenes"]):
            raise DataError(
                f"{self.folder}: images, poses, intrinsics and meta.json disagree about the number of scenes; "
                f"build the folder again."
            )
        self._reads = 0

    def _open(self) -> None:
        self._file = (self.folder / "images.npy").open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.images: UInt8[np.ndarray, "scenes views h w 3"] = _array_in(self._file, self._map)
        self.c2w = np.load(self.folder / "c2w.npy")
        self.intrinsics = np.load(self.folder / "intrinsics.npy")

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.images)

    @property
    def ids(self) -> tuple[str, ...]:
        """Name of every scene."""
        return tuple(scene["id"] for scene in self.meta["scenes"])

    @property
    def key(self) -> str:
        """Content key of all scenes together."""
        return key_of([(scene["id"], scene["key"]) for scene in self.meta["scenes"]])

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a picture."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def category(self) -> str | None:
        """Name of the procedural category; None for other data."""
        return self.meta["request"]["kind"] if "generator" in self.meta["request"] else None

    @property
    def distance(self) -> float:
        """Median distance of the cameras from the origin, SRN units."""
        return float(np.median(np.linalg.norm(self.c2w[..., :3, 3], axis=-1)))

    def cameras(self, index: int) -> Camera:
        """A scene's cameras, in engine units."""
        c2w = torch.from_numpy(self.c2w[index])
        intrinsics = torch.from_numpy(self.intrinsics[index]).expand(len(c2w), 4)
        return Camera.from_srn(c2w, intrinsics, *self.size)

    def raw(self, index: int) -> UInt8[np.ndarray, "views h w 3"]:
        """A copy of a scene's pictures."""
        self._reads += 1
        pictures = np.array(self.images[index])
        if self._reads % SCENES_BETWEEN_RELEASES == 0:
            self.release()
        return pictures

    def views(self, index: int, which: Sequence[int] | None = None) -> Views:
        """Pictures of a scene, float in [0, 1], with cameras in engine units."""
        pictures = torch.from_numpy(self.raw(index))
        camera = self.cameras(index)
        if which is not None:
            pictures, camera = pictures[list(which)], camera[list(which)]
        return Views(pictures.float() / 255, camera)

    def describe(self, index: int) -> dict[str, Any]:
        """Id, seed, caption and attributes of a scene."""
        return dict(self.meta["scenes"][index])

    def release(self) -> None:
        """Gives mapped pages back to the system; they stay in its cache and are mapped again when touched."""
        self._map.madvise(mmap.MADV_DONTNEED)


def read_meta(folder: Path) -> dict[str, Any] | None:
    """Contents of a packed folder's `meta.json`; None if there is no such file.

    Raises:
        DataError: If it is not readable.
    """
    path = folder / "meta.json"
    if not path.is_file():
        return None
    expected = "a packed data set's description; build the folder again"
    found = read_json(path, dict[str, Any], DataError, expected, most_bytes=MOST_META_BYTES)
    if "request" not in found or not isinstance(found.get("scenes"), list):
        raise DataError(f"{path}: found no packed data set's description; build the folder again.")
    return found


def _array_in(file: Any, mapped: mmap.mmap) -> np.ndarray:
    """The array of an .npy file, over its memory map."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise DataError(
            f"{file.name}: found .npy version {version}, expected (1, 0); build the folder again."
        )
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if file.tell() + int(np.prod(shape)) * dtype.itemsize != len(mapped):
        raise DataError(
            f"{file.name}: found {len(mapped)} bytes, expected those of an array {shape}; build the folder again."
        )
    return np.frombuffer(mapped, dtype, int(np.prod(shape)), file.tell()).reshape(shape)
