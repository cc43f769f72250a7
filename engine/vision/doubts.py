"""Doubts about masks that were found automatically.

A floor, a shadow, a vignette, a photograph on a page, or a second object becomes part of the object as easily as its
wheels do, and a fit to it ends with a high PSNR. So a mask is checked before it is used, on a picture of at most `SIDE`
pixels, so that large and small pictures are judged alike.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

SIDE = 256
"""Longer side of the picture that is judged, pixels."""
ALONG_SIDE = 0.5
"""Share of a side of the picture that an object may cover."""
GAP = 0.012
"""Parts closer than this share of the longer side belong together."""
SECOND = 0.2
"""Area of the second largest part over that of the largest, from which there are two objects."""
FILLED, FLAT, FLAT_SHARE = 0.96, 0.08, 0.03
"""Share of its rectangle that a photograph fills, and how much of it differs by how much from its usual colour."""
FAINT = 0.25
"""Difference from the background, at its strongest nearby, below which an outline may be soft."""
STEP = 0.08
"""It is soft where the difference rises by less than this within two pixels,"""
SHARP = 0.55
"""or where less than this share of the rise lies within one pixel."""
SOFT_SHARE = 0.1
"""Share of the outline that may be soft."""
HALF_SHARE = 0.1
"""Half transparent area, without its edges, over the solid one, from which it is a shadow or a glow."""
LEAST_SHARE = 0.005
"""Share of the picture that an object covers at least."""
INSIDE_SHARE = 0.08
"""Area of enclosed parts in the background's colour over the object's."""

EDGE = "The object that was found runs along the edge of the picture, as a floor or a cut-off object does"
SEVERAL = "The picture seems to show more than one object"
PHOTOGRAPH = "What was found is a whole photograph with a background of its own"
SOFT = "The object that was found ends softly, as a shadow or an uneven background does"
HALF = "Much of the picture is half transparent, as a shadow or a glow is"
NOTHING = "Next to nothing stands out as the object"
INSIDE = "Large parts inside the object look just like the background"


def doubt_about_alpha(
    rgb: Float[np.ndarray, "height width 3"], alpha: Float[np.ndarray, "height width"]
) -> str | None:
    """Doubt about an image's own alpha as the object's mask: half a sentence, or None."""
    rgb, alpha = _small(rgb), _small(alpha)
    solid = _solid(alpha)
    half = ((alpha > 0.05) & (alpha < 0.6)).astype(np.uint8)
    if cv2.erode(half, np.ones((3, 3))).sum() > HALF_SHARE * solid.sum():
        return HALF
    return _doubt_about_shape(rgb[solid > 0], solid)


def doubt_about_cutout(
    rgb: Float[np.ndarray, "height width 3"],
    alpha: Float[np.ndarray, "height width"],
    distance: Float[np.ndarray, "height width"],
    inside: float,
) -> str | None:
    """Doubt about a mask that was found by the background's colour: half a sentence, or None.

    Args:
        rgb: The picture.
        alpha: The mask.
        distance: Distance of each pixel's colour from the background's.
        inside: Area in the background's colour that the mask encloses, over the mask's.
    """
    rgb, alpha, distance = _small(rgb), _small(alpha), _small(distance)
    solid = _solid(alpha)
    if max(side.mean() for side in (solid[0], solid[-1], solid[:, 0], solid[:, -1])) > ALONG_SIDE:
        return EDGE
    if shape := _doubt_about_shape(rgb[(solid > 0) & (distance > FLAT)], solid):
        return shape
    edge = (solid > 0) & (cv2.erode(solid, np.ones((3, 3), np.uint8), borderValue=1) == 0)
    if edge.any() and _is_soft(distance, solid)[edge].mean() > SOFT_SHARE:
        return SOFT
    return INSIDE if inside > INSIDE_SHARE else None


def doubt_about_mask(
    rgb: Float[np.ndarray, "height width 3"], alpha: Float[np.ndarray, "height width"]
) -> str | None:
    """Doubt about a mask that no background's colour tells: half a sentence, or None."""
    rgb, solid = _small(rgb), _solid(_small(alpha))
    if solid.sum() < LEAST_SHARE * solid.size:
        return NOTHING
    if max(side.mean() for side in (solid[0], solid[-1], solid[:, 0], solid[:, -1])) > ALONG_SIDE:
        return EDGE
    return _doubt_about_shape(rgb[solid > 0], solid)


def _doubt_about_shape(colors: np.ndarray, solid: np.ndarray) -> str | None:
    """Doubt raised by a mask's parts and outline, or None; `colors` are the pixels inside it, `pixels 3`."""
    if not len(colors):
        return None
    reach = max(1, round(GAP * max(solid.shape)))
    padded = cv2.copyMakeBorder(solid, *[reach] * 4, cv2.BORDER_CONSTANT, value=0)
    block = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    joined = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, block)
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    areas = sorted(stats[1:, cv2.CC_STAT_AREA], reverse=True)
    if count > 2 and areas[1] > SECOND * areas[0]:
        return SEVERAL
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea)
    width, height = cv2.minAreaRect(largest)[1]
    busy = (np.abs(colors - np.median(colors, 0)).max(-1) > FLAT).mean() > FLAT_SHARE
    if busy and cv2.contourArea(largest) > FILLED * max(width * height, 1):
        return PHOTOGRAPH
    return None


def _is_soft(distance: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Mask of a soft outline: a shadow fades away, while even a pale object ends within two pixels."""
    strongest, step = _step(distance, solid, 5)
    _, within_pixel = _step(distance, solid, 3)
    return (strongest < FAINT) & ((step < STEP) | (within_pixel < SHARP * step))


def _step(distance: np.ndarray, solid: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Strongest difference from the background of a mask's pixels in a window, and its excess over the least there."""
    strongest = cv2.dilate(distance * solid, np.ones((side, side)))
    return strongest, strongest - cv2.erode(distance, np.ones((side, side)))


def _small(values: np.ndarray) -> np.ndarray:
    height, width = values.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return values.astype(np.float32)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)


def _solid(alpha: np.ndarray) -> np.ndarray:
    return (alpha > 0.5).astype(np.uint8)
