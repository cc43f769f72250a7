"""The command that rebuilds an object from pictures: `launch.py reconstruct`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from app.commands.results import write_result
from app.commands.settings import USUAL, Settings
from engine.data.reading import SRN, CameraReading
from engine.errors import ConfigError, CutoutError, ImageError, plain
from train.arguments import check_orbit, check_seed

if TYPE_CHECKING:
    import numpy as np

    from engine.methods.base import Method
    from engine.types import Views
    from train.progress import Progress

PICTURE_SIZE = 128
"""Side of the square that a dropped picture is framed to, pixels: that of SRN's pictures."""


@dataclass(frozen=True)
class Reconstruct:
    """Rebuild an object from pictures of it.

    Either --azimuth, --elevation and --distance say where each picture was taken (then the object is cut out,
    recentred and scaled to the model's framing), or --pose and --intrinsics do (then pixels are used as they are).
    One value serves all pictures, or give one per picture in their order.
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures."""
    out: Path
    """Folder for scene.safetensors, mesh.glb, turntable.mp4, sheet.png and report.json."""
    azimuth: tuple[float, ...] = ()
    """Degrees; 0 stands in front of the object, 90 looks at its left side."""
    elevation: tuple[float, ...] = ()
    """Degrees; 0 is level."""
    distance: tuple[float, ...] = ()
    """From the object's centre, SRN units; that of the training pictures is 1.3, for chairs 2.0."""
    pose: tuple[Path, ...] = ()
    """Text files with 16 numbers, camera to world, OpenCV axes, SRN units; by name where they are called as the pictures."""
    intrinsics: Path | None = None
    """SRN's intrinsics.txt, or a 3x3 matrix."""
    mask: tuple[Path, ...] = ()
    """Pictures that are white where the object is, one per picture; without them it is cut out by transparency or a plain
    background."""
    accept_cutout: bool = False
    """Go on where it is doubtful that what was cut out is the object."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = USUAL
    """Settings for one picture; several take more steps."""
    seed: int = 0
    """Randomness."""
    cameras: Annotated[CameraReading, tyro.conf.arg(name="")] = SRN
    """Conventions of --pose and --intrinsics."""
    checkpoint: str = "vehicles"
    """Name under checkpoints/, or a folder."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Reconstruct and write."""
        from engine.config import to_json
        from engine.events import finish
        from engine.files import check_folder
        from engine.noise import Noise
        from engine.store.checkpoint import open_method

        if not self.images:
            raise ConfigError("Found no picture, expected at least one; name the image files.")
        self._check_camera()
        check_seed(self.seed)
        check_folder(self.out)
        method = open_method(self.checkpoint, self.device)
        options = method.for_views(self.settings.of(method, "reconstruct"), len(self.images))
        about: dict = {}
        if self.pose:
            views, about = self._posed_views(method.data.distance)
        else:
            views = self._framed_views(method)
        progress.restart()
        latent = finish(method.reconstruct(views, options, Noise(self.seed)), progress)[0]
        about = {
            "command": "reconstruct",
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            "settings": to_json(options),
            "images": [path.name for path in self.images],
            "masks": [path.name for path in self.mask],
            "accept_cutout": self.accept_cutout,
            "camera": camera_json(views),
            **about,
        }
        write_result(method, latent, about, self.out, progress, views)

    def _check_camera(self) -> None:
        angles = (self.azimuth, self.elevation, self.distance)
        posed, framed = bool(self.pose or self.intrinsics), any(angles)
        whole = all(angles) if framed else bool(self.pose and self.intrinsics)
        if posed == framed or not whole:
            raise ConfigError(
                "Found no complete camera, expected --azimuth, --elevation and --distance, or --pose and --intrinsics."
            )
        if framed:
            self._orbits()
        if self.mask and (posed or len(self.mask) != len(self.images)):
            raise ConfigError(
                f"Found {len(self.mask)} masks for {len(self.images)} pictures{' with poses' if posed else ''}; "
                "give one per picture, and none where --pose says where the camera stood."
            )

    def _orbits(self) -> list[tuple[float, float, float]]:
        """Azimuth, elevation and distance of each picture."""
        count = len(self.images)
        azimuths = one_each("--azimuth", self.azimuth, count)
        elevations = one_each("--elevation", self.elevation, count)
        distances = one_each("--distance", self.distance, count)
        orbits = list(zip(azimuths, elevations, distances, strict=True))
        for orbit in orbits:
            check_orbit(*orbit)
        return orbits

    def _framed_views(self, method: Method) -> Views:
        from engine.output.mesh import framing_objects
        from engine.vision.images import join_views

        objects = framing_objects(method.scene(latent).field for latent in method.gallery)
        masks = self.mask or [None] * len(self.images)
        given = zip(self.images, self._orbits(), masks, strict=True)
        return join_views([self._framed_view(*one, objects) for one in given])

    def _framed_view(
        self, image: Path, orbit: tuple, mask: Path | None, objects: np.ndarray
    ) -> Views:
        from engine.vision.images import open_mask, prepare_view

        brush = None if mask is None else open_mask(mask, plain(mask))
        accept = self.accept_cutout
        try:
            return prepare_view(
                image, *orbit, PICTURE_SIZE, objects, brush, plain(image), accept=accept
            )
        except CutoutError as error:
            raise ImageError(
                f"{plain(image)}: {error.finding}; give a mask with --mask, or go on with --accept-cutout."
            ) from None

    def _posed_views(self, distance: float) -> tuple[Views, dict]:
        """The pictures as they are, and what the report says about their cameras."""
        from engine.config import to_json
        from engine.data.posed import Posed, posed_views
        from engine.data.poses import pair_poses, read_intrinsics, read_matrix
        from engine.vision.images import join_views

        values, resolution = read_intrinsics(self.intrinsics)
        poses = one_each("--pose", self.pose, len(self.images))
        if len(self.pose) > 1:
            poses = pair_poses(self.images, poses)
        given = [
            Posed(
                image,
                read_matrix(pose),
                values.double().numpy(),
                resolution,
                plain(pose),
                plain(image),
            )
            for image, pose in zip(self.images, poses, strict=True)
        ]
        views, doubts = posed_views(given, self.cameras, distance)
        for doubt in doubts:
            print(f"Doubtful: {doubt}", file=sys.stderr)
        return join_views(views), {"camera_files": to_json(self.cameras), "doubts": doubts}


def one_each(name: str, values: Sequence, count: int) -> Sequence:
    """One value per picture; a single one serves all."""
    if len(values) == 1:
        return list(values) * count
    if len(values) != count:
        raise ConfigError(
            f"Found {len(values)} values of {name} for {count} pictures; give one, or one per picture."
        )
    return values


def camera_json(views: Views) -> list[dict]:
    """Cameras as JSON: SRN poses, intrinsics, size."""
    camera = views.camera
    return [
        {
            "c2w": pose.tolist(),
            "intrinsics": intrinsics.tolist(),
            "size": [camera.width, camera.height],
        }
        for pose, intrinsics in zip(camera.srn_c2w(), camera.intrinsics, strict=True)
    ]
