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
from typing import Annotated

import tyro

from train.progress import Progress
from train.recipes import RECIPES

SHOWN = ("psnr", "diffusion_loss", "seconds_per_step")
"""Numbers of an iteration that are shown while it trains; the log holds all."""
CHECKED_PICTURES = 4
"""Pictures of each scene of a folder that are looked at before training on it; poses are all checked."""


@dataclass(frozen=True)
class Command:
    """Train a prior. Run again with the same folder, it goes on where it stopped."""

    recipe: Annotated[object, tyro.conf.arg(name="")]
    """What to train."""
    out: Path | None = None
    """Folder of the run (default: runs/NAME)."""
    data: Path | None = None
    """An SRN folder to train on instead of procedural scenes: all its scenes, whatever the recipe's numbers."""
    from_: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Checkpoint to start from: its weights are kept, latents are fitted anew."""
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
    logging.basicConfig(level=logging.WARNING)
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

    from engine.checkpoint import open_checkpoint, save_checkpoint
    from engine.config import to_json
    from engine.device import pick_device
    from engine.events import finish
    from engine.training.loop import TrainState, train
    from engine.training.preview import save_preview
    from engine.training.tune import settle

    recipe = command.recipe
    if command.dry_run:
        print(json.dumps(to_json(recipe), indent=1))
        return 0
    torch.set_num_threads(command.threads or os.cpu_count() or 1)
    device = pick_device(command.device)
    folder = command.out or Path("runs") / recipe.name
    data = _data(command, folder)
    state = TrainState.fresh(recipe, len(data), device)
    if (folder / "state.pt").exists():
        changes = state.load(folder / "state.pt")
        print(f"resuming {folder} at iteration {state.step}", file=sys.stderr)
        if changes:
            print(f"with other settings than before: {', '.join(changes)}", file=sys.stderr)
    elif command.from_:
        state.warm_start(open_checkpoint(command.from_, device))
    run, progress = train(state, data, folder), Progress(numbers=SHOWN)
    with _Interrupt() as interrupt:
        while True:
            try:
                step = next(run)
            except StopIteration as end:
                method = end.value
                break
            if recipe.preview_every and step.index % recipe.preview_every == 0:
                save_preview(state, data, folder)
            progress(step)
            if interrupt.asked:
                run.close()
                progress.close()
                print(f"stopped at iteration {state.step}; run again to go on", file=sys.stderr)
                return 130
    progress.close()
    target = command.checkpoint or folder / "checkpoint"
    provenance = {"recipe": to_json(recipe), "iterations": state.step, "from": command.from_}
    provenance["cpu_seconds"] = round(state.cpu_seconds)
    save_checkpoint(target, method, provenance=provenance)
    print(f"wrote {target}", file=sys.stderr)
    if recipe.tune_scenes and command.data is None:
        tuning = Progress()
        finish(settle(target, device=device, num_scenes=recipe.tune_scenes), tuning)
        tuning.close()
    return 0


def _data(command: Command, folder: Path):
    from engine.data.pack import pack_dataset, pack_scenes
    from engine.data.procedural import find_category
    from engine.data.shape import scene_seed
    from engine.data.srn import SRNDataset
    from engine.data.srn_check import check_srn
    from engine.events import finish

    recipe = command.recipe

    progress = Progress()
    if command.data is not None:
        packed = folder / "data"
        if not packed.exists():
            check_srn(command.data, CHECKED_PICTURES)
        data = finish(pack_dataset(SRNDataset(command.data), packed), progress)
    else:
        first = recipe.first_scene
        seeds = [scene_seed("train", first + k) for k in range(recipe.scenes)]
        name = f"{recipe.category}-{recipe.scenes}x{recipe.views}-{recipe.size}"
        name = f"{name}-from-{first}" if first else name
        name = f"{name}-augmented" if recipe.augment else name
        run = pack_scenes(
            Path("data") / name,
            find_category(recipe.category),
            seeds,
            recipe.views,
            recipe.size,
            augment=recipe.augment,
        )
        data = finish(run, progress)
    progress.close()
    return data


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
