"""`python -m tests.bench [--out FILE.json] [--only GROUP ...] [--quick | --long]`: every figure of the goals' table.

Groups: `frames` (the renderer against peer, torch and limit), `training` (the step against the published one),
`reconstruct`, `regenerate` (a part kept, the rest drawn anew), `inversion` (objects from noise that was found for them),
`startup`, `drag` (frames a second in a browser), `interaction` (sliding, scrubbing, the first object) and `cuda` (details
that only a GPU has). All take under five minutes; with `--long`, that is with more scenes, views and repeats, over ten. The
column `loaded` has the main figures again, beside two processes that compute without end. Run it on an idle machine;
nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.threads import sharing_cores
from tests.bench import (
    cuda,
    dragging,
    frames,
    interaction,
    inversion,
    reconstruct,
    regenerate,
    startup,
    training,
)
from tests.bench.report import Results, commit, machine, markdown
from tests.bench.settings import LONG, QUICK, Settings
from tests.bench.timing import torch_threads


def gpu(settings: Settings) -> Results:
    """What only a GPU has (`cuda.py`), where there is one."""
    found = cuda.measure(quick=settings.scenes == 1)
    return Results(details={"cuda": found} if found else {})


GROUPS: dict[str, Callable[..., Results]] = {
    "frames": frames.measure,
    "training": training.measure,
    "reconstruct": reconstruct.measure,
    "regenerate": regenerate.measure,
    "inversion": inversion.measure,
    "startup": startup.measure,
    "drag": dragging.measure,
    "interaction": interaction.measure,
    "cuda": gpu,
}
ON_CUDA = ("frames", "training", "reconstruct")
"""Groups that are measured on the GPU too, where there is one."""


def run(groups: Sequence[str], settings: Settings) -> tuple[dict[str, Any], str]:
    """Measure some groups; returns what goes into the JSON, and the table."""
    results, seconds, failed, place = Results(), {}, {}, machine()
    for name in groups:
        began = time.perf_counter()
        try:
            with torch_threads(settings.threads):
                results.add(GROUPS[name](settings))
                if name in ON_CUDA and torch.cuda.is_available():
                    results.add(GROUPS[name](settings, "cuda"))
        except Exception as error:  # the other groups' figures are worth having all the same
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
        seconds[name] = round(time.perf_counter() - began, 1)
        print(f"{name}: {seconds[name]} s", file=sys.stderr)
    about = {"machine": place, "commit": commit(), "group_seconds": seconds, "failed": failed}
    return results.json(about), markdown(results.rows)


def main() -> int:
    """Measure and print; 1 if a group broke down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="fewer scenes, views and repeats")
    amount.add_argument("--long", action="store_true", help="more of them")
    arguments = parser.parse_args()
    settings = QUICK if arguments.quick else LONG if arguments.long else Settings()
    with sharing_cores():
        found, table = run(arguments.only, settings)
    about = found["machine"]
    print(
        f"{about['cpu']}, {about['cores']} cores, torch {about['torch']}, commit {found['commit']}, "
        f"load average {about['load_average']:.1f} at the start (0 is an idle machine)\n"
    )
    print(table)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
