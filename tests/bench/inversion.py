"""Inversion: does an object come back from the noise that is found for it, and at what cost.

DDIM backwards, then DDIM, both of 100 steps, with the bundled prior: objects that it drew by the sampler alone (mode
`paper`), that were then renoise-averaged (mode `ours`), and that were rebuilt from one picture. PSNR is the mean over
eight views all around; medians over the objects.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import torch
from torch import Tensor

from engine.events import finish
from engine.explore.interpolate import Corner, corner_return, path_options, with_noise
from engine.methods.ssdnerf.method import SSDNeRF
from engine.noise import Noise
from engine.store.checkpoint import open_checkpoint
from tests.bench.fields import CHECKPOINT
from tests.bench.reconstruct import vehicle_views
from tests.bench.report import Results, Row
from tests.bench.settings import Settings
from tests.bench.timing import wall

STEPS = 100
MUST_DB, REACH_DB = 30.0, 45.0


def drawn(method: SSDNeRF, count: int, *, paper: bool) -> list[Tensor]:
    """Objects of the first seeds."""
    options = method.presets["generate"]["ours"]
    if paper:
        options = replace(method.presets["generate"]["paper"], steps=STEPS)
    return [finish(method.generate(1, options, Noise(seed)))[0] for seed in range(count)]


def rebuilt(method: SSDNeRF, count: int, settings: Settings) -> list[Tensor]:
    """Test vehicles that the prior never saw, from one picture each."""
    options = settings.fit or method.presets["reconstruct"]["ours"]
    return [
        finish(method.reconstruct(vehicle_views(index)[0], options, Noise(0)))[0]
        for index in range(count)
    ]


def returned(method: SSDNeRF, objects: list[Tensor]) -> dict[str, list[float]]:
    """What comes back of each object: dB by DDIM and by a path in mode `ours`, seconds, spread of the noise."""
    found: dict[str, list[float]] = {"db": [], "path_db": [], "seconds": [], "noise_std": []}
    for latent in objects:
        began, ends = wall(), []
        corner = finish(
            with_noise(method, Corner(latent), STEPS),
            lambda step, ends=ends: ends.append(wall()) if step.stage == "invert" else None,
        )
        found["seconds"].append(ends[-1] - began)
        options = path_options(method, method.presets["generate"]["ours"], [corner])
        found["db"].append(corner.returned)
        found["path_db"].append(finish(corner_return(method, corner, options, 0)))
        found["noise_std"].append(float(corner.x_T.std()))
    return found


def measure(settings: Settings) -> Results:
    """All three kinds of objects."""
    method = open_checkpoint(CHECKPOINT)
    finish(method.invert(method.gallery[:1], 2))
    kinds = {
        "drawn, mode paper": drawn(method, settings.inversions, paper=True),
        "drawn, mode ours": drawn(method, math.ceil(settings.inversions / 2), paper=False),
        "rebuilt from one picture": rebuilt(method, math.ceil(settings.inversions / 4), settings),
    }
    rows, details = [], {}
    for name, objects in kinds.items():
        found = details[name] = returned(method, objects)
        middle = {key: statistics.median(values) for key, values in found.items()}
        goal = (MUST_DB, REACH_DB) if "paper" in name else (None, None)
        how = (
            f"{len(objects)} objects, {min(found['db']):.1f} to {max(found['db']):.1f} dB; a path in mode ours shows "
            f"{middle['path_db']:.1f} dB; noise of std {middle['noise_std']:.2f}"
        )
        rows.append(Row(f"inversion, then DDIM: {name}", middle["db"], *goal, " dB", "more", how))
    seconds = statistics.median(details["drawn, mode paper"]["seconds"])
    threads = torch.get_num_threads()
    rows.append(Row("one inversion", seconds, unit=" s", how=f"{STEPS} steps, {threads} threads"))
    top = {
        "inversion_db": statistics.median(details["drawn, mode paper"]["db"]),
        "inversion_s": seconds,
    }
    return Results(top, rows, {"inversion": details})
