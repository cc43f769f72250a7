"""Textured, transparent and emissive triangles for the rasteriser.

Colours are multiplied in linear light and shown in sRGB. Light is baked into the corners, one for either side of a face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numba import njit

from engine.kernels.kernel_cache import CACHED
from engine.ops.srgb import to_linear

OPAQUE = 0.995
"""Alpha from which a sample hides what lies behind it."""

LINEAR = to_linear(np.arange(256) / 255).astype(np.float32)
"""Linear values of sRGB bytes."""


@dataclass(frozen=True)
class Materials:
    """Numbers of every material, one row each.

    Attributes:
        base: First texel, rows and columns of the picture that colours are multiplied with; 0 rows for none.
        glow: The same of the picture that the glow is multiplied with.
        wrap: `formats.part.Wrap` of base (u, v) and glow (u, v).
        smooth: True if base and glow are interpolated between texels.
        alpha: `formats.part.Alpha`.
        cutoff: Least visible alpha, for masks.
        two_sided: True if faces are visible from behind.
        glow_rgb: Emitted light, linear RGB.
    """

    base: Int[np.ndarray, "m 3"]
    glow: Int[np.ndarray, "m 3"]
    wrap: Int[np.ndarray, "m 4"]
    smooth: Bool[np.ndarray, "m 2"]
    alpha: Int[np.ndarray, " m"]
    cutoff: Float[np.ndarray, " m"]
    two_sided: Bool[np.ndarray, " m"]
    glow_rgb: Float[np.ndarray, "m 3"]


@dataclass(frozen=True)
class Surface:
    """Appearance of a soup's faces.

    Attributes:
        rgba: Colour of every corner of every face, linear, straight alpha.
        light: Brightness of every corner, sRGB: seen from the front and from behind.
        uv: Texture coordinates of the base pictures, (0, 0) at the upper left.
        glow_uv: Those of the glow's pictures.
        material: Row of every face in `materials`.
        materials: Numbers of the materials.
        texels: All pictures one after the other, row by row, sRGB with straight alpha.
    """

    rgba: Float[np.ndarray, "f 3 4"]
    light: Float[np.ndarray, "f 3 2"]
    uv: Float[np.ndarray, "f 3 2"]
    glow_uv: Float[np.ndarray, "f 3 2"]
    material: Int[np.ndarray, " f"]
    materials: Materials
    texels: UInt8[np.ndarray, "t 4"]


def draw_surface(
    screen: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    surface: Surface,
    inverse: Float[np.ndarray, "rows cols"],
    rgba: Float[np.ndarray, "rows cols 4"],
) -> None:
    """Draws the faces into `inverse` (1/depth) and `rgba` (premultiplied sRGB), which are cleared first.

    Opaque faces are drawn first, by depth; then transparent ones, from far to near.

    Args:
        screen: Column, row and 1/depth of every vertex; 0 where it cannot be seen.
        faces: Vertex indices.
        surface: Their appearance.
        inverse: Filled in.
        rgba: Filled in.
    """
    inverse[:], rgba[:] = 0, 0
    arrays, m = _arrays(surface), surface.materials
    blended = np.flatnonzero(m.alpha[surface.material] == 2)
    _paint(screen, faces, np.arange(len(faces)), *arrays, False, inverse, rgba)
    if len(blended):
        nearness = screen[faces[blended], 2].mean(1)
        order = blended[np.argsort(nearness, kind="stable")]
        _paint(screen, faces, order, *arrays, True, inverse, rgba)


def _arrays(surface: Surface) -> tuple[np.ndarray, ...]:
    m = surface.materials
    return (
        surface.rgba,
        surface.light,
        surface.uv,
        surface.glow_uv,
        surface.material,
        m.base,
        m.glow,
        m.wrap,
        m.smooth,
        m.alpha,
        m.cutoff,
        m.two_sided,
        m.glow_rgb,
        surface.texels,
    )


@njit(nogil=True, cache=CACHED)
@no_type_check
def _paint(
    screen,
    faces,
    order,
    corner_rgba,
    light,
    uv,
    glow_uv,
    material,
    base,
    glow,
    wrap,
    smooth,
    alpha_mode,
    cutoff,
    two_sided,
    glow_rgb,
    texels,
    through,
    inverse,
    rgba,
):
    """Draws faces in order: their opaque samples, or with `through` the transparent ones."""
    height, width = inverse.shape
    texel = np.empty(4)
    shown = np.empty(4)
    for f in order:
        m = material[f]
        ia, ib, ic = screen[faces[f, 0], 2], screen[faces[f, 1], 2], screen[faces[f, 2], 2]
        if ia == 0.0 or ib == 0.0 or ic == 0.0:
            continue
        ax, ay = screen[faces[f, 0], 0], screen[faces[f, 0], 1]
        bx, by = screen[faces[f, 1], 0], screen[faces[f, 1], 1]
        dx, dy = screen[faces[f, 2], 0], screen[faces[f, 2], 1]
        area = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax)
        side = 0 if area < 0 else 1
        if abs(area) < 1e-12 or (side == 1 and not two_sided[m]):
            continue
        left = max(0, int(np.ceil(min(ax, bx, dx))))
        right_end = min(width - 1, int(np.floor(max(ax, bx, dx))))
        top = max(0, int(np.ceil(min(ay, by, dy))))
        bottom = min(height - 1, int(np.floor(max(ay, by, dy))))
        wb_x, wb_y = (dy - ay) / area, -(dx - ax) / area
        wc_x, wc_y = -(by - ay) / area, (bx - ax) / area
        for row in range(top, bottom + 1):
            for col in range(left, right_end + 1):
                wb = (col - ax) * wb_x + (row - ay) * wb_y
                wc = (col - ax) * wc_x + (row - ay) * wc_y
                wa = 1.0 - wb - wc
                if wa < -1e-9 or wb < -1e-9 or wc < -1e-9:
                    continue
                value = wa * ia + wb * ib + wc * ic
                if value <= inverse[row, col]:
                    continue
                pa, pb, pc = wa * ia / value, wb * ib / value, wc * ic / value
                for k in range(4):
                    shown[k] = (
                        pa * corner_rgba[f, 0, k]
                        + pb * corner_rgba[f, 1, k]
                        + pc * corner_rgba[f, 2, k]
                    )
                if base[m, 1] > 0:
                    u = pa * uv[f, 0, 0] + pb * uv[f, 1, 0] + pc * uv[f, 2, 0]
                    v = pa * uv[f, 0, 1] + pb * uv[f, 1, 1] + pc * uv[f, 2, 1]
                    _look_up(texels, base[m], u, v, wrap[m, 0], wrap[m, 1], smooth[m, 0], texel)
                    for k in range(4):
                        shown[k] *= texel[k]
                alpha = min(max(shown[3], 0.0), 1.0)
                if alpha_mode[m] == 0:
                    alpha = 1.0
                elif alpha_mode[m] == 1:
                    if alpha < cutoff[m]:
                        continue
                    alpha = 1.0
                if alpha <= 0.0 or (alpha >= OPAQUE) == through:
                    continue
                bright = pa * light[f, 0, side] + pb * light[f, 1, side] + pc * light[f, 2, side]
                glows = glow_rgb[m, 0] + glow_rgb[m, 1] + glow_rgb[m, 2] > 0.0
                if glows:
                    texel[:] = 1.0
                    if glow[m, 1] > 0:
                        u = pa * glow_uv[f, 0, 0] + pb * glow_uv[f, 1, 0] + pc * glow_uv[f, 2, 0]
                        v = pa * glow_uv[f, 0, 1] + pb * glow_uv[f, 1, 1] + pc * glow_uv[f, 2, 1]
                        _look_up(texels, glow[m], u, v, wrap[m, 2], wrap[m, 3], smooth[m, 1], texel)
                for k in range(3):
                    srgb = _encode(shown[k]) * bright
                    if glows:
                        srgb = _encode(_decode(srgb) + glow_rgb[m, k] * texel[k])
                    srgb = min(srgb, 1.0)
                    if through:
                        rgba[row, col, k] = alpha * srgb + (1.0 - alpha) * rgba[row, col, k]
                    else:
                        rgba[row, col, k] = srgb
                if through:
                    rgba[row, col, 3] = alpha + (1.0 - alpha) * rgba[row, col, 3]
                else:
                    rgba[row, col, 3] = 1.0
                    inverse[row, col] = value


@njit(nogil=True, cache=CACHED)
@no_type_check
def _look_up(texels, tile, u, v, wrap_u, wrap_v, smooth, out):
    """The texel at (u, v), linear RGB and alpha."""
    first, rows, columns = tile[0], tile[1], tile[2]
    if not smooth:
        j = _wrapped(int(np.floor(u * columns)), columns, wrap_u)
        i = _wrapped(int(np.floor(v * rows)), rows, wrap_v)
        at = first + i * columns + j
        for k in range(3):
            out[k] = LINEAR[texels[at, k]]
        out[3] = texels[at, 3] / 255.0
        return
    x, y = u * columns - 0.5, v * rows - 0.5
    j0, i0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - j0, y - i0
    for k in range(4):
        out[k] = 0.0
    for di in range(2):
        for dj in range(2):
            weight = (fy if di else 1.0 - fy) * (fx if dj else 1.0 - fx)
            if weight == 0.0:
                continue
            at = (
                first
                + _wrapped(i0 + di, rows, wrap_v) * columns
                + _wrapped(j0 + dj, columns, wrap_u)
            )
            for k in range(3):
                out[k] += weight * LINEAR[texels[at, k]]
            out[3] += weight * texels[at, 3] / 255.0


@njit(nogil=True, cache=CACHED)
@no_type_check
def _wrapped(index, size, wrap):
    """A texel's index inside the picture."""
    if wrap == 1:
        return min(max(index, 0), size - 1)
    if wrap == 2:
        index = index % (2 * size)
        return index if index < size else 2 * size - 1 - index
    return index % size


@njit(nogil=True, cache=CACHED)
@no_type_check
def _encode(linear):
    linear = min(max(linear, 0.0), 1.0)
    if linear <= 0.0031308:
        return linear * 12.92
    return 1.055 * linear ** (1.0 / 2.4) - 0.055


@njit(nogil=True, cache=CACHED)
@no_type_check
def _decode(srgb):
    if srgb <= 0.04045:
        return srgb / 12.92
    return ((srgb + 0.055) / 1.055) ** 2.4
