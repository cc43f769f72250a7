"""A z-buffer rasteriser for triangle soups, in Numba: coloured corners and textures, no lights of its own.

Colours are sRGB in [0, 1] and stay what the caller made of them: light is baked into the corners, so a surface looks the
same from everywhere. Faces that reach behind the near plane are dropped: objects are seen from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int, UInt8
from numba import njit

from engine.ops.kernel_cache import CACHED

NEAR = 1e-3
"""Nearest visible depth, in the mesh's unit."""

NO_TEXTURE = np.zeros((1, 1, 3), np.float32)


@dataclass(frozen=True)
class Soup:
    """Triangles ready to be drawn.

    Attributes:
        vertices: Positions.
        faces: Vertex indices.
        corner_rgb: Colour of every corner of every face, light included; multiplied with the texture where there is one.
        corner_uv: Texture coordinates, (0, 0) at a picture's upper left, (1, 1) at its lower right, repeating outside.
        texture: All pictures below each other, RGB in [0, 1].
        tile: First row, rows and columns of every face's picture in `texture`; 0 rows where a face has none.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    corner_rgb: Float[np.ndarray, "f 3 3"]
    corner_uv: Float[np.ndarray, "f 3 2"] | None = None
    texture: Float[np.ndarray, "th tw 3"] | None = None
    tile: Int[np.ndarray, "f 3"] | None = None


def rasterise(
    soup: Soup,
    c2w: Float[np.ndarray, "n 4 4"],
    intrinsics: Float[np.ndarray, "4"],
    height: int,
    width: int,
    samples: int = 3,
) -> UInt8[np.ndarray, "n height width 4"]:
    """Pictures of a soup, straight (unpremultiplied) RGBA, anti-aliased by `samples` x `samples` supersampling.

    Args:
        soup: What to draw.
        c2w: Cameras, OpenCV axes, in the soup's unit.
        intrinsics: fx, fy, cx, cy in pixels of the returned picture.
        height: Rows.
        width: Columns.
        samples: Samples per pixel and axis.

    Returns:
        Colour and coverage; uncovered pixels are white with alpha 0.
    """
    rgba = np.empty((len(c2w), height, width, 4), np.uint8)
    depth = np.empty((height * samples, width * samples), np.float32)
    colour = np.empty((height * samples, width * samples, 3), np.float32)
    fine = np.asarray(intrinsics, np.float64) * samples
    arrays = _arrays(soup)
    for view, pose in enumerate(np.linalg.inv(np.asarray(c2w, np.float64))):
        _draw(*arrays, pose, fine, depth, colour)
        _resolve(depth, colour, samples, rgba[view])
    return rgba


def rasterise_depth(
    soup: Soup,
    c2w: Float[np.ndarray, "4 4"],
    intrinsics: Float[np.ndarray, "4"],
    height: int,
    width: int,
) -> Float[np.ndarray, "height width"]:
    """Depth along the camera's z axis at the pixel centres; infinite where nothing is hit."""
    inverse = np.empty((height, width), np.float32)
    colour = np.empty((height, width, 3), np.float32)
    pose = np.linalg.inv(np.asarray(c2w, np.float64))
    _draw(*_arrays(soup), pose, np.asarray(intrinsics, np.float64), inverse, colour)
    with np.errstate(divide="ignore"):
        return 1 / inverse


def composite_white(rgba: UInt8[np.ndarray, "*n 4"]) -> UInt8[np.ndarray, "*n 3"]:
    """Straight RGBA laid on white."""
    flat = np.ascontiguousarray(rgba).reshape(-1, 4)
    rgb = np.empty((len(flat), 3), np.uint8)
    _composite(flat, rgb)
    return rgb.reshape(*rgba.shape[:-1], 3)


def _arrays(soup: Soup) -> tuple[np.ndarray, ...]:
    uv, tile = soup.corner_uv, soup.tile
    if uv is None or tile is None:
        uv = np.zeros((len(soup.faces), 3, 2), np.float32)
        tile = np.zeros((len(soup.faces), 3), np.int32)
    return (
        np.ascontiguousarray(soup.vertices, np.float64),
        np.ascontiguousarray(soup.faces, np.int32),
        np.ascontiguousarray(soup.corner_rgb, np.float32),
        np.ascontiguousarray(uv, np.float32),
        np.ascontiguousarray(NO_TEXTURE if soup.texture is None else soup.texture, np.float32),
        np.ascontiguousarray(tile, np.int32),
    )


