"""The trainer: a flat loop that any method's `training_step` plugs into, resumable to the bit.

Every random draw is a pure function of (seed, iteration), so that weights, optimiser state, the scene bank and the
iteration are all the state there is. State is written under a temporary name and renamed.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from engine.config import to_json
from engine.data.base import PackedDataset
from engine.errors import CheckpointError, EngineError
from engine.events import Run, Step
from engine.fields.triplane import DecoderConfig
from engine.files import save_pickle, writing
from engine.methods.base import TrainingData
from engine.methods.optimise import LatentRecords
from engine.methods.ssdnerf.method import SSDNeRF, TrainingStage, TrainOptions
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.noise import Noise
from engine.training.bank import SceneBank
from engine.training.ema import ema_decay, update_ema
from engine.training.graph import GraphedTraining
from engine.training.keeping import log_line, save_state, trim_log
from engine.training.saved import read_state
from engine.types import Camera, SceneBatch


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, for how long."""

    name: str = "ssdnerf"
    """Name of the run."""
    category: str = "vehicles"
    """Procedural category of the training scenes (a folder of pictures has none)."""
    augment: bool = False
    """Whether half of the procedural scenes get other colours, light and proportions."""
    start: str | None = None
    """Checkpoint whose weights a fresh run starts from, its name under checkpoints/ or a folder; latents are fitted
    anew."""
    model: SSDNeRFConfig = field(default_factory=SSDNeRFConfig)
    """Networks and losses."""
    train: TrainOptions = field(default_factory=TrainOptions)
    """Algorithm 1's settings."""
    scenes: int = 1000
    """Training scenes of the procedural data (a folder of pictures is taken whole)."""
    first_scene: int = 0
    """Which of the procedural training scenes is the first."""
    views: int = 50
    """Views of each procedural scene."""
    size: int = 128
    """Image size of procedural scenes, pixels."""
    batch: int = 8
    """Scenes in each iteration."""
    iterations: int = 14_000
    """Outer iterations."""
    seed: int = 2021
    """Of everything."""
    unet_rate: float = 1e-3
    """Adam's rate of the denoiser."""
    decoder_rate: float = 5e-3
    """Adam's rate of the decoder."""
    warmup: int = 50
    """Iterations of linear warm-up of both."""
    denoiser_from: int | None = None
    """Iteration from which latents and decoder stay and the denoiser alone learns: the second stage of the paper's
    two-stage ablation, whose first is `train.stage` "fields". Every stage has its own warm-up and decay."""
    hold: int = 0
    """Iterations in which both stay as they are while latents find their places (for runs that start from a checkpoint)."""
    decay_from: float = 0.5
    """Share of the run after which every rate falls along a cosine."""
    final_rate: float = 0.05
    """Where it falls to, as a share."""
    first_scenes: int = 64
    """Scenes that are trained alone at first; the others start from their mean latent."""
    first_iterations: int = 50
    """How long (0: all scenes from the start)."""
    half_bank: bool = False
    """Whether the latents of scenes that wait their turn are kept in half precision."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Arithmetic of the denoiser while training."""
    save_every_s: float = 240.0
    """Seconds between two saved states."""
    log_every: int = 20
    """Iterations between two lines of the log."""
    preview_every: int = 1000
    """Iterations between two previews (0: none)."""
    tune_scenes: int = 8
    """Validation scenes on which test-time settings are chosen at the end (0: they stay as they are)."""


def stage_span(recipe: Recipe, step: int) -> tuple[int, int]:
    """First iteration of the stage that an iteration belongs to, and the one after its last."""
    second = recipe.denoiser_from
    if second is None:
        return 0, recipe.iterations
    return (0, second) if step < second else (second, recipe.iterations)


def rate_factor(recipe: Recipe, step: int) -> float:
    """Share of the full learning rates at an iteration."""
    first, end = stage_span(recipe, step)
    start = first + recipe.decay_from * (end - first)
    if step < start:
        return 1.0
    passed = min(1.0, (step - start) / max(1.0, end - start))
    return recipe.final_rate + (1 - recipe.final_rate) * 0.5 * (1 + math.cos(math.pi * passed))


def warmup_factor(recipe: Recipe, step: int) -> float:
    """Share of their rates that the networks learn with at an iteration."""
    if step < recipe.hold:
        return 0.0
    start = max(recipe.hold, stage_span(recipe, step)[0])
    return max(0.001, min(1.0, (step + 1 - start) / max(1, recipe.warmup)))


