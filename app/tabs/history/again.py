"""Reuse of a result: its settings for the tabs, and its picture, with its camera, for Reconstruct."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from app.session.exports import bound, kept_here
from app.session.records import Record
from app.session.session import Session
from engine.ops.cameras import orbit_camera
from engine.render.frames import RenderOptions, render, to_uint8

SIZE = 256
"""Side of a picture that is taken for Reconstruct, pixels."""


def made_with(record: Record) -> dict[str, Any]:
    """A record's settings; of a reconstruction those for one picture, which the tab scales for more."""
    provenance = record.provenance
    return dict(provenance.get("for_one", provenance.get("settings", {})))


def standpoint(session: Session) -> tuple[int, int, float]:
    """Camera of a picture: the direction of the view's camera in whole degrees, at the model's own distance.

    The view has a longer lens than the model's training cameras, so its own distance would be wrong.
    """
    distance = session.method.data.distance
    if session.camera is None:
        return 40, 18, distance
    x, y, z = session.camera.c2w[:3, 3].tolist()
    azimuth = round(math.degrees(math.atan2(-x, y))) % 360
    elevation = round(math.degrees(math.atan2(z, math.hypot(x, y))))
    return azimuth, min(max(elevation, -10), 90), distance


def take_picture(session: Session, record: Record) -> tuple[Path, int, int, float]:
    """A cut-out picture of a record's result, with its camera's azimuth, elevation and distance."""
    from engine.output.video import save_picture  # imageio is slow to import

    azimuth, elevation, distance = standpoint(session)
    camera = orbit_camera(float(azimuth), float(elevation), distance, SIZE)
    baked = session.exact(record)
    output = render(baked, camera, RenderOptions(quality="high", background=(0.0, 0.0, 0.0)))
    opacity = output.opacity[..., None]
    colour = (output.rgb / opacity.clamp_min(1e-3)).clamp(0, 1)
    rgba = to_uint8(torch.cat([colour, opacity], -1)).cpu().numpy()
    name = f"{azimuth}-{elevation}-{len(record.frames)}-{record.version}.png"
    path = session.folder_of(record.id) / name
    with kept_here(path):
        save_picture(path, rgba)
    bound(session, path)
    return path, azimuth, elevation, distance
