"""The trainer: a flat loop around any method's `training_step`, resumable to the bit.

Every random draw is a pure function of (seed, iteration), so that weights, optimiser state, the scene bank and the
iteration are all the state there is. State is written under a temporary name and renamed.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Hashable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.data.base import PackedDataset
from engine.errors import EngineError
from engine.events import Run, Step
from engine.files import writing
from engine.methods.base import TrainingData
from engine.methods.training import Stage, Trainable
from engine.noise import Noise
from engine.training.ema import ema_decay, update_ema
from engine.training.graph import GraphedTraining
from engine.training.keeping import log_line, save_state, trim_log
from engine.training.recipe import LoopOptions
from engine.training.state import TrainState
from engine.types import Camera, SceneBatch

# ------------------------------------------------------------------------------------ schedules


def span_of(stages: Sequence[Stage], iterations: int, step: int) -> range:
    """Iterations of the stage that an iteration belongs to."""
    first = max(stage.first for stage in stages if stage.first <= step)
    later = [stage.first for stage in stages if stage.first > step]
    return range(first, min(later, default=iterations))


def rate_factor(loop: LoopOptions, span: range, step: int) -> float:
    """Share of the full learning rates at an iteration of the stage that spans `span`."""
    start = span.start + loop.decay_from * (span.stop - span.start)
    if step < start:
        return 1.0
    passed = min(1.0, (step - start) / max(1.0, span.stop - start))
    return loop.final_rate + (1 - loop.final_rate) * 0.5 * (1 + math.cos(math.pi * passed))


def warmup_factor(loop: LoopOptions, span: range, step: int) -> float:
    """Warm-up factor of the networks' rates at an iteration of that stage, 0 to 1."""
    if step < loop.hold:
        return 0.0
    start = max(loop.hold, span.start)
    return max(0.001, min(1.0, (step + 1 - start) / max(1, loop.warmup)))


