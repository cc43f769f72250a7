"""What only a GPU has: Triton against torch, graphed steps against plain ones, kinds of arithmetic in the denoiser.

`python -m tests.bench.cuda [--out FILE.json] [--quick]` measures it in about a minute; without a GPU there is nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from engine.data.pack import pack_scenes
from engine.data.procedural import categories
from engine.events import finish
from engine.kernels import triplane_rays
from engine.nets.unet2d import UNet2D, UNetConfig
from engine.render import frames as render_frames
from engine.render.frames import TIERS, RenderOptions, bake, render
from engine.store.checkpoint import open_checkpoint
from engine.training.graph import GraphedTraining
from engine.training.loop import iterate
from engine.training.recipe import Recipe
from engine.training.state import TrainState
from tests.bench import batches, fields
from tests.bench.reference import Reference, psnr
from tests.bench.timing import interleaved
from train.recipes.ssdnerf import VEHICLES

SIZES = (128, 256, 512, 1024)
LARGER = dataclasses.replace(VEHICLES.model.unet, base=96)
"""A denoiser nine times the bundled one's size."""
WARM, TIMED = 8, 40
"""Iterations before the clock runs, and on it."""


def device_ms(work: Callable[[], object], repeats: int = 20) -> float:
    """Milliseconds of the GPU for one of many turns in a row."""
    work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / repeats


def pictures(scenes: int, views: int) -> dict[str, Any]:
    """Baking and frames of every size and quality, through Triton and through torch."""
    found: dict[str, Any] = {"bake_ms": [], "wall_ms": {}, "device_ms": {}, "psnr": {}}
    for subject in fields.subjects(scenes, "cuda"):
        triton = bake(subject.field)
        with mock.patch.object(render_frames, "frame_kernels", return_value=None):
            plain = bake(subject.field)
        bakes = {"triton": lambda f=subject.field: bake(f)}
        found["bake_ms"].append(interleaved(bakes, 5)["triton"])
        reference = Reference(subject.field)
        for view in range(views):
            truth = reference.picture(fields.view(view, SIZES[0], "cuda"))
            for quality in TIERS:
                for path, baked in {"triton": triton, "torch": plain}.items():
                    _time_frames(found, path, baked, quality, view, truth)
    return {
        "bake_ms": statistics.median(found["bake_ms"]),
        **{
            kind: {name: statistics.mean(values) for name, values in found[kind].items()}
            for kind in ("wall_ms", "device_ms", "psnr")
        },
    }


def _time_frames(found: dict, path: str, baked: Any, quality: str, view: int, truth) -> None:
    options = RenderOptions(quality)
    for size in SIZES:
        camera = fields.view(view, size)
        name = f"{path} {quality} {size}"
        works = {name: lambda c=camera: render(baked, c, options)}
        repeats = 5 if path == "triton" else 2
        found["wall_ms"].setdefault(name, []).append(interleaved(works, repeats)[name])
        if path == "triton":
            found["device_ms"].setdefault(name, []).append(device_ms(works[name]))
    picture = render(baked, fields.view(view, SIZES[0]), options).rgb
    found["psnr"].setdefault(f"{path} {quality}", []).append(psnr(picture, truth))


def render_part(rays: int) -> dict[str, Any]:
    """Rays of eight scenes, forward and backward, through Triton and through torch."""
    found = {}
    batch = batches.gallery_batch(8, "cuda")
    for paper in (False, True):
        method = batches.trained_method("cuda", paper=paper)
        work = batches.render_work(method, batch, rays)
        given = (work.latents, work.occupied, work.rays, work.jitter)

        def step(method=method, work=work, given=given) -> tuple:
            loss = (method.render_rays(*given) - work.rays.rgb).square().mean()
            return torch.autograd.grad(loss, [work.latents, *method.decoder.parameters()])

        name = f"{'paper' if paper else 'bundled'} decoder, 8 x {rays} rays"
        found[f"triton, {name}"] = device_ms(step)
        with mock.patch.object(triplane_rays, "on_triton", return_value=False):
            found[f"torch, {name}"] = device_ms(step, 3)
    return found


