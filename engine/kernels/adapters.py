"""The kernels of each kind of field; a field without any goes through torch."""

from __future__ import annotations

from engine.fields.base import Field
from engine.fields.triplane import TriplaneField
from engine.fields.voxel import VoxelField
from engine.kernels.base import FrameKernels
from engine.kernels.triplane_frames import TriplaneOnCpu, TriplaneOnGpu
from engine.kernels.voxel_frames import VoxelOnCpu

FRAME_KERNELS: dict[str, tuple[type[FrameKernels], ...]] = {
    TriplaneField.kind: (TriplaneOnGpu, TriplaneOnCpu),
    VoxelField.kind: (VoxelOnCpu,),
}
"""Kernels by kind of field; the first that suits a field is taken."""


def frame_kernels(field: Field) -> type[FrameKernels] | None:
    """The kernels that draw a field where it lies, if there are any."""
    kernels = FRAME_KERNELS.get(field.kind, ())
    return next((each for each in kernels if each.suit(field)), None)
