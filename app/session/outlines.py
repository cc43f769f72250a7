"""Outlines of the model's own objects, by which dropped pictures are framed; found once, in the background."""

from __future__ import annotations

import threading

import numpy as np

from engine.methods.base import Method


class Outlines:
    """The outermost points of some of a prior's objects; calling it waits until they are known."""

    def __init__(self, method: Method):
        self._method = method
        self._lock = threading.Lock()
        self._points: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        """Points, `objects points 3`, SRN units."""
        from engine.output.mesh import framing_objects  # skimage and scipy

        with self._lock:
            if self._points is None:
                fields = (self._method.scene(latent).field for latent in self._method.gallery)
                self._points = framing_objects(fields)
            return self._points
