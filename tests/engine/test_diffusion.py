"""The schedule's algebra, and samplers on a distribution whose denoiser is known exactly.

For scalar data of mean m and standard deviation s, E[x0 | x_t] = m + k (x_t - signal m) with
k = signal s^2 / (signal^2 s^2 + sigma^2), so every sampler is a chain of affine maps.
"""

import math

import pytest
import torch

from engine.diffusion.sample import (
    ddim,
    ddim_update,
    even_times,
    langevin_update,
    renoise_average,
    solve,
    times,
)
from engine.diffusion.schedule import Schedule
from engine.errors import ConfigError
from engine.events import finish
from engine.noise import Noise

SCHEDULE = Schedule()
MEAN, SPREAD = 0.4, 0.7


def gain(t: torch.Tensor, spread: float = SPREAD) -> torch.Tensor:
    signal, sigma = SCHEDULE.signal(t), SCHEDULE.sigma(t)
    return signal * spread**2 / (signal**2 * spread**2 + sigma**2)


def known(spread: float = SPREAD):
    def estimate(x_t, t):
        return MEAN + gain(t, spread) * (x_t - SCHEDULE.signal(t) * MEAN), {"t": float(t[0])}

    return estimate


def scales(t: int) -> tuple[float, float]:
    """signal and sigma in float64 from the product of the betas."""
    if t < 0:
        return 1.0, 0.0
    kept = 1.0
    for k in range(t + 1):
        kept *= 1 - (1e-4 + (2e-2 - 1e-4) * k / 999)
    return math.sqrt(kept), math.sqrt(1 - kept)


