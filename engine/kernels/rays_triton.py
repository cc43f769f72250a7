"""Triton kernels that render rays of triplane fields on a GPU: march, lookup, decode and composite in one.

A program traces one ray, one lane per hidden channel, so rays of any length do not wait for each other and nothing is
packed: all shapes are fixed, and a CUDA graph can hold the whole of it. Lattice points are tested `CHUNK` at a time.
The lattice is summed up point by point, as `engine.render.march` does, so that both have the same samples.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.lookup_triton import (
    base_at,
    base_back,
    bits_of,
    chunk,
    heads_of,
    interval,
    is_occupied,
    place_of,
    stride,
)

CHUNK = 32
"""Lattice points that a program tests at once."""
PARTS = 64
"""Copies of the heads' gradient that programs add to, so that they seldom meet."""


@triton.jit
@no_type_check
def _forward(
    rays_o, rays_d, scene, jitter, gamma, occupied, box, features, heads, terms, image, opacity,
    gx, gy, gz, rows, cols, dt_min, dt_max, min_near, max_steps, stop, saturation,
    H: tl.constexpr, LANES: tl.constexpr, DIRECTED: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Colour over black and opacity of one ray."""
    ray = tl.program_id(0)
    ox, oy, oz = (
        tl.load(rays_o + 3 * ray),
        tl.load(rays_o + 3 * ray + 1),
        tl.load(rays_o + 3 * ray + 2),
    )
    dx, dy, dz = (
        tl.load(rays_d + 3 * ray),
        tl.load(rays_d + 3 * ray + 1),
        tl.load(rays_d + 3 * ray + 2),
    )
    near, far = interval(ox, oy, oz, dx, dy, dz, box, min_near)
    growth = tl.load(gamma + ray)
    which = tl.load(scene + ray).to(tl.int64)
    occupied += which * gx * gy * gz
    features += which * 3 * rows * cols * H
    hidden = tl.arange(0, LANES)
    lane = tl.arange(0, CHUNK)
    bias, w_density, w_red, w_green, w_blue = heads_of(heads, hidden, H)
    b_density, b_red = tl.load(heads + 5 * H), tl.load(heads + 5 * H + 1)
    b_green, b_blue = tl.load(heads + 5 * H + 2), tl.load(heads + 5 * H + 3)
    if DIRECTED:
        term = tl.load(terms + ray * H + hidden, mask=hidden < H, other=0.0)
    passed, covered, red, green, blue = 1.0, 0.0, 0.0, 0.0, 0.0
    taken = 0
    t_next = near + tl.load(jitter + ray) * stride(near, growth, dt_min, dt_max)
    while (t_next < far) & (passed >= stop) & (taken < max_steps):
        points, t_next = chunk(t_next, growth, dt_min, dt_max, CHUNK)
        inside = is_occupied(
            occupied, ox, oy, oz, dx, dy, dz, points, points < far, box, gx, gy, gz
        )
        bits = bits_of(inside, CHUNK)
        while (bits != 0) & (passed >= stop) & (taken < max_steps):
            lowest = bits & -bits
            bits = bits ^ lowest
            t = tl.sum(tl.where(lane == place_of(lowest), points, 0.0))
            base = bias + base_at(
                features, ox + t * dx, oy + t * dy, oz + t * dz, box, rows, cols, hidden, H
            )
            unit = base * tl.sigmoid(base)
            density = tl.exp(tl.sum(w_density * unit) + b_density)
            if DIRECTED:
                unit = (base + term) * tl.sigmoid(base + term)
            thru = tl.exp(-density * stride(t, growth, dt_min, dt_max))
            weight = (1 - thru) * passed
            red += weight * tl.sigmoid(tl.sum(w_red * unit) + b_red)
            green += weight * tl.sigmoid(tl.sum(w_green * unit) + b_green)
            blue += weight * tl.sigmoid(tl.sum(w_blue * unit) + b_blue)
            covered += weight
            passed = passed * thru
            taken += 1
    wide = 1 + 2 * saturation
    tl.store(image + 3 * ray, red * wide - saturation * covered)
    tl.store(image + 3 * ray + 1, green * wide - saturation * covered)
    tl.store(image + 3 * ray + 2, blue * wide - saturation * covered)
    tl.store(opacity + ray, covered)


@triton.jit
@no_type_check
def _backward(
    rays_o, rays_d, scene, jitter, gamma, occupied, box, features, heads, terms, image, opacity,
    g_image, g_opacity, g_features, g_heads, g_terms,
    gx, gy, gz, rows, cols, dt_min, dt_max, min_near, max_steps, stop, saturation,
    H: tl.constexpr, LANES: tl.constexpr, DIRECTED: tl.constexpr, CHUNK: tl.constexpr,
    PARTS: tl.constexpr,
):  # fmt: skip
    """Gradients of one ray, whose samples are recomputed; the sample that ends a ray has no gradient."""
    ray = tl.program_id(0)
    ox, oy, oz = (
        tl.load(rays_o + 3 * ray),
        tl.load(rays_o + 3 * ray + 1),
        tl.load(rays_o + 3 * ray + 2),
    )
    dx, dy, dz = (
        tl.load(rays_d + 3 * ray),
        tl.load(rays_d + 3 * ray + 1),
        tl.load(rays_d + 3 * ray + 2),
    )
    near, far = interval(ox, oy, oz, dx, dy, dz, box, min_near)
    growth = tl.load(gamma + ray)
    which = tl.load(scene + ray).to(tl.int64)
    occupied += which * gx * gy * gz
    features += which * 3 * rows * cols * H
    g_features += which * 3 * rows * cols * H
    hidden = tl.arange(0, LANES)
    lane = tl.arange(0, CHUNK)
    bias, w_density, w_red, w_green, w_blue = heads_of(heads, hidden, H)
    b_density, b_red = tl.load(heads + 5 * H), tl.load(heads + 5 * H + 1)
    b_green, b_blue = tl.load(heads + 5 * H + 2), tl.load(heads + 5 * H + 3)
    if DIRECTED:
        term = tl.load(terms + ray * H + hidden, mask=hidden < H, other=0.0)
    g_red, g_green = tl.load(g_image + 3 * ray), tl.load(g_image + 3 * ray + 1)
    g_blue, g_covered = tl.load(g_image + 3 * ray + 2), tl.load(g_opacity + ray)
    # what the samples behind the current one still give, times the incoming gradient
    behind = g_red * tl.load(image + 3 * ray) + g_green * tl.load(image + 3 * ray + 1)
    behind += g_blue * tl.load(image + 3 * ray + 2) + g_covered * tl.load(opacity + ray)
    d_bias, d_term = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
    d_density, d_red = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
    d_green, d_blue = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
    s_density, s_red, s_green, s_blue = 0.0, 0.0, 0.0, 0.0
    wide = 1 + 2 * saturation
    passed = 1.0
    taken = 0
    t_next = near + tl.load(jitter + ray) * stride(near, growth, dt_min, dt_max)
    while (t_next < far) & (passed >= stop) & (taken < max_steps):
        points, t_next = chunk(t_next, growth, dt_min, dt_max, CHUNK)
        inside = is_occupied(
            occupied, ox, oy, oz, dx, dy, dz, points, points < far, box, gx, gy, gz
        )
        bits = bits_of(inside, CHUNK)
        while (bits != 0) & (passed >= stop) & (taken < max_steps):
            lowest = bits & -bits
            bits = bits ^ lowest
            t = tl.sum(tl.where(lane == place_of(lowest), points, 0.0))
            dt = stride(t, growth, dt_min, dt_max)
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
            base = bias + base_at(features, x, y, z, box, rows, cols, hidden, H)
            gate = tl.sigmoid(base)
            unit = base * gate
            density = tl.exp(tl.sum(w_density * unit) + b_density)
            thru = tl.exp(-density * dt)
            weight = (1 - thru) * passed
            passed = passed * thru
            taken += 1
            if passed >= stop:
                shifted, bent, toned = base, gate, unit
                if DIRECTED:
                    shifted = base + term
                    bent = tl.sigmoid(shifted)
                    toned = shifted * bent
                r = tl.sigmoid(tl.sum(w_red * toned) + b_red)
                g = tl.sigmoid(tl.sum(w_green * toned) + b_green)
                b = tl.sigmoid(tl.sum(w_blue * toned) + b_blue)
                here = g_red * (r * wide - saturation) + g_green * (g * wide - saturation)
                here += g_blue * (b * wide - saturation) + g_covered
                behind -= weight * here
                p_density = dt * (passed * here - behind)
                p_density *= tl.minimum(tl.maximum(density, 1e-6), 1e6)
                p_red = weight * g_red * wide * r * (1 - r)
                p_green = weight * g_green * wide * g * (1 - g)
                p_blue = weight * g_blue * wide * b * (1 - b)
                from_color = p_red * w_red + p_green * w_green + p_blue * w_blue
                from_color *= bent * (1 + shifted * (1 - bent))
                from_density = p_density * w_density * gate * (1 + base * (1 - gate))
                back = from_color + from_density
                base_back(g_features, back, x, y, z, box, rows, cols, hidden, H)
                d_bias += back
                d_term += from_color
                d_density += p_density * unit
                d_red += p_red * toned
                d_green += p_green * toned
                d_blue += p_blue * toned
                s_density += p_density
                s_red += p_red
                s_green += p_green
                s_blue += p_blue
    if DIRECTED:
        tl.store(g_terms + ray * H + hidden, d_term, mask=hidden < H)
    if taken > 0:
        to = g_heads + (ray % PARTS) * (5 * H + 4)
        valid = hidden < H
        tl.atomic_add(to + hidden, d_bias, mask=valid, sem="relaxed")
        tl.atomic_add(to + H + hidden, d_density, mask=valid, sem="relaxed")
        tl.atomic_add(to + 2 * H + hidden, d_red, mask=valid, sem="relaxed")
        tl.atomic_add(to + 3 * H + hidden, d_green, mask=valid, sem="relaxed")
        tl.atomic_add(to + 4 * H + hidden, d_blue, mask=valid, sem="relaxed")
        tl.atomic_add(to + 5 * H, s_density, sem="relaxed")
        tl.atomic_add(to + 5 * H + 1, s_red, sem="relaxed")
        tl.atomic_add(to + 5 * H + 2, s_green, sem="relaxed")
        tl.atomic_add(to + 5 * H + 3, s_blue, sem="relaxed")


class RenderRays(torch.autograd.Function):
    """Colour over black and opacity of rays; differentiable in features, heads and terms."""

    @staticmethod
    def forward(ctx, features, heads, terms, rays, limits):
        """See `render_rays`."""
        count, hidden = len(rays[0]), features.shape[-1]
        image, opacity = features.new_empty(count, 3), features.new_empty(count)
        sizes = (*rays[5].shape[1:], *features.shape[2:4])
        fixed = {"H": hidden, "LANES": triton.next_power_of_2(hidden), "CHUNK": CHUNK}
        fixed |= {"DIRECTED": terms.numel() > 0, "num_warps": 1}
        if count:
            _forward[(count,)](
                *rays, features, heads, terms, image, opacity, *sizes, *limits, **fixed
            )
        ctx.save_for_backward(features, heads, terms, image, opacity, *rays)
        ctx.arguments = sizes, limits, fixed
        return image, opacity

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_image, g_opacity):
        """Gradients of features, heads and terms."""
        features, heads, terms, image, opacity, *rays = ctx.saved_tensors
        sizes, limits, fixed = ctx.arguments
        g_features, g_terms = torch.zeros_like(features), torch.zeros_like(terms)
        g_heads = heads.new_zeros(PARTS, len(heads))
        saved = (features, heads, terms, image, opacity)
        incoming = (g_image.contiguous(), g_opacity.contiguous())
        if len(image):
            _backward[(len(image),)](
                *rays, *saved, *incoming, g_features, g_heads, g_terms, *sizes, *limits,
                **fixed, PARTS=PARTS,
            )  # fmt: skip
        return g_features, g_heads.sum(0), g_terms, None, None


def render_rays(
    features: Tensor,
    heads: Tensor,
    terms: Tensor,
    rays: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    occupied: Tensor,
    aabb: Tensor,
    limits: tuple[float, float, float, int, float],
    saturation: float,
) -> tuple[Tensor, Tensor]:
    """Colour over black (`rays 3`) and opacity (`rays`) of rays.

    Args:
        features: Planes times the first layer, `scenes 3 rows cols hidden`.
        heads: Bias of the first layer and weights of density, red, green and blue (`hidden` each), then the four
            heads' biases.
        terms: Contribution of each ray's direction to the hidden layer for its colour, `rays hidden`; empty for nothing.
        rays: Origins, unit directions, scenes, offsets of the lattice in steps, growth of the steps.
        occupied: Cells by scene.
        aabb: The field's box.
        limits: Shortest step, longest step, nearest distance, most samples, and the transmittance that ends a ray.
        saturation: Amount by which colours may exceed [0, 1].
    """
    rays = tuple(part.detach().contiguous() for part in rays)
    grid, box = occupied.contiguous().view(torch.uint8), aabb.flatten().contiguous()
    return RenderRays.apply(
        features.contiguous(), heads, terms.contiguous(), (*rays, grid, box), (*limits, saturation)
    )
