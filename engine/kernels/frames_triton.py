"""A Triton kernel that draws pictures of a triplane field on a GPU: a program traces one pixel.

The same picture as `engine.kernels.trace_fast` draws, with the helpers of `engine.kernels.lookup_triton`. Lattice points are
tested `CHUNK` at a time, which makes leaps over empty cells superfluous.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl
from jaxtyping import Float, UInt8
from torch import Tensor

from engine.kernels.lookup_triton import (
    base_at,
    bits_of,
    heads_of,
    interval,
    is_occupied,
    place_of,
)
from engine.kernels.rays_triton import CHUNK

FIRST_SHARE = 0.125
"""A ray's first colour is evaluated at this share of the usual weight, so that thin silhouettes have one."""


@triton.jit
@no_type_check
def _turn(direction, dx, dy, dz, hidden, H: tl.constexpr):
    """View direction's contribution to the hidden layer: harmonics of `engine.ops.harmonics` times its weights."""
    valid = hidden < H
    at = direction + hidden
    xx, yy, zz = dx * dx, dy * dy, dz * dz
    term = tl.load(at + 16 * H, mask=valid, other=0.0)
    term += 0.28209479177387814 * tl.load(at, mask=valid, other=0.0)
    term += -0.48860251190291987 * dy * tl.load(at + H, mask=valid, other=0.0)
    term += 0.48860251190291987 * dz * tl.load(at + 2 * H, mask=valid, other=0.0)
    term += -0.48860251190291987 * dx * tl.load(at + 3 * H, mask=valid, other=0.0)
    term += 1.0925484305920792 * dx * dy * tl.load(at + 4 * H, mask=valid, other=0.0)
    term += -1.0925484305920792 * dy * dz * tl.load(at + 5 * H, mask=valid, other=0.0)
    share = 0.94617469575755997 * zz - 0.31539156525251999
    term += share * tl.load(at + 6 * H, mask=valid, other=0.0)
    term += -1.0925484305920792 * dx * dz * tl.load(at + 7 * H, mask=valid, other=0.0)
    term += 0.54627421529603959 * (xx - yy) * tl.load(at + 8 * H, mask=valid, other=0.0)
    share = 0.59004358992664352 * dy * (yy - 3 * xx)
    term += share * tl.load(at + 9 * H, mask=valid, other=0.0)
    term += 2.8906114426405538 * dx * dy * dz * tl.load(at + 10 * H, mask=valid, other=0.0)
    share = 0.45704579946446572 * dy * (1 - 5 * zz)
    term += share * tl.load(at + 11 * H, mask=valid, other=0.0)
    share = 0.3731763325901154 * dz * (5 * zz - 3)
    term += share * tl.load(at + 12 * H, mask=valid, other=0.0)
    share = 0.45704579946446572 * dx * (1 - 5 * zz)
    term += share * tl.load(at + 13 * H, mask=valid, other=0.0)
    term += 1.4453057213202769 * dz * (xx - yy) * tl.load(at + 14 * H, mask=valid, other=0.0)
    share = 0.59004358992664352 * dx * (3 * yy - xx)
    return term + share * tl.load(at + 15 * H, mask=valid, other=0.0)


