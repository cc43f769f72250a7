"""Official SSDNeRF checkpoints (`.pth`) to ours and back.

Their weights are named after mmcv's module lists; the tables below hold the names for both directions. Settings that do
not follow from shapes (attention heads, norm groups, plane size) get the values of all released configs.
Source: the official code's modules. Files are read with `torch.load(weights_only=True)` only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.config import from_json, to_json
from engine.errors import (
    CheckpointError,
    ConfigError,
    one_line,
    plain,
    sentence_part,
)
from engine.fields.triplane import DecoderConfig
from engine.files import save_pickle
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.nets.shapes import shapes_of, unbuilt
from engine.nets.unet2d import UNetConfig
from engine.reading import misfit
from engine.store.pickles import load_pickle

HEADS = 4
GROUPS = 32
TILED_BASE, TILED_GROUPS = 80, 16
"""The tiled model is the one with 80 base channels; 32 groups would not divide them."""
DROPOUT = 0.1
"""Dropout of every official config that has any."""

STAGES = {"in_blocks": "encoder", "mid_blocks": "middle", "out_blocks": "decoder"}
ENDS = {
    "time_embedding.blocks.0": "time1",
    "time_embedding.blocks.2": "time2",
    "out.gn": "norm",
    "out.conv": "out",
}
LAYERS = {
    "conv_1.0": "norm1",
    "conv_1.2": "conv1",
    "norm_with_embedding.norm": "norm2",
    "norm_with_embedding.embedding_layer.1": "embed",
    "conv_2.1": "conv2",
    "conv_2.2": "conv2",
    "downsample": "conv",
}
"""Layers of a block that bear another name here; conv_2 is number 2 where a dropout layer precedes it."""
DECODER_NETS = {
    "base_net": "base",
    "density_net": "density_head",
    "dir_net": "direction",
    "color_net": "color_head",
}
STATISTICS = ("running_mean", "running_var")

_IN_STAGE = re.compile(r"(?P<stage>\w+?)(?P<place>(\.\d+)+)(?P<layer>.*)\.(?P<kind>weight|bias)")
_IN_NET = re.compile(r"(?P<net>\w+)\.(?P<index>\d+)\.(?P<kind>weight|bias)")
_LEVELS = re.compile(r"(^|(?<=\.))module\.")


# --------------------------------------------------------------------------------------- names


def unet_name(official: str) -> str:
    """Our name of a denoiser's tensor, from its official name without `diffusion.denoising.`."""
    match = _IN_STAGE.fullmatch(official)
    if match and match["stage"] in STAGES:
        layer = match["layer"].removeprefix(".")
        layer = LAYERS.get(layer, layer)
        return _join(STAGES[match["stage"]] + match["place"], layer, match["kind"])
    part, _, kind = official.rpartition(".")
    return f"{ENDS.get(part, part)}.{kind}"


def official_unet_name(ours: str, *, dropout: bool) -> str:
    """The inverse of `unet_name`.

    Args:
        ours: Name in `UNet2D.state_dict()`.
        dropout: True if the official module has a dropout layer, which moves conv_2 from index 1 to 2.
    """
    match = _IN_STAGE.fullmatch(ours)
    stages = _inverse(STAGES)
    if match and match["stage"] in stages:
        layers = _inverse(LAYERS) | {"conv2": "conv_2.2" if dropout else "conv_2.1"}
        if match["stage"] == "decoder":
            del layers["conv"]
        layer = match["layer"].removeprefix(".")
        return _join(
            stages[match["stage"]] + match["place"], layers.get(layer, layer), match["kind"]
        )
    part, _, kind = ours.rpartition(".")
    return f"{_inverse(ENDS)[part]}.{kind}"


def decoder_name(official: str) -> str:
    """Our name of a decoder's tensor; official lists count their activations too."""
    match = _IN_NET.fullmatch(official)
    if not match or match["net"] not in DECODER_NETS:
        return official
    return f"{DECODER_NETS[match['net']]}.{int(match['index']) // 2}.{match['kind']}"


def official_decoder_name(ours: str) -> str:
    """The inverse of `decoder_name`."""
    match = _IN_NET.fullmatch(ours)
    if not match:
        return ours
    return f"{_inverse(DECODER_NETS)[match['net']]}.{2 * int(match['index'])}.{match['kind']}"


def _inverse(table: Mapping[str, str]) -> dict[str, str]:
    return {ours: official for official, ours in table.items()}


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)


# --------------------------------------------------------------------------------- checkpoints


@dataclass(frozen=True)
class _Parts:
    """An official state dict sorted by part, still under official names."""

    unet: dict[str, Tensor]
    decoder: dict[str, Tensor]
    norm_factor: Tensor | None
    statistics: dict[str, Tensor]
    init_code: Tensor | None


