"""Training of a category's pose network on procedural pictures; a killed run goes on where it was, to the bit."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from engine.config import Bounds, to_json
from engine.content import key_of
from engine.data.procedural.categories import Category
from engine.errors import CheckpointError, plain
from engine.events import Run, Step
from engine.files import MEGABYTE, replacing
from engine.nets.posenet import PoseNet, bin_angles
from engine.pose.pictures import PictureOptions, PosePictures, draw_pictures
from engine.pose.spoil import spoilt
from engine.reading import open_tensors

MOST_BYTES = 256 * MEGABYTE
STATE = "pose-state.safetensors"


@dataclass(frozen=True)
class PoseRecipe:
    """Training settings of a pose network: a quarter of an hour of one core."""

    pictures: PictureOptions = field(default_factory=PictureOptions)
    iterations: Annotated[int, Bounds(1, 1_000_000)] = 6500
    """Batches."""
    batch: Annotated[int, Bounds(2, 4096)] = 64
    rate: Annotated[float, Bounds(1e-6, 1.0)] = 2e-3
    """AdamW's rate at its highest; it rises over 3 % of the run and falls along a cosine."""
    decay: Annotated[float, Bounds(0.0, 1.0)] = 0.02
    """Weight decay."""
    average: Annotated[float, Bounds(0.0, 0.99999)] = 0.998
    """Decay of the weights' running average, which is what is saved."""
    soft_deg: Annotated[float, Bounds(0.1, 45.0)] = 4.0
    """Standard deviation of the target over directions."""
    asked_deg: Annotated[float, Bounds(0.0, 45.0)] = 3.4
    """Standard deviation of the direction's error for which the framing is asked in training."""
    framing_weight: Annotated[float, Bounds(0.0, 100.0)] = 0.7
    """Weight of the framing's loss beside the direction's."""
    seed: Annotated[int, Bounds(0, 2**31)] = 0


def train_pose(
    category: Category, recipe: PoseRecipe, folder: Path | None = None, save_every_s: float = 60.0
) -> Run[PoseNet]:
    """Draw pictures (stage "dataset") and train on them ("train").

    Args:
        category: Kind of the objects.
        recipe: Settings.
        folder: Folder of the run's state, from which the same run goes on; None to keep none.
        save_every_s: Seconds between two saved states.

    Raises:
        CheckpointError: If the folder's state is damaged or of another run.
    """
    data = yield from draw_pictures(category, recipe.pictures)
    torch.manual_seed(recipe.seed)
    net = PoseNet().to(memory_format=torch.channels_last).train()
    average = PoseNet().eval().requires_grad_(False)
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=recipe.decay)
    key = key_of(data.key, to_json(recipe))
    path = None if folder is None else folder / STATE
    done = _load(path, net, average, optimiser, key) if path is not None and path.exists() else 0
    saved = time.monotonic()
    for index in range(done, recipe.iterations):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * _share(index / recipe.iterations)
        random = torch.Generator().manual_seed(hash_of(recipe.seed, index))
        scalars = _step(net, optimiser, data, recipe, random)
        _follow(average, net, min(recipe.average, (1 + index) / (10 + index)))
        ended = index + 1 == recipe.iterations
        if path is not None and (ended or time.monotonic() - saved > save_every_s):
            _save(path, net, average, optimiser, index + 1, key)
            saved = time.monotonic()
        yield Step(stage="train", index=index + 1, total=recipe.iterations, scalars=scalars)
    return average


def hash_of(seed: int, index: int) -> int:
    """A seed of its own for every iteration of a run."""
    return int(key_of(seed, index)[:15], 16)


