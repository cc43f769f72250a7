"""One door: opens the explorer, or works without a page.

`python launch.py` opens the explorer.

`python launch.py COMMAND --help` tells about one of the commands: dataset vehicles, dataset chairs, dataset tables,
dataset mesh, generate, reconstruct, render, export, denoise, interpolate,
regenerate, evaluate, scoreboard.

Angles are in degrees, distances in SRN units: azimuth 0 stands in front of the object and grows counter-clockwise seen
from above, elevation 0 is level, an object's bounding box has diagonal 1.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"


def missing_package(error: ModuleNotFoundError) -> str:
    """One sentence about a package that is not installed; our own modules are never missing, so that raises."""
    if (error.name or "").partition(".")[0] in ("app", "engine", "train"):
        raise error
    return f"launch.py: the package {error.name!r} is missing; install it with: {INSTALL}"


try:
    import tyro

    from app.commands.denoise import Denoise
    from app.commands.interpolate import Interpolate
    from app.commands.regenerate import Regenerate
    from app.commands.results import write_result
    from engine.errors import ConfigError, EngineError
    from train.arguments import MAX_SIZE, Mode, check_range, open_method
    from train.progress import Progress
    from train.scoreboard import Evaluate, Scoreboard
except ModuleNotFoundError as error:
    sys.exit(missing_package(error))

if TYPE_CHECKING:
    from engine.methods.base import Method
    from engine.types import Views

USER_ERROR, INTERRUPTED = 2, 130
"""Exit codes."""
PICTURE_SIZE = 128
"""Side of the square that a dropped picture is framed to, pixels: that of SRN's pictures."""
MAX_COUNT = 1024


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


@dataclass(frozen=True)
class Generate:
    """Draw objects from the prior."""

    out: Path
    """Folder for scene.safetensors, mesh.glb, turntable.mp4, sheet.png and report.json."""
    seed: int = 0
    """Which object; the same seed gives the same object."""
    count: int = 1
    """How many; seeds count up, and each object gets a folder of its own inside --out if there are several."""
    steps: int | None = None
    """Denoising steps (default: the checkpoint's)."""
    mode: Mode = "ours"
    """`paper`: the sampler alone; `ours`: with renoise-averaging."""
    checkpoint: str = "vehicles"
    """Name under checkpoints/, or a folder."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Draw and write."""
        from engine.methods.base import sample_options_of

        check_range("--count", self.count, 1, MAX_COUNT)
        method = open_method(self.checkpoint, self.device)
        options = sample_options_of(method, self.mode)
        if self.steps is not None:
            check_range("--steps", self.steps, 1, 1000)
            options = dataclasses.replace(options, steps=self.steps)
        for seed in range(self.seed, self.seed + self.count):
            folder = self.out if self.count == 1 else self.out / f"seed_{seed:04d}"
            self._one(method, options, seed, folder, progress)

    def _one(self, method: Method, options, seed: int, folder: Path, progress: Progress) -> None:
        from engine.config import to_json
        from engine.events import finish
        from engine.noise import Noise

        progress.restart()
        latent = finish(method.generate(1, options, Noise(seed)), progress)[0]
        about = {"checkpoint": self.checkpoint, "seed": seed, "settings": to_json(options)}
        write_result(method, latent, {"command": "generate", **about}, folder, progress)


