"""A z-buffer rasteriser for triangle soups, in Numba, without lights of its own.

Colours are sRGB in [0, 1] and stay what the caller made of them: light is baked into the corners, so a surface looks the
same from everywhere. Faces that reach behind the near plane are dropped: objects are seen from outside. What has textures,
alpha or emission is drawn by `engine.data.surface`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int, UInt8
from numba import njit

from engine.data.surface import Surface, draw_surface
from engine.kernels.kernel_cache import CACHED

NEAR = 1e-3
"""Nearest visible depth, in the mesh's unit."""


@dataclass(frozen=True)
class Soup:
    """Triangles ready to be drawn.

    Attributes:
        vertices: Positions.
        faces: Vertex indices.
        corner_rgb: Colour of every corner of every face, light included; where there is no `surface`.
        surface: Textures, transparency and glow of the faces.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    corner_rgb: Float[np.ndarray, "f 3 3"] | None = None
    surface: Surface | None = None


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
        soup: Object to draw.
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
    colour = np.empty((*depth.shape, 3 if soup.surface is None else 4), np.float32)
    fine = np.asarray(intrinsics, np.float64) * samples
    vertices, faces = _geometry(soup)
    for view, pose in enumerate(np.linalg.inv(np.asarray(c2w, np.float64))):
        screen = _project(vertices, pose, fine)
        if soup.surface is None:
            _draw(screen, faces, _corner_rgb(soup), depth, colour)
            _resolve(depth, colour, samples, rgba[view])
        else:
            draw_surface(screen, faces, soup.surface, depth, colour)
            _resolve_alpha(colour, samples, rgba[view])
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
    vertices, faces = _geometry(soup)
    screen = _project(vertices, pose, np.asarray(intrinsics, np.float64))
    _draw(screen, faces, _corner_rgb(soup), inverse, colour)
    with np.errstate(divide="ignore"):
        return 1 / inverse


def composite_white(rgba: UInt8[np.ndarray, "*n 4"]) -> UInt8[np.ndarray, "*n 3"]:
    """Straight RGBA laid on white."""
    flat = np.ascontiguousarray(rgba).reshape(-1, 4)
    rgb = np.empty((len(flat), 3), np.uint8)
    _composite(flat, rgb)
    return rgb.reshape(*rgba.shape[:-1], 3)


def _geometry(soup: Soup) -> tuple[np.ndarray, np.ndarray]:
    vertices = np.ascontiguousarray(soup.vertices, np.float64)
    return vertices, np.ascontiguousarray(soup.faces, np.int32)


def _corner_rgb(soup: Soup) -> np.ndarray:
    if soup.corner_rgb is None:
        return np.zeros((len(soup.faces), 3, 3), np.float32)
    return np.ascontiguousarray(soup.corner_rgb, np.float32)


@njit(nogil=True, cache=CACHED)
@no_type_check
def _project(vertices, w2c, intrinsics):
    """Column, row and 1/depth of every vertex, in sample centres; 0 behind the near plane."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
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
    return screen


@njit(nogil=True, cache=CACHED)
@no_type_check
def _draw(screen, faces, rgb, inverse, colour):
    """Fills `inverse` (1/depth, 0 = nothing) and `colour` at sample centres."""
    height, width = inverse.shape
    inverse[:] = 0.0
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
def _resolve_alpha(colour, samples, rgba):
    """Averages the samples of every pixel, by their alpha."""
    height, width = rgba.shape[0], rgba.shape[1]
    for row in range(height):
        for col in range(width):
            red = green = blue = alpha = 0.0
            for i in range(row * samples, (row + 1) * samples):
                for j in range(col * samples, (col + 1) * samples):
                    red += colour[i, j, 0]
                    green += colour[i, j, 1]
                    blue += colour[i, j, 2]
                    alpha += colour[i, j, 3]
            rgba[row, col, 3] = int(255 * alpha / (samples * samples) + 0.5)
            if rgba[row, col, 3] == 0:
                rgba[row, col, 0] = rgba[row, col, 1] = rgba[row, col, 2] = 255
            else:
                rgba[row, col, 0] = int(min(max(red / alpha, 0.0), 1.0) * 255 + 0.5)
                rgba[row, col, 1] = int(min(max(green / alpha, 0.0), 1.0) * 255 + 0.5)
                rgba[row, col, 2] = int(min(max(blue / alpha, 0.0), 1.0) * 255 + 0.5)


@njit(nogil=True, cache=CACHED)
@no_type_check
def _composite(rgba, rgb):
    for i in range(len(rgba)):
        alpha = rgba[i, 3] / 255.0
        for k in range(3):
            rgb[i, k] = int(rgba[i, k] * alpha + 255.0 * (1.0 - alpha) + 0.5)
