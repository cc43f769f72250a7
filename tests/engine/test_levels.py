"""Every sampler over every kind of levels and every rank of state, where the answer is known.

For data of mean m and standard deviation s the ideal estimate is m + k (x_t - signal m) with
k = signal s^2 / (signal^2 s^2 + sigma^2), and the probability-flow ODE keeps a state's distance from the mean, counted in
deviations of its level. Levels are computed here anew, in float64, from the papers' formulas.
"""

import functools
import itertools
import json
import math

import numpy as np
import pytest
import torch

from engine.config import from_json, to_json
from engine.diffusion.invert import invert_ddim
from engine.diffusion.sample import ddim, heun, solve, times
from engine.diffusion.schedule import CosineSchedule, EDMSchedule, Schedule
from engine.errors import ConfigError
from engine.events import finish
from engine.noise import Noise

MEAN, SPREAD = 0.4, 0.7
LEVELS = {"linear": Schedule(), "cosine": CosineSchedule(), "edm": EDMSchedule()}
SHAPES = {"vector": (2, 12), "image": (2, 3, 2, 2), "volume": (2, 3, 1, 2, 2)}
ORDERS = {"ddim": 1, "dpm++2m": 2, "unipc": 2, "heun": 2}
each_kind = pytest.mark.parametrize("kind", LEVELS)
each_sampler = pytest.mark.parametrize("sampler", ORDERS)


@functools.cache
def scales(kind: str, t: float) -> tuple[float, float]:
    """signal and sigma of a level."""
    if t < 0:
        return 1.0, 0.0
    if kind == "edm":
        return 1.0, t
    if kind == "linear":
        kept = math.prod(1 - (1e-4 + (2e-2 - 1e-4) * k / 999) for k in range(t + 1))
    else:
        angle = [((n / 1000 + 0.008) / 1.008) * math.pi / 2 for n in (0, min(t + 1, 999))]
        kept = math.cos(angle[1]) ** 2 / math.cos(angle[0]) ** 2
        kept *= 0.001 if t == 999 else 1.0  # its beta is cut at 0.999
    return math.sqrt(kept), math.sqrt(1 - kept)


def known(kind: str):
    """The ideal estimate."""

    def estimate(x_t, t):
        signal, sigma = scales(kind, t[0].item())
        gain = signal * SPREAD**2 / (signal**2 * SPREAD**2 + sigma**2)
        return MEAN + gain * (x_t - signal * MEAN), {}

    return estimate


def exact(kind: str, x: torch.Tensor, start: float, t: float) -> torch.Tensor:
    """Where the probability-flow ODE takes `x` from level `start` to `t`."""
    (a, s), (a_T, s_T) = scales(kind, t), scales(kind, start)
    stretch = math.hypot(a * SPREAD, s) / math.hypot(a_T * SPREAD, s_T)
    return a * MEAN + stretch * (x - a_T * MEAN)


def walked(sampler: str, kind: str, shape: tuple[int, ...], steps: int, start: float | None = None):
    """Largest errors at timestep 199 (EDM: sigma_min) and at the end, of a run from states up to 3 deviations out."""
    levels = LEVELS[kind]
    top = levels.sampling_steps(steps, start)[0][0]
    x_T = scales(kind, top)[1] * torch.linspace(-3, 3, math.prod(shape)).reshape(shape)
    seen = []
    run = solve(sampler, x_T, known(kind), levels, Noise(0), steps=steps, start=start)
    end = finish(run, seen.append)
    assert end.shape == seen[0].noisy_latent.shape == seen[0].latent.shape == shape
    near = seen[-2] if kind == "edm" else next((step for step in seen if step.t == 199), seen[-2])
    errors = [
        (x - exact(kind, x_T, top, t)).abs().max().item()
        for x, t in [(near.noisy_latent, near.t), (end, -1)]
    ]
    return x_T, end, *errors


@each_sampler
@each_kind
@pytest.mark.parametrize("rank", SHAPES)
def test_samplers_converge_at_their_order_to_the_closed_form(sampler, kind, rank):
    extra = 1 if kind == "edm" else 0  # N levels have N - 1 steps between them
    *_, coarse, _ = walked(sampler, kind, SHAPES[rank], 20 + extra)
    *_, fine, at_end = walked(sampler, kind, SHAPES[rank], 40 + extra)
    assert coarse / fine > 0.8 * 2 ** ORDERS[sampler]
    assert fine < (0.15 if sampler == "ddim" else 0.02)
    assert at_end < (0.15 if sampler == "ddim" else 0.02)