def _share(progress: float) -> float:
    """Share of the highest rate."""
    rise = min(1.0, progress / 0.03 + 1e-3)
    return rise * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def _step(
    net: PoseNet,
    optimiser: torch.optim.Optimizer,
    data: PosePictures,
    recipe: PoseRecipe,
    random: torch.Generator,
) -> dict[str, float]:
    which = torch.randint(len(data.rgba), (recipe.batch,), generator=random)
    rgba = data.rgba[which].movedim(-1, 1).float() / 255
    direction, framing = data.direction[which], data.framing[which]
    mirror = torch.rand(recipe.batch, generator=random) < 0.5
    rgba = torch.where(mirror[:, None, None, None], rgba.flip(-1), rgba)
    sign = torch.where(mirror, -1.0, 1.0)
    azimuth, elevation = direction[:, 0] * sign, direction[:, 1]
    one = torch.ones_like(sign)
    framing = framing * torch.stack([one, one, sign, one, sign], 1)
    pictures = spoilt(rgba, random).contiguous(memory_format=torch.channels_last)
    errors = math.radians(recipe.asked_deg) * torch.randn(2, recipe.batch, generator=random)
    with torch.autocast("cpu", torch.bfloat16):
        features, logits = net(pictures)
        asked = azimuth + errors[0] / elevation.cos().clamp_min(0.3), elevation + errors[1]
        middle, spread = net.framed(features, *asked)
    target = soft_target(azimuth, elevation, recipe.soft_deg)
    turn = -(target * logits.float().flatten(1).log_softmax(1)).sum(1).mean()
    place = ((framing - middle).abs() / spread.exp() + spread).mean()
    loss = turn + recipe.framing_weight * place
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return {"direction_loss": float(turn.detach()), "framing_loss": float(place.detach())}


def soft_target(
    azimuth: Float[Tensor, " n"], elevation: Float[Tensor, " n"], soft_deg: float
) -> Float[Tensor, "n 1152"]:
    """Shares of the directions, a Gaussian around the true one on the sphere."""
    azimuths, elevations = bin_angles()
    across = (azimuths - azimuth[:, None] + math.pi) % (2 * math.pi) - math.pi
    across = across[:, None, :] * elevation.cos()[:, None, None]
    down = (elevations - elevation[:, None])[:, :, None]
    away = (across.square() + down.square()) / math.radians(soft_deg) ** 2
    return (-away / 2).flatten(1).softmax(1)


@torch.no_grad()
def _follow(average: PoseNet, net: PoseNet, decay: float) -> None:
    """Move the average towards the network; batch statistics too."""
    now = net.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(now[name], 1 - decay)
        else:
            value.copy_(now[name])


def _tensors(net: PoseNet, average: PoseNet, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Tensors of a run's state by name, Adam's where it has begun."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for number, parameter in enumerate(net.parameters()):
        for name in ("exp_avg", "exp_avg_sq"):
            kept = optimiser.state.get(parameter, {}).get(name)
            tensors[f"{name}.{number}"] = torch.zeros_like(parameter) if kept is None else kept
    return tensors


def _save(
    path: Path,
    net: PoseNet,
    average: PoseNet,
    optimiser: torch.optim.Optimizer,
    done: int,
    key: str,
) -> None:
    tensors = {k: v.detach().contiguous() for k, v in _tensors(net, average, optimiser).items()}
    tensors["done"] = torch.tensor([done])
    tensors["key"] = torch.tensor(list(key.encode()), dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors))


def _load(
    path: Path, net: PoseNet, average: PoseNet, optimiser: torch.optim.AdamW, key: str
) -> int:
    """Put a saved state in place; iterations that it has done."""
    tensors = _tensors(net, average, optimiser)
    wanted = {name: tuple(value.shape) for name, value in tensors.items()}
    wanted |= {"done": (1,), "key": (len(key),)}
    with open_tensors(path, CheckpointError, "a pose network's state", MOST_BYTES) as file:
        problem = file.problem(wanted, {"F32", "I64", "U8"})
        if problem or bytes(file.read("key").tolist()).decode("ascii", "replace") != key:
            raise CheckpointError(
                f"{plain(path)}: belongs to another run ({problem or 'other pictures or settings'}); "
                "train into another folder or remove it."
            )
        read = {name: file.read(name) for name in wanted}
    net.load_state_dict({n[4:]: v for n, v in read.items() if n.startswith("net.")})
    average.load_state_dict({n[8:]: v for n, v in read.items() if n.startswith("average.")})
    done = int(read["done"])
    for number, parameter in enumerate(net.parameters()):
        optimiser.state[parameter] = {
            "step": torch.tensor(float(done)),
            "exp_avg": torch.empty_like(parameter).copy_(read[f"exp_avg.{number}"]),
            "exp_avg_sq": torch.empty_like(parameter).copy_(read[f"exp_avg_sq.{number}"]),
        }
    return done