def _parts(state: Mapping[str, Tensor]) -> _Parts:
    """Parts of a state dict, with EMA weights if it has any.

    Raises:
        CheckpointError: If a denoiser or a decoder is missing.
    """
    state = {_LEVELS.sub("", name): value for name, value in state.items()}

    def under(*prefixes: str) -> dict[str, Tensor]:
        for prefix in prefixes:
            found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            if found:
                return found
        return {}

    unet = under("diffusion_ema.denoising.", "diffusion.denoising.")
    decoder = under("decoder_ema.", "decoder.")
    if not unet or not decoder:
        raise CheckpointError(
            f"found {len(unet)} denoiser and {len(decoder)} decoder tensors, expected the names "
            "diffusion_ema.denoising.* and decoder_ema.* (or without _ema) of an SSDNeRF checkpoint."
        )
    loss = under("diffusion_ema.ddpm_loss.", "diffusion.ddpm_loss.")
    statistics = under("code_activation.")
    return _Parts(
        unet=unet,
        decoder={name: value for name, value in decoder.items() if name != "aabb"},
        norm_factor=loss.get("norm_factor"),
        statistics={name: statistics[name] for name in STATISTICS if name in statistics},
        init_code=state.get("init_code"),
    )


def infer_config(state: Mapping[str, Tensor]) -> SSDNeRFConfig:
    """The config of an official state dict, from names and shapes.

    Raises:
        CheckpointError: If it is not an SSDNeRF, or one whose layout no config here describes.
    """
    parts = _parts(state)
    try:
        unet, decoder = _unet_config(parts.unet), _decoder_config(parts.decoder)
    except (KeyError, ZeroDivisionError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"found no {one_line(error)} among the weights, expected the layout of an SSDNeRF checkpoint."
        ) from error
    size = (128, 128) if parts.init_code is None else tuple(parts.init_code.shape[-2:])
    config = SSDNeRFConfig(
        rows=size[0],
        cols=size[1],
        decoder=decoder,
        unet=unet,
        tiled=unet.channels == decoder.channels,
        normalize_diffusion=parts.norm_factor is not None,
    )
    if parts.statistics:
        config = replace(
            config, activation="normalized_tanh", diffusion_weight=20.0, reg_weight=0.0
        )
    try:
        return from_json(SSDNeRFConfig, to_json(config), "the network")
    except ConfigError as error:
        raise CheckpointError(f"{sentence_part(error)}, as in an SSDNeRF checkpoint.") from error


