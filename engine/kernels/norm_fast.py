"""Numba kernels of group normalisation with an activation, for channels-last images on the CPU.

One pass gathers the statistics, one writes the result; the backward pass recomputes what lies between. Pixels are
taken several at a time, as rows of `pixels * channels` values, so that the inner loops are long enough for the
vector units. Values are float32, or bfloat16 seen as int16; sums are carried in float32 along a column of pixels
and in float64 across columns. `engine.nets.norm` drives the kernels and holds the same in torch.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from engine.kernels.kernel_cache import CACHED
from engine.kernels.march_fast import exp

ROW = 1024
"""Most values in a row."""

_options = {"nogil": True, "fastmath": True, "error_model": "numpy", "cache": CACHED}
_ONE = np.float32(1)


@intrinsic
@no_type_check
def _wide(typing_context, value):
    """The float32 behind a float32, or behind the bits of a bfloat16."""

    def generate(context, builder, signature, args):
        if signature.args[0] == types.float32:
            return args[0]
        bits = builder.zext(args[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(value), generate


@intrinsic
@no_type_check
def _narrow(typing_context, value, like):
    """A float32 in the format of `like`, rounded to the nearest (ties to even)."""

    def generate(context, builder, signature, args):
        if signature.args[1] == types.float32:
            return args[0]
        word = ir.IntType(32)
        bits = builder.bitcast(args[0], word)
        odd = builder.and_(builder.lshr(bits, ir.Constant(word, 16)), ir.Constant(word, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(word, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, ir.Constant(word, 16)), ir.IntType(16))

    return like(types.float32, like), generate


@njit(**_options)
@no_type_check
def _moments(x, first, total, squares):
    """Sums of `x - first` and of its square along each column."""
    rows, width = x.shape
    for j in range(width):
        total[j] = 0
        squares[j] = 0
    for i in range(rows):
        row = x[i]
        for j in range(width):
            value = _wide(row[j]) - first[j]
            total[j] += value
            squares[j] += value * value


@njit(**_options)
@no_type_check
def _statistics(x, first, total, squares, channels, eps, mean, rstd):
    """Mean and inverse deviation of each group of channels."""
    rows, width = x.shape
    groups = len(mean)
    repeat, share = width // channels, channels // groups
    for j in range(width):
        first[j] = _wide(x[0, j % channels])
    _moments(x, first, total, squares)
    count = np.float64(rows * repeat)
    for group in range(groups):
        middle = square = 0.0
        for channel in range(group * share, (group + 1) * share):
            a = b = 0.0
            for k in range(repeat):
                a += total[k * channels + channel]
                b += squares[k * channels + channel]
            centre = first[channel] + a / count
            middle += centre
            square += b / count - (a / count) ** 2 + centre**2
        middle /= share
        mean[group] = middle
        rstd[group] = 1 / np.sqrt(max(square / share - middle**2, 0.0) + eps)


@njit(**_options)
@no_type_check
def _affine(mean, rstd, weight, bias, scale, shift, slope, offset):
    """Slope and offset that normalise, scale and shift each channel, repeated along a row."""
    channels = len(weight)
    share = channels // len(mean)
    for j in range(len(slope)):
        c = j % channels
        gain = _ONE + scale[c]
        slope[j] = rstd[c // share] * weight[c] * gain
        offset[j] = bias[c] * gain + shift[c] - mean[c // share] * slope[j]


@njit(**_options)
@no_type_check
def _apply(x, slope, offset, out):
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        for j in range(x.shape[1]):
            to[j] = _narrow(slope[j] * _wide(row[j]) + offset[j], row[j])


@njit(**_options)
@no_type_check
def _apply_silu(x, slope, offset, out):
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        for j in range(x.shape[1]):
            z = slope[j] * _wide(row[j]) + offset[j]
            to[j] = _narrow(z / (_ONE + exp(-z)), row[j])


@njit(**_options)
@no_type_check
def normalise(start, stop, x, weight, bias, scale, shift, eps, silu, mean, rstd, out):
    """Forward over some items; `x` and `out` are `items rows width`, the statistics `items groups`."""
    width, channels = x.shape[2], len(weight)
    work = np.empty((3, width), np.float32)
    for item in range(start, stop):
        _statistics(x[item], work[0], work[1], work[2], channels, eps, mean[item], rstd[item])
        _affine(mean[item], rstd[item], weight, bias, scale[item], shift[item], work[0], work[1])
        if silu:
            _apply_silu(x[item], work[0], work[1], out[item])
        else:
            _apply(x[item], work[0], work[1], out[item])


@njit(**_options)
@no_type_check
def _through_silu(x, slope, offset, gradient, through, total, product):
    """Gradients before the activation, their column sums, and those of their products with `x`."""
    for j in range(x.shape[1]):
        total[j] = 0
        product[j] = 0
    for i in range(x.shape[0]):
        row, come, to = x[i], gradient[i], through[i]
        for j in range(x.shape[1]):
            value = _wide(row[j])
            z = slope[j] * value + offset[j]
            s = _ONE / (_ONE + exp(-z))
            g = _wide(come[j]) * s * (_ONE + z * (_ONE - s))
            to[j] = g
            total[j] += g
            product[j] += g * value


@njit(**_options)
@no_type_check
def _through(x, gradient, through, total, product):
    """The same without an activation."""
    for j in range(x.shape[1]):
        total[j] = 0
        product[j] = 0
    for i in range(x.shape[0]):
        row, come, to = x[i], gradient[i], through[i]
        for j in range(x.shape[1]):
            g = _wide(come[j])
            to[j] = g
            total[j] += g
            product[j] += g * _wide(row[j])


@njit(**_options)
@no_type_check
def _combine(x, through, slope, tilt, level, out):
    for i in range(x.shape[0]):
        row, come, to = x[i], through[i], out[i]
        for j in range(x.shape[1]):
            to[j] = _narrow(slope[j] * come[j] + tilt[j] * _wide(row[j]) + level[j], row[j])


@njit(**_options)
@no_type_check
def normalise_backward(
    start, stop, x, weight, bias, scale, shift, silu, mean, rstd, gradient, d_gain, d_level, out
):  # fmt: skip
    """Backward over some items.

    `d_gain` and `d_level` (`items channels`) become the gradients of the factor on the normalised values and of what
    is added to them; `out` that of `x`.
    """
    rows, width = x.shape[1], x.shape[2]
    channels, groups = len(weight), mean.shape[1]
    share, repeat = channels // groups, width // channels
    work = np.empty((4, width), np.float32)
    through = np.empty((rows, width), np.float32)
    for item in range(start, stop):
        slope, offset, total, product = work[0], work[1], work[2], work[3]
        _affine(mean[item], rstd[item], weight, bias, scale[item], shift[item], slope, offset)
        if silu:
            _through_silu(x[item], slope, offset, gradient[item], through, total, product)
        else:
            _through(x[item], gradient[item], through, total, product)
        for group in range(groups):
            centre, inverse = np.float64(mean[item, group]), np.float64(rstd[item, group])
            along = across = 0.0
            for c in range(group * share, (group + 1) * share):
                a = b = 0.0
                for k in range(repeat):
                    a += total[k * channels + c]
                    b += product[k * channels + c]
                d_level[item, c] = a
                d_gain[item, c] = (b - centre * a) * inverse
                factor = weight[c] * (_ONE + scale[item, c])
                along += factor * d_level[item, c]
                across += factor * d_gain[item, c]
            count = rows * repeat * share
            tilt = -inverse * inverse * across / count
            level = -inverse * along / count - tilt * centre
            for c in range(group * share, (group + 1) * share):
                for k in range(repeat):
                    offset[k * channels + c] = tilt
                    total[k * channels + c] = level
        _combine(x[item], through, slope, offset, total, out[item])
