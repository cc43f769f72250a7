"""State of a training run, and its file."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from engine.config import to_json
from engine.errors import CheckpointError
from engine.files import save_pickle
from engine.methods import method_of
from engine.methods.optimise import LatentRecords
from engine.methods.training import ParameterGroup, Trainable
from engine.noise import Noise
from engine.training.bank import SceneBank
from engine.training.graph import GraphedTraining
from engine.training.recipe import Recipe, differences
from engine.training.saved import read_state


@dataclass
class TrainState:
    """Networks, averages, optimisers, latents, iteration."""

    recipe: Recipe
    method: Trainable
    average: Trainable
    optimizers: dict[str, torch.optim.Optimizer]
    rates: dict[str, float]
    """Rates of the optimisers, before warm-up and decay."""
    bank: SceneBank | None
    """Latents of all scenes; None for a method that keeps none."""
    step: int = 0
    cpu_seconds: float = 0.0
    """CPU seconds of this run so far, over all its processes' threads."""
    data_key: str | None = None
    """Content key of the scenes (`PackedDataset.key`); None if it does not matter."""
    window: list[dict[str, float]] = field(default_factory=list)
    """Reported numbers of the iterations since the last line of the log."""
    graphed: GraphedTraining | None = None

    @classmethod
    def fresh(cls, recipe: Recipe, scenes: int, device: torch.device | str = "cpu") -> TrainState:
        """The state before the first iteration."""
        loop = recipe.loop
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(loop.seed)
            method = method_of(recipe.model)(recipe.model).to(device)
        average = copy.deepcopy(method).eval().requires_grad_(False)
        if loop.precision == "bf16":
            method.network_dtype = torch.bfloat16
        groups = method.parameter_groups(recipe.train)
        optimizers = {name: _optimizer(group) for name, group in groups.items()}
        rates = {name: group.rate for name, group in groups.items()}
        records = method.bank(scenes, Noise(loop.seed), recipe.train)
        bank = None
        if records is not None:
            bank = SceneBank(_placed(records, torch.device(device)), half=loop.half_bank)
        return cls(recipe, method, average, optimizers, rates, bank)

    @property
    def records(self) -> LatentRecords | None:
        """Latents of all scenes, where the method keeps any."""
        return None if self.bank is None else self.bank.records

    def state_dicts(self) -> dict[str, dict[str, Tensor]]:
        """Tensors of the networks, their averages and the bank."""
        bank = {} if self.bank is None else self.bank.state_dict()
        return {
            "method": self.method.state_dict(),
            "average": self.average.state_dict(),
            "bank": bank,
        }

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
            **self.state_dicts(),
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "window": json.dumps(self.window),
        }
        save_pickle(path, state)

    def load(self, path: Path, *, changed_data: bool = False) -> list[str]:
        """Read a file of `save` into a state of the same shape.

        Args:
            path: The file.
            changed_data: True to accept a state trained on scenes other than `data_key`'s.

        Returns:
            Settings in which this recipe differs from the saved one; the run goes on with this one's.

        Raises:
            CheckpointError: If the file is damaged, its networks, optimisers or scenes have other shapes, or it was
                trained on other scenes.
        """
        parameters = {name: opt.param_groups[0]["params"] for name, opt in self.optimizers.items()}
        saved = read_state(path, self.state_dicts(), parameters)
        keys = {saved.data, self.data_key} - {None}
        if len(keys) > 1 and not changed_data:
            raise CheckpointError(
                f"{path}: was trained on other pictures or cameras than it is to go on with; train into another --out, "
                "or go on with the changed data by --changed-data."
            )
        self.method.load_state_dict(saved.tensors["method"])
        self.average.load_state_dict(saved.tensors["average"])
        if self.bank is not None:
            self.bank.load_state_dict(saved.tensors["bank"])
        for name, optimizer in self.optimizers.items():
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": saved.adam[name], "param_groups": groups})
        self.step, self.cpu_seconds, self.window = saved.step, saved.cpu_seconds, saved.window
        return list(differences(saved.recipe, self.recipe).values())

    def warm_start(self, method: Trainable) -> None:
        """Take weights and mean latent of a finished method; latents are fitted anew from its mean.

        Its box, losses and sampling of rays may differ: a denoiser's knowledge of one category's latents helps with
        the next.

        Raises:
            CheckpointError: If its networks are of another shape.
        """
        if type(method) is not type(self.method) or method.networks() != self.method.networks():
            raise CheckpointError(
                f"{method.checkpoint}: its networks differ from recipe {self.recipe.name}'s; "
                "start from a checkpoint with networks and latents of the same shape."
            )
        self.method.load_state_dict(method.state_dict())
        self.average.load_state_dict(method.state_dict())
        if self.records is not None:
            self.records.raw.copy_(self.method.deactivated(method.mean_latent.to(method.device)))

    def spread_mean(self) -> None:
        """Start all scenes that were never visited from the mean latent of those that were."""
        if (records := self.records) is None:
            return
        seen = records.steps > 0
        if bool(seen.any()) and not bool(seen.all()):
            latents = self.method.activated(records.raw[seen].float().to(self.method.device))
            records.raw[~seen] = self.method.deactivated(latents.mean(0)).to(records.raw)


def _optimizer(group: ParameterGroup) -> torch.optim.Optimizer:
    """Adam or AdamW; on a GPU such that a CUDA graph can hold its step."""
    parameters, settings = list(group.parameters), {"fused": True}
    rate: float | Tensor = group.rate
    if parameters[0].is_cuda:
        rate = torch.tensor(group.rate, device=parameters[0].device)
        settings["capturable"] = True
    if group.weight_decay:
        decay = group.weight_decay
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, **settings)
    return torch.optim.Adam(parameters, rate, **settings)


def _placed(records: LatentRecords, device: torch.device) -> LatentRecords:
    """The records on a GPU if half of its free memory holds them, else where they are."""
    tensors = records.tensors()
    size = sum(tensor.nbytes for tensor in tensors.values())
    if device.type != "cuda" or size >= torch.cuda.mem_get_info(device)[0] // 2:
        return records
    return LatentRecords(**{name: tensor.to(device) for name, tensor in tensors.items()})
