"""Checkpoints: trained methods on disk.

A checkpoint is a folder with `model.safetensors` (float16; several `model-00001-of-00003.safetensors` where it exceeds
16 MiB), `config.json` (method, network sizes, test-time settings), `metrics.json` and a model card `README.md`.
Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from engine import NAME
from engine.config import Bounds, from_json, to_json
from engine.content import key_of
from engine.device import network_dtype, pick_device
from engine.errors import CheckpointError, ConfigError, plain, sentence_part, shown
from engine.files import MEGABYTE, replacing, write_json
from engine.methods import METHODS
from engine.methods.base import Method, TrainingData
from engine.methods.toy import ToyMethod
from engine.nets.shapes import shapes_of, unbuilt
from engine.reading import FLOATS, misfit, open_tensors, read_json
from engine.store.official import load_official

FORMAT = f"{NAME}-checkpoint/1"
TOY = "toy"
"""Name of the method without weights."""
FOLDER = Path(__file__).resolve().parents[2] / "checkpoints"
SHARD_BYTES = 16 * MEGABYTE
MOST_BYTES = 512 * MEGABYTE
"""Largest size of all files of weights together; the paper's largest model has 250 MB."""
MOST_SHARDS = 64
MOST_LATENTS = 4096
"""Most latents in the gallery, and most directions."""
EXTRAS = ("mean_latent", "directions", "gallery")
"""Tensors beside the weights: see `engine.methods.base.Method`."""


def list_checkpoints(folder: Path = FOLDER) -> list[str]:
    """Names of the bundled checkpoints."""
    return sorted(path.parent.name for path in folder.glob("*/config.json"))


def save_checkpoint(folder: Path | str, method: Method, *, provenance: Mapping[str, Any]) -> Path:
    """Write a method's weights and settings.

    Args:
        folder: Output folder, created if need be. Files of the same names are replaced whole.
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
            task: {preset: to_json(options) for preset, options in presets.items()}
            for task, presets in method.presets.items()
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
        if os.path.isfile(folder / "config.json"):
            return folder
    bundled = ", ".join(list_checkpoints()) or "none"
    raise CheckpointError(
        f"{plain(name)}: found no checkpoint (a folder with config.json) there; bundled checkpoints: {bundled}."
    )


def open_method(checkpoint: str | Path, device: str = "auto") -> Method:
    """A method by the name of its checkpoint or a path, on a device by its name; `TOY` needs no checkpoint.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
        ConfigError: If there is no such device.
    """
    return ToyMethod() if checkpoint == TOY else open_checkpoint(checkpoint, pick_device(device))


def open_checkpoint(name: str | Path, device: torch.device | str = "cpu") -> Method:
    """A trained method, ready to use.

    Args:
        name: A bundled checkpoint's name, a folder, or an official `.pth` file.
        device: Device of its tensors.

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
        method = _unpacked(folder, device)
    except ConfigError as error:
        raise CheckpointError(
            f"{plain(folder)}: the checkpoint is damaged ({sentence_part(error)}); restore it."
        ) from error
    method = method.to(device).eval().requires_grad_(False)
    method.checkpoint = folder.name
    method.network_dtype = network_dtype(device)
    return method


OLD_SETTINGS = {
    "sample": ("generate", "ours"),
    "paper_sample": ("generate", "paper"),
    "fit": ("reconstruct", "ours"),
    "paper_fit": ("reconstruct", "paper"),
}
"""Task and preset of the settings in checkpoints written before methods had options of their own."""


_Word = Annotated[str, Bounds(1, 100)]


@dataclass(frozen=True)
class _Config:
    """Contents of `config.json`; `model` is a config of the method's."""

    format: str
    method: str
    model: Any
    settings: dict[str, Any]
    data: TrainingData = field(default_factory=TrainingData)
    provenance: dict[str, Any] = field(default_factory=dict)


def read_config(folder: Path | str) -> _Config:
    """A checkpoint's `config.json`.

    Raises:
        CheckpointError: If it is missing, no JSON or of another format.
        ConfigError: If it is of another shape.
    """
    path = Path(folder) / "config.json"
    found = read_json(path, dict[str, Any], CheckpointError, "a checkpoint's config.json")
    if found.get("format") != FORMAT or found.get("method") not in tuple(METHODS):
        raise CheckpointError(
            f"{plain(folder)}: found format {shown(found.get('format'))} and method {shown(found.get('method'))}, "
            f"expected {FORMAT!r} and one of {', '.join(METHODS)}."
        )
    return from_json(_Config, found, "config")


def read_metrics(folder: Path | str) -> dict[str, Any]:
    """Contents of a checkpoint's `metrics.json`; empty where there is none.

    Raises:
        CheckpointError: If it is not readable.
    """
    path = Path(folder) / "metrics.json"
    if not path.exists():
        return {}
    return read_json(path, dict[str, Any], CheckpointError, "a checkpoint's metrics.json")


