"""The contract of compiled kernels that draw pictures: one class for each kind of field and device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from engine.fields.base import Field
from engine.types import Camera


class Limits(NamedTuple):
    """The sampling of rays.

    Attributes:
        step: Distance between lattice points, engine units.
        min_near: Nothing is sampled nearer to the camera than this.
        stop: A ray ends once less than this share of light passes.
        carry: A colour is evaluated whenever this much weight has gathered.
    """

    step: float
    min_near: float
    stop: float
    carry: float


class FrameKernels(ABC):
    """One field as the kernels read it.

    Attributes:
        prepared: True for Numba kernels, which are used once `engine.kernels.compiled` allows it; others may be used at
            any time.
    """

    prepared: ClassVar[bool]

    @staticmethod
    @abstractmethod
    def suit(field: Field) -> bool:
        """True if a field of this kind is on the kernels' device and of a shape that they support."""

    @classmethod
    @abstractmethod
    def of(cls, field: Field) -> FrameKernels:
        """Kernels for a suitable field, holding the arrays that they read."""

    @abstractmethod
    def cell_density(self, cells: int) -> Float[Tensor, "gx gy gz"]:
        """The largest density found in each of `cells`^3 cells of the box."""

    @abstractmethod
    def space(self, occupied: Bool[Tensor, "gx gy gz"]) -> Any:
        """Occupied cells of the box in the form that `draw` takes."""

    @abstractmethod
    def draw(
        self,
        space: Any,
        camera: Camera,
        limits: Limits,
        *,
        threads: int,
        stop: Callable[[], bool] | None,
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Colour over black, opacity and opacity-weighted z-depth of every pixel.

        Args:
            space: From `space`.
            camera: One camera.
            limits: Sampling of the rays.
            threads: Threads of the CPU, the caller's included.
            stop: Called now and then; if it returns True, rendering is abandoned and None is returned.
        """