def iterations(larger: bool) -> dict[str, Any]:
    """Whole iterations of the recipe, late in the run, graphed and plain."""
    unet = LARGER if larger else VEHICLES.model.unet
    recipe = VEHICLES.changed(
        model=dataclasses.replace(VEHICLES.model, unet=unet),
        train=dataclasses.replace(VEHICLES.train, inner_steps=((0, 6),)),
        first_iterations=0,
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        data = finish(pack_scenes(Path(folder) / "data", categories.VEHICLES, range(16), 8, 128))
        for graphed in (True, False):
            possible = GraphedTraining.possible if graphed else lambda *_: False
            with mock.patch.object(GraphedTraining, "possible", staticmethod(possible)):
                found["graphed" if graphed else "plain"] = _iterate(recipe, data, graphed)
    return found


def _iterate(recipe: Recipe, data: Any, profiled: bool) -> dict[str, Any]:
    state = TrainState.fresh(recipe, len(data), "cuda")
    if recipe.model == VEHICLES.model:
        state.warm_start(open_checkpoint(fields.CHECKPOINT, "cuda"))
    for _ in range(WARM):
        iterate(state, data)
    began = time.perf_counter()
    reports = [iterate(state, data) for _ in range(TIMED)]
    torch.cuda.synchronize()
    found = {"ms": 1e3 * (time.perf_counter() - began) / TIMED, "psnr": reports[-1]["psnr"]}
    if profiled:
        found["kernels"] = _kernels(lambda: iterate(state, data))
    return found


def _kernels(work: Callable[[], object], most: int = 24) -> list[str]:
    """The kernels that take longest in one turn: microseconds, launches, name."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    try:
        with torch.profiler.profile(activities=activities) as profile:
            work()
            torch.cuda.synchronize()
    except RuntimeError as error:  # machines without access to the counters
        return [f"no profile: {error}"]
    rows = sorted(profile.key_averages(), key=lambda row: -row.self_device_time_total)
    total = sum(row.self_device_time_total for row in rows)
    lines = [f"{total:8.0f} us, {sum(row.count for row in rows)} launches in all"]
    return lines + [
        f"{row.self_device_time_total:8.0f} us {row.count:5d} x {row.key[:90]}"
        for row in rows[:most]
    ]


def denoiser(config: UNetConfig, size: int) -> dict[str, float]:
    """One step of the denoiser alone, eight scenes: forward, backward, Adam; milliseconds."""
    found = {}
    for name, dtype in {"fp32": None, "bf16": torch.bfloat16}.items():
        torch.manual_seed(0)
        unet = UNet2D(config).cuda().to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(unet.parameters(), fused=True, capturable=True)
        x = torch.randn(8, config.channels, size, size, device="cuda")
        t = torch.randint(1000, (8,), device="cuda")

        def step(unet=unet, adam=adam, x=x, t=t, dtype=dtype) -> None:
            adam.zero_grad(set_to_none=True)
            with torch.autocast("cuda", dtype=dtype, enabled=dtype is not None):
                out = unet(x.contiguous(memory_format=torch.channels_last), t)
            (out.float() - x).square().mean().backward()
            adam.step()

        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
            found[name] = device_ms(step)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                step()
            found[f"{name}, graphed"] = device_ms(graph.replay)
    return found


def measure(quick: bool = False) -> dict[str, Any]:
    """All of it; empty where there is no GPU."""
    if not torch.cuda.is_available():
        return {}
    bundled = VEHICLES.model
    parts: dict[str, Callable[[], Any]] = {
        "train_step": lambda: iterations(larger=False),
        "train_step_larger": lambda: iterations(larger=True),
        "train_render": lambda: render_part(1024) | render_part(4096),
        "frames": lambda: pictures(*((1, 1) if quick else (3, 2))),
        "denoiser": lambda: denoiser(bundled.unet, bundled.rows),
        "denoiser_larger": lambda: denoiser(LARGER, bundled.rows),
    }
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    for name, part in parts.items():
        began = time.perf_counter()
        try:
            found[name] = part()
        except Exception as error:  # the other parts' figures are worth having all the same
            found[name] = f"{type(error).__name__}: {error}"
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cuda", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--quick", action="store_true", help="fewer scenes and views")
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.quick), indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
