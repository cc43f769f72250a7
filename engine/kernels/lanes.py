"""Many float32 numbers at a time, for Numba kernels: arithmetic that LLVM does not have to vectorise itself.

Numba vectorises a loop only where it can prove that stores alias nothing, and takes seconds to find out. The loops over
a decoder's hidden layer and the search for samples are therefore written as intrinsics (`engine.kernels.decode_fast`,
`lattice_fast`) in terms of `Lanes`, whose operators emit LLVM instructions. Sixteen lanes are one AVX-512 register, two of
AVX2, four of NEON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from engine.fields.planes import HIDDEN_MULTIPLE

WIDTH = HIDDEN_MULTIPLE
"""Lanes of the hidden layer's loops."""
FLOAT, INT, INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, WIDTH)
_FAST = ("nnan", "ninf", "nsz", "arcp", "contract", "afn")


class Lanes:
    """A vector value in LLVM code under construction; plain numbers in its arithmetic apply to every lane."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value):
        self.builder, self.value = builder, value
        self.kind, self.count = value.type, value.type.count

    def _like(self, other: Lanes | float) -> ir.Value:
        if isinstance(other, Lanes):
            return other.value
        return ir.Constant(self.kind, [float(np.float32(other))] * self.count)

    def _with(self, instruction: str, first: ir.Value, second: ir.Value) -> Lanes:
        return Lanes(self.builder, getattr(self.builder, instruction)(first, second, flags=_FAST))

    def __add__(self, other: Lanes | float) -> Lanes:
        """Sum."""
        return self._with("fadd", self.value, self._like(other))

    def __sub__(self, other: Lanes | float) -> Lanes:
        """Difference."""
        return self._with("fsub", self.value, self._like(other))

    def __rsub__(self, other: float) -> Lanes:
        """Difference from a number."""
        return self._with("fsub", self._like(other), self.value)

    def __mul__(self, other: Lanes | float) -> Lanes:
        """Product; LLVM fuses it with a sum that follows."""
        return self._with("fmul", self.value, self._like(other))

    def __rtruediv__(self, other: float) -> Lanes:
        """Quotient of a number."""
        return self._with("fdiv", self._like(other), self.value)

    def _call(self, name: str, *others: Lanes | float) -> Lanes:
        kind = ir.FunctionType(self.kind, [self.kind] * (1 + len(others)))
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.{name}.v{self.count}f32"
        )
        values = [self.value, *(self._like(other) for other in others)]
        return Lanes(self.builder, self.builder.call(function, values, fastmath=_FAST))

    def floor(self) -> Lanes:
        """Largest integer not above each lane."""
        return self._call("floor")

    def at_least(self, other: Lanes | float) -> Lanes:
        """Lane-wise maximum with `other`."""
        return self._call("maxnum", other)

    def at_most(self, other: Lanes | float) -> Lanes:
        """Lane-wise minimum with `other`."""
        return self._call("minnum", other)

    def whole(self) -> ir.Value:
        """Lanes truncated to 32-bit integers."""
        return self.builder.fptosi(self.value, ir.VectorType(INT, self.count))

    def exp(self) -> Lanes:
        """Exp to 3e-7 relative, clamped to |x| <= 87: Cody-Waite reduction and a polynomial."""
        x = self.at_least(-87.0).at_most(87.0)
        n = (x * 1.4426950408889634 + 0.5).floor()
        r = x - n * 0.693145751953125 - n * 1.428606820309417e-06
        p = r * (1 / 720) + 1 / 120
        for coefficient in (1 / 24, 1 / 6, 0.5, 1.0, 1.0):
            p = p * r + coefficient
        builder, whole = self.builder, n.whole()
        exponent = builder.add(whole, ir.Constant(whole.type, [127] * self.count))
        bits = builder.shl(exponent, ir.Constant(whole.type, [23] * self.count))
        return p * Lanes(builder, builder.bitcast(bits, self.kind))

    def sigmoid(self) -> Lanes:
        """1 / (1 + exp(-x))."""
        return 1.0 / ((0.0 - self).exp() + 1.0)

    def total(self) -> ir.Value:
        """The lanes' sum, one float."""
        kind = ir.FunctionType(FLOAT, [FLOAT, self.kind])
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.vector.reduce.fadd.v{self.count}f32"
        )
        zero = ir.Constant(FLOAT, 0.0)
        return self.builder.call(function, [zero, self.value], fastmath=_FAST)


