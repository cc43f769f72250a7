"""Official SSDNeRF scenes (`.pth`) to ours and back, as saved by its test script, its page and its training cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from engine.errors import SceneError, one_line, plain
from engine.files import save_pickle
from engine.store.morton import from_morton, pack_bits, to_morton, unpack_bits
from engine.store.official import is_weight, keys_of
from engine.store.pickles import load_pickle

MOST_CELLS = 256
"""Cells along a side of an occupancy grid; the official ones have 64."""


@dataclass(frozen=True)
class OfficialScene:
    """Contents of an official scene file.

    Attributes:
        latent: Activated triplane.
        name: The scene's name, or None.
        grid: Densities of the occupancy grid, or None.
        occupied: Occupied cells, or None.
    """

    latent: Float[Tensor, "3 channels rows cols"]
    name: str | None = None
    grid: Float[Tensor, "size size size"] | None = None
    occupied: Bool[Tensor, "size size size"] | None = None


def load_scene(path: Path | str, activation: nn.Module) -> OfficialScene:
    """Read a scene saved by the official code: its test script, its page or its training cache.

    Args:
        path: The `.pth` file.
        activation: Latent activation of the scene's model; training caches hold raw latents.

    Raises:
        SceneError: If the file is missing, unsafe, damaged or something else.
    """
    path = Path(path)
    content = load_pickle(path, SceneError)
    if isinstance(content, Mapping) and "state_dict" in content:
        raise SceneError(
            f"{plain(path)}: this is a checkpoint, expected a saved scene; open it as one."
        )
    param = content.get("param") if isinstance(content, Mapping) else None
    if not isinstance(param, Mapping) or not {"code", "code_"} & set(param):
        raise SceneError(
            f"{plain(path)}: found no latent, expected a scene saved by SSDNeRF{keys_of(content)}."
        )
    code = "code" if "code" in param else "code_"
    latent = param[code]
    if (
        not is_weight(code, latent)
        or not latent.is_floating_point()
        or latent.shape[:1] != (3,)
        or latent.ndim != 4
    ):
        raise SceneError(f"{plain(path)}: found a latent that is not 3 planes of finite numbers.")
    if code == "code_":
        with torch.no_grad():
            latent = activation(latent.float())
    grid, bits = param.get("density_grid"), param.get("density_bitfield")
    try:
        return OfficialScene(
            latent=latent.float(),
            name=None if content.get("scene_name") is None else plain(content["scene_name"]),
            grid=None if grid is None else _cube(grid),
            occupied=None if bits is None else _cube(unpack_bits(bits)),
        )
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise SceneError(
            f"{plain(path)}: its occupancy grid is damaged ({one_line(error)}); save it again."
        ) from error


def _cube(cells: Tensor) -> Tensor:
    """Grid of cells given in Morton order.

    Raises:
        ValueError: If their number is not that of a cube of at most `MOST_CELLS` a side, or they are not finite.
    """
    side = round(len(cells) ** (1 / 3))
    if cells.ndim != 1 or len(cells) != side**3 or not 1 <= side <= MOST_CELLS:
        raise ValueError(f"cells of shape {tuple(cells.shape)}")
    if not bool(cells.isfinite().all()):
        raise ValueError("cells that are not finite")
    return from_morton(cells)


def save_scene(path: Path | str, scene: OfficialScene) -> Path:
    """Write a scene as the official test script does; parts that are None are left out."""
    param: dict[str, Tensor] = {"code": scene.latent.detach().float().cpu()}
    if scene.grid is not None:
        param["density_grid"] = to_morton(scene.grid).cpu()
    if scene.occupied is not None:
        param["density_bitfield"] = pack_bits(to_morton(scene.occupied)).cpu()
    content: dict[str, Any] = {"param": param}
    if scene.name is not None:
        content["scene_name"] = scene.name
    save_pickle(path, content)
    return Path(path)