@dataclass(frozen=True)
class Reconstruct:
    """Rebuild an object from pictures of it.

    Either --azimuth, --elevation and --distance say where each picture was taken (then the object is cut out,
    recentred and scaled to the prior's framing), or --pose and --intrinsics do (then pixels are used as they are).
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
    """Text files with 16 numbers, camera to world, OpenCV axes, SRN units."""
    intrinsics: Path | None = None
    """SRN's intrinsics.txt, or a 3x3 matrix."""
    mode: Mode = "ours"
    """`paper`: the published procedure; `ours`: with guided renoising and averaged finetuning."""
    seed: int = 0
    """Randomness."""
    checkpoint: str = "vehicles"
    """Name under checkpoints/, or a folder."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Reconstruct and write."""
        from engine.config import to_json
        from engine.events import finish
        from engine.methods.base import fit_options_for
        from engine.noise import Noise

        if not self.images:
            raise ConfigError("Found no picture, expected at least one; name the image files.")
        self._check_camera()
        method = open_method(self.checkpoint, self.device)
        options = fit_options_for(method, self.mode, len(self.images))
        views = self._posed_views() if self.pose else self._framed_views(method)
        progress.restart()
        latent = finish(method.reconstruct(views, options, Noise(self.seed)), progress)[0]
        about = {
            "command": "reconstruct",
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            "settings": to_json(options),
            "images": [path.name for path in self.images],
            "camera": camera_json(views),
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
        from engine.images import join_views, prepare_view
        from engine.mesh import framing_objects

        objects = framing_objects(method.scene(latent).field for latent in method.gallery)
        pairs = zip(self.images, self._orbits(), strict=True)
        return join_views(
            [prepare_view(image, *orbit, PICTURE_SIZE, objects) for image, orbit in pairs]
        )

    def _posed_views(self) -> Views:
        from engine.images import join_views, posed_view, read_intrinsics, read_pose

        intrinsics, resolution = read_intrinsics(self.intrinsics)
        poses = one_each("--pose", self.pose, len(self.images))
        pairs = zip(self.images, poses, strict=True)
        return join_views(
            [posed_view(image, read_pose(pose), intrinsics, resolution) for image, pose in pairs]
        )


@dataclass(frozen=True)
class Render:
    """Render a saved scene from one camera."""

    scene: tyro.conf.Positional[Path]
    """A scene.safetensors file."""
    azimuth: float
    """Degrees; 0 stands in front of the object, 90 looks at its left side."""
    elevation: float
    """Degrees; 0 is level."""
    out: Path
    """PNG file."""
    distance: float = 1.3
    """From the object's centre, SRN units."""
    size: int = 256
    """Side of the picture, pixels."""
    channel: Literal["rgb", "depth", "normal", "opacity"] = "rgb"
    """What to show: colour; z-depth, 16 bits, 10,000 levels an SRN unit; world normals; or opacity."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Render and write."""
        from engine.device import pick_device
        from engine.errors import ExportError
        from engine.ops.cameras import orbit_camera
        from engine.render import RenderOptions, bake, render
        from engine.scene import Scene
        from engine.video import save_pass

        check_range("--size", self.size, 1, MAX_SIZE)
        check_orbit(self.azimuth, self.elevation, self.distance)
        if self.out.suffix.lower() != ".png":
            raise ExportError(f"{self.out}: found the ending {self.out.suffix!r}, expected .png.")
        scene = Scene.load(self.scene, pick_device(self.device))
        camera = orbit_camera(self.azimuth, self.elevation, self.distance, self.size)
        options = RenderOptions(quality="high", normals=self.channel == "normal")
        picture = render(bake(scene.field), camera, options)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        save_pass(self.out, self.channel, picture)


@dataclass(frozen=True)
class Export:
    """Export a saved scene: a mesh (glb, obj, ply, stl), a turntable (mp4) or a sheet of eight views (png)."""

    scene: tyro.conf.Positional[Path]
    """A scene.safetensors file."""
    out: Path
    """File to write; its ending decides the format."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Write the file."""
        from engine.device import pick_device
        from engine.events import finish
        from engine.export import check_ending, export_scene
        from engine.scene import Scene

        check_ending(self.out)
        finish(export_scene(Scene.load(self.scene, pick_device(self.device)), self.out), progress)


def check_orbit(azimuth: float, elevation: float, distance: float) -> None:
    """Refuse a camera that makes no sense."""
    check_range("--azimuth", azimuth, -360, 360)
    check_range("--elevation", elevation, -90, 90)
    check_range("--distance", distance, 0.1, 100)


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


COMMANDS = {
    "dataset vehicles": Vehicles,
    "dataset chairs": Chairs,
    "dataset tables": Tables,
    "dataset mesh": Meshes,
    "generate": Generate,
    "reconstruct": Reconstruct,
    "render": Render,
    "export": Export,
    "denoise": Denoise,
    "interpolate": Interpolate,
    "regenerate": Regenerate,
    "evaluate": Evaluate,
    "scoreboard": Scoreboard,
}


def parse(arguments: Sequence[str]):
    """The command that the arguments mean; explorer settings where they name none."""
    config = (tyro.conf.FlagCreatePairsOff,)
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if len(arguments) >= words and name in COMMANDS:
            rest = list(arguments[words:])
            return tyro.cli(COMMANDS[name], prog=f"launch.py {name}", args=rest, config=config)
    if arguments and not arguments[0].startswith("-"):
        found = " ".join(arguments[:2]) if arguments[0] == "dataset" else arguments[0]
        raise ConfigError(
            f"Found the command {found!r}, expected one of {', '.join(COMMANDS)}, or none."
        )
    from app.settings import AppSettings

    return tyro.cli(
        AppSettings, prog="launch.py", description=__doc__, args=list(arguments), config=config
    )


def open_explorer(settings) -> None:
    """Serve the page until interrupted."""
    from app.preload import preload

    preload()
    from app.server import serve

    serve(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, report. Returns the exit code: 0, 2 for a user's error, 130 after Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    progress = Progress()
    try:
        command = parse(sys.argv[1:] if argv is None else argv)
        if type(command) in COMMANDS.values():
            command.run(progress)
        else:
            open_explorer(command)
        return 0
    except KeyboardInterrupt:
        message, code = "Interrupted.", INTERRUPTED
    except EngineError as error:
        message, code = str(error), USER_ERROR
    except ModuleNotFoundError as error:
        message, code = missing_package(error), USER_ERROR
    except OSError as error:
        if error.filename is None:
            raise
        message, code = f"{error.filename}: {error.strerror}.", USER_ERROR
    progress.close()
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
