"""Files of pose networks: `pose.safetensors` beside a model's weights, in half precision."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from engine.errors import CheckpointError, plain
from engine.files import MEGABYTE, replacing, write_json
from engine.nets.posenet import PoseNet
from engine.nets.shapes import shapes_of, unbuilt
from engine.reading import FLOATS, open_tensors
from engine.store.checkpoint import FOLDER

WEIGHTS, ABOUT = "pose.safetensors", "pose.json"
MOST_BYTES = 64 * MEGABYTE


def save_pose_net(folder: Path | str, net: PoseNet, about: Mapping[str, Any]) -> Path:
    """Write a network's weights, and how it was made and what it reaches."""
    folder = Path(folder)
    tensors = {name: _small(value) for name, value in net.state_dict().items()}
    with replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(tensors))
    write_json(folder / ABOUT, dict(about))
    return folder / WEIGHTS


def load_pose_net(folder: Path | str) -> PoseNet | None:
    """The network of a model's folder, ready to use on the CPU; None if it has none.

    Raises:
        CheckpointError: If it is damaged.
    """
    path = Path(folder) / WEIGHTS
    if not path.exists():
        return None
    with open_tensors(path, CheckpointError, "a pose network's weights", MOST_BYTES) as file:
        wanted = shapes_of(unbuilt(PoseNet))
        if problem := file.problem(wanted, FLOATS | {"I64"}):
            raise CheckpointError(
                f"{plain(path)}: the pose network is damaged ({problem}); restore the file or remove it."
            )
        net = PoseNet()
        net.load_state_dict({name: file.read(name) for name in wanted})
    return net.eval().requires_grad_(False)


@lru_cache
def category_net(category: str | None) -> PoseNet | None:
    """The bundled network of a procedural category, read once; None if there is none, or no category.

    Raises:
        CheckpointError: If it is damaged.
    """
    return None if category is None else load_pose_net(FOLDER / category)


def _small(value: Tensor) -> Tensor:
    return value.to(torch.float16).contiguous() if value.is_floating_point() else value
