"""Pictures of a run in training: training scenes beside their truth, and samples if the method generates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.base import PackedDataset
from engine.events import finish
from engine.methods.base import Method, can, options_of
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.output.video import below, contact_sheet, save_picture
from engine.render.frames import render_views, to_uint8
from engine.training.state import TrainState
from engine.types import Camera

SCENES, VIEWS = 4, 2
"""Training scenes on the sheet, and views of each."""
SAMPLES = 8
"""Samples on the sheet."""


@torch.no_grad()
def preview(state: TrainState, data: PackedDataset) -> np.ndarray:
    """One sheet: truth over render for a few training scenes, then samples from two sides (uint8)."""
    sheets = []
    if state.records is not None:
        sheets.append(_scenes(state, data))
    if can(state.average, "generate"):
        sheets.append(_samples(state.average, data))
    return below(*sheets)


def _scenes(state: TrainState, data: PackedDataset) -> np.ndarray:
    """Pictures of training scenes above renders of their latents."""
    method, raw = state.average, state.records.raw
    truths, renders = [], []
    for scene in range(min(SCENES, len(data))):
        (latent,) = method.activated(raw[scene : scene + 1].float().to(method.device))
        truths += list(data.raw(scene)[:VIEWS])
        renders += _pictures(method, latent, data.cameras(scene)[:VIEWS])
    return contact_sheet([*truths, *renders], columns=len(truths), gap=0)


def _samples(method: Method, data: PackedDataset) -> np.ndarray:
    """Samples from two sides."""
    latents = finish(method.generate(SAMPLES, options_of(method, "generate"), Noise(0)))
    cameras = orbit_camera(
        torch.tensor([40.0, 215.0]), torch.tensor([18.0, 25.0]), data.distance, data.size[0]
    )
    sides = zip(*(_pictures(method, latent, cameras) for latent in latents), strict=True)
    samples = [picture for side in sides for picture in side]
    return contact_sheet(samples, columns=SAMPLES, gap=0)


def _pictures(method: Method, latent: Tensor, cameras: Camera) -> list[np.ndarray]:
    """A latent from every camera, RGB bytes."""
    return list(to_uint8(render_views(method.scene(latent).field, cameras)).cpu().numpy())


def save_preview(state: TrainState, data: PackedDataset, folder: Path) -> Path:
    """Write the preview of this iteration as PNG."""
    return save_picture(folder / "previews" / f"{state.step:07d}.png", preview(state, data))
