"""What is rendered: scenes of a trained prior, seen from all around."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.fields.triplane import TriplaneField
from engine.methods.ssdnerf.method import SSDNeRF
from engine.ops.cameras import orbit_camera
from engine.store.checkpoint import open_checkpoint
from engine.types import Camera

CHECKPOINT = "vehicles"
SCENES = (0, 7, 12)
"""Scenes of the checkpoint's gallery."""
AZIMUTHS = (20.0, 65.0, 110.0, 155.0, 200.0, 245.0, 290.0, 335.0)
ELEVATIONS = (22.0, 10.0, 35.0, 22.0, 50.0, 10.0, 22.0, 35.0)
"""Degrees, view by view; the distance is SRN's 1.3."""
VIEWS = len(AZIMUTHS)


@dataclass(frozen=True)
class Subject:
    """One scene."""

    name: str
    field: TriplaneField


def subjects(count: int, device: str = "cpu", method: SSDNeRF | None = None) -> list[Subject]:
    """The first `count` of the bench's scenes."""
    method = method or open_checkpoint(CHECKPOINT)
    decoder = method.decoder.to(device)
    return [
        Subject(f"gallery {k}", TriplaneField(decoder, method.gallery[k].to(device)))
        for k in SCENES[:count]
    ]


def view(index: int, size: int, device: str | torch.device = "cpu") -> Camera:
    """The camera of one of the views."""
    return orbit_camera(AZIMUTHS[index], ELEVATIONS[index], size=size).to(device)