def stage_of(recipe: Recipe, step: int) -> TrainingStage:
    """Which part of Algorithm 1 an iteration takes."""
    second = recipe.denoiser_from
    return recipe.train.stage if second is None or step < second else "denoiser"


def scene_order(recipe: Recipe, total: int, step: int) -> Tensor:
    """Scenes of an iteration, in ascending order: each scene once per epoch, shuffled."""
    alone = step < recipe.first_iterations
    scenes = min(recipe.first_scenes, total) if alone else total
    batch = min(recipe.batch, scenes)
    counted = step if alone else step - recipe.first_iterations
    epoch, place = divmod(counted, scenes // batch)
    order = Noise(recipe.seed).permutation(scenes, f"epoch/{alone}", epoch)
    return order[place * batch : (place + 1) * batch].sort().values


@dataclass
class TrainState:
    """Everything a run is: networks, averages, optimisers, latents, iteration."""

    recipe: Recipe
    method: SSDNeRF
    average: SSDNeRF
    optimizers: dict[str, torch.optim.Optimizer]
    bank: SceneBank
    step: int = 0
    cpu_seconds: float = 0.0
    """Of this run so far, over all its processes' threads."""
    data_key: str | None = None
    """Content key of the scenes (`PackedDataset.key`); None where nobody asks."""
    window: list[dict[str, float]] = field(default_factory=list)
    """What the iterations since the last line of the log measured."""
    graphed: GraphedTraining | None = None

    @classmethod
    def fresh(cls, recipe: Recipe, scenes: int, device: torch.device | str = "cpu") -> TrainState:
        """The state before the first iteration."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            method = SSDNeRF(recipe.model).to(device)
        method.unet.to(memory_format=torch.channels_last)
        average = copy.deepcopy(method).eval().requires_grad_(False)
        if recipe.precision == "bf16":
            method.network_dtype = torch.bfloat16
        optimizers = {
            "unet": _adam(method.unet, recipe.unet_rate),
            "decoder": _adam(method.decoder, recipe.decoder_rate),
        }
        noise = Noise(recipe.seed)
        raw = torch.empty(scenes, *method.info.latent_shape)
        for scene in range(scenes):
            raw[scene] = (2 * noise.uniform(method.info.latent_shape, "latent", scene) - 1) * 1e-4
        if _has_room(torch.device(device), 4 * raw.nbytes):
            raw = raw.to(device)
        records = LatentRecords.fresh(raw, recipe.model.grid_shape, torch.float16)
        bank = SceneBank(records, half=recipe.half_bank)
        return cls(recipe, method, average, optimizers, bank)

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all.

        Raises:
            WriteError: If it cannot be written.
        """
        state = {
            "recipe": json.dumps(to_json(self.recipe)),
            "step": self.step,
            "cpu_seconds": self.cpu_seconds,
            "data": self.data_key,
            "method": self.method.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "bank": self.bank.state_dict(),
            "window": json.dumps(self.window),
        }
        save_pickle(path, state)

    def load(self, path: Path, *, changed_data: bool = False) -> list[str]:
        """What `save` wrote, into a state of the same shape.

        Args:
            path: The file.
            changed_data: Whether a state of other scenes than `data_key`'s is taken.

        Returns:
            Settings in which this recipe differs from the saved one; the run goes on with this one's.

        Raises:
            CheckpointError: If the file is damaged, its networks, optimisers or scenes are of other shapes, or it was
                trained on other scenes.
        """
        wanted = {name: getattr(self, name).state_dict() for name in ("method", "average", "bank")}
        modules = {"unet": self.method.unet, "decoder": self.method.decoder}
        saved = read_state(path, wanted, modules)
        keys = {saved.data, self.data_key} - {None}
        if len(keys) > 1 and not changed_data:
            raise CheckpointError(
                f"{path}: was trained on other pictures or cameras than it is to go on with; train into another --out, "
                "or go on with the changed data by --changed-data."
            )
        for name, tensors in saved.tensors.items():
            getattr(self, name).load_state_dict(tensors)
        for name, optimizer in self.optimizers.items():
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": saved.adam[name], "param_groups": groups})
        self.step, self.cpu_seconds, self.window = saved.step, saved.cpu_seconds, saved.window
        before, now = saved.recipe, to_json(self.recipe)
        return [
            f"{name} {before.get(name)} -> {now[name]}"
            for name in now
            if name in before and before[name] != now[name]
        ]

    def warm_start(self, method: SSDNeRF) -> None:
        """Take weights and mean latent of a finished method; latents are fitted anew from its mean.

        Its box, losses and sampling of rays may be others: what a denoiser knows of one category's planes (above
        all that the three agree on colours) helps with the next.

        Raises:
            CheckpointError: If its networks are of another shape.
        """
        if _networks(method.config) != _networks(self.recipe.model):
            raise CheckpointError(
                f"{method.checkpoint}: its networks differ from recipe {self.recipe.name}'s; "
                "start from a checkpoint with planes and networks of the same shape."
            )
        self.method.load_state_dict(method.state_dict())
        self.average.load_state_dict(method.state_dict())
        mean = method.mean_latent.to(method.device)
        self.bank.records.raw.copy_(method.activation.inverse(mean))

    def spread_mean(self) -> None:
        """Start all scenes that were never visited from the mean latent of those that were."""
        records, activation = self.bank.records, self.method.activation
        seen = records.steps > 0
        if bool(seen.any()) and not bool(seen.all()):
            mean = activation(records.raw[seen].float().to(self.method.device)).mean(0)
            records.raw[~seen] = activation.inverse(mean).to(records.raw)


def _networks(model: SSDNeRFConfig) -> tuple[object, ...]:
    """Everything that must be equal for weights to mean the same."""
    decoder = replace(model.decoder, aabb=DecoderConfig().aabb)
    shape = model.rows, model.cols, model.tiled, model.activation
    return shape, decoder, model.unet, model.schedule


def load_batch(data: PackedDataset, scenes: Tensor, device: torch.device | str) -> SceneBatch:
    """All views of some scenes; on the CPU their pictures stay where they are."""
    camera = Camera.stack([data.cameras(i) for i in scenes.tolist()])
    if torch.device(device).type == "cpu":
        return SceneBatch(torch.from_numpy(data.images), camera, scenes)
    return SceneBatch(torch.from_numpy(data.images[scenes.numpy()]), camera).to(device)


def iterate(state: TrainState, data: PackedDataset) -> dict[str, float]:
    """One iteration: fetch, step, store, average."""
    recipe, method, step = state.recipe, state.method, state.step
    if step == recipe.first_iterations and step:
        state.spread_mean()
    factor = rate_factor(recipe, step)
    for name, rate in (("unet", recipe.unet_rate), ("decoder", recipe.decoder_rate)):
        _set_rate(state.optimizers[name], rate * factor * warmup_factor(recipe, step))
    scenes = scene_order(recipe, len(data), step)
    method.train()
    torch.manual_seed(noise_seed(recipe, step))  # dropout, where a recipe has it
    latent_rate = recipe.train.latent_rate * factor
    graphed, decay = _graphed(state, data), ema_decay(step, batch=recipe.batch)
    if graphed is None:
        report = _iterate_plainly(state, data, scenes, latent_rate)
        update_ema(state.average, method, decay)
    else:
        graphed.launch(step, scenes, latent_rate)
        update_ema(state.average, method, decay)
        report = graphed.numbers()
    if not all(math.isfinite(value) for value in report.values()):
        raise EngineError(
            f"iteration {step}: found {report}, expected finite numbers; lower the rates."
        )
    state.step += 1
    return report


def _iterate_plainly(
    state: TrainState, data: PackedDataset, scenes: Tensor, latent_rate: float
) -> dict[str, float]:
    """Fetch, step and store, one operation after the other."""
    method, step = state.method, state.step
    options = replace(
        state.recipe.train, latent_rate=latent_rate, stage=stage_of(state.recipe, step)
    )
    records = state.bank.fetch(scenes, method.device)
    noise = Noise(noise_seed(state.recipe, step))
    report = method.training_step(
        load_batch(data, scenes, method.device), records, state.optimizers, options, step, noise
    )
    state.bank.store(scenes, records)
    return report


def _graphed(state: TrainState, data: PackedDataset) -> GraphedTraining | None:
    """What runs iterations as CUDA graphs, or None where they run plainly."""
    if state.graphed is not None and state.graphed.data is data:
        return state.graphed
    recipe = state.recipe
    if recipe.denoiser_from or not GraphedTraining.possible(state.method, state.bank, data):
        return None
    state.graphed = GraphedTraining(
        state.method,
        state.bank,
        state.optimizers,
        recipe.train,
        data,
        lambda step: noise_seed(recipe, step),
    )
    return state.graphed


def noise_seed(recipe: Recipe, step: int) -> int:
    """The seed of an iteration's noise."""
    return recipe.seed * 1_000_003 + step


def _adam(module: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Adam; on a GPU such that a CUDA graph can hold its step."""
    parameters = list(module.parameters())
    if not parameters[0].is_cuda:
        return torch.optim.Adam(parameters, rate, fused=True)
    held = torch.tensor(rate, device=parameters[0].device)
    return torch.optim.Adam(parameters, held, fused=True, capturable=True)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _has_room(device: torch.device, size: int) -> bool:
    """Whether a GPU holds so many bytes in half of its free memory."""
    return device.type == "cuda" and size < torch.cuda.mem_get_info(device)[0] // 2


def train(state: TrainState, data: PackedDataset, folder: Path) -> Run[SSDNeRF]:
    """Train to the recipe's last iteration, from wherever the state is.

    Writes `state.pt`, the state before it and `metrics.jsonl` (one line per `log_every` iterations). Closing the run
    saves the state.

    Args:
        state: Fresh, loaded or warm-started.
        data: Training scenes.
        folder: Of the run.

    Returns:
        The averaged method with latent statistics, ready to save.

    Raises:
        WriteError: If the folder cannot be written to; the last saved state stays.
    """
    recipe = state.recipe
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    trim_log(folder, state.step)
    saved, began, first = time.monotonic(), time.monotonic(), state.step
    whole = True
    try:
        while state.step < recipe.iterations:
            whole = False
            began_cpu = time.process_time()
            report = iterate(state, data)
            state.cpu_seconds += time.process_time() - began_cpu
            whole = True
            state.window.append(report)
            now = time.monotonic()
            if state.step % recipe.log_every == 0:
                data.release()
                line: dict[str, float] = window_means(state.window)
                line |= {"step": state.step, "rate": round(rate_factor(recipe, state.step), 5)}
                line |= {"seconds": round(now - began, 1), "time": round(time.time(), 1)}
                line["cpu_seconds"] = round(state.cpu_seconds, 1)
                log_line(folder, line)
                state.window = []
            per_step = (now - began) / (state.step - first)
            yield Step(
                stage="train",
                index=state.step,
                total=recipe.iterations,
                scalars={**report, "seconds_per_step": per_step},
                item=state,
            )
            if now - saved > recipe.save_every_s:
                save_state(state, folder)
                saved = time.monotonic()
    finally:
        if whole:  # an error inside an iteration leaves the last saved state standing
            save_state(state, folder)
    method = finished(state)
    method.data = TrainingData(data.category, data.distance)
    return method


def window_means(window: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every number over the iterations that measured it: stages of a run measure different ones."""
    means = {}
    for key in dict.fromkeys(key for report in window for key in report):
        values = [report[key] for report in window if key in report]
        means[key] = round(sum(values) / len(values), 6)
    return means


@torch.no_grad()
def finished(state: TrainState, directions: int = 8, gallery: int = 16) -> SSDNeRF:
    """The averaged method with the statistics of its training latents.

    Args:
        state: A training state.
        directions: Principal directions to keep.
        gallery: Training latents to keep, spread over the bank.
    """
    method = copy.deepcopy(state.average)
    records = state.bank.records
    latents = method.activation(records.raw[records.steps > 0].float().to(method.device))
    method.mean_latent = latents.mean(0)
    flat = (latents - method.mean_latent).flatten(1)
    keep = min(directions, len(flat))
    # eigenvectors of the small Gram matrix: scenes are far fewer than texels
    values, vectors = torch.linalg.eigh((flat @ flat.T).double() / max(1, len(flat) - 1))
    top = vectors[:, -keep:].flip(1).float()
    axes = torch.nn.functional.normalize(top.T @ flat, dim=1)
    deviation = values[-keep:].flip(0).clamp_min(0).sqrt().float()
    method.directions = (axes * deviation[:, None]).reshape(keep, *method.info.latent_shape)
    picked = torch.linspace(0, len(latents) - 1, min(gallery, len(latents))).long()
    method.gallery = latents[picked].clone()
    return method
