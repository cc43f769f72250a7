"""Single-view reconstruction with the bundled prior, as the explorer does it: guided sampling, renoising, finetuning.

Test vehicles that the prior never saw, drawn by the generator; one picture is given, others are held out. A streamed
step is *recognisable* once its field, seen from the held-out places, is within `NEAR_DB` of the finished result and
better than the prior's mean scene; what counts is when the first such step arrived.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.cameras import spiral_cameras, srn_intrinsics
from engine.data.procedural.shape import render_shape, scene_seed
from engine.data.procedural.vehicles import build_vehicle
from engine.data.raster import composite_white
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.options import FitOptions
from engine.noise import Noise
from engine.render.frames import RenderOptions, render_views
from engine.store.checkpoint import open_checkpoint
from engine.types import Camera, Views
from tests.bench.fields import CHECKPOINT
from tests.bench.load import busy
from tests.bench.report import Results, Row, key, on
from tests.bench.settings import Settings
from tests.bench.timing import wall

GIVEN, HELD_OUT = 64, (20, 80, 110, 140, 170, 200, 230)
"""Views of SRN's test spiral."""
SIZE = 128
NEAR_DB = 5.0


@dataclass(frozen=True)
class Timed:
    """One reconstruction.

    Attributes:
        seconds: Until the result.
        first_3d: Until the first recognisable step.
        first_stage: Which step that was.
        psnr: Of the result on held-out views, dB.
        mean_psnr: Of the prior's mean scene.
    """

    seconds: float
    first_3d: float
    first_stage: str
    psnr: float
    mean_psnr: float


def vehicle_views(index: int) -> tuple[Views, Views]:
    """The given and the held-out views of a test vehicle."""
    c2w = spiral_cameras()[[GIVEN, *HELD_OUT]]
    intrinsics = srn_intrinsics(SIZE)
    drawn = render_shape(build_vehicle(scene_seed("test", index)), c2w, intrinsics, SIZE)
    images = torch.from_numpy(composite_white(drawn)).float() / 255
    per_view = torch.from_numpy(np.asarray(intrinsics, np.float32)).expand(len(c2w), 4)
    camera = Camera.from_srn(torch.from_numpy(c2w).float(), per_view, SIZE, SIZE)
    views = Views(images, camera)
    return views[[0]], views[list(range(1, len(views)))]


def held_out_psnr(method: SSDNeRF, latent: Tensor, held: Views) -> float:
    """Mean over the held-out views."""
    rgb = render_views(method.scene(latent).field, held.camera, RenderOptions("standard")).cpu()
    return float(-10 * torch.log10((rgb - held.images).square().mean((1, 2, 3))).mean())


def timed(method: SSDNeRF, index: int, options: FitOptions) -> Timed:
    """Reconstruct one test vehicle."""
    given, held = vehicle_views(index)
    began, steps = wall(), []
    for step in method.reconstruct(given, options, Noise(0)):
        steps.append((wall() - began, f"{step.stage} {step.index}", step.latent[0]))
    seconds = wall() - began
    final = held_out_psnr(method, steps[-1][2], held)
    mean = held_out_psnr(method, method.mean_latent, held)
    enough = max(final - NEAR_DB, mean)
    first = next(
        (step for step in steps if held_out_psnr(method, step[2], held) >= enough), steps[-1]
    )
    return Timed(seconds, first[0], first[1], final, mean)


def measure(settings: Settings, device: str = "cpu") -> Results:
    """Several vehicles, after one that warms up."""
    method = open_checkpoint(CHECKPOINT, device)
    options = settings.fit or method.presets["reconstruct"]["ours"]
    runs = [timed(method, index, options) for index in range(settings.reconstructions + 1)][1:]
    seconds = statistics.median(run.seconds for run in runs)
    first = statistics.median(run.first_3d for run in runs)
    db, mean = (
        statistics.mean(getattr(run, name) for run in runs) for name in ("psnr", "mean_psnr")
    )
    how = f"{db:.1f} dB on {len(HELD_OUT)} held-out views of {len(runs)} vehicles (mean scene {mean:.1f} dB), wall"
    loaded = None
    if settings.busy and device == "cpu":
        with busy(settings.busy):
            loaded = timed(method, 1, options)
    stages = ", ".join(run.first_stage for run in runs)
    goals = ((4.0, 1.5), (1.0, 1.0)) if device == "cpu" else ((None, None),) * 2
    rows = [
        Row(
            f"single-view reconstruction{on(device)}",
            seconds,
            *goals[0],
            " s",
            how=how,
            loaded=loaded and loaded.seconds,
        ),
        Row(
            f"first recognisable 3D of it{on(device)}",
            first,
            *goals[1],
            " s",
            how=f"first step within {NEAR_DB:.0f} dB of the result and better than the mean scene ({stages})",
            loaded=loaded and loaded.first_3d,
        ),
    ]
    top = {key("reconstruct_s", device): seconds, key("reconstruct_first_3d_s", device): first}
    details = {key("reconstruct", device): [vars(run) for run in runs]}
    return Results(top, rows, details)
