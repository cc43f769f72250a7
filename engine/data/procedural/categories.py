"""The procedural categories: objects built from seeds, seen by SRN's cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.data.cameras import spiral_cameras, srn_intrinsics, training_cameras
from engine.data.procedural.augment import augmented
from engine.data.procedural.chairs import PARTS as CHAIR_PARTS
from engine.data.procedural.chairs import build_chair
from engine.data.procedural.shape import Shape, render_shape, scene_seed
from engine.data.procedural.tables import PARTS as TABLE_PARTS
from engine.data.procedural.tables import build_table
from engine.data.procedural.vehicles import PARTS as VEHICLE_PARTS
from engine.data.procedural.vehicles import build_vehicle
from engine.data.raster import composite_white
from engine.errors import DataError
from engine.types import Camera, Views

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Category:
    """A kind of procedural object.

    Attributes:
        name: Plural, as in the command line; also the name of its checkpoint.
        build: Builds the object of a seed.
        parts: Names of its part labels.
        kind: Attribute that names the object's type.
        distance: Distance of the cameras from the origin, SRN units (1.3 as SRN's cars, 2.0 as its chairs).
        box: Lower and upper corner that hold every object, engine units.
        word: Word for one object, in scene names.
    """

    name: str
    build: Callable[[int], Shape]
    parts: tuple[str, ...]
    kind: str
    distance: float
    box: Box
    word: str

    def cameras(self, seed: int, views: int | None) -> np.ndarray:
        """A scene's camera-to-world matrices: `views` random ones, or SRN's test path for None."""
        if views is None:
            return spiral_cameras(self.distance)
        return training_cameras(seed, views, self.distance)

    def shape(self, seed: int, augment: bool = False) -> Shape:
        """The object of a seed, with `augment` perhaps in other colours, light and proportions."""
        shape = self.build(seed)
        return augmented(shape, self.box) if augment else shape

    def pictures(self, shape: Shape, c2w: np.ndarray, size: int) -> np.ndarray:
        """RGB pictures on white, uint8 `n size size 3`, from cameras in SRN units."""
        return composite_white(render_shape(shape, c2w, srn_intrinsics(size), size))

    def views(
        self,
        split: str,
        index: int,
        size: int = 128,
        which: Sequence[int] | None = None,
        *,
        varied: bool = False,
    ) -> Views:
        """A scene along SRN's test path, drawn from its seed.

        Args:
            split: "train", "val" or "test".
            index: Scene of the split.
            size: Rows and columns.
            which: Places on the path, in the order wanted; None takes all 251.
            varied: True to give the object other colours, light and proportions than the generator's.
        """
        c2w = self.cameras(0, None)
        c2w = c2w if which is None else c2w[list(which)]
        shape = self.build(scene_seed(split, index))
        shape = augmented(shape, self.box, share=1.0) if varied else shape
        images = self.pictures(shape, c2w, size)
        camera = Camera.from_srn(
            torch.from_numpy(c2w).float(),
            torch.from_numpy(srn_intrinsics(size)).float().expand(len(c2w), 4),
            size,
            size,
        )
        return Views(torch.from_numpy(images).float() / 255, camera)


VEHICLES = Category(
    name="vehicles",
    build=build_vehicle,
    parts=VEHICLE_PARTS,
    kind="body_type",
    distance=1.3,
    box=((-0.5, -0.95, -0.49), (0.5, 0.95, 0.49)),
    word="vehicle",
)
CHAIRS = Category(
    name="chairs",
    build=build_chair,
    parts=CHAIR_PARTS,
    kind="chair_type",
    distance=2.0,
    box=((-0.75, -0.68, -0.91), (0.75, 0.68, 0.91)),
    word="chair",
)
TABLES = Category(
    name="tables",
    build=build_table,
    parts=TABLE_PARTS,
    kind="table_type",
    distance=1.3,
    box=((-0.95, -0.735, -0.905), (0.95, 0.735, 0.905)),
    word="table",
)
CATEGORIES = {category.name: category for category in (VEHICLES, CHAIRS, TABLES)}


def find_category(name: str) -> Category:
    """The category of a name.

    Raises:
        DataError: If there is none of this name.
    """
    if name not in CATEGORIES:
        raise DataError(f"Found category {name!r}, expected one of {', '.join(CATEGORIES)}.")
    return CATEGORIES[name]
