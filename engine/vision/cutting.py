"""The object of a dropped picture, told from its background by the first way that can.

A person's brush; the picture's own alpha; a plain background, but only if it is one (`engine.vision.doubts`); a learned
cut-out; and, for who takes doubtful masks, GrabCut (Rother et al. 2004) from the picture's borders: on 54 drawn photographs
with busy backgrounds (`tests/fixtures/backdrop.py`) the learned masks overlap with the truth by 0.98 (median), and GrabCut's
by 0.78, which looks right too seldom to be taken unasked. What is doubtful is refused in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float

from engine.errors import CutoutError
from engine.vision.doubts import doubt_about_mask
from engine.vision.learned import learned_mask, model_path
from engine.vision.matting import TRANSPARENT_SHARE, freed, matte, without_specks

Way = Literal["brush", "alpha", "background", "learned", "grabcut"]
AGREED = 0.4
"""Agreement of two looks of the learned model below which it is not clear what the object is."""
SIDE = 320
"""Most pixels a side of the picture that GrabCut sees."""
BORDERS = (0.03, 0.06)
"""Widths of the border that is background, over the longer side; both must find the same object."""
SAME = 0.9
"""Intersection over union of two masks of one object."""
ROUNDS = 4
SMALL_PART = 0.1
"""Parts of a found mask smaller than this share of the largest are not the object."""
MISSING = "the model that cuts out photographs is missing (launch.py models get cutout fetches it)"


@dataclass(frozen=True)
class Cutout:
    """An object on a transparent ground.

    Attributes:
        rgba: The picture, straight alpha, its edges freed of the old background's colour.
        way: How it was told from its background.
    """

    rgba: Float[np.ndarray, "rows columns 4"]
    way: Way


def cut(
    rgba: Float[np.ndarray, "rows columns 4"],
    brush: Bool[np.ndarray, "brush_rows brush_columns"] | None = None,
    *,
    accept: bool = False,
) -> Cutout:
    """The object of a picture.

    Args:
        rgba: The picture, straight alpha.
        brush: True where a person painted the object; None or all False if nobody did.
        accept: True to take a doubtful mask all the same.

    Raises:
        CutoutError: If no way tells the object from its background with certainty.
        ImageError: If the picture is empty, or the brush does not fit it.
    """
    own = bool((rgba[..., 3] < 0.5).mean() >= TRANSPARENT_SHARE)
    way: Way = "brush" if brush is not None and brush.any() else "alpha" if own else "background"
    try:
        return Cutout(freed(rgba, matte(rgba, brush)), way)
    except CutoutError as refused:
        found = None
        if way == "background":
            rgb = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
            found = _learned(rgb) or (_grabbed(rgb) if accept else None)
        if found is not None:
            return Cutout(freed(rgba, found[0]), found[1])
        if accept:
            return Cutout(freed(rgba, matte(rgba, brush, accept=True)), way)
        if way == "background" and model_path() is None:
            raise CutoutError(f"{refused.finding}, and {MISSING}") from None
        raise


def _learned(rgb: Float[np.ndarray, "rows columns 3"]) -> tuple[np.ndarray, Way] | None:
    """The learned mask, if there is one beyond doubt."""
    found = learned_mask(rgb)
    if found is None or found[1] < AGREED:
        return None
    alpha = without_specks(found[0], SMALL_PART)
    return None if doubt_about_mask(rgb, alpha) else (alpha, "learned")


def _grabbed(rgb: Float[np.ndarray, "rows columns 3"]) -> tuple[np.ndarray, Way] | None:
    """GrabCut's mask, if borders of two widths give the same and nothing is doubtful about it."""
    rows, columns = rgb.shape[:2]
    scale = min(1.0, SIDE / max(rows, columns))
    size = max(round(columns * scale), 1), max(round(rows * scale), 1)
    small = (cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) * 255).round().astype(np.uint8)
    one, other = (_grab(small, width) for width in BORDERS)
    if (one & other).sum() < SAME * max((one | other).sum(), 1):
        return None
    mask = cv2.resize(other.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    alpha = without_specks(mask, SMALL_PART)
    return None if doubt_about_mask(rgb, alpha) else (alpha, "grabcut")


def _grab(rgb: np.ndarray, border: float) -> Bool[np.ndarray, "rows columns"]:
    width = max(round(border * max(rgb.shape[:2])), 1)
    mask = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
    mask[width:-width, width:-width] = cv2.GC_PR_FGD
    if not (mask == cv2.GC_PR_FGD).any():
        return np.zeros(mask.shape, bool)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(rgb, mask, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
