"""A triplane decoder at one point, as Numba intrinsics: base feature, density, colour, and all their gradients.

The first layer is linear and the lookup bilinear, so the planes are multiplied by the layer beforehand (`texels`:
`3 rows cols hidden`). The base feature of a point is then the layer's bias and twelve rows of texels, `at` (offsets into
the flat array), weighted `by`; `hidden` is a multiple of `lanes.WIDTH`. `heads` holds five rows of `hidden` numbers: that
bias, and the weights of density, red, green and blue. `term` is what directions add to the base before colour, the point's row starting at
`term_at`, or None where they add nothing. The heads' biases and output
activations are the caller's.
"""

from __future__ import annotations

from typing import no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.kernels.lanes import VECTOR, WIDTH, Lanes, Sums, accumulate, blocks, load, mixed, splat

CORNERS = 12
"""Texels around a point: four in each of three planes."""


def _data(context, builder, signature, args, *places):
    """Pointers to the elements of the array arguments at `places`; None for arguments that are None."""
    return [
        None
        if isinstance(signature.args[k], types.NoneType)
        else context.make_array(signature.args[k])(context, builder, args[k]).data
        for k in places
    ]


def _base(builder, texels, heads, at, by, offset):
    """Base feature of the current block, and the offsets of its texels."""
    places = [offset(start) for start in at]
    reads = [
        load(builder, texels, place) * weight for place, weight in zip(places, by, strict=True)
    ]
    return mixed([load(builder, heads, offset()), *reads]), places


def _splats(builder, tuple_value, count):
    return [splat(builder, number) for number in cgutils.unpack_tuple(builder, tuple_value, count)]


@intrinsic
@no_type_check
def density_at(typing_context, texels, heads, at, by, hidden):
    """Output of the density head at a point, before its bias and activation."""

    def generate(context, builder, signature, args):
        texels, heads = _data(context, builder, signature, args, 0, 1)
        at = cgutils.unpack_tuple(builder, args[2], CORNERS)
        by, sums = _splats(builder, args[3], CORNERS), Sums(builder, 1)
        with blocks(builder, args[4]) as offset:
            base, _ = _base(builder, texels, heads, at, by, offset)
            sums.add(0, base * base.sigmoid() * load(builder, heads, offset(row=1)))
        return sums.totals()[0]

    return types.float32(texels, heads, at, by, hidden), generate


@intrinsic
@no_type_check
def color_at(typing_context, texels, heads, term, term_at, at, by, hidden):
    """Outputs of the colour head at a point, before biases and activation: red, green, blue."""

    def generate(context, builder, signature, args):
        texels, heads, term = _data(context, builder, signature, args, 0, 1, 2)
        at = cgutils.unpack_tuple(builder, args[4], CORNERS)
        by, sums = _splats(builder, args[5], CORNERS), Sums(builder, 3)
        with blocks(builder, args[6]) as offset:
            base, _ = _base(builder, texels, heads, at, by, offset)
            if term is not None:
                base = base + load(builder, term, offset(args[3]))
            unit = base * base.sigmoid()
            for k in range(3):
                sums.add(k, unit * load(builder, heads, offset(row=2 + k)))
        return context.make_tuple(builder, signature.return_type, sums.totals())

    kind = types.UniTuple(types.float32, 3)
    return kind(texels, heads, term, term_at, at, by, hidden), generate


@intrinsic
@no_type_check
def decode_at(typing_context, texels, heads, term, term_at, at, by, hidden):
    """Outputs of both heads at a point, before biases and activations: density, red, green, blue."""

    def generate(context, builder, signature, args):
        texels, heads, term = _data(context, builder, signature, args, 0, 1, 2)
        at = cgutils.unpack_tuple(builder, args[4], CORNERS)
        by, sums = _splats(builder, args[5], CORNERS), Sums(builder, 4)
        with blocks(builder, args[6]) as offset:
            base, _ = _base(builder, texels, heads, at, by, offset)
            unit = base * base.sigmoid()
            sums.add(0, unit * load(builder, heads, offset(row=1)))
            if term is not None:
                turned = base + load(builder, term, offset(args[3]))
                unit = turned * turned.sigmoid()
            for k in range(3):
                sums.add(1 + k, unit * load(builder, heads, offset(row=2 + k)))
        return context.make_tuple(builder, signature.return_type, sums.totals())

    kind = types.UniTuple(types.float32, 4)
    return kind(texels, heads, term, term_at, at, by, hidden), generate


@intrinsic
@no_type_check
def decode_back(
    typing_context, texels, heads, term, term_at, at, by, hidden, grads, d_texels, d_heads, d_term
):  # fmt: skip
    """Add the gradients of `decode_at`, given those of its four results, to `d_texels`, `d_heads` and `d_term`."""

    def generate(context, builder, signature, args):
        texels, heads, term = _data(context, builder, signature, args, 0, 1, 2)
        d_texels, d_heads, d_term = _data(context, builder, signature, args, 8, 9, 10)
        at = cgutils.unpack_tuple(builder, args[4], CORNERS)
        by, grads = _splats(builder, args[5], CORNERS), _splats(builder, args[7], 4)
        with blocks(builder, args[6]) as offset:
            base, places = _base(builder, texels, heads, at, by, offset)
            gate = base.sigmoid()
            unit = base * gate
            slope = gate + unit * (1.0 - gate)
            rows = [offset(row=1 + k) for k in range(4)]
            pulls = [grads[k] * load(builder, heads, rows[k]) for k in range(4)]
            accumulate(grads[0] * unit, d_heads, rows[0])
            if term is not None:
                here = offset(args[3])
                turned = base + load(builder, term, here)
                gate = turned.sigmoid()
                unit = turned * gate
                turn = mixed(pulls[1:]) * (gate + unit * (1.0 - gate))
                accumulate(turn, d_term, here)
                d_base = pulls[0] * slope + turn
            else:
                d_base = mixed(pulls) * slope
            for k in range(1, 4):
                accumulate(grads[k] * unit, d_heads, rows[k])
            accumulate(d_base, d_heads, offset())
            for place, weight in zip(places, by, strict=True):
                accumulate(weight * d_base, d_texels, place)
        return context.get_dummy_value()

    arguments = (texels, heads, term, term_at, at, by, hidden, grads)
    return types.void(*arguments, d_texels, d_heads, d_term), generate


@intrinsic
@no_type_check
def squash(typing_context, red, green, blue):
    """Sigmoids of three numbers, computed together at the cost of one."""

    def generate(context, builder, signature, args):
        gathered = ir.Constant(VECTOR, [0.0] * WIDTH)
        places = [ir.Constant(ir.IntType(32), k) for k in range(3)]
        for number, place in zip(args, places, strict=True):
            gathered = builder.insert_element(gathered, number, place)
        squashed = Lanes(builder, gathered).sigmoid().value
        parts = [builder.extract_element(squashed, place) for place in places]
        return context.make_tuple(builder, signature.return_type, parts)

    kind = types.UniTuple(types.float32, 3)
    return kind(types.float32, types.float32, types.float32), generate
