"""Bundled pictures to click, with the cameras they were taken from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Example:
    """One picture.

    Attributes:
        title: What it shows.
        file: Its name in this folder.
        azimuth: Camera, degrees.
        elevation: Camera, degrees.
        distance: Camera, SRN units.
    """

    title: str
    file: str
    azimuth: float
    elevation: float
    distance: float

    @property
    def path(self) -> Path:
        """Where the picture lies."""
        return FOLDER / self.file


EXAMPLES = (Example("A photograph of a car", "photograph.png", 55.0, 8.0, 1.3),)
