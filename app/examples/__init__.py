"""Bundled pictures to click, with the cameras they were taken from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Example:
    """One picture.

    Attributes:
        title: Description of its object.
        file: Its name in this folder.
        azimuth: Camera, degrees.
        elevation: Camera, degrees.
        distance: Camera, SRN units.
        category: Category of the models that it suits.
    """

    title: str
    file: str
    azimuth: float
    elevation: float
    distance: float
    category: str

    @property
    def path(self) -> Path:
        """Path of the picture."""
        return FOLDER / self.file


EXAMPLES = (
    Example("A car in a studio", "studio.jpg", 50.0, 12.0, 1.3, "vehicles"),
    Example("A yellow taxi", "taxi.png", 60.0, 25.0, 1.3, "vehicles"),
    Example("A light blue estate", "estate.png", 300.0, 10.0, 1.3, "vehicles"),
    Example("A red pickup", "pickup.png", 40.0, 12.0, 1.3, "vehicles"),
    Example("A turquoise bus", "bus.png", 220.0, 8.0, 1.3, "vehicles"),
    Example("A green van", "van.png", 320.0, 15.0, 1.3, "vehicles"),
    Example("A red office chair", "office-chair.png", 40.0, 18.0, 2.0, "chairs"),
    Example("A light blue armchair", "armchair.png", 320.0, 20.0, 2.0, "chairs"),
    Example("A rocking chair", "rocking-chair.png", 60.0, 15.0, 2.0, "chairs"),
    Example("A director's chair", "directors-chair.png", 35.0, 25.0, 2.0, "chairs"),
    Example("A dining chair with armrests", "dining-chair.png", 300.0, 12.0, 2.0, "chairs"),
    Example("A blue desk", "desk.png", 40.0, 25.0, 1.3, "tables"),
    Example("A round table with a chess board", "chess-table.png", 30.0, 30.0, 1.3, "tables"),
    Example("A square table with a stripe", "dining-table.png", 50.0, 25.0, 1.3, "tables"),
    Example("A desk with a lamp", "writing-desk.png", 320.0, 25.0, 1.3, "tables"),
    Example("A round red table", "round-table.png", 20.0, 20.0, 1.3, "tables"),
)
"""All are of the procedural test splits, which no model has seen. The first stands in for a photograph: vehicle 339 in another
light and through a camera (`python -m tests.fixtures.studio` writes it). The others: vehicles 204, 229, 200, 220 and 209, chairs 213, 229, 208, 211 and 205, tables 215, 222, 201, 234 and
213."""