def test_x0_eps_and_v_are_three_views_of_one_state():
    t = torch.tensor([0, 250, 999])
    x0, eps = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    x_t, v = SCHEDULE.diffuse(x0, eps, t), SCHEDULE.v_target(x0, eps, t)
    torch.testing.assert_close(SCHEDULE.x0_from_v(x_t, v, t), x0, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(SCHEDULE.eps_from_x0(x_t, x0, t)[1:], eps[1:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("t", [-1, 0, 500, 999])
def test_signal_and_sigma_come_from_the_product_of_the_betas(t):
    signal, sigma = scales(t)
    there = torch.tensor([t])
    assert float(SCHEDULE.signal(there)) == pytest.approx(signal, rel=1e-5)
    assert float(SCHEDULE.sigma(there)) == pytest.approx(sigma, rel=1e-5)


def test_any_number_of_steps_walks_down_from_the_top_to_clean_data():
    for steps in range(1, 1001):
        pairs = SCHEDULE.sampling_steps(steps)
        visited = [t for t, _ in pairs]
        assert len(visited) == steps
        assert visited[0] == 999
        assert pairs[-1][1] == -1
        assert min(visited) >= 0
        assert all(a > b for a, b in pairs)


@pytest.mark.parametrize("steps", [1, 4, 25, 75])
def test_ddim_follows_the_closed_form_of_a_gaussian(steps):
    x_T = torch.linspace(-3, 3, 16).reshape(1, 1, 4, 4)
    found = finish(ddim(x_T, known(), SCHEDULE, Noise(0), steps=steps))
    factor = 1.0
    for t, t_next in SCHEDULE.sampling_steps(steps):
        (a, s), (a_next, s_next) = scales(t), scales(t_next)
        k = a * SPREAD**2 / (a**2 * SPREAD**2 + s**2)
        factor *= a_next * k + s_next * (1 - a * k) / s
    expected = MEAN + factor * (x_T - scales(999)[0] * MEAN)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_many_ddim_steps_carry_noise_onto_the_data():
    x_T = torch.linspace(-3, 3, 16).reshape(1, 1, 4, 4)
    found = finish(ddim(x_T, known(), SCHEDULE, Noise(0), steps=1000))
    signal, sigma = scales(999)
    spread = SPREAD / math.sqrt(signal**2 * SPREAD**2 + sigma**2)
    torch.testing.assert_close(found, MEAN + spread * (x_T - signal * MEAN), rtol=0.01, atol=0.01)


def test_ancestral_sampling_has_the_datas_mean_and_spread():
    x_T = Noise(1).normal((1, 1, 100, 100), "x_T")
    found = finish(ddim(x_T, known(), SCHEDULE, Noise(2), steps=1000, eta=1.0))
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(found.std()) == pytest.approx(SPREAD, abs=0.03)


def test_a_step_to_clean_data_returns_the_estimate():
    x_t, x0 = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    assert torch.equal(
        ddim_update(x_t, x0, 19, -1, SCHEDULE, eta=1.0, z=torch.randn(1, 1, 2, 2)), x0
    )


def test_a_langevin_step_moves_by_its_drift_and_its_noise():
    x, z = torch.randn(1, 1, 3, 3), torch.randn(1, 1, 3, 3)
    x0, _ = known()(x, times(400, x))
    found = langevin_update(x, x0, 400, 0.3, z, SCHEDULE)
    a, s = scales(400)
    slope = s / (a**2 * SPREAD**2 + s**2)
    expected = x - 0.15 * s * slope * (x - a * MEAN) + math.sqrt(0.3) * s * z
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_langevin_corrections_keep_the_distribution_of_their_noise_level():
    a, s = scales(400)
    spread = math.sqrt(a**2 * SPREAD**2 + s**2)
    x = a * MEAN + spread * Noise(0).normal((1, 1, 100, 100), "x")
    delta = 0.05
    for k in range(50):
        x0, _ = known()(x, times(400, x))
        x = langevin_update(x, x0, 400, delta, Noise(k).normal(x.shape, "z"), SCHEDULE)
    assert float(x.mean()) == pytest.approx(a * MEAN, abs=0.03)
    assert float(x.std()) == pytest.approx(spread, rel=0.03)


def test_the_sampler_reports_every_step_and_corrects_all_but_the_last():
    calls = []

    def estimate(x_t, t):
        calls.append(int(t[0]))
        return known()(x_t, t)

    steps = []
    x_T = torch.randn(2, 1, 4, 4)
    result = finish(
        ddim(x_T, estimate, SCHEDULE, Noise(0), steps=4, langevin_steps=2), steps.append
    )
    assert calls == [999, 749, 749, 749, 499, 499, 499, 249, 249, 249]
    assert [(s.index, s.total, s.t) for s in steps if s.stage == "denoise"] == [
        (1, 4, 749),
        (2, 4, 499),
        (3, 4, 249),
        (4, 4, -1),
    ]
    corrections = [(s.index, s.total, s.t) for s in steps if s.stage == "langevin"]
    assert corrections == [(k + 1, 6, (749, 499, 249)[k // 2]) for k in range(6)]
    assert [s.stage for s in steps[:4]] == ["denoise", "langevin", "langevin", "denoise"]
    assert torch.equal(steps[-1].noisy_latent, result)
    assert [s.scalars["t"] for s in steps[:3]] == [999.0, 749.0, 749.0]


def test_renoise_averaging_contracts_to_a_known_mean():
    x = torch.randn(2, 1, 4, 4)
    run = renoise_average(
        x, known(spread=0.0), SCHEDULE, Noise(0), steps=12, mix=0.2, t_low=30, t_high=600
    )
    steps = []
    found = finish(run, steps.append)
    torch.testing.assert_close(found - MEAN, 0.8**12 * (x - MEAN), rtol=1e-4, atol=1e-6)
    assert len(steps) == 12
    assert all(30 <= s.t < 600 for s in steps)


class Silent(Noise):
    """No gaussian noise, and timesteps that start at 300."""

    def normal(self, shape, stage, step=0, *, device="cpu"):
        return torch.zeros(*shape)

    def integers(self, low, high, shape, stage, step=0, *, device="cpu"):
        return torch.full(tuple(shape), 300)


def test_renoise_averaging_pulls_by_what_the_prior_cannot_explain():
    x = torch.randn(1, 1, 4, 4)
    run = renoise_average(x, known(), SCHEDULE, Silent(0), steps=3, mix=0.25, t_low=0, t_high=1000)
    seen = []
    found = finish(run, seen.append)
    assert [step.t for step in seen] == [300, 918, 536]
    expected = x - MEAN
    for t in (300, 918, 536):
        a, s = scales(t)
        kept = a**2 * SPREAD**2 / (a**2 * SPREAD**2 + s**2)
        expected = (0.75 + 0.25 * kept) * expected
    torch.testing.assert_close(found - MEAN, expected, rtol=1e-4, atol=1e-5)


def test_renoising_that_falls_goes_once_through_its_range_from_the_top():
    x, seen = torch.randn(1, 1, 4, 4), []
    common = {"steps": 9, "mix": 0.25, "t_low": 30, "t_high": 450, "falling": True}
    end = finish(renoise_average(x, known(), SCHEDULE, Noise(0), **common), seen.append)
    middles = [450 - 420 * (k + 0.5) / 9 for k in range(9)]
    assert [step.t for step in seen] == pytest.approx(middles, abs=1)
    assert min(step.t for step in seen) >= 30
    half = seen[3]
    run = renoise_average(half.latent, known(), SCHEDULE, Noise(0), first=4, **common)
    assert torch.equal(finish(run), end)


@pytest.mark.parametrize("count", [8, 13, 40])
def test_renoise_timesteps_cover_their_range_evenly(count):
    x = torch.zeros(3, 1, 1, 1)
    drawn = [even_times(x, 30, 600, Noise(0), "t", index) for index in range(count)]
    for times_of_item in torch.stack(drawn, 1):
        assert 30 <= int(times_of_item.min()) < int(times_of_item.max()) < 600
        around = times_of_item.sort().values
        gaps = torch.cat([around[1:], around[:1] + 570]) - around
        assert int(gaps.max()) < 2.7 * 570 / count


def exact(x_T: torch.Tensor, t: int) -> torch.Tensor:
    """Where the probability-flow ODE takes `x_T`: the distance from the mean, in deviations, stays."""
    (a, s), (a_T, s_T) = scales(t), scales(999)
    spread = math.hypot(a * SPREAD, s) / math.hypot(a_T * SPREAD, s_T)
    return a * MEAN + spread * (x_T - a_T * MEAN)


def error_at(sampler: str, steps: int, t: int) -> float:
    """Largest distance from the exact solution where a run passes timestep `t`."""
    x_T = torch.linspace(-3, 3, 16).reshape(1, 1, 4, 4)
    seen = []
    finish(solve(sampler, x_T, known(), SCHEDULE, Noise(0), steps=steps), seen.append)
    (x_t,) = [step.noisy_latent for step in seen if step.t == t]
    return float((x_t - exact(x_T, t)).abs().max())


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpm++2m", 2), ("unipc", 3)])
def test_samplers_converge_at_their_order_to_the_exact_solution(sampler, order):
    coarse, fine = error_at(sampler, 10, 199), error_at(sampler, 20, 199)
    assert coarse / fine > 0.9 * 2**order


def test_higher_orders_are_nearer_at_equal_steps():
    errors = [error_at(sampler, 10, 199) for sampler in ("ddim", "dpm++2m", "unipc")]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize("sampler", ["dpm++2m", "unipc"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_multistep_samplers_estimate_once_at_each_level_and_end_at_the_estimate(sampler, steps):
    calls, seen = [], []

    def estimate(x_t, t):
        calls.append(int(t[0]))
        return known()(x_t, t)

    x_T = torch.randn(2, 1, 4, 4)
    result = finish(solve(sampler, x_T, estimate, SCHEDULE, Noise(0), steps=steps), seen.append)
    assert calls == [t for t, _ in SCHEDULE.sampling_steps(steps)]
    assert torch.equal(result, seen[-1].latent)
    again = finish(solve(sampler, x_T, known(), SCHEDULE, Noise(5), steps=steps))
    assert torch.equal(result, again)


def test_only_ddim_adds_noise():
    x_T = torch.randn(1, 1, 2, 2)
    with pytest.raises(ConfigError, match="use ddim"):
        solve("unipc", x_T, known(), SCHEDULE, Noise(0), steps=4, eta=1.0)