@pytest.mark.parametrize("t", [0, 1, 400, 997, 998, 999])
def test_the_cosine_schedule_is_that_of_its_equation(t):
    schedule, there = CosineSchedule(), torch.tensor([t])
    signal, sigma = scales("cosine", t)
    assert float(schedule.signal(there)) == pytest.approx(signal, rel=1e-6)
    assert float(schedule.sigma(there)) == pytest.approx(sigma, rel=1e-6)
    assert schedule.half_log_snr(t) == pytest.approx(math.log(signal / sigma), rel=1e-9)
    assert float(schedule.betas.max()) == 0.999


def test_edms_levels_are_those_of_its_equation():
    pairs = EDMSchedule().sampling_steps(18)
    a, b = 80 ** (1 / 7), 0.002 ** (1 / 7)
    wanted = (a + np.arange(18) / 17 * (b - a)) ** 7
    np.testing.assert_allclose([t for t, _ in pairs], wanted, rtol=1e-12)
    assert [t for _, t in pairs] == [*[t for t, _ in pairs[1:]], -1]
    assert EDMSchedule().sampling_steps(1) == [(pytest.approx(80.0), -1)]
    evenly = EDMSchedule(sigma_min=1.0, sigma_max=5.0, rho=1.0).sampling_steps(5)
    assert [t for t, _ in evenly] == pytest.approx([5, 4, 3, 2, 1])


def test_heun_is_algorithm_1_of_edm():
    """On data that are +1 or -1, whose estimate is tanh(x / sigma^2), against the algorithm as printed."""
    calls = []

    def estimate(x, t):
        calls.append(t[0].item())
        return torch.tanh(x / t.reshape(-1, 1) ** 2), {}

    start = np.linspace(-1.7, 1.5, 12).reshape(2, 6) * 80
    x_T = torch.from_numpy(start).float()
    found = finish(heun(x_T, estimate, EDMSchedule(), steps=18))
    a, b = 80 ** (1 / 7), 0.002 ** (1 / 7)
    sigmas, x = [*((a + np.arange(18) / 17 * (b - a)) ** 7), 0.0], start
    for t, t_next in itertools.pairwise(sigmas):
        d = (x - np.tanh(x / t**2)) / t
        x_next = x + (t_next - t) * d
        if t_next:
            d_next = (x_next - np.tanh(x_next / t_next**2)) / t_next
            x_next = x + (t_next - t) * (d + d_next) / 2
        x = x_next
    np.testing.assert_allclose(found.numpy(), x, rtol=1e-3, atol=1e-4)
    pairs = EDMSchedule().sampling_steps(18)
    assert calls == pytest.approx([t for pair in pairs for t in pair if t > 0], rel=1e-6)


@each_sampler
@each_kind
def test_a_run_goes_on_bit_for_bit_from_every_step(sampler, kind):
    steps = []
    noise = {"eta": 0.5} if sampler == "ddim" and kind != "edm" else {}

    def run(after=None):
        x_T = scales(kind, top)[1] * torch.linspace(-3, 3, 12).reshape(2, 6)
        options = {"steps": 5, "start": top, "after": after, **noise}
        return solve(sampler, x_T, known(kind), LEVELS[kind], Noise(0), **options)

    top = 20.0 if kind == "edm" else 700
    end = finish(run(), steps.append)
    assert len(steps) == 5
    for place, step in enumerate(steps):
        again = []
        assert torch.equal(finish(run(step), again.append), end)
        assert [s.t for s in again] == [s.t for s in steps[place + 1 :]]


@each_sampler
@each_kind
def test_a_run_may_start_from_data_that_were_noised_to_a_level_below_the_top(sampler, kind):
    start = 2.0 if kind == "edm" else 500
    x_T, end, *_, error = walked(sampler, kind, (2, 12), 40, start)
    assert error < (0.1 if sampler == "ddim" else 0.01)
    away = LEVELS[kind].diffuse(torch.zeros_like(x_T), torch.ones_like(x_T), times(start, x_T))
    assert float(away[0, 0]) == pytest.approx(scales(kind, start)[1], rel=1e-5)
    assert float((end - x_T).abs().max()) > 0.1


def test_steps_from_a_level_walk_down_from_it_to_clean_data():
    for start in (0, 1, 20, 320, 999):
        for steps in range(1, start + 2):
            pairs = Schedule().sampling_steps(steps, start)
            assert (len(pairs), pairs[0][0], pairs[-1][1]) == (steps, start, -1)
            assert all(a > b for a, b in pairs)
    levels = [t for t, _ in EDMSchedule().sampling_steps(9, 4.0)]
    assert (levels[0], levels[-1]) == (pytest.approx(4.0), pytest.approx(0.002))
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize(
    ("levels", "start", "wrong"),
    [
        (Schedule(), 1000, "timestep 1000, expected .* from 0 to 999"),
        (CosineSchedule(), 3, "5 steps from timestep 3"),
        (EDMSchedule(), 0.001, "sigma 0.001 to start from"),
    ],
)
def test_levels_that_are_none_are_no_start(levels, start, wrong):
    with pytest.raises(ConfigError, match=wrong):
        levels.sampling_steps(5, start)


