"""What is trained on: pictures of the scenes whose latents the checkpoint's gallery holds, and the state they are in."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from engine.data.base import PackedDataset
from engine.data.pack import pack_scenes
from engine.data.procedural import categories
from engine.data.procedural.shape import scene_seed
from engine.events import finish
from engine.fields.triplane import TriplaneDecoder
from engine.methods.optimise import LatentRecords
from engine.methods.ssdnerf.method import SSDNeRF
from engine.noise import Noise
from engine.store.checkpoint import find_checkpoint, open_checkpoint, read_config
from engine.training.loop import load_batch
from engine.training.recipe import settings_of
from engine.types import RayBatch, SceneBatch
from tests.bench.fields import CHECKPOINT
from train.recipes.ssdnerf import VEHICLES

VIEWS = 8
"""Pictures of each scene; their number hardly matters, since rays are drawn from all of them."""
PAPER_WIDTH = 64
"""Hidden units of the paper's decoder."""


def trained_method(device: str = "cpu", *, paper: bool = False) -> SSDNeRF:
    """A method with the bundled prior's weights, as training makes it.

    Args:
        device: Where to put it.
        paper: Whether it gets a decoder of the paper's shape (64 units, and a direction layer): the bundled decoder's
            units, as many again that densities ignore, and directions that change colours a little. Densities, and so
            the samples of rays, stay the bundled ones.
    """
    opened = open_checkpoint(CHECKPOINT)
    method = SSDNeRF(opened.config)
    method.load_state_dict(opened.state_dict())
    method.gallery = opened.gallery
    if paper:
        method.decoder = _widened(method.decoder)
        method.config = replace(method.config, decoder=method.decoder.config)
    return method.train().to(device)


@torch.no_grad()
def _widened(decoder: TriplaneDecoder) -> TriplaneDecoder:
    config = replace(
        decoder.config,
        base_widths=(PAPER_WIDTH,),
        direction="add",
        direction_widths=(PAPER_WIDTH,),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wide = TriplaneDecoder(config)
        width = decoder.config.base_widths[0]
        wide.base[0].weight[:width], wide.base[0].bias[:width] = (
            decoder.base[0].weight,
            decoder.base[0].bias,
        )
        for name in ("density_head", "color_head"):
            head, known = getattr(wide, name)[0], getattr(decoder, name)[0]
            head.weight.zero_()
            head.weight[:, :width], head.bias[:] = known.weight, known.bias
        wide.color_head[0].weight[:, width:].normal_(0, 0.1)
        wide.direction[0].weight.normal_(0, 0.1)
    return wide


def gallery_data(scenes: int) -> PackedDataset:
    """Pictures of the first `scenes` of the gallery, rendered into a folder that is gone again but still mapped."""
    recipe = settings_of(read_config(find_checkpoint("vehicles")).provenance["recipe"])
    of_gallery = torch.linspace(0, recipe["scenes"] - 1, 16).long().tolist()
    seeds = [scene_seed("train", recipe["first_scene"] + index) for index in of_gallery[:scenes]]
    with tempfile.TemporaryDirectory() as folder:
        return finish(
            pack_scenes(
                Path(folder) / "data", categories.VEHICLES, seeds, VIEWS, VEHICLES.data.size
            )
        )


def gallery_batch(scenes: int, device: str = "cpu") -> SceneBatch:
    """The same as training reads them."""
    return load_batch(gallery_data(scenes), torch.arange(scenes), device)


def settled(method: SSDNeRF, scenes: int) -> LatentRecords:
    """Records of the gallery's latents, their occupancy looked at often enough to have settled."""
    raw = method.activation.inverse(method.gallery[:scenes].to(method.device))
    records = LatentRecords.fresh(raw, method.config.grid_shape, torch.float16)
    for look in range(4):
        method.refresh(records, Noise(0), "settle", look)
    return records


@dataclass(frozen=True)
class RenderWork:
    """What the render part of a training step is given."""

    latents: Float[Tensor, "scenes 3 channels rows cols"]
    occupied: Bool[Tensor, "scenes gx gy gz"]
    rays: RayBatch
    jitter: Float[Tensor, " rays"]


def render_work(method: SSDNeRF, batch: SceneBatch, rays: int) -> RenderWork:
    """Rays of a batch with settled occupancy."""
    records, noise = settled(method, batch.num_scenes), Noise(1)
    occupied = method.refresh(records, noise, "bench", 0)
    picked, jitter = method.pick_rays(batch, rays, 0, noise, "bench", 0)
    latents = method.activation(records.raw).detach().requires_grad_(True)
    return RenderWork(latents, occupied, picked, jitter)