@triton.jit
@no_type_check
def _pixel(
    camera, occupied, box, features, heads, direction, rgb, opacity, depth,
    width, gx, gy, gz, rows, cols, step, min_near, stop, carry, saturation,
    H: tl.constexpr, LANES: tl.constexpr, DIRECTED: tl.constexpr, CHUNK: tl.constexpr,
    FIRST_SHARE: tl.constexpr,
):  # fmt: skip
    """Colour over black, opacity and opacity-weighted z-depth of one pixel.

    `camera` is c2w's upper three rows, then fx fy cx cy. A ray that ended counts as opaque.
    """
    row, col = tl.program_id(1), tl.program_id(0)
    x = (col + 0.5 - tl.load(camera + 14)) / tl.load(camera + 12)
    y = (row + 0.5 - tl.load(camera + 15)) / tl.load(camera + 13)
    along = 1 / tl.sqrt(x * x + y * y + 1)
    dx = (tl.load(camera) * x + tl.load(camera + 1) * y + tl.load(camera + 2)) * along
    dy = (tl.load(camera + 4) * x + tl.load(camera + 5) * y + tl.load(camera + 6)) * along
    dz = (tl.load(camera + 8) * x + tl.load(camera + 9) * y + tl.load(camera + 10)) * along
    ox, oy, oz = tl.load(camera + 3), tl.load(camera + 7), tl.load(camera + 11)
    near, far = interval(ox, oy, oz, dx, dy, dz, box, min_near)
    hidden = tl.arange(0, LANES)
    lane = tl.arange(0, CHUNK)
    bias, w_density, w_red, w_green, w_blue = heads_of(heads, hidden, H)
    b_density, b_red = tl.load(heads + 5 * H), tl.load(heads + 5 * H + 1)
    b_green, b_blue = tl.load(heads + 5 * H + 2), tl.load(heads + 5 * H + 3)
    if DIRECTED:
        term = _turn(direction, dx, dy, dz, hidden, H)
    passed, waiting, colored, reached = 1.0, 0.0, 0.0, 0.0
    red, green, blue = 0.0, 0.0, 0.0
    first = 0.5
    while (near + first * step < far) & (passed >= stop):
        points = near + (first + lane) * step
        first += CHUNK
        inside = is_occupied(
            occupied, ox, oy, oz, dx, dy, dz, points, points < far, box, gx, gy, gz
        )
        bits = bits_of(inside, CHUNK)
        while (bits != 0) & (passed >= stop):
            lowest = bits & -bits
            bits = bits ^ lowest
            t = near + (first - CHUNK + place_of(lowest)) * step
            base = bias + base_at(
                features, ox + t * dx, oy + t * dy, oz + t * dz, box, rows, cols, hidden, H
            )
            unit = base * tl.sigmoid(base)
            thru = tl.exp(-tl.exp(tl.sum(w_density * unit) + b_density) * step)
            weight = (1 - thru) * passed
            passed = passed * thru
            waiting += weight
            reached += weight * t
            if waiting > tl.where(colored > 0, carry, FIRST_SHARE * carry):
                if DIRECTED:
                    unit = (base + term) * tl.sigmoid(base + term)
                red += waiting * tl.sigmoid(tl.sum(w_red * unit) + b_red)
                green += waiting * tl.sigmoid(tl.sum(w_green * unit) + b_green)
                blue += waiting * tl.sigmoid(tl.sum(w_blue * unit) + b_blue)
                colored += waiting
                waiting = 0.0
    total = colored + waiting
    covered = tl.where(passed < stop, 1.0, total)
    covered = tl.where(colored > 0, covered, 0.0)
    per_color = covered / tl.maximum(colored, 1e-12)
    wide, shift = (1 + 2 * saturation) * per_color, saturation * covered
    pixel = row * width + col
    tl.store(rgb + 3 * pixel, red * wide - shift)
    tl.store(rgb + 3 * pixel + 1, green * wide - shift)
    tl.store(rgb + 3 * pixel + 2, blue * wide - shift)
    tl.store(opacity + pixel, covered)
    tl.store(depth + pixel, reached * covered / tl.maximum(total, 1e-12) * along)


def draw(
    planes: Float[Tensor, "1 3 rows cols hidden"],
    heads: Float[Tensor, " values"],
    direction: Float[Tensor, " direction_values"],
    box: Float[Tensor, " 6"],
    occupied: UInt8[Tensor, "gx gy gz"],
    camera: Float[Tensor, "16"],
    size: tuple[int, int],
    limits: tuple[float, float, float, float, float],
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour over black (`height width 3`), opacity and opacity-weighted z-depth of every pixel.

    Args:
        planes: Planes times the first layer.
        heads: Bias of the first layer and weights of density, red, green and blue (`hidden` each), then the four
            heads' biases.
        direction: 16 rows of `hidden` weights, then `hidden` biases; empty where colour ignores the direction.
        box: Lower and upper corner of the field, engine units.
        occupied: Cells to sample are not 0.
        camera: c2w's upper three rows, then fx fy cx cy.
        size: Rows and columns of the picture.
        limits: Step, nearest distance, share of light at which a ray ends, weight that is gathered for a colour, and
            how far colours reach beyond [0, 1].
    """
    (height, width), (_, _, rows, cols, hidden) = size, planes.shape
    rgb = camera.new_empty(height, width, 3)
    opacity, depth = camera.new_empty(2, height, width)
    _pixel[(width, height)](
        camera, occupied, box, planes, heads, direction,
        rgb, opacity, depth, width, *occupied.shape, rows, cols, *limits,
        H=hidden, LANES=triton.next_power_of_2(hidden), DIRECTED=direction.numel() > 0,
        CHUNK=CHUNK, FIRST_SHARE=FIRST_SHARE, num_warps=1,
    )  # fmt: skip
    return rgb, opacity, depth
