"""Connected components of an object."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from scipy import ndimage


def largest_component_share(occupied: Bool[np.ndarray, "x y z"]) -> float:
    """Share of the occupied cells that belong to the largest part; cells hang together across their faces.

    Returns:
        A share in (0, 1]; 0 where nothing is occupied.
    """
    labels, _ = ndimage.label(occupied)
    sizes = np.bincount(labels.ravel())[1:]
    return float(sizes.max() / sizes.sum()) if len(sizes) else 0.0
