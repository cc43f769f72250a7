"""DDIM backwards: where the map is known, and where it is the bundled prior's."""

import math

import pytest
import torch

from engine.diffusion.invert import invert_ddim
from engine.diffusion.sample import ddim, ddim_update, times
from engine.diffusion.schedule import Schedule
from engine.errors import ConfigError
from engine.events import finish
from engine.methods.ssdnerf.options import SampleOptions
from engine.noise import Noise
from engine.store.checkpoint import open_checkpoint

SCHEDULE = Schedule()


def normal(x_t, t):
    """The estimate for data of unit variance, E[x0 | x_t] = signal x_t: every step is a multiplication."""
    return SCHEDULE.signal(t) * x_t, {}


def factor(steps: int) -> float:
    """What DDIM multiplies its noise with there, in float64 from the product of the betas."""
    kept = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0).tolist()
    product = 1.0
    for t, t_next in SCHEDULE.sampling_steps(steps):
        signal, sigma = math.sqrt(kept[t]), math.sqrt(1 - kept[t])
        there = (1.0, 0.0) if t_next < 0 else (math.sqrt(kept[t_next]), math.sqrt(1 - kept[t_next]))
        product *= there[0] * signal + there[1] * sigma
    return product


@pytest.mark.parametrize("steps", [10, 100])
def test_corrections_find_the_inverse_of_a_linear_map(steps):
    x0 = Noise(0).normal((2, 1, 4, 4), "x0")
    run = invert_ddim(x0, normal, SCHEDULE, steps=steps, corrections=40)
    torch.testing.assert_close(finish(run), x0 / factor(steps), rtol=1e-4, atol=1e-5)


def test_each_correction_comes_nearer():
    x0 = Noise(1).normal((1, 1, 8, 8), "x0")
    errors = []
    for corrections in (0, 1, 2):
        run = invert_ddim(x0, normal, SCHEDULE, steps=50, corrections=corrections)
        errors.append(float((finish(run) - x0 / factor(50)).norm() / x0.norm()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_every_level_is_a_step_and_solves_the_samplers_own_update():
    x0, steps = Noise(2).normal((1, 1, 4, 4), "x0"), []
    run = invert_ddim(x0, normal, SCHEDULE, steps=8, corrections=30, stage="back")
    end = finish(run, steps.append)
    pairs = SCHEDULE.sampling_steps(8)[::-1]
    assert [(s.stage, s.index, s.total, s.t) for s in steps] == [
        ("back", k + 1, 8, t) for k, (t, _) in enumerate(pairs)
    ]
    states = [x0, *(step.noisy_latent for step in steps)]
    for (t, t_next), x, x_t in zip(pairs, states, states[1:], strict=False):
        estimate, _ = normal(x_t, times(t, x_t))
        found = ddim_update(x_t, estimate, t, t_next, SCHEDULE)
        torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-4)
    assert torch.equal(states[-1], end)
    assert all(0 <= step.scalars["change"] < 1e-3 for step in steps)


def test_estimates_are_counted():
    calls = []

    def estimate(x_t, t):
        calls.append(int(t[0]))
        return normal(x_t, t)

    finish(invert_ddim(torch.zeros(1, 1, 2, 2), estimate, SCHEDULE, steps=4, corrections=0))
    assert calls == [249, 249, 499, 749]
    calls.clear()
    finish(invert_ddim(torch.zeros(1, 1, 2, 2), estimate, SCHEDULE, steps=4, corrections=2))
    assert len(calls) == 4 * 3


@pytest.mark.parametrize(("steps", "corrections"), [(0, 1), (10, -1)])
def test_numbers_that_make_no_sense_are_refused(steps, corrections):
    x0 = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ConfigError, match="expected at least 1 and 0"):
        finish(invert_ddim(x0, normal, SCHEDULE, steps=steps, corrections=corrections))


@pytest.fixture(scope="module")
def vehicles():
    return open_checkpoint("vehicles")


def test_the_priors_own_objects_come_back_and_with_them_their_noise(vehicles):
    options = SampleOptions(mode="paper", steps=20)
    objects = finish(vehicles.generate(2, options, Noise(0)))
    steps = []
    x_T = finish(vehicles.invert(objects, steps=20), steps.append)
    assert x_T.shape == steps[3].latent.shape == steps[3].noisy_latent.shape == objects.shape
    assert len(steps) == 20
    back = finish(vehicles.generate(2, options, Noise(0), x_T=x_T))
    lost = (back - objects).square().mean((1, 2, 3, 4)) / objects.square().mean((1, 2, 3, 4))
    assert (lost < 0.01).all()
    plain = finish(vehicles.invert(objects, steps=20, corrections=0))
    worse = finish(vehicles.generate(2, options, Noise(0), x_T=plain)) - objects
    assert (worse.norm() > 2 * (back - objects).norm()).all()


def test_an_object_is_inverted_alike_alone_and_in_a_batch(vehicles):
    objects = vehicles.gallery[:2]
    together = finish(vehicles.invert(objects, steps=3))
    assert torch.equal(together[1:], finish(vehicles.invert(objects[1:], steps=3)))


def test_the_inverse_is_that_of_the_sampler():
    x0 = Noise(3).normal((1, 2, 4, 4), "x0")
    x_T = finish(invert_ddim(x0, normal, SCHEDULE, steps=25, corrections=80))
    back = finish(ddim(x_T, normal, SCHEDULE, Noise(0), steps=25))
    torch.testing.assert_close(back, x0, rtol=1e-4, atol=1e-4)
