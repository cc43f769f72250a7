"""Test scenes of the scoreboard, and the results of its entries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from engine.content import key_of
from engine.data.procedural.categories import Category
from engine.data.procedural.shape import Shape, scene_seed, soups_key
from engine.evaluation.geometry import Surface, surface_of
from engine.fields.base import Field
from engine.render.frames import Quality, RenderOptions, render_views
from engine.store.checkpoint import digest
from engine.types import Views


@dataclass(frozen=True)
class Answer:
    """An entry's result for some views of a scene.

    Attributes:
        images: Predicted pictures from every place.
        solid: Their field or shape; None for mere pictures.
        seconds: CPU seconds that the answer took, without rendering it.
    """

    images: Float[Tensor, "places height width 3"]
    solid: Field | Shape | None
    seconds: float


class Scene:
    """A scene as entries see it.

    Attributes:
        views: The truth from every place.
    """

    def __init__(self, views: Views):
        self.views = views

    def given(self, places: tuple[int, ...]) -> Views:
        """The pictures from some places."""
        return self.views[list(places)]


class TestScene(Scene):
    """A scene of the test split, rendered on first use."""

    __test__ = False  # no test, whatever its name

    def __init__(self, category: Category, index: int, size: int):
        self.category, self.index, self.size = category, index, size
        self._fingerprints: dict[tuple[int, ...], str] = {}

    @cached_property
    def shape(self) -> Shape:
        """The true object."""
        return self.category.build(scene_seed("test", self.index))

    @cached_property
    def surface(self) -> Surface:
        """The true object's surface, with its depth maps."""
        return surface_of(self.shape)

    @cached_property
    def views(self) -> Views:
        """The truth from every place on the test path."""
        return self.category.views("test", self.index, self.size)

    def given(self, places: tuple[int, ...]) -> Views:
        """The pictures from some places."""
        if "views" in self.__dict__:
            return self.views[list(places)]
        return self.category.views("test", self.index, self.size, places)

    def fingerprint(self, places: tuple[int, ...]) -> str:
        """Digest of the object and of its pictures from some places, which changes with the generator."""
        if places not in self._fingerprints:
            given = self.given(places)
            seen = digest(given.images, given.camera.c2w, given.camera.intrinsics)
            self._fingerprints[places] = key_of(soups_key([self.shape.soup()]), seen)
        return self._fingerprints[places]


def look(field: Field, scene: Scene, quality: Quality) -> Float[Tensor, "places h w 3"]:
    """A field from every place of a scene."""
    options = RenderOptions(quality=quality, threads=torch.get_num_threads())
    return render_views(field, scene.views.camera, options).cpu()
