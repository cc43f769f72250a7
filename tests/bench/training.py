"""The training step against the published algorithm written plainly (`published.py`): its render part, and all of it.

All of it is one iteration of the trainer: fetch, step, store, average.
Both sides have the same rays, jitter and occupancy; that they agree is measured too: samples counted, colours and
gradients compared. The peer of the whole step computes in float32 throughout; ours computes as the recipe says. The
figures that count are CPU time on one core, which repeats; wall time on all cores is given beside them. The published
code marches in a CUDA kernel and the plain one in torch, so that its time is also given without the march.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine.data.base import PackedDataset
from engine.methods.optimise import LatentRecords
from engine.methods.ssdnerf.method import SSDNeRF
from engine.noise import Noise
from engine.training.ema import ema_decay
from engine.training.loop import iterate, load_batch, noise_seed
from engine.training.recipe import Recipe
from engine.training.state import TrainState
from engine.types import SceneBatch
from tests.bench import batches
from tests.bench.load import busy
from tests.bench.published import Published, PublishedScenes
from tests.bench.report import Results, Row, key, on
from tests.bench.settings import Settings
from tests.bench.timing import cpu, interleaved, torch_threads, wall
from train.recipes.ssdnerf import VEHICLES

CPU, WALL = "CPU on one core", "wall on all cores"
PLAIN, GIVEN = "plain", "plain, samples given"
LATE = 1000
"""Iteration from which whole steps are measured."""
GRAPHED_AFTER = 6
"""Iterations before which a GPU may run ours plainly."""


def measure(settings: Settings, device: str = "cpu") -> Results:
    """Both on one device."""
    data = batches.gallery_data(settings.train_scenes)
    batch = load_batch(data, torch.arange(len(data)), device)
    results = Results()
    for paper in (False, True):
        results.add(_render_part(settings, batch, device, paper))
    results.add(_whole_step(settings, data, batch, device))
    return results


# ---------------------------------------------------------------------------------- render part


def _render_part(settings: Settings, batch: SceneBatch, device: str, paper: bool) -> Results:
    """March, decode and composite, forward and backward."""
    method = batches.trained_method(device, paper=paper)
    work = batches.render_work(method, batch, settings.rays)
    published = Published(method)
    given = (work.latents, work.occupied, work.rays, work.jitter)
    known = published.march(work.rays, work.occupied, work.jitter)
    weights = {"ours": list(method.decoder.parameters()), "plain": published.decoder.parameters()}
    renders: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: method.render_rays(*given),
        PLAIN: lambda: published.render(*given),
        GIVEN: lambda: published.render(*given, known),
    }

    def train(name: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        image = renders[name]()
        loss = (image - work.rays.rgb).square().mean()
        pulled = weights[name.partition(",")[0]]
        return image.detach(), torch.autograd.grad(loss, [work.latents, *pulled])

    error = _disagreement(method, train)
    ms = _both_clocks({name: lambda n=name: train(n) for name in renders}, settings, device)
    details = {"ms": ms, "samples": len(known.xyz), "rays": len(work.jitter), **error}
    name = "paper's decoder" if paper else "bundled decoder"
    found = Results(details={key(f"train_render, {name}", device): details})
    counted = CPU if CPU in ms else WALL
    if not paper:
        found.top[key("train_render_speedup", device)] = ms[counted][PLAIN] / ms[counted]["ours"]
    for clock, rival in ((CPU, PLAIN), (CPU, GIVEN), (WALL, PLAIN)):
        if clock not in ms:
            continue
        must, reach = (3.5, 5.0) if (clock, rival) == (CPU, PLAIN) else (None, None)
        times = ms[clock]
        how = (
            f"{times[rival]:.1f} : {times['ours']:.1f} ms, {settings.train_scenes} x {settings.rays} rays, "
            f"{len(known.xyz)} samples; colours differ by {error['colors']:.0e}, gradients by {error['gradients']:.0e} "
            f"({error['worst']} by {error['by_tensor'][error['worst']]:.0e})"
        )
        title = f"render part of a training step, {name}, against {rival}; {clock}{on(device)}"
        ratio = times[rival] / times["ours"]
        found.rows.append(Row(title, ratio, must, reach, "x", "more", how))
    return found


def _disagreement(method: SSDNeRF, train: Callable) -> dict[str, Any]:
    """Relative norms of the differences between both sides' colours and gradients."""
    (image, ours), (other, plain) = train("ours"), train("plain")
    names = ["latents", *(name for name, _ in method.decoder.named_parameters())]
    found = dict(zip(names, ours, strict=True))
    base = found["base.0.weight"]
    found["base.0.weight"] = base.unflatten(1, (-1, 3)).transpose(1, 2).flatten(1)
    order = ("base.0", "density_head.0", "color_head.0", "direction.0")
    wanted = ["latents"]
    for layer in order:
        wanted += [name for name in (f"{layer}.weight", f"{layer}.bias") if name in found]
    errors = {
        name: _relative(found[name], expected) for name, expected in zip(wanted, plain, strict=True)
    }
    return {
        "colors": _relative(image, other),
        "gradients": _relative(
            torch.cat([found[name].flatten() for name in wanted]),
            torch.cat([expected.flatten() for expected in plain]),
        ),
        "worst": max(errors, key=errors.__getitem__),
        "by_tensor": errors,
    }


