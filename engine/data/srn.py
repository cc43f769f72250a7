"""The SRN layout: `<root>/<scene>/{intrinsics.txt, rgb/NNNNNN.png, pose/NNNNNN.txt}`, read and written.

Poses are camera to world with OpenCV axes in SRN units, 16 numbers on one line. A scene we write also holds
`attributes.json` (seed, caption, attributes), which readers of SRN ignore. Source: the layout of Scene Representation Networks (1906.01618).
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from engine.config import to_json
from engine.content import files_key, key_of, stamp
from engine.data.names import in_order, series_numbers
from engine.data.parallel import in_parallel
from engine.data.poses import read_intrinsics, read_pose
from engine.data.reading import SRN, CameraReading
from engine.errors import DataError, ImageError
from engine.events import Run, Step
from engine.files import check_folder, in_turn, regular, writing
from engine.reading import read_json
from engine.types import Camera, Views
from engine.vision.decoding.limits import MOST_BYTES, check_size, png_size

log = logging.getLogger(__name__)

LAYOUT = "<scene>/{intrinsics.txt, rgb/000000.png, pose/000000.txt}"


@dataclass(frozen=True)
class SRNScene:
    """One scene to be written.

    Attributes:
        images: Pictures, RGB or straight RGBA.
        c2w: Poses in SRN units.
        intrinsics: fx, fy, cx, cy in pixels; SRN knows one focal length only.
        about: Seed, caption, attributes, settings and the like; plain JSON values.
    """

    images: UInt8[np.ndarray, "views h w c"]
    c2w: Float[np.ndarray, "views 4 4"]
    intrinsics: Float[np.ndarray, "4"]
    about: dict[str, Any] = field(default_factory=dict)


class SRNDataset:
    """Scenes of an SRN folder, by name; files are opened on use.

    Attributes:
        root: The folder.
        reading: Conventions of its cameras.
    """

    def __init__(self, root: str | Path, reading: CameraReading = SRN):
        """Lists the scenes.

        Raises:
            DataError: If there are none.
        """
        self.root = Path(root)
        self.reading = reading
        if not self.root.is_dir():
            raise DataError(f"{self.root}: found no such folder, expected one that holds {LAYOUT}.")
        folders = (path for path in self.root.iterdir() if path.is_dir())
        self._ids = tuple(in_order([path.name for path in folders if path.name[0] != "."]))
        if not self._ids:
            raise DataError(f"{self.root}: found no scenes, expected {LAYOUT}.")

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self._ids)

    @property
    def ids(self) -> tuple[str, ...]:
        """Name of every scene."""
        return self._ids

    @property
    def stamp(self) -> str | None:
        """See `engine.content.stamp`."""
        scenes = [self.root / name for name in self._ids]
        return stamp(
            folder for scene in scenes for folder in (scene, scene / "rgb", scene / "pose")
        )

    def key(self, index: int) -> str:
        """Content key of a scene's pictures, poses, intrinsics and attributes, and of how they are read."""
        scene = self.root / self._ids[index]
        files = [path for frame in self.frames(index) for path in frame]
        about = [path for path in (scene / "attributes.json",) if path.is_file()]
        key = files_key(scene, [scene / "intrinsics.txt", *about, *files])
        return key if self.reading == SRN else key_of(key, to_json(self.reading))

    def frames(self, index: int) -> tuple[tuple[Path, Path], ...]:
        """Picture and pose file of every view, by name.

        Raises:
            DataError: If a folder is missing or pictures and poses do not pair up.
        """
        return scene_frames(self.root / self._ids[index])

    def intrinsics(self, index: int) -> tuple[torch.Tensor, tuple[int, int]]:
        """fx, fy, cx, cy of a scene in pixels, and its pictures' height and width."""
        values, size = scene_intrinsics(self.root / self._ids[index])
        found = self.reading.intrinsics(values.double().numpy(), size, size)
        return torch.from_numpy(found).float(), size

    def misnumbered(self, index: int, which: Sequence[int]) -> str | None:
        """A sentence if views' numbers differ from those of their files (gaps, or not from 0); else None."""
        frames = self.frames(index)
        numbers = series_numbers([picture.stem for picture, _ in frames])
        for view in which:
            path = frames[view][0] if view < len(frames) else None
            if path is not None and (numbers is None or numbers[path.stem] != view):
                return (
                    f"{self.root / self._ids[index]}: view {view} is rgb/{path.name}, for views are counted from 0 in the "
                    f"order of their {'names' if numbers is None else 'numbers'}."
                )
        return None

    def cameras(self, index: int, which: Sequence[int] | None = None) -> Camera:
        """A scene's cameras, in engine units."""
        return self._cameras(index, _chosen(self.frames(index), which))

    def views(self, index: int, which: Sequence[int] | None = None) -> Views:
        """Pictures of a scene, laid on white, with cameras in engine units.

        Raises:
            DataError: If a file is missing or wrong.
        """
        frames = _chosen(self.frames(index), which)
        camera = self._cameras(index, frames)
        pictures = [read_picture(picture) for picture, _ in frames]
        for (path, _), picture in zip(frames, pictures, strict=True):
            if picture.shape[:2] != (camera.height, camera.width):
                raise DataError(
                    f"{path}: found {picture.shape[0]} x {picture.shape[1]} pixels, expected {camera.height} x "
                    f"{camera.width} as in intrinsics.txt."
                )
        rgba = torch.from_numpy(np.stack(pictures)).float() / 255
        alpha = rgba[..., 3:]
        images = rgba[..., :3] * alpha + (1 - alpha)
        return Views(images, camera, None if bool((alpha == 1).all()) else alpha)

    def _cameras(self, index: int, frames: tuple[tuple[Path, Path], ...]) -> Camera:
        intrinsics, (height, width) = self.intrinsics(index)
        c2w = torch.stack([read_pose(pose, self.reading) for _, pose in frames])
        return Camera.from_srn(c2w, intrinsics.expand(len(frames), 4).clone(), height, width)

    def describe(self, index: int) -> dict[str, Any]:
        """Contents of `attributes.json`; empty for scenes of other origin."""
        path = self.root / self._ids[index] / "attributes.json"
        return _attributes(path)


