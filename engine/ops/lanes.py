"""Sixteen float32 numbers at a time, for Numba kernels: arithmetic that LLVM does not have to vectorise itself.

Numba vectorises a loop only where it can prove that stores alias nothing, and takes seconds to find out. The loops over
a decoder's hidden layer are therefore written as intrinsics (see `engine.ops.decode_fast`) in terms of `Lanes`, whose
operators emit LLVM instructions. Lanes map onto one AVX-512 register, two of AVX2, four of NEON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from engine.ops.planes import HIDDEN_MULTIPLE

WIDTH = HIDDEN_MULTIPLE
"""Lanes."""
FLOAT, INDEX = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, WIDTH)
_INTS = ir.VectorType(ir.IntType(32), WIDTH)
_FAST = ("fast",)


class Lanes:
    """A vector in the code that a builder writes; numbers it meets are taken for every lane."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value):
        self.builder, self.value = builder, value

    def _like(self, other: Lanes | float) -> ir.Value:
        if isinstance(other, Lanes):
            return other.value
        return ir.Constant(VECTOR, [float(np.float32(other))] * WIDTH)

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

    def _call(self, name: str, *others: float) -> Lanes:
        kind = ir.FunctionType(VECTOR, [VECTOR] * (1 + len(others)))
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.{name}.v{WIDTH}f32"
        )
        values = [self.value, *(self._like(other) for other in others)]
        return Lanes(self.builder, self.builder.call(function, values, fastmath=_FAST))

    def exp(self) -> Lanes:
        """Exp to 3e-7 relative, clamped to |x| <= 87: Cody-Waite reduction and a polynomial."""
        x = self._call("maxnum", -87.0)._call("minnum", 87.0)
        n = (x * 1.4426950408889634 + 0.5)._call("floor")
        r = x - n * 0.693145751953125 - n * 1.428606820309417e-06
        p = r * (1 / 720) + 1 / 120
        for coefficient in (1 / 24, 1 / 6, 0.5, 1.0, 1.0):
            p = p * r + coefficient
        builder = self.builder
        exponent = builder.add(builder.fptosi(n.value, _INTS), ir.Constant(_INTS, [127] * WIDTH))
        bits = builder.shl(exponent, ir.Constant(_INTS, [23] * WIDTH))
        return p * Lanes(builder, builder.bitcast(bits, VECTOR))

    def sigmoid(self) -> Lanes:
        """1 / (1 + exp(-x))."""
        return 1.0 / ((0.0 - self).exp() + 1.0)

    def total(self) -> ir.Value:
        """The lanes' sum, one float."""
        kind = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.vector.reduce.fadd.v{WIDTH}f32"
        )
        zero = ir.Constant(FLOAT, 0.0)
        return self.builder.call(function, [zero, self.value], fastmath=_FAST)


def splat(builder: ir.IRBuilder, number: ir.Value) -> Lanes:
    """A float in every lane."""
    empty = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    return Lanes(builder, builder.shuffle_vector(first, empty, ir.Constant(_INTS, [0] * WIDTH)))


def _at(builder: ir.IRBuilder, data: ir.Value, offset: ir.Value) -> ir.Value:
    return builder.bitcast(builder.gep(data, [offset]), VECTOR.as_pointer())


def load(builder: ir.IRBuilder, data: ir.Value, offset: ir.Value) -> Lanes:
    """The floats from `data[offset]` on."""
    return Lanes(builder, builder.load(_at(builder, data, offset), align=4))


def accumulate(lanes: Lanes, data: ir.Value, offset: ir.Value) -> None:
    """Add to the floats from `data[offset]` on."""
    builder = lanes.builder
    place = _at(builder, data, offset)
    builder.store((Lanes(builder, builder.load(place, align=4)) + lanes).value, place, align=4)


def store(lanes: Lanes, data: ir.Value, offset: ir.Value) -> None:
    """Write the floats from `data[offset]` on."""
    lanes.builder.store(lanes.value, _at(lanes.builder, data, offset), align=4)


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
        """Add to one of them."""
        cell = self._cells[index]
        self.builder.store((Lanes(self.builder, self.builder.load(cell)) + lanes).value, cell)

    def totals(self) -> list[ir.Value]:
        """What they have come to, one float each."""
        return [Lanes(self.builder, self.builder.load(cell)).total() for cell in self._cells]


@contextmanager
def blocks(builder: ir.IRBuilder, size: ir.Value) -> Iterator[Callable[[ir.Value, int], ir.Value]]:
    """A loop over `size` floats, `WIDTH` at a time.

    Yields a function that gives the offset of the block in row `row` of an array that starts at `start`.
    """
    constant = ir.Constant
    steps = cgutils.for_range_slice(builder, constant(INDEX, 0), size, constant(INDEX, WIDTH))
    with steps as (place, _):

        def offset(start: ir.Value | None = None, row: int = 0) -> ir.Value:
            at = place if start is None else builder.add(start, place)
            return at if row == 0 else builder.add(at, builder.mul(size, constant(INDEX, row)))

        yield offset
