"""`python -m train NAME`: train a recipe, resumable, from the command line."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from train.progress import Progress
from train.recipes import RECIPES

if TYPE_CHECKING:
    from engine.events import Run

SHOWN = ("psnr", "diffusion_loss", "seconds_per_step")
"""Numbers of an iteration that are shown while it trains; the log holds all."""


@dataclass(frozen=True)
class Command:
    """Train a prior. Run again with the same folder, it goes on where it stopped."""

    recipe: Annotated[object, tyro.conf.arg(name="")]
    """What to train."""
    out: Path | None = None
    """Folder of the run (default: runs/NAME)."""
    data: Path | None = None
    """An SRN folder to train on instead of procedural scenes: all its scenes, whatever the recipe's numbers."""
    changed_data: bool = False
    """Go on with a run although its scenes have changed since it began."""
    checkpoint: Path | None = None
    """Where to write the finished checkpoint (default: the run's folder / checkpoint)."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    threads: int = 0
    """Threads of the CPU's arithmetic (0: all cores)."""
    dry_run: bool = False
    """Print the recipe and stop."""


def main(argv: list[str] | None = None) -> int:
    """Parse, train, report. Returns the exit code."""
    recipes = {
        name: (f"{r.scenes} scenes, {r.iterations} iterations.", _command(r))
        for name, r in RECIPES.items()
    }
    command = tyro.extras.overridable_config_cli(recipes, args=argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("train", "engine"):
        logging.getLogger(name).setLevel(logging.INFO)
    from engine.errors import EngineError

    try:
        return _train(command)
    except KeyboardInterrupt:
        message, code = "Interrupted; run again to go on.", 130
    except EngineError as error:
        message, code = str(error), 2
    except OSError as error:
        if error.filename is None:
            raise
        message, code = f"{error.filename}: {error.strerror}.", 2
    print(f"\n{message}", file=sys.stderr)
    return code


def _command(recipe) -> Command:
    kind = dataclasses.make_dataclass(
        "Train",
        [("recipe", Annotated[type(recipe), tyro.conf.arg(name="")], recipe)],
        bases=(Command,),
        frozen=True,
    )
    kind.__doc__ = Command.__doc__
    return kind(recipe=recipe)


def _train(command: Command) -> int:
    import torch

    from engine.config import to_json
    from engine.device import pick_device
    from train.prior import run_folder, train_prior

    recipe = command.recipe
    if command.dry_run:
        print(json.dumps(to_json(recipe), indent=1))
        return 0
    torch.set_num_threads(command.threads or os.cpu_count() or 1)
    run = train_prior(
        recipe,
        command.out or run_folder(recipe),
        pictures=command.data,
        changed_data=command.changed_data,
        checkpoint=command.checkpoint,
        device=pick_device(command.device),
    )
    return 0 if follow(run) else 130


def follow(run: Run[Path]) -> Path | None:
    """Pull a training run to its end, or until Ctrl-C.

    Returns:
        The finished checkpoint; None where it was interrupted.
    """
    progress = Progress(numbers=SHOWN)
    with _Interrupt() as interrupt:
        while True:
            try:
                step = next(run)
            except StopIteration as end:
                progress.close()
                return end.value
            progress(step)
            if interrupt.asked:
                run.close()
                progress.close()
                print(f"stopped at {step.stage} {step.index}; run again to go on", file=sys.stderr)
                return None


class _Interrupt:
    """Ctrl-C asks for the run to be closed between two iterations; a second one does not wait for that."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number, frame) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


if __name__ == "__main__":
    sys.exit(main())