def scene_frames(scene: Path) -> tuple[tuple[Path, Path], ...]:
    """Picture and pose file of every view of a scene's folder, paired by name, in the order of their numbers.

    Raises:
        DataError: If a folder is missing or pictures and poses do not pair up.
    """
    for name in ("rgb", "pose"):
        if not (scene / name).is_dir():
            raise DataError(f"{scene}: found no folder {name}, expected {LAYOUT}.")
    pictures, poses = _by_stem(scene / "rgb", ".png"), _by_stem(scene / "pose", ".txt")
    if not pictures:
        raise DataError(f"{scene}: found no PNG pictures in rgb, expected {LAYOUT}.")
    if len(pictures) != len(poses):
        raise DataError(
            f"{scene}: found {len(pictures)} pictures and {len(poses)} poses, expected one pose per picture."
        )
    alone = in_order(list(pictures.keys() - poses.keys()))
    if alone:
        raise DataError(
            f"{scene}: found rgb/{alone[0]}.png but no pose/{alone[0]}.txt, expected equal names; rename them in pairs."
        )
    return tuple((pictures[name], poses[name]) for name in in_order(list(pictures)))


def _by_stem(folder: Path, ending: str) -> dict[str, Path]:
    """Files of one ending by stem, without hidden ones."""
    return {path.stem: path for path in folder.glob(f"*{ending}") if path.name[0] != "."}


def scene_intrinsics(scene: Path) -> tuple[torch.Tensor, tuple[int, int]]:
    """fx, fy, cx, cy and (height, width) of a scene's folder.

    Raises:
        DataError: If the file is missing or does not tell the size.
    """
    path = scene / "intrinsics.txt"
    if not path.is_file():
        raise DataError(f"{scene}: found no intrinsics.txt, expected {LAYOUT}.")
    intrinsics, size = read_intrinsics(path)
    if size is None:
        raise DataError(
            f"{path}: found no picture size, expected SRN's four lines: f cx cy 0, 0 0 0, 1, height width."
        )
    return intrinsics, size


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 4"]:
    """A picture file as straight RGBA.

    Raises:
        DataError: If it cannot be decoded.
    """
    data = regular(path, DataError, "a PNG", MOST_BYTES).read_bytes()
    picture = None
    try:
        if size := png_size(data):
            check_size(*size, str(path), smallest=1)
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except ImageError as error:
        raise DataError(str(error)) from None
    if picture is None:
        raise DataError(f"{path}: cannot be read as a picture, expected a PNG; write it again.")
    if picture.dtype == np.uint16:
        picture = (picture // 257).astype(np.uint8)
    if picture.ndim == 2:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGBA)
    code = cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    return cv2.cvtColor(picture, code)


