"""The Numba kernel behind `engine.render.pixels` on the CPU."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from engine.kernels.kernel_cache import CACHED


@njit(nogil=True, cache=CACHED, error_model="numpy")
@no_type_check
def gather(images, scene, pixels, c2w, intrinsics, one, rays_o, rays_d, rgb):
    """Fill in rays and colours of pixels `scenes n`; `one` is the full-scale channel value of `images` (255 or 1)."""
    _, _, height, width, _ = images.shape
    half = np.float32(0.5)
    for k in range(pixels.shape[0]):
        for n in range(pixels.shape[1]):
            view, inside = divmod(pixels[k, n], height * width)
            row, col = divmod(inside, width)
            ray = k * pixels.shape[1] + n
            lens, pose = intrinsics[k, view], c2w[k, view]
            x = (np.float32(col) + half - lens[2]) / lens[0]
            y = (np.float32(row) + half - lens[3]) / lens[1]
            norm = np.float32(0)
            for axis in range(3):
                along = pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2]
                rays_d[ray, axis] = along
                norm += along * along
                rays_o[ray, axis] = pose[axis, 3]
            norm = np.sqrt(norm)
            for axis in range(3):
                rays_d[ray, axis] /= norm
                rgb[ray, axis] = np.float32(images[scene[k], view, row, col, axis]) / one
