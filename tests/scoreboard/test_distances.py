"""Distances between sets of features, against closed forms and against scipy's matrix root."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from engine.errors import DataError
from engine.evaluation.distances import frechet, kernel


def exactly(mean, covariance, count, seed=0):
    """Points whose sample mean and unbiased covariance are exactly these."""
    points = np.random.default_rng(seed).normal(size=(count, len(mean)))
    points -= points.mean(0)
    white = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_gaussians_on_axes_is_the_closed_form():
    a = exactly(np.array([1.0, 2.0, 3.0]), np.diag([1.0, 4.0, 9.0]), 50)
    b = exactly(np.array([1.0, 0.0, 4.0]), np.diag([4.0, 4.0, 1.0]), 80, seed=1)
    expected = (4 + 1) + (1 - 2) ** 2 + 0 + (3 - 1) ** 2
    assert frechet(a, b) == pytest.approx(expected)
    assert frechet(b, a) == pytest.approx(expected)


@pytest.mark.parametrize("count", [200, 7])
def test_frechet_is_what_the_matrix_root_gives(count):
    """Also with fewer pictures than features, where the covariances are singular."""
    noise = np.random.default_rng(0)
    mix = noise.normal(size=(12, 12))
    a, b = noise.normal(size=(count, 12)) @ mix, noise.normal(size=(count, 12)) + 1
    ca, cb = np.cov(a.T), np.cov(b.T)
    root = sqrtm(sqrtm(ca) @ cb @ sqrtm(ca)).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(ca + cb - 2 * root)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-4)


def test_frechet_of_a_set_with_itself_is_nothing_and_a_shift_counts_squared():
    a = np.random.default_rng(0).normal(size=(30, 40))
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, a + 0.5) == pytest.approx(40 * 0.25)


def test_kernel_of_two_pairs_by_hand():
    a, b = np.array([[1.0], [2.0]]), np.array([[0.0], [3.0]])
    within_a, within_b = (1 * 2 + 1) ** 3, (0 * 3 + 1) ** 3
    across = np.mean([1, (3 + 1) ** 3, 1, (6 + 1) ** 3])
    assert kernel(a, b, seed=0) == pytest.approx(within_a + within_b - 2 * across)


def test_kernel_divides_by_the_number_of_features():
    a, b = np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 4.0]])
    within = (2 / 2 + 1) ** 3 + 1
    across = np.mean([1, (4 / 2 + 1) ** 3, 1, 1])
    assert kernel(a, b, seed=0) == pytest.approx(within - 2 * across)


def test_kernel_is_unbiased_for_equal_distributions_and_grows_with_the_distance():
    noise = np.random.default_rng(0)
    draws = [
        kernel(noise.normal(size=(40, 5)), noise.normal(size=(40, 5)), seed=0) for _ in range(300)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws)) < 4 * error
    assert min(draws) < 0 < max(draws)
    a = noise.normal(size=(400, 5))
    near, far = (
        kernel(a, noise.normal(size=(400, 5)) + shift, seed=0, size=100) for shift in (0.3, 1.0)
    )
    assert 10 * error < near < far


def test_subsets_estimate_the_whole_and_repeat_with_their_seed():
    noise = np.random.default_rng(0)
    a, b = noise.normal(size=(300, 4)), noise.normal(size=(300, 4)) + 0.7
    whole = kernel(a, b, seed=0)
    assert kernel(a, b, seed=1, subsets=400, size=50) == pytest.approx(whole, rel=0.1)
    assert kernel(a, b, seed=1, size=50) == kernel(a, b, seed=1, size=50)
    assert kernel(a, b, seed=1, size=50) != kernel(a, b, seed=2, size=50)


@pytest.mark.parametrize("distance", [frechet, lambda a, b: kernel(a, b, seed=0)])
def test_a_single_picture_is_no_set(distance):
    with pytest.raises(DataError, match="two or more"):
        distance(np.zeros((1, 3)), np.zeros((5, 3)))