def splat(builder: ir.IRBuilder, number: ir.Value, count: int = WIDTH) -> Lanes:
    """A float in every lane."""
    return Lanes(builder, spread(builder, number, count))


def spread(builder: ir.IRBuilder, number: ir.Value, count: int) -> ir.Value:
    """A number of any type in every lane of a vector."""
    empty = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    first = builder.insert_element(empty, number, INT(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(INT, count), [0] * count))


def _at(
    builder: ir.IRBuilder, data: ir.Value, offset: ir.Value, kind: ir.Type = VECTOR
) -> ir.Value:
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def load(builder: ir.IRBuilder, data: ir.Value, offset: ir.Value) -> Lanes:
    """The floats from `data[offset]` on."""
    return Lanes(builder, builder.load(_at(builder, data, offset), align=4))


def accumulate(lanes: Lanes, data: ir.Value, offset: ir.Value) -> None:
    """Add to the floats from `data[offset]` on."""
    builder = lanes.builder
    place = _at(builder, data, offset)
    builder.store((Lanes(builder, builder.load(place, align=4)) + lanes).value, place, align=4)


def store(builder: ir.IRBuilder, vector: ir.Value, data: ir.Value, offset: ir.Value) -> None:
    """Write a vector of 32-bit numbers from `data[offset]` on."""
    builder.store(vector, _at(builder, data, offset, vector.type), align=4)


def mixed(lanes: list[Lanes]) -> Lanes:
    """The sum, as a tree, so that the processor overlaps its branches."""
    half = len(lanes) // 2
    return reduce(add, lanes) if half < 2 else mixed(lanes[:half]) + mixed(lanes[half:])


class Sums:
    """Running sums of lanes over a loop, kept in registers."""

    def __init__(self, builder: ir.IRBuilder, count: int):
        zero = ir.Constant(VECTOR, [0.0] * WIDTH)
        self.builder = builder
        self._cells = [cgutils.alloca_once(builder, VECTOR) for _ in range(count)]
        for cell in self._cells:
            builder.store(zero, cell)

    def add(self, index: int, lanes: Lanes) -> None:
        """Add to the sum at `index`."""
        cell = self._cells[index]
        self.builder.store((Lanes(self.builder, self.builder.load(cell)) + lanes).value, cell)

    def totals(self) -> list[ir.Value]:
        """Final values of the sums, one float each."""
        builder = self.builder
        lanes = [Lanes(builder, builder.load(cell)) for cell in self._cells]
        if len(lanes) == 1:
            return [lanes[0].total()]
        lanes += [lanes[0]] * (4 - len(lanes))
        folded = _folded(_folded(lanes[0], lanes[1], 8), _folded(lanes[2], lanes[3], 8), 4)
        for half in (2, 1):
            folded = _folded(folded, folded, half)
        return [builder.extract_element(folded.value, INT(k)) for k in range(len(self._cells))]


def _folded(first: Lanes, second: Lanes, half: int) -> Lanes:
    """Both vectors with the two halves of every group of `2 * half` lanes added, one result after the other.

    Summing four vectors this way takes a third of the shuffles of four separate sums.
    """
    groups = range(0, WIDTH, 2 * half)
    low = [g + k for g in groups for k in range(half)]
    high = [place + half for place in low]

    def picked(places: list[int]) -> Lanes:
        both = places + [WIDTH + place for place in places]
        order = ir.Constant(ir.VectorType(INT, WIDTH), both)
        builder = first.builder
        return Lanes(builder, builder.shuffle_vector(first.value, second.value, order))

    return picked(low) + picked(high)


@contextmanager
def blocks(builder: ir.IRBuilder, size: ir.Value) -> Iterator[Callable[[ir.Value, int], ir.Value]]:
    """A loop over `size` floats, `WIDTH` at a time.

    Yields a function that gives the offset of the block in row `row` of an array that starts at `start`.
    """
    steps = cgutils.for_range_slice(builder, INDEX(0), size, INDEX(WIDTH))
    with steps as (place, _):

        def offset(start: ir.Value | None = None, row: int = 0) -> ir.Value:
            at = place if start is None else builder.add(start, place)
            return at if row == 0 else builder.add(at, builder.mul(size, INDEX(row)))

        yield offset
