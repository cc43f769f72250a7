"""Matting: the object's pixels by alpha, a plain background, or a brush.

Pictures are float32 RGBA arrays in [0, 1], straight alpha.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

from engine.errors import CutoutError, ImageError
from engine.vision.doubts import doubt_about_alpha, doubt_about_cutout

WHITE_TOLERANCE = 0.06
"""Largest distance of a background pixel from white; JPEG leaves about 0.03."""
COLOR_TOLERANCE = 0.09
"""Largest distance of a background pixel from the border's colour."""
BORDER_SHARE = 0.6
"""Share of the border that must be background; the rest may be an object that is cut off."""
TRANSPARENT_SHARE = 0.02
"""Share of transparent pixels from which a picture's own alpha is taken for its mask."""
SPECK = 0.01
"""Parts smaller than this share of the largest part are dust."""
SAME_SHARE = 1 / 3
"""Share of the tolerance within which a part that the object encloses is a hole, unless the background is white."""


def matte(
    rgba: Float[np.ndarray, "height width 4"],
    brush: Bool[np.ndarray, "rows cols"] | None = None,
    *,
    accept: bool = False,
) -> Float[np.ndarray, "height width"]:
    """Coverage of the object.

    A brush takes precedence; then the picture's own alpha if it varies; then a white background, and then a background
    of one colour, both reached from the border, so that white parts inside the object stay. A mask that was not painted
    is checked (`engine.vision.doubts`).

    Args:
        rgba: The picture.
        brush: True where the user painted the object, on the picture or a scaled copy of
            it; None or all False if nobody did.
        accept: True to take a doubtful mask all the same.

    Raises:
        CutoutError: If nothing tells the object from its background, or not with certainty.
        ImageError: If the picture is empty, or the brush does not fit it.
    """
    if brush is not None and brush.any():
        return _from_brush(rgba, brush)
    alpha = rgba[..., 3]
    if alpha.max() < 0.02:
        raise ImageError("The picture is wholly transparent; expected an object in it.")
    if (alpha < 0.5).mean() >= TRANSPARENT_SHARE:
        mask = _checked(without_specks(alpha))
        finding = doubt_about_alpha(rgba[..., :3], mask)
    else:
        mask, finding = _from_background(rgba[..., :3] * alpha[..., None] + 1 - alpha[..., None])
    if finding and not accept:
        raise CutoutError(finding)
    return mask


def cut_out(
    rgba: Float[np.ndarray, "height width 4"],
    brush: Bool[np.ndarray, "rows cols"] | None = None,
    *,
    accept: bool = False,
) -> Float[np.ndarray, "height width 4"]:
    """The object on a transparent ground, `freed` of the old background; arguments and errors as in `matte`."""
    return freed(rgba, matte(rgba, brush, accept=accept))


def freed(
    rgba: Float[np.ndarray, "height width 4"], alpha: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width 4"]:
    """A picture with a mask as its alpha, soft edges freed of the old background's colour."""
    inside = (alpha > 0.98).astype(np.float32)
    weight = cv2.blur(inside, (5, 5), borderType=cv2.BORDER_CONSTANT)
    nearby = cv2.blur(rgba[..., :3] * inside[..., None], (5, 5), borderType=cv2.BORDER_CONSTANT)
    nearby /= np.maximum(weight, 1e-6)[..., None]
    # An edge pixel's own colour is a mixture with the background; its solid neighbours know better.
    own_alpha = (rgba[..., 3] < 0.5).mean() >= TRANSPARENT_SHARE
    mixed = (inside == 0) & (alpha > 0) & (weight > 0) & (not own_alpha)
    color = np.where(mixed[..., None], nearby, rgba[..., :3])
    return np.concatenate([color, alpha[..., None]], -1).astype(np.float32)


def _from_brush(rgba: np.ndarray, brush: np.ndarray) -> np.ndarray:
    height, width = rgba.shape[:2]
    rows, cols = brush.shape
    if abs(rows / height - cols / width) * max(height, width) > 2 * max(rows / height, 1):
        raise ImageError(
            f"The painted mask is {cols} x {rows} pixels, the picture {width} x {height}; "
            "paint on this very picture."
        )
    if brush.shape != (height, width):
        resized = cv2.resize(
            brush.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        )
        brush = resized > 0
    if brush.mean() > 0.98:
        raise ImageError("The painted mask covers the whole picture; paint only the object.")
    return brush.astype(np.float32)


def _from_background(rgb: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Coverage by the background's colour, and a doubt about it, or None."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    for color, tolerance in (
        (np.ones(3), WHITE_TOLERANCE),
        (np.median(border, 0), COLOR_TOLERANCE),
    ):
        if (_distance(border, color) < tolerance).mean() >= BORDER_SHARE:
            distance = _distance(rgb, color)
            alpha, inside = _flood(
                distance, tolerance, white=bool(color.min() > 1 - WHITE_TOLERANCE)
            )
            return alpha, doubt_about_cutout(rgb, alpha, distance, inside)
    raise CutoutError(
        "The picture has neither transparency nor a background of one colour to tell the object from"
    )


def _distance(rgb: np.ndarray, color: np.ndarray) -> np.ndarray:
    return np.abs(rgb - color.astype(np.float32)).max(-1)


def _flood(distance: np.ndarray, tolerance: float, white: bool) -> tuple[np.ndarray, float]:
    """Coverage, with a background of pixels within `tolerance` that are connected to the border.

    Returns:
        Coverage, and the area in the background's colour that it encloses over its own. Parts inside that have exactly
        the colour of a background which is not white are holes.
    """
    near = (distance < tolerance).astype(np.uint8)
    count, labels = cv2.connectedComponents(near, connectivity=4)
    at_border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.zeros(count, bool)
    outside[at_border] = True
    if not white:
        sums = np.bincount(labels.ravel(), distance.ravel(), count)
        areas = np.bincount(labels.ravel(), minlength=count)
        outside |= sums < SAME_SHARE * tolerance * areas
    outside[0] = False
    background = outside[labels]
    if background.mean() > 0.9995:
        raise ImageError(
            "The picture shows one plain colour and nothing else; expected an object in it."
        )
    solid = without_specks((~background).astype(np.float32))
    inside = float((near[solid > 0]).mean()) if solid.any() else 0.0
    edge = (solid > 0) & (cv2.erode(solid, np.ones((3, 3)), borderValue=1) == 0)
    # An edge pixel is covered as far as its colour has left the background's towards its neighbours'.
    strongest = cv2.dilate(distance.astype(np.float32), np.ones((3, 3)))
    solid[edge] *= (distance[edge] / np.maximum(strongest[edge], tolerance)).clip(0.02, 1)
    return _checked(solid), inside


def without_specks(
    alpha: Float[np.ndarray, "height width"], share: float = SPECK
) -> Float[np.ndarray, "height width"]:
    """A mask without parts smaller than this share of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (alpha > 0.02).astype(np.uint8), connectivity=8
    )
    if count <= 2:
        return alpha.copy()
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    keep = area >= share * area.max()
    return np.where(keep[labels], alpha, 0).astype(np.float32)


def _checked(alpha: np.ndarray) -> np.ndarray:
    solid = alpha > 0.5
    if solid.mean() > 0.98:
        raise CutoutError("The mask covers the whole picture")
    if solid.sum() < 64:
        raise CutoutError(f"The object that was found covers only {int(solid.sum())} pixels")
    return alpha
