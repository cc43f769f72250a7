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


EXAMPLES = (
    Example("A photograph of a car", "photograph.png", 55.0, 8.0, 1.3),
    Example("A yellow taxi", "taxi.png", 60.0, 25.0, 1.3),
    Example("A light blue estate", "estate.png", 300.0, 10.0, 1.3),
    Example("A red pickup", "pickup.png", 40.0, 12.0, 1.3),
    Example("A turquoise bus", "bus.png", 220.0, 8.0, 1.3),
    Example("A green van", "van.png", 320.0, 15.0, 1.3),
)
"""The photograph is the pixelNeRF repository's (a car cut out on white); the others are scenes 204, 229, 200, 220 and
209 of the procedural test split, which no prior has seen."""