def _unet_config(weights: Mapping[str, Tensor]) -> UNetConfig:
    base, channels = weights["in_blocks.0.0.weight"].shape[:2]
    widths: list[list[int]] = [[]]
    factors = []
    blocks = {name.split(".")[1] for name in weights if name.startswith("in_blocks.")}
    for index in range(1, len(blocks)):
        if str(index) not in blocks:
            raise KeyError(f"in_blocks.{index}")
        if f"in_blocks.{index}.0.downsample.weight" in weights:
            widths.append([])
        else:
            widths[-1].append(weights[f"in_blocks.{index}.0.conv_1.2.weight"].shape[0])
            if f"in_blocks.{index}.1.qkv.weight" in weights:
                factors.append(2 ** (len(widths) - 1))
    return UNetConfig(
        channels=channels,
        base=base,
        multipliers=tuple(level[0] // base for level in widths),
        blocks=len(widths[0]),
        attention_factors=tuple(dict.fromkeys(factors)),
        heads=HEADS,
        groups=TILED_GROUPS if base == TILED_BASE else GROUPS,
        dropout=DROPOUT if any(".conv_2.2." in name for name in weights) else 0.0,
    )


def _decoder_config(weights: Mapping[str, Tensor]) -> DecoderConfig:
    def widths(net: str) -> tuple[int, ...]:
        indices = [
            int(m["index"]) for m in map(_IN_NET.fullmatch, weights) if m and m["net"] == net
        ]
        return tuple(weights[f"{net}.{i}.weight"].shape[0] for i in sorted(set(indices)))

    config = DecoderConfig(
        channels=weights["base_net.0.weight"].shape[1] // 3,
        base_widths=widths("base_net"),
        density_widths=widths("density_net"),
        color_widths=widths("color_net"),
        scene_base=tuple(weights["scene_base"].shape[-2:]) if "scene_base" in weights else None,
    )
    if "dir_net.0.weight" in weights:
        return replace(config, direction="add", direction_widths=widths("dir_net"))
    concatenated = weights["color_net.0.weight"].shape[1] > config.base_widths[-1]
    return replace(config, direction="concat" if concatenated else "none")


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An official state dict under the names of `SSDNeRF.state_dict()`."""
    parts = _parts(state)
    ours = {f"unet.{unet_name(name)}": value for name, value in parts.unet.items()}
    ours |= {f"decoder.{decoder_name(name)}": value for name, value in parts.decoder.items()}
    ours |= {f"activation.{name}": value for name, value in parts.statistics.items()}
    base = ours.get("decoder.scene_base")
    if base is not None:
        ours["decoder.scene_base"] = base.reshape(base.shape[-4:])
    ours["norm_factor"] = torch.ones(1) if parts.norm_factor is None else parts.norm_factor
    return ours


def to_official(method: SSDNeRF, *, ema: bool = True) -> dict[str, Tensor]:
    """A method's weights under official names.

    Args:
        method: The method.
        ema: True to name them as averaged weights, as in the published files.
    """
    suffix = "_ema" if ema else ""
    dropout = method.config.unet.dropout > 0
    state = {}
    if method.config.activation == "normalized_tanh":
        for name in STATISTICS:
            state[f"code_activation.{name}"] = getattr(method.activation, name)
    state[f"decoder{suffix}.aabb"] = method.decoder.aabb.flatten()
    for name, value in method.decoder.state_dict().items():
        state[f"decoder{suffix}.{official_decoder_name(name)}"] = value
    for name, value in method.unet.state_dict().items():
        official = official_unet_name(name, dropout=dropout)
        state[f"diffusion{suffix}.denoising.{official}"] = value
    if method.config.normalize_diffusion:
        state[f"diffusion{suffix}.ddpm_loss.norm_factor"] = method.norm_factor
    return state


def import_official(state: Mapping[str, Tensor], config: SSDNeRFConfig | None = None) -> SSDNeRF:
    """A method with the weights of an official state dict, in evaluation mode.

    Args:
        state: The state dict.
        config: Shapes of the networks; inferred by `infer_config` if not given.

    Raises:
        CheckpointError: If the weights do not fit the config.
    """
    config = config or infer_config(state)
    ours = from_official(state)
    try:
        found = {name: tuple(value.shape) for name, value in ours.items()}
        problem = misfit(found, shapes_of(unbuilt(lambda: SSDNeRF(config)))) or _whole(ours)
    except ConfigError as error:
        problem = sentence_part(error)
    if problem is not None:
        raise CheckpointError(
            f"the weights do not fit the networks their shapes suggest ({problem}); expected an SSDNeRF checkpoint."
        )
    method = SSDNeRF(config)
    method.load_state_dict(ours)
    if config.activation == "normalized_tanh":
        method.presets["reconstruct"]["paper"] = replace(
            method.presets["reconstruct"]["paper"],
            guidance_gain=2.2 * 2**14,
            prior_weight=5.0,
            learning_rate=0.02,
        )
    # nobody has tuned mode `ours` for imported weights: the published numbers, plus renoise-averaging
    method.presets["generate"]["ours"] = replace(method.presets["generate"]["paper"], mode="ours")
    method.presets["reconstruct"]["ours"] = replace(
        method.presets["reconstruct"]["paper"], mode="ours"
    )
    init_code = _parts(state).init_code
    if init_code is not None:
        method.mean_latent = init_code.float()
    return method.eval().requires_grad_(False)


def _whole(weights: Mapping[str, Tensor]) -> str | None:
    """Error text on the first integer weight, which no network has; None if all are floats."""
    odd = (name for name, value in weights.items() if not value.is_floating_point())
    name = next(odd, None)
    return None if name is None else f"{plain(name)} holds whole numbers"


def load_official(path: Path | str, device: torch.device | str = "cpu") -> SSDNeRF:
    """Open an official checkpoint, averaged weights only or whole.

    Raises:
        CheckpointError: If the file is missing, unsafe, damaged or something else.
    """
    path = Path(path)
    content = load_pickle(path, CheckpointError)
    if isinstance(content, Mapping) and "param" in content:
        raise CheckpointError(
            f"{plain(path)}: this is a saved scene, expected a checkpoint with a state_dict; open it as a scene."
        )
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(
        is_weight(name, value) for name, value in state.items()
    ):
        raise CheckpointError(
            f"{plain(path)}: found no state_dict of finite weights, expected an SSDNeRF checkpoint{keys_of(content)}."
        )
    try:
        return import_official(state).to(device)
    except CheckpointError as error:
        raise CheckpointError(f"{plain(path)}: {error}") from error


def is_weight(name: Any, value: Any) -> bool:
    """True for an entry of a state dict that is a named tensor of finite real numbers."""
    if not isinstance(name, str) or not isinstance(value, Tensor) or value.is_complex():
        return False
    return not value.is_floating_point() or bool(value.isfinite().all())


def keys_of(content: Any) -> str:
    """The first few keys of a file that is not a checkpoint, for the error message."""
    if not isinstance(content, Mapping):
        return f"; it is of type {type(content).__name__}"
    return f"; its keys are {', '.join(plain(key, 40) for key in [*content][:5]) or 'none'}"


def save_official(path: Path | str, method: SSDNeRF) -> Path:
    """Write a method as an official checkpoint of averaged weights."""
    save_pickle(path, {"meta": {}, "state_dict": to_official(method)})
    return Path(path)