@njit(nogil=True, cache=CACHED)
@no_type_check
def _draw(vertices, faces, rgb, uv, texture, tile, w2c, intrinsics, inverse, colour):
    """Fills `inverse` (1/depth, 0 = nothing) and `colour` at sample centres."""
    height, width = inverse.shape
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    inverse[:] = 0.0
    screen = np.empty((len(vertices), 3), np.float64)
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        depth = w2c[2, 0] * x + w2c[2, 1] * y + w2c[2, 2] * z + w2c[2, 3]
        screen[i, 2] = 0.0
        if depth > NEAR:
            right = w2c[0, 0] * x + w2c[0, 1] * y + w2c[0, 2] * z + w2c[0, 3]
            down = w2c[1, 0] * x + w2c[1, 1] * y + w2c[1, 2] * z + w2c[1, 3]
            screen[i, 0] = fx * right / depth + cx - 0.5
            screen[i, 1] = fy * down / depth + cy - 0.5
            screen[i, 2] = 1.0 / depth
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ia, ib, ic = screen[a, 2], screen[b, 2], screen[c, 2]
        if ia == 0.0 or ib == 0.0 or ic == 0.0:
            continue
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0], screen[b, 1]
        dx, dy = screen[c, 0], screen[c, 1]
        area = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax)
        if abs(area) < 1e-12:
            continue
        left = max(0, int(np.ceil(min(ax, bx, dx))))
        right_end = min(width - 1, int(np.floor(max(ax, bx, dx))))
        top = max(0, int(np.ceil(min(ay, by, dy))))
        bottom = min(height - 1, int(np.floor(max(ay, by, dy))))
        if left > right_end or top > bottom:
            continue
        wb_x, wb_y = (dy - ay) / area, -(dx - ax) / area
        wc_x, wc_y = -(by - ay) / area, (bx - ax) / area
        first_row, rows, columns = tile[f, 0], tile[f, 1], tile[f, 2]
        for row in range(top, bottom + 1):
            wb = (left - ax) * wb_x + (row - ay) * wb_y
            wc = (left - ax) * wc_x + (row - ay) * wc_y
            for col in range(left, right_end + 1):
                wa = 1.0 - wb - wc
                if wa >= -1e-9 and wb >= -1e-9 and wc >= -1e-9:
                    value = wa * ia + wb * ib + wc * ic
                    if value > inverse[row, col]:
                        inverse[row, col] = value
                        pa, pb, pc = wa * ia / value, wb * ib / value, wc * ic / value
                        red = pa * rgb[f, 0, 0] + pb * rgb[f, 1, 0] + pc * rgb[f, 2, 0]
                        green = pa * rgb[f, 0, 1] + pb * rgb[f, 1, 1] + pc * rgb[f, 2, 1]
                        blue = pa * rgb[f, 0, 2] + pb * rgb[f, 1, 2] + pc * rgb[f, 2, 2]
                        if rows > 0:
                            u = pa * uv[f, 0, 0] + pb * uv[f, 1, 0] + pc * uv[f, 2, 0]
                            v = pa * uv[f, 0, 1] + pb * uv[f, 1, 1] + pc * uv[f, 2, 1]
                            j = min(int((u - np.floor(u)) * columns), columns - 1)
                            i = first_row + min(int((v - np.floor(v)) * rows), rows - 1)
                            red *= texture[i, j, 0]
                            green *= texture[i, j, 1]
                            blue *= texture[i, j, 2]
                        colour[row, col, 0] = red
                        colour[row, col, 1] = green
                        colour[row, col, 2] = blue
                wb += wb_x
                wc += wc_x


@njit(nogil=True, cache=CACHED)
@no_type_check
def _resolve(inverse, colour, samples, rgba):
    """Averages the covered samples of every pixel."""
    height, width = rgba.shape[0], rgba.shape[1]
    for row in range(height):
        for col in range(width):
            red = green = blue = 0.0
            hits = 0
            for i in range(row * samples, (row + 1) * samples):
                for j in range(col * samples, (col + 1) * samples):
                    if inverse[i, j] > 0.0:
                        red += colour[i, j, 0]
                        green += colour[i, j, 1]
                        blue += colour[i, j, 2]
                        hits += 1
            if hits == 0:
                rgba[row, col, 0] = rgba[row, col, 1] = rgba[row, col, 2] = 255
                rgba[row, col, 3] = 0
            else:
                rgba[row, col, 0] = int(min(max(red / hits, 0.0), 1.0) * 255 + 0.5)
                rgba[row, col, 1] = int(min(max(green / hits, 0.0), 1.0) * 255 + 0.5)
                rgba[row, col, 2] = int(min(max(blue / hits, 0.0), 1.0) * 255 + 0.5)
                rgba[row, col, 3] = int(255 * hits / (samples * samples) + 0.5)


@njit(nogil=True, cache=CACHED)
@no_type_check
def _composite(rgba, rgb):
    for i in range(len(rgba)):
        alpha = rgba[i, 3] / 255.0
        for k in range(3):
            rgb[i, k] = int(rgba[i, k] * alpha + 255.0 * (1.0 - alpha) + 0.5)
