"""Pictures of triplane fields: arrays for the kernels of a CPU (Numba) and of a GPU (Triton), and occupancy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from engine.device import runs_triton
from engine.fields.triplane import TriplaneField
from engine.kernels import render_fast
from engine.kernels.base import FrameKernels, Limits
from engine.kernels.merged import drawable, merged_direction, merged_heads, merged_planes
from engine.kernels.render_fast import Space, flat
from engine.types import Camera


@dataclass(frozen=True)
class TriplaneOnCpu(FrameKernels):
    """A triplane field as the Numba kernels read it.

    Attributes:
        planes: Planes times the first layer.
        heads: Bias of the first layer, weights of density and colours (`hidden` each), then their four biases.
        direction: 16 rows of `hidden` weights, then `hidden` biases; None where colour ignores the direction.
        saturation: Amount by which colours may exceed [0, 1].
        box: Lower and upper corner, engine units.
    """

    planes: Float32[np.ndarray, "3 rows cols hidden"]
    heads: Float32[np.ndarray, " head_values"]
    direction: Float32[np.ndarray, " direction_values"] | None
    saturation: float
    box: Float32[np.ndarray, " 6"]
    prepared: ClassVar[bool] = True

    @staticmethod
    def suit(field: TriplaneField) -> bool:
        """True for float32 planes on the CPU with a decoder that the kernels support."""
        planes = field.latent
        plain = planes.device.type == "cpu" and planes.dtype == torch.float32
        return plain and min(planes.shape[-2:]) >= 2 and drawable(field.decoder)

    @classmethod
    def of(cls, field: TriplaneField) -> TriplaneOnCpu:
        """The kernels' arrays for a suitable field."""
        decoder = field.decoder
        direction = merged_direction(decoder)
        return cls(
            planes=merged_planes(decoder, field.latent[None])[0].numpy(),
            heads=merged_heads(decoder).numpy(),
            direction=None if direction is None else direction.numpy(),
            saturation=decoder.config.saturation,
            box=flat(field.aabb),
        )

    def cell_density(self, cells: int) -> Float[Tensor, "gx gy gz"]:
        """The largest density found in each of `cells`^3 cells of the box."""
        from engine.kernels import occupancy_fast  # numba

        return torch.from_numpy(occupancy_fast.cell_density(self.planes, self.heads, cells))

    def space(self, occupied: Bool[Tensor, "gx gy gz"]) -> Space:
        """Leaps over empty cells."""
        return Space.of(occupied)

    def draw(
        self,
        space: Space,
        camera: Camera,
        limits: Limits,
        *,
        threads: int,
        stop: Callable[[], bool] | None,
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Colour over black, opacity and opacity-weighted z-depth of every pixel; None if it was given up."""
        from engine.kernels.trace_fast import trace_tiles  # numba

        _, rows, cols, hidden = self.planes.shape
        pose = flat(camera.c2w[:3], camera.intrinsics)
        tiles = partial(
            trace_tiles,
            *(self.planes.ravel(), rows, cols, hidden, self.heads, self.direction),
            *space.parts(),
            *(self.box, pose, np.float32(self.saturation)),
            *(np.float32(limit) for limit in limits),
        )
        return render_fast.trace(tiles, self.box, space, pose, camera, threads=threads, stop=stop)


@dataclass(frozen=True)
class TriplaneOnGpu(FrameKernels):
    """A triplane field as the Triton kernel of `engine.kernels.frames_triton` reads it, on its GPU.

    Attributes:
        planes: Planes times the first layer.
        heads: From `engine.kernels.merged.merged_heads`.
        direction: 16 rows of `hidden` weights, then the biases; empty where colour ignores the direction.
        box: Lower and upper corner, engine units.
        saturation: Amount by which colours may exceed [0, 1].
    """

    planes: Float[Tensor, "1 3 rows cols hidden"]
    heads: Float[Tensor, " values"]
    direction: Float[Tensor, " direction_values"]
    box: Float[Tensor, " 6"]
    saturation: float
    prepared: ClassVar[bool] = False

    @staticmethod
    def suit(field: TriplaneField) -> bool:
        """True for float32 planes on a GPU with a decoder that the kernel supports."""
        return runs_triton(field.latent) and drawable(field.decoder)

    @classmethod
    def of(cls, field: TriplaneField) -> TriplaneOnGpu:
        """The kernel's arrays for a suitable field."""
        decoder = field.decoder
        planes = merged_planes(decoder, field.latent[None]).contiguous()
        direction = merged_direction(decoder)
        direction = planes.new_zeros(0) if direction is None else direction
        box = field.aabb.flatten().contiguous()
        return cls(planes, merged_heads(decoder), direction, box, decoder.config.saturation)

    def cell_density(self, cells: int) -> Float[Tensor, "gx gy gz"]:
        """The largest density found in each of `cells`^3 cells of the box.

        Densities are probed at the corners of the cells, and in between where texels are finer than cells.
        """
        from engine.kernels import lookup_triton

        per_cell = math.ceil(max(self.planes.shape[2:4]) / cells)
        count = cells * per_cell + 1
        share = torch.linspace(0, 1, count, device=self.box.device)[:, None]
        low, high = self.box[:3], self.box[3:]
        axes = torch.lerp(low, high, share)
        xyz = torch.cartesian_prod(*axes.unbind(1))
        probes = lookup_triton.densities(self.planes, self.heads, self.box.reshape(2, 3), xyz)
        probes = probes.reshape(1, count, count, count).clamp(max=torch.finfo(torch.float32).max)
        return F.max_pool3d(probes, per_cell + 1, stride=per_cell)[0]

    def space(self, occupied: Bool[Tensor, "gx gy gz"]) -> UInt8[Tensor, "gx gy gz"]:
        """Occupied cells as bytes."""
        return occupied.contiguous().view(torch.uint8)

    def draw(
        self,
        space: UInt8[Tensor, "gx gy gz"],
        camera: Camera,
        limits: Limits,
        *,
        threads: int,
        stop: Callable[[], bool] | None,
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Colour over black, opacity and opacity-weighted z-depth of every pixel; None if it was given up."""
        from engine.kernels import frames_triton

        if stop is not None and stop():
            return None
        pose = torch.cat([camera.c2w[:3].flatten(), camera.intrinsics])
        parts = (self.planes, self.heads, self.direction, self.box)
        size = camera.height, camera.width
        return frames_triton.draw(*parts, space, pose, size, (*limits, self.saturation))
