"""Pictures of triplane fields on a GPU: what the Triton kernel of `engine.kernels.frames_triton` reads, and where it is empty."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from engine.device import runs_triton
from engine.fields.base import Field
from engine.fields.triplane import TriplaneField
from engine.kernels.merged import drawable, merged_direction, merged_heads, merged_planes
from engine.types import Camera


def on_triton(field: Field) -> bool:
    """Whether the Triton kernel draws a field."""
    known = isinstance(field, TriplaneField)
    return known and runs_triton(field.triplane) and drawable(field.decoder)


@dataclass(frozen=True)
class Tables:
    """A field as the kernel reads it, on its GPU.

    Attributes:
        planes: Planes times the first layer.
        heads: From `engine.kernels.merged.merged_heads`.
        direction: 16 rows of `hidden` weights, then the biases; empty where colour ignores the direction.
        box: Lower and upper corner, engine units.
        saturation: How far colours reach beyond [0, 1].
    """

    planes: Float[Tensor, "1 3 rows cols hidden"]
    heads: Float[Tensor, " values"]
    direction: Float[Tensor, " direction_values"]
    box: Float[Tensor, " 6"]
    saturation: float

    @classmethod
    def of(cls, field: TriplaneField) -> Tables:
        """What the kernel needs of a field that `on_triton` accepts."""
        decoder = field.decoder
        planes = merged_planes(decoder, field.triplane[None]).contiguous()
        direction = merged_direction(decoder)
        direction = planes.new_zeros(0) if direction is None else direction
        box = field.aabb.flatten().contiguous()
        return cls(planes, merged_heads(decoder), direction, box, decoder.config.saturation)

    def cell_density(self, cells: int) -> Float[Tensor, "gx gy gz"]:
        """The largest density found in each of `cells`^3 cells of the box.

        Densities are probed at the corners of the cells, and in between where texels are finer than cells.
        """
        from engine.kernels import rays_triton

        per_cell = math.ceil(max(self.planes.shape[2:4]) / cells)
        count = cells * per_cell + 1
        share = torch.linspace(0, 1, count, device=self.box.device)[:, None]
        low, high = self.box[:3], self.box[3:]
        axes = torch.lerp(low, high, share)
        xyz = torch.cartesian_prod(*axes.unbind(1))
        probes = rays_triton.densities(self.planes, self.heads, self.box.reshape(2, 3), xyz)
        probes = probes.reshape(1, count, count, count).clamp(max=torch.finfo(torch.float32).max)
        return F.max_pool3d(probes, per_cell + 1, stride=per_cell)[0]

    def draw(
        self,
        occupied: Bool[Tensor, "gx gy gz"],
        camera: Camera,
        *,
        step: float,
        min_near: float,
        stop: float,
        carry: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colour over black, opacity and opacity-weighted z-depth of every pixel.

        Args:
            occupied: Cells to sample, over the box.
            camera: One camera.
            step: Distance between lattice points, engine units.
            min_near: Nothing is sampled nearer to the camera than this.
            stop: A ray ends once less than this share of light passes.
            carry: A colour is evaluated whenever this much weight has gathered.
        """
        from engine.kernels import frames_triton

        pose = torch.cat([camera.c2w[:3].flatten(), camera.intrinsics])
        parts = (self.planes, self.heads, self.direction, self.box)
        limits = (step, min_near, stop, carry, self.saturation)
        return frames_triton.draw(*parts, occupied, pose, (camera.height, camera.width), limits)
