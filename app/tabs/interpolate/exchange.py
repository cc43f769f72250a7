"""Objects with exchanged parts: the cells of the page's swap matrix. No gradio."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from app.tabs.interpolate.blending import Blend
from app.tabs.interpolate.ways import ways_of
from engine.explore.interpolate import blend_parts
from engine.methods.base import Method
from engine.render.frames import Baked, bake

_baking = threading.Lock()
"""One cell is made ready at a time: the view needs the machine too."""


def exchanged(blend: Blend, first: int, second: int) -> Tensor | None:
    """The latent with the first part of one corner and the second part of another; None if there is no such corner.

    Corners keep their latents even after the session has dropped their records.
    """
    corners = [placed.corner for placed in blend.placed]
    if max(first, second) >= len(corners) or "parts" not in ways_of(blend.method):
        return None
    return blend_parts(torch.stack([corners[first].latent, corners[second].latent]), 0.0, 1.0)


def exact(method: Method, latent: Tensor) -> Baked:
    """An object for one small picture, without approximating its field."""
    with _baking:
        return bake(method.scene(latent).field)