@each_kind
@pytest.mark.parametrize("rank", SHAPES)
def test_x0_and_eps_are_two_views_of_one_state_of_any_rank(kind, rank):
    levels, shape = LEVELS[kind], SHAPES[rank]
    x0, eps = (Noise(k).normal(shape, "x") for k in (0, 1))
    t = torch.tensor([0.3, 40.0] if kind == "edm" else [150, 900])
    x_t = levels.diffuse(x0, eps, t)
    for item, level in enumerate(t.tolist()):
        signal, sigma = scales(kind, level)
        torch.testing.assert_close(x_t[item], signal * x0[item] + sigma * eps[item])
    torch.testing.assert_close(levels.eps_from_x0(x_t, x0, t), eps, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(levels.x0_from_eps(x_t, eps, t), x0, rtol=1e-3, atol=1e-3)
    if kind != "edm":
        v = levels.v_target(x0, eps, t)
        torch.testing.assert_close(levels.x0_from_v(x_t, v, t), x0, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "rank", "steps"),
    [("linear", "vector", 10), ("cosine", "volume", 10), ("edm", "vector", 60)],
)
def test_the_inverse_leads_back_over_any_levels(kind, rank, steps):
    x0 = Noise(3).normal(SHAPES[rank], "x0")
    x_T = finish(invert_ddim(x0, known(kind), LEVELS[kind], steps=steps, corrections=20))
    assert (
        float(x_T.std())
        > 0.7 * LEVELS[kind].sigma(times(LEVELS[kind].sampling_steps(1)[0][0], x_T)).max()
    )
    back = finish(ddim(x_T, known(kind), LEVELS[kind], Noise(0), steps=steps))
    torch.testing.assert_close(back, x0, rtol=1e-3, atol=1e-3)


def test_only_a_chain_has_noise_to_add_back():
    run = ddim(torch.ones(1, 3), known("edm"), EDMSchedule(), Noise(0), steps=4, eta=0.5)
    with pytest.raises(ConfigError, match="set eta to 0"):
        finish(run)


@pytest.mark.parametrize(
    "levels",
    [Schedule(timesteps=10), CosineSchedule(offset=0.01), EDMSchedule(sigma_max=10.0, rho=5.0)],
)
def test_levels_survive_json(levels):
    assert from_json(type(levels), json.loads(json.dumps(to_json(levels)))) == levels


@pytest.mark.parametrize(
    ("kind", "values", "wrong"),
    [
        (CosineSchedule, {"timesteps": 0}, "found 0, expected 1 to 10000"),
        (CosineSchedule, {"offset": -0.1}, "expected 0.0 to 1.0"),
        (CosineSchedule, {"beta_end": 0.02}, "unknown key 'beta_end'"),
        (EDMSchedule, {"rho": 0.5}, "expected 1.0 to 100.0"),
        (EDMSchedule, {"sigma_max": 1e9}, "expected 1e-06 to 1000000.0"),
        (EDMSchedule, {"sigma_min": 0.0}, "expected 1e-06 to 1000000.0"),
        (EDMSchedule, {"sigma_min": 90.0}, "sigma_min 90, expected less than sigma_max 80"),
    ],
)
def test_levels_that_lead_nowhere_are_refused(kind, values, wrong):
    with pytest.raises(ConfigError, match=wrong):
        from_json(kind, values)


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("timesteps", [1, 10, 10_000])
def test_every_cosine_schedule_that_is_allowed_has_finite_levels(timesteps, offset):
    schedule = CosineSchedule(timesteps, offset)
    ratios = [schedule.half_log_snr(t) for t in range(timesteps)]
    assert all(a > b for a, b in itertools.pairwise(ratios))
    assert all(map(math.isfinite, ratios))
    assert min(schedule.betas) > 0


@pytest.mark.parametrize("steps", [0, 11])
def test_a_chain_has_no_more_steps_than_timesteps(steps):
    """A level that is visited twice would divide by zero."""
    chain = Schedule(timesteps=10)
    assert len(chain.sampling_steps(10)) == 10
    with pytest.raises(ConfigError, match=f"Found {steps} steps from timestep 9, expected one to"):
        chain.sampling_steps(steps)