def scene_order(loop: LoopOptions, total: int, step: int) -> Tensor:
    """Scenes of an iteration, in ascending order: each scene once per epoch, shuffled."""
    alone = step < loop.first_iterations
    scenes = min(loop.first_scenes, total) if alone else total
    batch = min(loop.batch, scenes)
    counted = step if alone else step - loop.first_iterations
    epoch, place = divmod(counted, scenes // batch)
    order = Noise(loop.seed).permutation(scenes, f"epoch/{alone}", epoch)
    return order[place * batch : (place + 1) * batch].sort().values


def noise_seed(loop: LoopOptions, step: int) -> int:
    """The seed of an iteration's noise."""
    return loop.seed * 1_000_003 + step


# -------------------------------------------------------------------------------- one iteration


def iterate(state: TrainState, data: PackedDataset) -> dict[str, float]:
    """One iteration: fetch, step, store, average."""
    recipe, loop, method, step = state.recipe, state.recipe.loop, state.method, state.step
    stages = method.stages(recipe.train, loop.iterations)
    for stage in stages:
        if stage.first == step:
            method.begin_stage(stage.name, state.records)
    if step == loop.first_iterations and step:
        state.spread_mean()
    span = span_of(stages, loop.iterations, step)
    factor = rate_factor(loop, span, step)
    for name, rate in state.rates.items():
        _set_rate(state.optimizers[name], rate * factor * warmup_factor(loop, span, step))
    scenes = scene_order(loop, len(data), step)
    method.train()
    torch.manual_seed(noise_seed(loop, step))  # dropout, where a method has it
    kind, decay = _graphed(state, data), ema_decay(step, batch=loop.batch)
    if kind is None:
        report = _iterate_plainly(state, data, scenes, factor)
        update_ema(state.average, method, decay)
    else:
        state.graphed.launch(kind, step, scenes, factor)
        update_ema(state.average, method, decay)
        report = state.graphed.numbers()
    if not all(math.isfinite(value) for value in report.values()):
        raise EngineError(
            f"iteration {step}: found {report}, expected finite numbers; lower the rates."
        )
    state.step += 1
    return report


def _iterate_plainly(
    state: TrainState, data: PackedDataset, scenes: Tensor, factor: float
) -> dict[str, float]:
    """Fetch, step and store, one operation after the other."""
    method, step, options = state.method, state.step, state.recipe.train
    batch = load_batch(data, scenes, method.device)
    records = None if state.bank is None else state.bank.fetch(scenes, method.device)
    noise = Noise(noise_seed(state.recipe.loop, step))
    report = method.training_step(batch, records, state.optimizers, options, step, noise, factor)
    if state.bank is not None:
        state.bank.store(scenes, records)
    return {name: float(value) for name, value in report.items()}


def _graphed(state: TrainState, data: PackedDataset) -> Hashable | None:
    """Kind of the iteration if `state.graphed` is to run it; None if it runs without a graph."""
    options, loop = state.recipe.train, state.recipe.loop
    kind = state.method.iteration_kind(options, state.step)
    if kind is None:
        return None
    if state.graphed is None or state.graphed.data is not data:
        if not GraphedTraining.possible(state.bank, data):
            return None
        state.graphed = GraphedTraining(
            state.method,
            state.bank,
            state.optimizers,
            options,
            data,
            lambda step: noise_seed(loop, step),
        )
    return kind


def load_batch(data: PackedDataset, scenes: Tensor, device: torch.device | str) -> SceneBatch:
    """Load all views of some scenes; on the CPU their pictures are not copied."""
    camera = Camera.stack([data.cameras(i) for i in scenes.tolist()])
    if torch.device(device).type == "cpu":
        return SceneBatch(torch.from_numpy(data.images), camera, scenes)
    return SceneBatch(torch.from_numpy(data.images[scenes.numpy()]), camera).to(device)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


# ---------------------------------------------------------------------------------- a whole run


def train(state: TrainState, data: PackedDataset, folder: Path) -> Run[Trainable]:
    """Train from the state's iteration to the recipe's last one.

    Writes `state.pt`, the state before it and `metrics.jsonl` (one line per `log_every` iterations). Closing the run
    saves the state.

    Args:
        state: Fresh, loaded or warm-started.
        data: Training scenes.
        folder: Folder of the run.

    Returns:
        The averaged method with latent statistics, ready to save.

    Raises:
        WriteError: If the folder cannot be written to; the last saved state stays.
    """
    loop = state.recipe.loop
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    trim_log(folder, state.step)
    saved, began, first = time.monotonic(), time.monotonic(), state.step
    whole = True
    try:
        while state.step < loop.iterations:
            whole = False
            began_cpu = time.process_time()
            report = iterate(state, data)
            state.cpu_seconds += time.process_time() - began_cpu
            whole = True
            state.window.append(report)
            now = time.monotonic()
            if state.step % loop.log_every == 0:
                data.release()
                log_line(folder, _line(state, now - began))
                state.window = []
            per_step = (now - began) / (state.step - first)
            yield Step(
                stage="train",
                index=state.step,
                total=loop.iterations,
                scalars={**report, "seconds_per_step": per_step},
                item=state,
            )
            if now - saved > loop.save_every_s:
                save_state(state, folder)
                saved = time.monotonic()
    finally:
        if whole:  # an error inside an iteration leaves the last saved state standing
            save_state(state, folder)
    method = finished(state)
    method.data = TrainingData(data.category, data.distance)
    return method


def _line(state: TrainState, seconds: float) -> dict[str, float]:
    """A line of the log."""
    loop, step = state.recipe.loop, state.step
    stages = state.method.stages(state.recipe.train, loop.iterations)
    rate = rate_factor(loop, span_of(stages, loop.iterations, step), step)
    return {
        **window_means(state.window),
        "step": step,
        "rate": round(rate, 5),
        "seconds": round(seconds, 1),
        "time": round(time.time(), 1),
        "cpu_seconds": round(state.cpu_seconds, 1),
    }


def window_means(window: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every reported number over the iterations that report it; stages report different ones."""
    means = {}
    for key in dict.fromkeys(key for report in window for key in report):
        values = [report[key] for report in window if key in report]
        means[key] = round(sum(values) / len(values), 6)
    return means


@torch.no_grad()
def finished(state: TrainState) -> Trainable:
    """The averaged method with statistics of its training latents."""
    method, records = copy.deepcopy(state.average), state.records
    if records is not None:
        method.finish(records.raw[records.steps > 0].float().to(method.device))
    return method
