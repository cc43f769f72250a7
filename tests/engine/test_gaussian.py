"""Gaussians against sampling and Bayes' rule written out."""

from __future__ import annotations

import pytest
import torch

from engine.diffusion.gaussian import Gaussian
from engine.diffusion.sample import solve
from engine.diffusion.schedule import CosineSchedule, EDMSchedule, Schedule
from engine.events import finish
from engine.noise import Noise

MEAN = torch.tensor([[0.5, -1.0], [0.2, 0.1]])
ROOT = torch.tensor([[0.8, 0.0, 0.0, 0.0], [0.5, 0.4, 0.0, 0.0], [0.0, 0.3, 0.6, 0.0], [0.2, 0.0, 0.1, 0.3]])  # fmt: skip
MODEL = Gaussian(MEAN, ROOT @ ROOT.T)


@pytest.mark.parametrize("levels", [Schedule(), CosineSchedule(100), EDMSchedule()])
def test_estimate_and_shift_are_bayes_rule(levels):
    """x_t is observed with noise of covariance sigma^2 / signal^2: precisions add."""
    t = torch.tensor([40])
    signal, sigma = float(levels.signal(t, 1)), float(levels.sigma(t, 1))
    x_t = torch.tensor([[[0.3, 1.0], [-0.7, 0.4]]])
    prior = (ROOT @ ROOT.T).double().inverse()
    precision = prior + (signal / sigma) ** 2 * torch.eye(4, dtype=torch.float64)
    seen = signal / sigma**2 * x_t.flatten().double() + prior @ MEAN.flatten().double()
    expected = torch.linalg.solve(precision, seen).view(1, 2, 2).float()
    x0, _ = MODEL.estimator(levels)(x_t, t)
    torch.testing.assert_close(x0, expected, atol=1e-4, rtol=1e-4)
    moved = torch.linalg.solve(precision, x_t.flatten().double()).view(1, 2, 2).float()
    torch.testing.assert_close(MODEL.shift(x_t, t, levels), moved, atol=1e-4, rtol=1e-4)


def test_sampling_draws_from_it():
    levels = CosineSchedule(1000)
    x_T = Noise(0).normal((2000, 2, 2), "x_T")
    drawn = finish(solve("dpm++2m", x_T, MODEL.estimator(levels), levels, Noise(0), steps=40))
    flat = drawn.flatten(1)
    torch.testing.assert_close(flat.mean(0), MEAN.flatten(), atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov(flat.T), ROOT @ ROOT.T, atol=0.06, rtol=0)


def test_what_is_known_leaves_the_conditional_distribution():
    """Regression of drawn states on their known numbers finds the same mean, and what it leaves the same covariance."""
    known = torch.tensor([[True, False], [False, True]])
    states = MEAN.flatten() + Noise(1).normal((20_000, 4), "n") @ ROOT.T
    a, b = states[:, [0, 3]], states[:, [1, 2]]
    design = torch.cat([a, torch.ones(len(a), 1)], 1)
    weights = torch.linalg.lstsq(design, b).solution
    values = torch.tensor([[1.2, 0.0], [0.0, -0.3]])
    found = MODEL.given(known, values)
    expected = torch.tensor([1.2, -0.3, 1.0]) @ weights
    torch.testing.assert_close(found.mean[~known], expected, atol=0.03, rtol=0)
    assert torch.equal(found.mean[known], values[known])
    rest = torch.cov((b - design @ weights).T)
    inside = found.covariance[1:3, 1:3]
    torch.testing.assert_close(inside, rest, atol=0.02, rtol=0)
    assert not found.covariance[[0, 3]].any()
