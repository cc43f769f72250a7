"""Samples along rays, several at a time, as Numba intrinsics: which lattice points count, and which texels they read."""

from __future__ import annotations

from typing import no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.kernels.lanes import FLOAT, INDEX, INT, WIDTH, Lanes, load, splat, spread, store

RUN = 8
"""Lattice points that are looked at together."""


@intrinsic
@no_type_check
def occupied_points(
    typing_context, leaps, cells, first, end, near, step, origin, speed, t_out, x_out, y_out, z_out, place
):  # fmt: skip
    """Number of a ray's lattice points `first .. first + RUN - 1` before `end` that lie in occupied cells.

    Their distances and positions are written from index `place` on; the arrays must have room for `RUN` more values.
    Positions are `origin + t * speed`, in cells, clamped to the grid of `cells` (three counts); `leaps` is zero in
    occupied cells; point k is at `near + (k + 1/2) * step`.
    """

    def generate(context, builder, signature, args):
        def data(k):
            return context.make_array(signature.args[k])(context, builder, args[k]).data

        leaps, outs = data(0), [data(k) for k in range(8, 12)]
        counts = cgutils.unpack_tuple(builder, args[1], 3)
        first, end, near, step = args[2:6]
        origin, speed = (cgutils.unpack_tuple(builder, part, 3) for part in args[6:8])
        place = args[12]
        ahead = ir.Constant(ir.VectorType(FLOAT, RUN), [k + 0.5 for k in range(RUN)])
        number = Lanes(builder, ahead) + splat(builder, builder.sitofp(first, FLOAT), RUN)
        t = splat(builder, near, RUN) + number * splat(builder, step, RUN)
        points, cell = [], None
        for count, start, slope in zip(counts, origin, speed, strict=True):
            size = splat(builder, builder.sitofp(count, FLOAT), RUN)
            x = splat(builder, start, RUN) + t * splat(builder, slope, RUN)
            x = x.at_least(0.0).at_most(size)
            points.append(x)
            inside = x.floor().at_most(size - 1.0).whole()
            wide = spread(builder, builder.trunc(count, INT), RUN)
            cell = inside if cell is None else builder.add(builder.mul(cell, wide), inside)
        mask = ir.Constant(ir.VectorType(ir.IntType(1), RUN), [0] * RUN)
        for k in range(RUN):
            at = builder.zext(builder.extract_element(cell, INT(k)), INDEX)
            empty = builder.load(builder.gep(leaps, [at]))
            before = builder.icmp_signed("<", builder.add(first, INDEX(k)), end)
            full = builder.icmp_signed("==", empty, empty.type(0))
            mask = builder.insert_element(mask, builder.and_(full, before), INT(k))
        kind = ir.FunctionType(
            ir.VoidType(), [t.kind, FLOAT.as_pointer(), ir.VectorType(ir.IntType(1), RUN)]
        )
        write = cgutils.get_or_insert_function(
            builder.module, kind, f"llvm.masked.compressstore.v{RUN}f32"
        )
        for lanes, out in zip((t, *points), outs, strict=True):
            builder.call(write, [lanes.value, builder.gep(out, [place]), mask])
        bits = builder.zext(builder.bitcast(mask, ir.IntType(RUN)), INDEX)
        return builder.ctpop(bits)

    arguments = (leaps, cells, first, end, near, step, origin, speed, t_out, x_out, y_out, z_out)
    return types.int64(*arguments, place), generate


@intrinsic
@no_type_check
def texels_around(typing_context, x, y, z, count, cells, rows, cols, hidden, at, by):
    """Locate the first `count` points (in cells) on planes of `rows` times `cols` texels of `hidden` numbers.

    `at` receives the offsets of the first of four texels around each point (three rows of `at.shape[1]`), `by` the
    weights of all twelve (twelve rows). Arrays have room for a multiple of `lanes.WIDTH` points.
    """

    def generate(context, builder, signature, args):
        arrays = {
            k: context.make_array(signature.args[k])(context, builder, args[k])
            for k in (0, 1, 2, 8, 9)
        }
        count, rows, cols, hidden = args[3], args[5], args[6], args[7]
        room = cgutils.unpack_tuple(builder, arrays[8].shape, 2)[1]
        sizes = cgutils.unpack_tuple(builder, args[4], 3)

        def located(values, axis, texels):
            """The texel before each position, and the share of the one after it."""
            size = splat(builder, builder.sitofp(texels, FLOAT))
            per_cell = builder.fdiv(
                builder.sitofp(texels, FLOAT), builder.sitofp(sizes[axis], FLOAT)
            )
            u = (values * splat(builder, per_cell) - 0.5).at_least(0.0).at_most(size - 1.0)
            before = u.floor().at_most(size - 2.0)
            return before.whole(), u - before

        with cgutils.for_range_slice(builder, INDEX(0), count, INDEX(WIDTH)) as (first, _):
            x, y, z = (load(builder, arrays[k].data, first) for k in range(3))
            along_x, along_y = located(x, 0, cols), located(y, 1, cols)
            down_y, down_z = located(y, 1, rows), located(z, 2, rows)
            wide, deep = (
                spread(builder, builder.trunc(number, INT), WIDTH)
                for number in (cols, builder.mul(rows, cols))
            )
            each = spread(builder, builder.trunc(hidden, INT), WIDTH)
            plane = None
            for k, ((col, beside), (row, below)) in enumerate(
                ((along_x, down_y), (along_x, down_z), (along_y, down_z))
            ):
                top = builder.add(builder.mul(row, wide), col)
                top = top if plane is None else builder.add(top, plane)
                plane = deep if plane is None else builder.add(plane, deep)
                place = builder.add(first, builder.mul(room, INDEX(k)))
                store(builder, builder.mul(top, each), arrays[8].data, place)
                above, before = 1.0 - below, 1.0 - beside
                weights = (above * before, above * beside, below * before, below * beside)
                for corner, weight in enumerate(weights):
                    place = builder.add(first, builder.mul(room, INDEX(4 * k + corner)))
                    store(builder, weight.value, arrays[9].data, place)
        return context.get_dummy_value()

    return types.void(x, y, z, count, cells, rows, cols, hidden, at, by), generate
