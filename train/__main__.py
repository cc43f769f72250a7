"""`launch.py train NAME`, or `python -m train NAME`: train a recipe, resumable, from the command line."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from engine.data.reading import SRN, CameraReading
from engine.errors import ConfigError, log_to_terminal
from train.arguments import FLAT, unknown
from train.arguments import parse as parse_options
from train.ending import Stopped, ended, stoppable
from train.progress import Progress

if TYPE_CHECKING:
    from engine.events import Run
    from engine.training.recipe import Recipe

SHOWN = ("psnr", "diffusion_loss", "seconds_per_step")
"""Numbers of an iteration that are shown while it trains; the log holds all."""


@dataclass(frozen=True)
class Command:
    """Train a model. Run again with the same folder, it goes on where it stopped."""

    recipe: Annotated[object, tyro.conf.arg(name="")]
    """Recipe to train."""
    out: Path | None = None
    """Folder of the run (default: runs/NAME)."""
    data: Path | None = None
    """An SRN folder to train on instead of procedural scenes: all its scenes, whatever the recipe's numbers."""
    cameras: Annotated[CameraReading, tyro.conf.arg(name="")] = SRN
    """Conventions of the folder's cameras."""
    changed_data: bool = False
    """Go on with a run although its scenes have changed since it began."""
    checkpoint: Path | None = None
    """Folder of the finished checkpoint (default: the run's folder / checkpoint)."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    threads: int = 0
    """Threads of the CPU's arithmetic (0: all cores)."""
    dry_run: bool = False
    """Print the recipe and stop."""

    def run(self, progress: Progress) -> None:
        """Train, or print the recipe."""
        import torch

        from engine.config import to_json
        from engine.device import pick_device
        from engine.files import check_folder
        from train.run import run_folder, run_recipe

        recipe = self.recipe
        if self.dry_run:
            print(json.dumps(to_json(recipe), indent=1))
            return
        folder = self.out or run_folder(recipe)
        check_folder(folder)
        logging.getLogger().setLevel(logging.WARNING)
        for name in ("train", "engine"):
            logging.getLogger(name).setLevel(logging.INFO)
        torch.set_num_threads(self.threads or os.cpu_count() or 1)
        progress.numbers = SHOWN
        run = run_recipe(
            recipe,
            folder,
            pictures=self.data,
            reading=self.cameras,
            checkpoint=self.checkpoint,
            device=pick_device(self.device),
            changed_data=self.changed_data,
        )
        follow(run, progress)


def parse(prog: str, arguments: Sequence[str]) -> Command:
    """The recipe that the first argument names, with what the others change.

    Raises:
        ConfigError: If there is no such recipe or option.
    """
    from train.recipes import RECIPES  # brings torch

    if arguments and arguments[0] in RECIPES:
        command = _command(RECIPES[arguments[0]])
        kind, rest = type(command), arguments[1:]
        return parse_options(kind, f"{prog} {arguments[0]}", rest, default=command, pairs=True)
    if arguments and not arguments[0].startswith("-"):
        raise ConfigError(unknown("recipe", arguments[0], RECIPES, f"{prog} --help lists all"))
    recipes = {
        name: (f"{r.data.scenes} scenes, {r.loop.iterations} iterations.", _command(r))
        for name, r in RECIPES.items()
    }
    return tyro.extras.overridable_config_cli(recipes, prog=prog, args=list(arguments))


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, train, report. Returns the exit code: 0, 2 for a user's error, 130 after Ctrl-C, 143 after SIGTERM."""
    log_to_terminal()
    progress = Progress()
    arguments = sys.argv[1:] if argv is None else argv
    return ended(lambda: parse("python -m train", arguments).run(progress), progress.close)


def _command(recipe: Recipe) -> Command:
    """The command that trains a recipe, with an option for each of its settings; the method decides which."""
    flat = tyro.conf.arg(name="")
    types = {
        part.name: type(getattr(recipe, part.name))
        if part.name not in FLAT
        else Annotated[type(getattr(recipe, part.name)), flat]
        for part in dataclasses.fields(recipe)
    }
    typed = dataclasses.make_dataclass("Recipe", types.items(), bases=(type(recipe),), frozen=True)
    default = typed(**vars(recipe))
    kind = dataclasses.make_dataclass(
        "Train", [("recipe", Annotated[typed, flat], default)], bases=(Command,), frozen=True
    )
    kind.__doc__ = Command.__doc__
    return kind(recipe=default)


def follow(run: Run[Path], progress: Progress) -> Path:
    """Pull a training run to its end, or until Ctrl-C or SIGTERM.

    Returns:
        The finished checkpoint.

    Raises:
        Stopped: When its state was saved.
    """
    interrupt = Interrupt()
    with stoppable(interrupt):
        while True:
            try:
                step = next(run)
            except StopIteration as end:
                progress.close()
                return end.value
            progress(step)
            if interrupt.number is not None:
                run.close()
                told = f"Stopped at {step.stage} {step.index}; run again to go on."
                raise Stopped(interrupt.number, told)


class Interrupt:
    """A signal asks for the run to be closed between two iterations; a second one does not wait for that.

    Attributes:
        number: The signal's, once there was one.
    """

    def __init__(self):
        self.number: int | None = None

    def __call__(self, number: int, frame: object) -> None:
        """Take note of a signal."""
        if self.number is not None:
            raise Stopped(number)
        self.number = number


if __name__ == "__main__":
    sys.exit(main())
