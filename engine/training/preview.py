"""Pictures of a run while it trains: training scenes beside their truth, and samples from the prior."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from engine.data.base import PackedDataset
from engine.events import finish
from engine.fields.triplane import TriplaneField
from engine.files import replacing
from engine.methods.base import RenoiseOptions, SampleOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render import render_views, to_uint8
from engine.training.loop import TrainState

SCENES = 4
SAMPLES = 8


@torch.no_grad()
def preview(state: TrainState, data: PackedDataset) -> np.ndarray:
    """One sheet: truth over render for a few training scenes, then samples from two sides (uint8)."""
    method, records = state.average, state.bank.records
    size = data.size[0]
    rows: list[np.ndarray] = []
    truths, renders = [], []
    for scene in range(min(SCENES, len(data))):
        latent = method.activation(records.raw[scene].float().to(method.device))
        which = [0, 1]
        truths += list(data.raw(scene)[which])
        field = TriplaneField(method.decoder, latent)
        renders += list(to_uint8(render_views(field, data.cameras(scene)[which])))
    rows += [np.concatenate(truths, 1), np.concatenate(renders, 1)]
    options = SampleOptions(mode="ours", steps=20, renoise=RenoiseOptions(steps=20, t_high=300))
    latents = finish(method.generate(SAMPLES, options, Noise(0)))
    cameras = orbit_camera(torch.tensor([40.0, 215.0]), torch.tensor([18.0, 25.0]), 1.3, size)
    pictures = [to_uint8(render_views(TriplaneField(method.decoder, x), cameras)) for x in latents]
    rows += [
        np.concatenate([p[0] for p in pictures], 1),
        np.concatenate([p[1] for p in pictures], 1),
    ]
    return np.concatenate(rows, 0)


def save_preview(state: TrainState, data: PackedDataset, folder: Path) -> Path:
    """Write the preview of this iteration as PNG."""
    path = folder / "previews" / f"{state.step:07d}.png"
    with replacing(path) as temporary:
        iio.imwrite(temporary, preview(state, data))
    return path