def _unpacked(folder: Path, device: torch.device | str) -> Method:
    """The method of a checkpoint folder, after checking its files' headers.

    Raises:
        ConfigError: If one is invalid.
        CheckpointError: If a file is missing or not readable.
    """
    config = read_config(folder)
    kind, kind_config = METHODS[config.method]
    model = from_json(kind_config, config.model, "config.model")
    network = unbuilt(lambda: kind(model))
    tensors = _read_tensors(folder, shapes_of(network), network.latent_shape)
    method = kind(model)
    for extra in EXTRAS:
        setattr(method, extra, tensors.pop(f"latents.{extra}").float().to(device))
    method.load_state_dict({key: value.float() for key, value in tensors.items()})
    for (task, preset), told in tuned(config.settings).items():
        where = f"config.settings.{task}.{preset}"
        if task not in kind.OPTIONS:
            raise ConfigError(f"{where}: found a task that {config.method} has no options of.")
        method.presets[task][preset] = from_json(kind.OPTIONS[task], told, where)
    method.data = config.data
    return method


def tuned(settings: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """The settings of a `config.json` as JSON values, by task and preset.

    Raises:
        ConfigError: If they are of another shape.
    """
    if settings.keys() <= OLD_SETTINGS.keys():
        return {OLD_SETTINGS[name]: told for name, told in settings.items()}
    read = from_json(dict[_Word, dict[_Word, Any]], dict(settings), "config.settings")
    return {
        (task, preset): told for task, presets in read.items() for preset, told in presets.items()
    }


def _read_tensors(
    folder: Path, wanted: Mapping[str, tuple[int, ...]], latent: tuple[int, ...]
) -> dict[str, Tensor]:
    """Read a folder's tensors, after checking their names and shapes."""
    paths = sorted(folder.glob("model*.safetensors"))
    if not paths:
        raise CheckpointError(
            f"{plain(folder)}: found no model*.safetensors; restore the folder's files."
        )
    total = sum(os.path.getsize(path) for path in paths)
    if len(paths) > MOST_SHARDS or total > MOST_BYTES:
        raise CheckpointError(
            f"{plain(folder)}: found {len(paths)} model*.safetensors of {total // MEGABYTE} MB, expected at most "
            f"{MOST_SHARDS} of {MOST_BYTES // MEGABYTE} MB."
        )
    with ExitStack() as stack:
        files = [
            stack.enter_context(
                open_tensors(path, CheckpointError, "a checkpoint's weights", MOST_BYTES)
            )
            for path in paths
        ]
        entries = {name: entry for file in files for name, entry in file.entries.items()}
        found = {name: entry.shape for name, entry in entries.items()}
        extras = {f"latents.{name}": _extra_shape(name, found, latent) for name in EXTRAS}
        odd = next((name for name, entry in entries.items() if entry.kind not in FLOATS), None)
        if problem := misfit(found, {**wanted, **extras}):
            raise ConfigError(problem)
        if odd is not None:
            raise ConfigError(f"{odd} holds {entries[odd].kind}")
        return {name: file.read(name) for file in files for name in file.entries}


def _extra_shape(
    name: str, found: Mapping[str, tuple[int, ...]], latent: tuple[int, ...]
) -> tuple[int, ...]:
    """Shape of a tensor beside the weights: a latent, or several."""
    if name == "mean_latent":
        return latent
    rows = found.get(f"latents.{name}", (0,))[:1]
    return (*from_json(tuple[Annotated[int, Bounds(0, MOST_LATENTS)]], rows, name), *latent)


def fingerprint(method: Method) -> str:
    """Digest of the method's weights."""
    tensors = {"mean_latent": method.mean_latent}
    if isinstance(method, nn.Module):
        tensors |= method.state_dict()
    return digest(*(tensors[name] for name in sorted(tensors)))


def model_key(method: Method) -> str:
    """Content key of how a method's weights are used: its networks, schedule, box and marching."""
    config = getattr(method, "config", None)
    return key_of(type(method).__name__, None if config is None else to_json(config))


def known_rate(checkpoint: Path | str, method: Method, views: tuple[int, ...]) -> float | None:
    """Learning rate of the fit without prior that a checkpoint's `metrics.json` holds for these weights and views.

    Args:
        checkpoint: Checkpoint of `method`; official `.pth` files have no metrics.
        method: The method that fits.
        views: Numbers of the given views.
    """
    if Path(checkpoint).suffix == ".pth":
        return None
    metrics = read_metrics(find_checkpoint(checkpoint))
    if "no_prior_rate" not in metrics:
        return None
    try:
        known = from_json(_NoPriorRate, metrics["no_prior_rate"], "no_prior_rate")
    except ConfigError as error:
        raise CheckpointError(
            f"{plain(checkpoint)}: its metrics.json is damaged ({sentence_part(error)}); restore it."
        ) from error
    return known.rate if (known.views, known.weights) == (views, fingerprint(method)) else None


@dataclass(frozen=True)
class _NoPriorRate:
    """Learning rate found for the fit without prior, with the weights and views it was found on."""

    rate: Annotated[float, Bounds(0.0, 1e3)]
    views: tuple[int, ...]
    weights: str


def digest(*tensors: Tensor) -> str:
    """Digest of tensors' values."""
    state = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
