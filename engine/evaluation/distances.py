"""Distances of two sets of images by their features: the Frechet distance and the kernel distance.

On the features of the repository's own small network these are called `fd_small` and `kd_small`; FID and KID are the same
distances on the features of Inception (`engine.evaluation.perceptual`).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from engine.errors import DataError

SUBSETS = 100
SUBSET_SIZE = 1000


def frechet(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """Frechet distance of the Gaussians that have the means and (unbiased) covariances of two sets of features.

    The trace of the root of the covariances' product is the sum of the singular values of `Ra Rb^T`, where `R^T R` is a
    covariance. No matrix root is taken, so there may be fewer pictures than features (which bias the distance upwards:
    compare sets of equal size only).

    Raises:
        DataError: If a set has fewer than two pictures.

    Source: Heusel et al. 2017 (1706.08500), eq. 6.
    """
    _check(a, b)
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a), _gaussian(b)
    common = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    spread = np.square(root_a).sum() + np.square(root_b).sum() - 2 * common
    return float(np.square(mean_a - mean_b).sum() + max(0.0, spread))


def kernel(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "m d"],
    seed: int,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
) -> float:
    """Kernel distance: unbiased squared MMD with the kernel (x.y / d + 1)^3, mean over random subsets.

    Being unbiased, it may be a little below 0 where the sets are alike. Published tables show it times 1000.

    Args:
        a: Features of one set.
        b: Features of the other.
        seed: Seed of the subsets.
        subsets: Number of subsets; one if the sets are not larger than a subset.
        size: Most pictures of each set in a subset.

    Raises:
        DataError: If a set has fewer than two pictures.

    Source: Binkowski et al. 2018 (1801.01401), as StyleGAN2-ADA (2006.06676) estimates it.
    """
    _check(a, b)
    noise = np.random.default_rng(seed)
    size = min(len(a), len(b), size)
    if len(a) == len(b) == size:
        return _mmd(a, b)
    draws = [
        _mmd(*(x[noise.choice(len(x), size, replace=False)] for x in (a, b)))
        for _ in range(subsets)
    ]
    return float(np.mean(draws))


def _gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `d` and triangular root `min(n, d) d` of the covariance."""
    mean = x.mean(0)
    return mean, np.linalg.qr(x - mean, mode="r") / np.sqrt(len(x) - 1)


def _mmd(a: np.ndarray, b: np.ndarray) -> float:
    count, width = a.shape
    within = (a @ a.T / width + 1) ** 3 + (b @ b.T / width + 1) ** 3
    across = (a @ b.T / width + 1) ** 3
    pairs = within.sum() - np.trace(within)
    return float(pairs / (count * (count - 1)) - 2 * across.mean())


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if min(len(a), len(b)) < 2:
        raise DataError(
            f"Found sets of {len(a)} and {len(b)} pictures, expected two or more of each."
        )
