"""The commands of the networks for pictures without a camera: `launch.py pose`, `judge-pose` and `kinds`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from app.commands.models import use_threads
from train.arguments import check_range

if TYPE_CHECKING:
    from train.progress import Progress


@dataclass(frozen=True)
class Pose:
    """Train the network that guesses the cameras of pictures of a procedural category.

    Run again with the same folder, it goes on where it stopped.
    """

    category: tyro.conf.Positional[str]
    """vehicles, chairs or tables."""
    out: Path | None = None
    """Folder of pose.safetensors and pose.json (default: the category's bundled model)."""
    run_: Annotated[Path | None, tyro.conf.arg(name="run")] = None
    """Folder of the run's state (default: runs/pose-CATEGORY)."""
    scenes: int = 5000
    """Objects, ten pictures each."""
    iterations: int = 7000
    """Batches of 64 pictures."""
    threads: int = 0
    """Threads of the CPU's arithmetic (0: all cores)."""

    def run(self, progress: Progress) -> None:
        """Train and write."""
        from engine.config import to_json
        from engine.data.procedural.categories import find_category
        from engine.events import finish
        from engine.files import check_folder
        from engine.pose.pictures import PictureOptions
        from engine.pose.store import save_pose_net
        from engine.pose.training import PoseRecipe, train_pose
        from engine.store.checkpoint import FOLDER

        check_range("--scenes", self.scenes, 1, 100_000)
        check_range("--iterations", self.iterations, 1, 1_000_000)
        category = find_category(self.category)
        folder = self.out or FOLDER / category.name
        check_folder(folder)
        use_threads(self.threads)
        recipe = replace(PoseRecipe(PictureOptions(scenes=self.scenes)), iterations=self.iterations)
        state = self.run_ or Path("runs") / f"pose-{category.name}"
        net = finish(train_pose(category, recipe, state), progress)
        path = save_pose_net(folder, net, {"recipe": to_json(recipe)})
        progress.close()
        print(f"wrote {path}", file=sys.stderr)


@dataclass(frozen=True)
class Kinds:
    """Train the network that tells what kind of object a picture shows, so that a chair on a model of vehicles is noticed."""

    out: Path | None = None
    """Folder to write (default: the bundled network, checkpoints/kinds)."""
    scenes: int = 1000
    """Objects of each kind, five pictures each."""
    iterations: int = 1500
    """Batches of 64 pictures."""
    threads: int = 0
    """Threads of the CPU's arithmetic (0: all cores)."""

    def run(self, progress: Progress) -> None:
        """Train and write."""
        from engine.events import finish
        from engine.files import check_folder
        from engine.pose.kind import FOLDER, save_kinds
        from engine.pose.kind_training import KindRecipe, train_kinds

        check_range("--scenes", self.scenes, 1, 100_000)
        check_range("--iterations", self.iterations, 1, 100_000)
        folder = self.out or FOLDER
        check_folder(folder)
        use_threads(self.threads)
        recipe = KindRecipe(scenes=self.scenes, iterations=self.iterations)
        path = save_kinds(folder, finish(train_kinds(recipe), progress), recipe)
        progress.close()
        print(f"wrote {path}", file=sys.stderr)


@dataclass(frozen=True)
class JudgePose:
    """Measure how well the cameras of unseen objects' pictures are guessed, and what that costs in novel views."""

    checkpoint: tyro.conf.Positional[str]
    """Name or folder of a model with a pose network."""
    out: Path
    """JSON file of the figures."""
    pictures: int = 100
    """Pictures of each set, one of each object."""
    novel: int = 0
    """Pictures of which objects are made, three ways, and compared from twelve other places."""
    mesh: tuple[Path, ...] = ()
    """Mesh files that are looked at from 48 places each."""

    def run(self, progress: Progress) -> None:
        """Measure and write."""
        from engine.config import to_json
        from engine.data.meshes import load_mesh
        from engine.data.procedural.categories import find_category
        from engine.errors import ConfigError, plain
        from engine.evaluation.unposed import gains, novel_views
        from engine.events import finish
        from engine.files import check_folder, write_json
        from engine.pose.judge import exams, figures, judge, mesh_exams
        from engine.pose.store import category_net
        from engine.store.checkpoint import open_method

        check_range("--pictures", self.pictures, 1, 10_000)
        check_range("--novel", self.novel, 0, self.pictures)
        check_folder(self.out.parent)
        method = open_method(self.checkpoint)
        net = category_net(method.data.category)
        if net is None or method.data.category is None:
            raise ConfigError(
                f"{plain(self.checkpoint)} has no pose network; train one with launch.py pose."
            )
        category = find_category(method.data.category)
        told: dict = {"category": category.name}
        for name, hard in (("plain", False), ("hard", True)):
            pictures = finish(exams(category, self.pictures, hard=hard), progress)
            told[name] = figures(finish(judge(net, pictures), progress))
            if self.novel and not hard:
                found = finish(novel_views(method, net, category, pictures[: self.novel]), progress)
                told["novel"] = gains(found)
        for path in self.mesh:
            pictures = mesh_exams(load_mesh(path))
            told[path.stem] = figures(finish(judge(net, pictures), progress))
        write_json(self.out, to_json(told))
        progress.close()
        for name, values in told.items():
            if isinstance(values, dict):
                numbers = ", ".join(f"{key} {value:.3g}" for key, value in values.items())
                print(f"{name}: {numbers}", file=sys.stderr)
