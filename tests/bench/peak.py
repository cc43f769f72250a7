"""What one core's multipliers can do at most: a loop of nothing but independent fused multiply-adds, 16 floats wide.

Written in LLVM's language, since neither Numba nor torch promises such a loop. The check that it is the peak and not
less: an AVX-512 core of the kind with two whole 512-bit units does 64 flop a cycle, so that the figure over 64 is its
clock. A matrix product is given beside it; torch's library uses 256-bit instructions on AMD, half of that peak.
"""

from __future__ import annotations

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tests.bench.timing import cpu, torch_threads

LANES, CHAINS = 16, 12
"""Floats of one instruction; instructions that do not wait for each other (latency 4, two at a time)."""
FLOPS_PER_TURN = 2 * LANES * CHAINS
TURNS = 20_000_000


@intrinsic
def _fused_loop(typing_context, turns, factor):
    """`turns` times x <- x * factor + factor on `CHAINS` vectors; returns the sum of their first lanes."""

    def generate(context, builder, signature, args):
        count, factor = args
        vector, counter = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        spread = ir.Constant(vector, ir.Undefined)
        for lane in range(LANES):
            spread = builder.insert_element(spread, factor, ir.Constant(ir.IntType(32), lane))
        before = builder.block
        loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        turn = builder.phi(counter)
        chains = [builder.phi(vector) for _ in range(CHAINS)]
        moved = [builder.call(fma, [chain, spread, spread]) for chain in chains]
        more = builder.add(turn, ir.Constant(counter, 1))
        builder.cbranch(builder.icmp_signed("<", more, count), loop, after)
        turn.add_incoming(ir.Constant(counter, 0), before)
        turn.add_incoming(more, loop)
        for number, (chain, result) in enumerate(zip(chains, moved, strict=True)):
            start = ir.Constant(vector, [float(number + 1)] * LANES)
            chain.add_incoming(start, before)
            chain.add_incoming(result, loop)
        builder.position_at_end(after)
        total = ir.Constant(ir.FloatType(), 0.0)
        for result in moved:
            first = builder.extract_element(result, ir.Constant(ir.IntType(32), 0))
            total = builder.fadd(total, first)
        return total

    return types.float32(types.int64, types.float32), generate


@njit(nogil=True)
def _multiply_and_add(turns, factor):
    return _fused_loop(turns, factor)


def fma_gflops(repeats: int = 5, turns: int = TURNS) -> float:
    """Best GFLOP/s of the loop on one core, float32."""
    factor = np.float32(0.5)
    _multiply_and_add(1, factor)
    best = 0.0
    for _ in range(repeats):
        start = cpu()
        _multiply_and_add(turns, factor)
        best = max(best, turns * FLOPS_PER_TURN / (cpu() - start) / 1e9)
    return best


def gemm_gflops(size: int = 1536, repeats: int = 5) -> float:
    """Best GFLOP/s of a square matrix product on one core, float32."""
    a, b = torch.rand(2, size, size)
    best = 0.0
    with torch_threads(1):
        torch.mm(a, b)
        for _ in range(repeats):
            start = cpu()
            torch.mm(a, b)
            best = max(best, 2 * size**3 / (cpu() - start) / 1e9)
    return best