def write_srn(
    root: str | Path,
    ids: Sequence[str],
    make: Callable[[int], SRNScene],
    request: dict[str, Any] | None = None,
) -> Run[SRNDataset]:
    """Writes scenes; finished ones are kept, so that an interrupted run goes on where it stopped.

    Args:
        root: Output folder.
        ids: Folder name of every scene.
        make: Makes the scene of a position; called from several threads.
        request: Settings that all scenes share; kept with each, and a finished scene must agree.

    Raises:
        DataError: If a finished scene was written with other settings.
        WriteError: If the folder cannot be written to; finished scenes stay.
    """
    root = Path(root)
    check_folder(root)
    root.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        log.warning("%s: another process writes scenes there; waiting for it", root)

    with in_turn(root / ".partial", waiting):
        yield from _write_missing(root, ids, make, request or {})
    return SRNDataset(root)


def _write_missing(
    root: Path, ids: Sequence[str], make: Callable[[int], SRNScene], request: dict[str, Any]
) -> Run[None]:
    """Writes the scenes that are not there yet."""
    partial = root / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    todo = [index for index, name in enumerate(ids) if not _finished(root / name, request)]
    done = len(ids) - len(todo)
    if done:
        yield Step(stage="dataset", index=done, total=len(ids))

    def write(index: int) -> Path:
        scene = make(index)
        with writing(root / ids[index]):
            _write_scene(partial / ids[index], scene, request)
            return (partial / ids[index]).rename(root / ids[index])

    try:
        with contextlib.closing(in_parallel(write, todo)) as paths:
            for count, path in enumerate(paths):
                yield Step(stage="dataset", index=done + count + 1, total=len(ids), item=path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _chosen(frames: tuple, which: Sequence[int] | None) -> tuple:
    return frames if which is None else tuple(frames[index] for index in which)


def _attributes(path: Path) -> dict[str, Any]:
    """Contents of a scene's `attributes.json`; empty where there is none.

    Raises:
        DataError: If it is not readable.
    """
    if not path.exists():
        return {}
    return read_json(path, dict[str, Any], DataError, "what is known of a scene")


def _finished(scene: Path, request: dict[str, Any]) -> bool:
    """True if a scene's folder exists; it is renamed into place, hence complete."""
    if not scene.exists():
        return False
    path = scene / "attributes.json"
    if _attributes(path).get("request") != request:
        raise DataError(
            f"{scene}: was written with other settings; remove it or choose another folder."
        )
    return True


def _write_scene(folder: Path, scene: SRNScene, request: dict[str, Any]) -> None:
    for name in ("rgb", "pose"):
        (folder / name).mkdir(parents=True)
    height, width = scene.images.shape[1:3]
    focal, _, cx, cy = (float(value) for value in scene.intrinsics)
    lines = (f"{focal:.6f} {cx:.6f} {cy:.6f} 0.", "0. 0. 0.", "1.", f"{height} {width}", "")
    (folder / "intrinsics.txt").write_text("\n".join(lines))
    code = cv2.COLOR_RGBA2BGRA if scene.images.shape[3] == 4 else cv2.COLOR_RGB2BGR
    for index, (picture, c2w) in enumerate(zip(scene.images, scene.c2w, strict=True)):
        _, data = cv2.imencode(
            ".png", cv2.cvtColor(picture, code), [cv2.IMWRITE_PNG_COMPRESSION, 2]
        )
        (folder / "rgb" / f"{index:06d}.png").write_bytes(data.tobytes())
        numbers = " ".join(f"{value:.9g}" for value in np.asarray(c2w, np.float64).ravel())
        (folder / "pose" / f"{index:06d}.txt").write_text(numbers + "\n")
    about = {**scene.about, "request": request}
    (folder / "attributes.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