def _relative(a: Tensor, b: Tensor) -> float:
    """Norm of the difference over the norm of the second."""
    return float((a - b).norm() / b.norm())


def _both_clocks(works: dict, settings: Settings, device: str) -> dict[str, dict[str, float]]:
    """Milliseconds on the wall with all cores and, on the CPU, of processor time on one."""
    found = {WALL: interleaved(works, settings.repeats, wall)}
    if device == "cpu":
        with torch_threads(1):
            found[CPU] = interleaved(works, settings.repeats, cpu)
    return found


# ----------------------------------------------------------------------------------- whole step


Trainer = Callable[[], dict[str, float]]
"""Takes one iteration, in a state that moves on from call to call; returns its numbers."""


def _whole_step(settings: Settings, data: PackedDataset, batch: SceneBatch, device: str) -> Results:
    """Iterations of the bundled recipe, late enough for its lasting number of inner steps."""
    rays = min(VEHICLES.train.rays, settings.rays)
    recipe = VEHICLES.changed(
        train=replace(VEHICLES.train, rays=rays),
        batch=len(data),
        first_iterations=0,
    )
    method = batches.trained_method(device)
    records = batches.settled(method, len(data))
    trainers = {
        "ours": _ours(method, data, records, recipe),
        "plain": _published(method, batch, records, recipe),
    }
    first = {name: trainer() for name, trainer in trainers.items()}
    for trainer in trainers.values():
        for _ in range(GRAPHED_AFTER if device == "cuda" else 0):
            trainer()
    ms = _both_clocks(trainers, settings, device)
    name, counted = key("train_step", device), CPU if CPU in ms else WALL
    found = Results(details={name: {"ms": ms, "first_reports": first}})
    found.top[f"{name}_speedup"] = ms[counted]["plain"] / ms[counted]["ours"]
    loaded = {}
    if settings.busy and device == "cpu":
        with busy(settings.busy):
            loaded[WALL] = interleaved(trainers, 1)
    for clock, times in ms.items():
        must, reach = (1.6, 2.5) if clock == CPU else (None, None)
        how = (
            f"{times['plain']:.0f} : {times['ours']:.0f} ms, {len(data)} scenes, {rays} rays each; first step's "
            f"rendering loss {first['plain']['rendering_loss']:.5f} : {first['ours']['rendering_loss']:.5f}"
        )
        title = f"whole step of the recipe against the published one; {clock}{on(device)}"
        row = Row(title, times["plain"] / times["ours"], must, reach, "x", "more", how)
        if clock in loaded:
            beside = loaded[clock]
            how += f"; loaded {beside['plain']:.0f} : {beside['ours']:.0f} ms"
            row = replace(row, loaded=beside["plain"] / beside["ours"], how=how)
        found.rows.append(row)
    return found


def _ours(method: SSDNeRF, data: PackedDataset, records: LatentRecords, recipe: Recipe) -> Trainer:
    state = TrainState.fresh(recipe, len(data), method.device)
    state.method.load_state_dict(method.state_dict())
    state.bank.store(torch.arange(len(data)), records)
    state.step = LATE
    return lambda: iterate(state, data)


def _published(
    method: SSDNeRF, batch: SceneBatch, records: LatentRecords, recipe: Recipe
) -> Trainer:
    published = Published(method)
    scenes = PublishedScenes(records.raw, records.grid, recipe.train.latent_rate)
    optimizers = published.optimizers(recipe.train.unet_rate, recipe.train.decoder_rate)
    steps = itertools.count(LATE)

    def run() -> dict[str, float]:
        step = next(steps)
        noise = Noise(noise_seed(recipe.loop, step))
        report = published.training_step(batch, scenes, optimizers, recipe.train, step, noise)
        published.update_average(ema_decay(step, batch=recipe.loop.batch))
        return report

    return run
