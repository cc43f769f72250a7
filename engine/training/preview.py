"""Pictures of a run while it trains: training scenes beside their truth, and samples from the prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.base import PackedDataset
from engine.events import finish
from engine.fields.triplane import TriplaneField
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.options import RenoiseOptions, SampleOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.output.video import below, contact_sheet, save_picture
from engine.render.frames import render_views, to_uint8
from engine.training.loop import TrainState
from engine.types import Camera

SCENES, VIEWS = 4, 2
"""Training scenes on the sheet, and views of each."""
SAMPLES = 8
"""Samples on the sheet."""


@torch.no_grad()
def preview(state: TrainState, data: PackedDataset) -> np.ndarray:
    """One sheet: truth over render for a few training scenes, then samples from two sides (uint8)."""
    method, records = state.average, state.bank.records
    truths, renders = [], []
    for scene in range(min(SCENES, len(data))):
        latent = method.activation(records.raw[scene].float().to(method.device))
        truths += list(data.raw(scene)[:VIEWS])
        renders += _pictures(method, latent, data.cameras(scene)[:VIEWS])
    options = SampleOptions(mode="ours", steps=20, renoise=RenoiseOptions(steps=20, t_high=300))
    latents = finish(method.generate(SAMPLES, options, Noise(0)))
    cameras = orbit_camera(
        torch.tensor([40.0, 215.0]), torch.tensor([18.0, 25.0]), data.distance, data.size[0]
    )
    sides = zip(*(_pictures(method, latent, cameras) for latent in latents), strict=True)
    samples = [picture for side in sides for picture in side]
    return below(
        contact_sheet([*truths, *renders], columns=len(truths), gap=0),
        contact_sheet(samples, columns=SAMPLES, gap=0),
    )


def _pictures(method: SSDNeRF, latent: Tensor, cameras: Camera) -> list[np.ndarray]:
    """A latent from every camera, RGB bytes."""
    field = TriplaneField(method.decoder, latent)
    return list(to_uint8(render_views(field, cameras)).cpu().numpy())


def save_preview(state: TrainState, data: PackedDataset, folder: Path) -> Path:
    """Write the preview of this iteration as PNG."""
    return save_picture(folder / "previews" / f"{state.step:07d}.png", preview(state, data))
