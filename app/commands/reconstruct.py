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
from train.arguments import check_orbit, check_range, check_seed

if TYPE_CHECKING:
    from engine.methods.base import Method
    from engine.nets.posenet import PoseNet
    from engine.pose.guess import Guess
    from engine.types import Views
    from engine.vision.cutting import Cutout
    from train.progress import Progress

PICTURE_SIZE = 128
"""Side of the square that a dropped picture is framed to, pixels: that of SRN's pictures."""


@dataclass(frozen=True)
class Reconstruct:
    """Rebuild an object from pictures of it.

    Nothing needs to be said of the cameras: a network guesses them, for models of vehicles, chairs and tables. Or
    --azimuth, --elevation and --distance say where each picture was taken, or --pose and --intrinsics do; with these
    pixels are used as they are, otherwise the object is cut out and framed. One value serves all pictures, or give one
    per picture in their order.
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures."""
    out: Path
    """Folder for scene.safetensors, mesh.glb, turntable.mp4, sheet.png and report.json, and guess-N.safetensors of other
    hypotheses."""
    azimuth: tuple[float, ...] = ()
    """Degrees; 0 stands in front of the object, 90 looks at its left side."""
    elevation: tuple[float, ...] = ()
    """Degrees; 0 is level."""
    distance: tuple[float, ...] = ()
    """From the object's centre, SRN units; that of the training pictures is 1.3, for chairs 2.0. It may be left out where
    a network guesses it."""
    guess: int = 1
    """Hypothesis of a single picture's camera whose object is written whole, 1 for the likeliest."""
    pose: tuple[Path, ...] = ()
    """Text files with 16 numbers, camera to world, OpenCV axes, SRN units; by name where they are called as the pictures."""
    intrinsics: Path | None = None
    """SRN's intrinsics.txt, or a 3x3 matrix."""
    mask: tuple[Path, ...] = ()
    """Pictures that are white where the object is, one per picture; without them it is cut out by transparency, a plain
    background, or the learned model (`launch.py models get cutout`)."""
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
        from engine.output.export import input_psnr
        from engine.pose.store import category_net
        from engine.store.checkpoint import open_method

        if not self.images:
            raise ConfigError("Found no picture, expected at least one; name the image files.")
        self._check_camera()
        check_range("--guess", self.guess, 1, 3)
        check_seed(self.seed)
        check_folder(self.out)
        method = open_method(self.checkpoint, self.device)
        options = method.for_views(self.settings.of(method, "reconstruct"), len(self.images))
        about: dict = {}
        guesses: list[Sequence[Guess]] = []
        net = category_net(method.data.category)
        if self.pose:
            posed, about = self._posed_views(method.data.distance)
            cases = [posed]
        else:
            cutouts = self._cutouts(net)
            about["cutouts"] = [cutout.way for cutout in cutouts]
            if net is not None:
                cases, guesses, about["doubts"] = self._guessed_views(
                    net, cutouts, method.data.category
                )
            else:
                cases = [self._framed_views(method, cutouts)]
        chosen = self._chosen(len(cases))
        progress.restart()
        latents = [
            finish(method.reconstruct(views, options, Noise(self.seed)), progress)[0]
            for views in cases
        ]
        if guesses:
            names = [path.name for path in self.images]
            about["hypotheses"] = [
                {"image": name, **guess_json(guess), "psnr": psnr}
                for views, latent, each in zip(cases, latents, guesses, strict=True)
                for name, guess, psnr in zip(
                    names, each, input_psnr(method.scene(latent), views), strict=True
                )
            ]
        views, latent = cases[chosen], latents[chosen]
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
        for number, other in enumerate(latents, 1):
            if number != chosen + 1:
                scene = method.scene(other, **{**about, "guess": number})
                scene.save(self.out / f"guess-{number}.safetensors")

    def _check_camera(self) -> None:
        posed = bool(self.pose or self.intrinsics)
        framed = any((self.azimuth, self.elevation, self.distance))
        whole = bool(self.pose and self.intrinsics) if posed else self.azimuth and self.elevation
        if (posed and framed) or ((posed or framed) and not whole):
            raise ConfigError(
                "Found no complete camera, expected none, --azimuth, --elevation and --distance, or --pose and "
                "--intrinsics."
            )
        if framed:
            self._orbits()
        if self.mask and (posed or len(self.mask) != len(self.images)):
            raise ConfigError(
                f"Found {len(self.mask)} masks for {len(self.images)} pictures{' with poses' if posed else ''}; "
                "give one per picture, and none where --pose says where the camera stood."
            )

    def _orbits(self) -> list[tuple[float, float, float | None]]:
        """Azimuth, elevation and distance of each picture."""
        count = len(self.images)
        azimuths = one_each("--azimuth", self.azimuth, count)
        elevations = one_each("--elevation", self.elevation, count)
        distances = one_each("--distance", self.distance or (None,), count)
        orbits = list(zip(azimuths, elevations, distances, strict=True))
        for azimuth, elevation, distance in orbits:
            check_orbit(azimuth, elevation, 1.0 if distance is None else distance)
        return orbits

    def _chosen(self, count: int) -> int:
        """Place of the hypothesis that is written whole."""
        if self.guess > count:
            raise ConfigError(
                f"Found --guess {self.guess}, expected 1{f' to {count}' if count > 1 else ''}: no more hypotheses of the "
                "camera are worth a look."
            )
        return self.guess - 1

    def _cutouts(self, net: PoseNet | None) -> list[Cutout]:
        """The pictures' objects on transparent ground."""
        if net is None and not (self.azimuth and self.distance):
            raise ConfigError(
                f"Found no camera, and no network that guesses those of {plain(self.checkpoint)}'s pictures; give "
                "--azimuth, --elevation and --distance."
            )
        masks = self.mask or [None] * len(self.images)
        return [self._cutout(*given) for given in zip(self.images, masks, strict=True)]

    def _guessed_views(
        self, net: PoseNet, cutouts: Sequence[Cutout], category: str
    ) -> tuple[list[Views], list[Sequence[Guess]], list[str]]:
        """The pictures under each hypothesis of their cameras (one for several pictures), the guesses, and doubts."""
        from engine.pose.propose import propose
        from engine.vision.images import join_views

        pictures = [propose(net, cutout.rgba, PICTURE_SIZE, category) for cutout in cutouts]
        doubts = [picture.doubt for picture in pictures if picture.doubt is not None]
        for doubt in doubts:
            print(f"Doubtful: {doubt}", file=sys.stderr)
        if self.azimuth:
            orbits = self._orbits()
            guesses = [[p.at(*orbit) for p, orbit in zip(pictures, orbits, strict=True)]]
        elif len(pictures) == 1:
            guesses = [[guess] for guess in pictures[0].guesses]
        else:
            guesses = [[picture.guesses[0] for picture in pictures]]
        views = [
            join_views([p.view(guess) for p, guess in zip(pictures, each, strict=True)])
            for each in guesses
        ]
        return views, guesses, doubts

    def _framed_views(self, method: Method, cutouts: Sequence[Cutout]) -> Views:
        """The pictures framed as the model's objects are, for cameras that are given."""
        from engine.output.mesh import framing_objects
        from engine.vision.images import frame_view, join_views

        objects = framing_objects(method.scene(latent).field for latent in method.gallery)
        return join_views(
            [
                frame_view(cutout.rgba, *orbit, PICTURE_SIZE, objects)
                for cutout, orbit in zip(cutouts, self._orbits(), strict=True)
            ]
        )

    def _cutout(self, image: Path, mask: Path | None) -> Cutout:
        """A picture's object on a transparent ground."""
        from engine.vision.images import cut_picture, open_mask

        brush = None if mask is None else open_mask(mask, plain(mask))
        try:
            return cut_picture(image, brush, plain(image), accept=self.accept_cutout)
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


def guess_json(guess: Guess) -> dict[str, float]:
    """A hypothesis of a camera as JSON: degrees, SRN units, share of the belief."""
    names = ("azimuth", "elevation", "distance", "roll", "probability")
    return {name: round(getattr(guess, name), 4) for name in names}


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
