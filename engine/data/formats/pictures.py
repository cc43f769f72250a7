"""Textures: the pictures of one mesh, each decoded once, and all together bounded."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
from jaxtyping import UInt8

from engine.errors import DataError, ImageError
from engine.vision.images import open_texture

MOST_PIXELS = 96 * 2**20
"""Pixels of all textures of a mesh together."""


class Pictures:
    """The textures of one mesh."""

    def __init__(self) -> None:
        """Starts with none."""
        self._kept: dict[Hashable, np.ndarray | DataError] = {}
        self._pixels = 0

    def get(
        self, key: Hashable, name: str, read: Callable[[], bytes]
    ) -> UInt8[np.ndarray, "h w 4"]:
        """The picture of a key, straight RGBA in sRGB.

        Args:
            key: Tells it from the mesh's other pictures.
            name: Its name in messages.
            read: Finds its file's bytes.

        Raises:
            DataError: With a short description of the fault.
        """
        if key not in self._kept:
            try:
                self._kept[key] = self._decode(read(), name)
            except (DataError, ImageError) as error:
                self._kept[key] = DataError(str(error).rstrip("."))
        found = self._kept[key]
        if isinstance(found, DataError):
            raise found
        return found

    def made(
        self, key: Hashable, name: str, make: Callable[[], UInt8[np.ndarray, "h w 4"]]
    ) -> UInt8[np.ndarray, "h w 4"]:
        """A picture computed from others: once per key, counted towards the limit like them.

        Raises:
            DataError: If there are too many.
        """
        if key not in self._kept:
            self._kept[key] = self._count(make, name)
        return self._kept[key]

    def _decode(self, data: bytes, name: str) -> np.ndarray:
        return self._count(lambda: open_texture(data, name), name)

    def _count(self, make: Callable[[], np.ndarray], name: str) -> np.ndarray:
        if self._pixels > MOST_PIXELS:
            raise DataError(f"{name} is one of too many large ones")
        picture = make()
        self._pixels += picture.shape[0] * picture.shape[1]
        return picture
