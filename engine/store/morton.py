"""Morton order and packed bits, in which official scene files store occupancy grids.

The engine keeps grids as `gx gy gz`; Morton order interleaves the bits of a cell's x, y and z, x lowest. Byte j of a
packed grid holds the cells 8j .. 8j + 7 in Morton order, the first in the lowest bit. Source: torch-ngp.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int, Shaped, UInt8
from torch import Tensor

BITS = 10
"""Bits of each coordinate: grids of up to 1024 cells a side."""


def morton_encode(cells: Int[Tensor, "*n 3"]) -> Int[Tensor, "*n"]:
    """Morton index of each cell, from its x, y and z in [0, 1024)."""
    code = torch.zeros_like(cells[..., 0])
    for bit in range(BITS):
        for axis in range(3):
            code |= ((cells[..., axis] >> bit) & 1) << (3 * bit + axis)
    return code


def morton_decode(code: Int[Tensor, "*n"]) -> Int[Tensor, "*n 3"]:
    """The inverse of `morton_encode`."""
    cells = torch.zeros(*code.shape, 3, dtype=code.dtype, device=code.device)
    for bit in range(BITS):
        for axis in range(3):
            cells[..., axis] |= ((code >> (3 * bit + axis)) & 1) << bit
    return cells


def to_morton(grid: Shaped[Tensor, "*b size size size"]) -> Shaped[Tensor, "*b cells"]:
    """A cubic grid, its side a power of two, as a list in Morton order."""
    size = grid.shape[-1]
    x, y, z = morton_decode(torch.arange(size**3, device=grid.device)).unbind(-1)
    return grid[..., x, y, z]


def from_morton(cells: Shaped[Tensor, "*b cells"]) -> Shaped[Tensor, "*b size size size"]:
    """The inverse of `to_morton`."""
    size = round(cells.shape[-1] ** (1 / 3))
    axis = torch.arange(size, device=cells.device)
    index = morton_encode(torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1))
    return cells[..., index]


def pack_bits(occupied: Bool[Tensor, "*b cells"]) -> UInt8[Tensor, "*b bytes"]:
    """Eight cells to a byte, the first in the lowest bit."""
    bits = occupied.to(torch.uint8).unflatten(-1, (-1, 8))
    shifts = torch.arange(8, dtype=torch.uint8, device=occupied.device)
    return (bits << shifts).sum(-1, dtype=torch.uint8)


def unpack_bits(packed: UInt8[Tensor, "*b bytes"]) -> Bool[Tensor, "*b cells"]:
    """The inverse of `pack_bits`."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed[..., None] >> shifts) & 1).flatten(-2).bool()
