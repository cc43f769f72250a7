"""Checkpoints: trained methods on disk.

A checkpoint is a folder with `model.safetensors` (float16; several `model-00001-of-00003.safetensors` where it exceeds
16 MiB), `config.json` (method, network sizes, test-time settings), `metrics.json` and a model card `README.md`.
Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from engine.config import from_json, to_json
from engine.content import key_of
from engine.convert.official import load_official
from engine.device import network_dtype
from engine.errors import CheckpointError, ConfigError, one_line
from engine.files import replacing, write_json
from engine.methods import METHODS
from engine.methods.base import FitOptions, Method, SampleOptions, TrainingData
from engine.methods.ssdnerf import SSDNeRF

FORMAT = "ssdnerf-explorer-checkpoint/1"
FOLDER = Path(__file__).resolve().parent.parent / "checkpoints"
SHARD_BYTES = 16 * 2**20
EXTRAS = ("mean_latent", "directions", "gallery")
"""Tensors beside the weights: see `engine.methods.base.Method`."""


def list_checkpoints(folder: Path = FOLDER) -> list[str]:
    """Names of the bundled checkpoints."""
    return sorted(path.parent.name for path in folder.glob("*/config.json"))


def save_checkpoint(folder: Path | str, method: SSDNeRF, *, provenance: Mapping[str, Any]) -> Path:
    """Write a method's weights and settings.

    Args:
        folder: Where; created if need be. Files of the same names are replaced whole.
        method: With its EMA weights, test-time settings and latents in place.
        provenance: Recipe, steps, seeds, data: JSON values.
    """
    folder = Path(folder)
    tensors = dict(method.state_dict())
    tensors |= {f"latents.{name}": getattr(method, name) for name in EXTRAS}
    tensors = {
        name: value.detach()
        .cpu()
        .to(torch.float16 if value.numel() > 1 else torch.float32)
        .contiguous()
        for name, value in tensors.items()
    }
    shards = _shards(tensors)
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{k + 1:05d}-of-{len(shards):05d}.safetensors" for k in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        with replacing(folder / name) as temporary:
            temporary.write_bytes(save(shard))
    for other in folder.glob("model*.safetensors"):
        if other.name not in names:
            other.unlink()
    config = {
        "format": FORMAT,
        "method": method.info.name,
        "model": to_json(method.config),
        "settings": {
            "sample": to_json(method.sample_options),
            "fit": to_json(method.fit_options),
            "paper_sample": to_json(method.paper_sample_options),
            "paper_fit": to_json(method.paper_fit_options),
        },
        "data": to_json(method.data),
        "provenance": dict(provenance),
    }
    write_json(folder / "config.json", config)
    return folder


def _shards(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in tensors.items():
        weight = value.numel() * value.element_size()
        if size + weight > SHARD_BYTES - 2**16 and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = value
        size += weight
    return shards


def find_checkpoint(name: str | Path) -> Path:
    """The folder of a bundled checkpoint's name or of a path.

    Raises:
        CheckpointError: If there is none.
    """
    for folder in (Path(name), FOLDER / name):
        if (folder / "config.json").is_file():
            return folder
    bundled = ", ".join(list_checkpoints()) or "none"
    raise CheckpointError(
        f"{name}: found no checkpoint (a folder with config.json) there; bundled checkpoints: {bundled}."
    )


def open_checkpoint(name: str | Path, device: torch.device | str = "cpu") -> SSDNeRF:
    """A trained method, ready to use.

    Args:
        name: A bundled checkpoint's name, a folder, or an official `.pth` file.
        device: Where to put it.

    Raises:
        CheckpointError: If it is missing, damaged or of another kind.
    """
    if Path(name).suffix == ".pth":
        method = load_official(name, device)
        method.checkpoint = Path(name).name
        method.network_dtype = network_dtype(device)
        return method
    folder = find_checkpoint(name)
    try:
        config = json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise CheckpointError(
            f"{folder / 'config.json'}: not readable as JSON ({error})."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{folder / 'config.json'}: found a {type(config).__name__}, expected an object."
        )
    if config.get("format") != FORMAT or config.get("method") not in METHODS:
        raise CheckpointError(
            f"{folder}: found format {config.get('format')!r} and method {config.get('method')!r}, "
            f"expected {FORMAT!r} and one of {', '.join(METHODS)}."
        )
    kind, kind_config = METHODS[config["method"]]
    try:
        settings = config.get("settings", {})
        method = kind(from_json(kind_config, config["model"], "config.model"))
        method.sample_options = from_json(SampleOptions, settings["sample"], "settings.sample")
        method.fit_options = from_json(FitOptions, settings["fit"], "settings.fit")
        method.paper_sample_options = from_json(
            SampleOptions, settings["paper_sample"], "settings.paper_sample"
        )
        method.paper_fit_options = from_json(
            FitOptions, settings["paper_fit"], "settings.paper_fit"
        )
        method.data = from_json(TrainingData, config.get("data", {}), "config.data")
        tensors = _read_tensors(folder)
        for extra in EXTRAS:
            setattr(method, extra, tensors.pop(f"latents.{extra}").float().to(device))
        method.load_state_dict({key: value.float() for key, value in tensors.items()})
    except (ConfigError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: the checkpoint is damaged ({one_line(error)}); restore it."
        ) from error
    method = method.to(device).eval().requires_grad_(False)
    method.unet.to(memory_format=torch.channels_last)
    method.checkpoint = folder.name
    method.network_dtype = network_dtype(device)
    return method


def read_metrics(folder: Path | str) -> dict[str, Any]:
    """What a checkpoint's `metrics.json` holds; empty where there is none.

    Raises:
        CheckpointError: If it is not readable.
    """
    path = Path(folder) / "metrics.json"
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not readable as a JSON object ({one_line(error)}); restore it."
        ) from error


def fingerprint(method: Method) -> str:
    """A short name of the method's weights."""
    tensors = {"mean_latent": method.mean_latent}
    if isinstance(method, nn.Module):
        tensors |= method.state_dict()
    return digest(*(tensors[name] for name in sorted(tensors)))


def model_key(method: Method) -> str:
    """Content key of how a method's weights are used: its networks, schedule, box and marching."""
    config = getattr(method, "config", None)
    return key_of(type(method).__name__, None if config is None else to_json(config))


def known_rate(checkpoint: Path | str, method: Method, views: tuple[int, ...]) -> float | None:
    """The rate of the fit without prior that a checkpoint's `metrics.json` holds for these weights and views.

    Args:
        checkpoint: What `method` was opened from; official `.pth` files have no metrics.
        method: What fits.
        views: Which views are given.
    """
    if Path(checkpoint).suffix == ".pth":
        return None
    known = read_metrics(find_checkpoint(checkpoint)).get("no_prior_rate", {})
    wanted = {"views": list(views), "weights": fingerprint(method)}
    return known["rate"] if all(known.get(key) == value for key, value in wanted.items()) else None


def digest(*tensors: Tensor) -> str:
    """A short name of what tensors hold."""
    state = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: found no model*.safetensors; restore the folder's files.")
    tensors: dict[str, Tensor] = {}
    for path in files:
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors
