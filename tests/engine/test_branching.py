"""Going on from a step of an earlier run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.diffusion.sample import solve
from engine.diffusion.schedule import Schedule
from engine.errors import ConfigError
from engine.events import finish
from engine.methods.base import options_of
from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions, SampleOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views
from engine.types import Views

SCHEDULE = Schedule()
SHORT = RenoiseOptions(steps=3, mix=0.2)
FIT = FitOptions(steps=3, renoise=SHORT, finetune_steps=2, inner_steps=2, rays=256)


def steps_of(run):
    """All steps of a run and its result."""
    steps = []
    return steps, finish(run, steps.append)


def same(a, b) -> bool:
    """Whether two steps hold the same bits."""
    numbers = (a.stage, a.index, a.total, a.t, dict(a.scalars)) == (
        b.stage, b.index, b.total, b.t, dict(b.scalars),
    )  # fmt: skip
    noisy = a.noisy_latent is b.noisy_latent or torch.equal(a.noisy_latent, b.noisy_latent)
    tensors = torch.equal(a.latent, b.latent) and noisy
    state = all(
        torch.equal(value, b.state[name]) if torch.is_tensor(value) else value == b.state[name]
        for name, value in a.state.items()
    )
    return numbers and tensors and state and a.state.keys() == b.state.keys()


def goes_on_alike(make_run) -> None:
    """A run gone on with from any of its steps takes the same steps, bit for bit, to the same end."""
    steps, end = steps_of(make_run(None))
    for place, step in enumerate(steps):
        again, result = steps_of(make_run(step))
        assert [s.stage for s in again] == [s.stage for s in steps[place + 1 :]]
        assert all(same(a, b) for a, b in zip(again, steps[place + 1 :], strict=True)), place
        assert torch.equal(result, end), place


@pytest.mark.parametrize("sampler", ["ddim", "dpm++2m", "unipc", "heun"])
def test_generation_goes_on_bit_for_bit_from_every_step(vehicles, sampler):
    options = SampleOptions(
        sampler=sampler, steps=4, eta=0.5 if sampler == "ddim" else 0.0, renoise=SHORT
    )
    goes_on_alike(lambda after: vehicles.generate(2, options, Noise(3), after=after))


def views_of(method, latent) -> Views:
    camera = orbit_camera(torch.tensor([40.0, 200.0]), 15.0, method.data.distance, 32)
    return Views(render_views(method.scene(latent).field, camera), camera)


@pytest.mark.parametrize("langevin", [0, 2])
def test_reconstruction_goes_on_bit_for_bit_from_every_step(vehicles, langevin):
    changes = {"steps": 3, "renoise": SHORT, "finetune_steps": 2, "inner_steps": 2, "rays": 256}
    options = replace(
        options_of(vehicles, "reconstruct", "ours"), **changes, langevin_steps=langevin
    )
    views = views_of(vehicles, vehicles.gallery[0])
    goes_on_alike(lambda after: vehicles.reconstruct(views, options, Noise(1), after=after))


def test_the_toy_goes_on_from_every_step():
    toy = ToyMethod()
    goes_on_alike(
        lambda after: toy.generate(2, toy.presets["generate"]["ours"], Noise(3), after=after)
    )
    views = views_of(toy, toy.gallery[0])
    goes_on_alike(
        lambda after: toy.reconstruct(
            views, toy.presets["reconstruct"]["ours"], Noise(3), after=after
        )
    )


def test_a_scene_of_a_batch_is_bit_for_bit_what_its_seed_gives_alone(vehicles):
    options = SampleOptions(steps=2, renoise=SHORT)
    together = finish(vehicles.generate(3, options, Noise(5)))
    alone = finish(vehicles.generate(1, options, Noise(7)))
    assert torch.equal(together[2:], alone)


def test_a_change_shows_only_after_the_step_that_it_is_made_at(vehicles):
    options = SampleOptions(steps=4, eta=1.0, renoise=SHORT)
    steps, end = steps_of(vehicles.generate(1, options, Noise(0)))
    again, other = steps_of(vehicles.generate(1, options, Noise(9), after=steps[1]))
    assert torch.equal(again[0].latent, steps[2].latent), "the next estimate sees no new draw yet"
    assert not torch.equal(again[0].noisy_latent, steps[2].noisy_latent)
    assert (other - end).abs().mean() > 1e-3


def test_another_sampler_takes_over_and_ends_near_the_same_object():
    """Where data are normally distributed the ODE leads from x_T to x_T, and every sampler nears that."""

    def estimate(x_t, t):
        return x_t * SCHEDULE.signal(t), {}

    x_T = Noise(0).normal((1, 2, 4, 4), "x_T")
    ends, begun = {}, {}
    for sampler in ("ddim", "unipc"):
        run = solve(sampler, x_T, estimate, SCHEDULE, Noise(0), steps=40)
        begun[sampler], ends[sampler] = steps_of(run)
    for first, second in (("ddim", "unipc"), ("unipc", "ddim")):
        run = solve(second, x_T, estimate, SCHEDULE, Noise(0), steps=40, after=begun[first][15])
        again, end = steps_of(run)
        assert len(again) == 24
        assert (end - x_T).norm() / x_T.norm() < 0.06
        assert not torch.equal(end, ends[second])


def test_another_number_of_steps_is_refused(vehicles):
    options = SampleOptions(steps=4, mode="paper")
    steps, _ = steps_of(vehicles.generate(1, options, Noise(0)))
    with pytest.raises(ConfigError, match="4 steps"):
        finish(vehicles.generate(1, replace(options, steps=5), Noise(0), after=steps[1]))


def test_another_number_of_steps_is_refused_after_a_correction_too(vehicles):
    options = replace(FIT, langevin_steps=1, finetune_steps=0)
    views = views_of(vehicles, vehicles.gallery[0])
    steps, _ = steps_of(vehicles.reconstruct(views, options, Noise(0)))
    correction = next(step for step in steps if step.stage == "langevin")
    with pytest.raises(ConfigError, match="3 steps"):
        finish(vehicles.reconstruct(views, replace(options, steps=6), Noise(0), after=correction))


def test_a_branch_that_drops_stages_ends_where_it_stands(vehicles):
    views = views_of(vehicles, vehicles.gallery[0])
    steps, _ = steps_of(vehicles.reconstruct(views, FIT, Noise(0)))
    by_stage = {step.stage: step for step in steps}
    bare = replace(FIT, finetune_steps=0)
    found = finish(vehicles.reconstruct(views, bare, Noise(0), after=by_stage["finetune"]))
    assert torch.equal(found, by_stage["finetune"].latent)
    found = finish(vehicles.reconstruct(views, bare, Noise(0), after=by_stage["renoise"]))
    assert torch.equal(found, by_stage["renoise"].latent.clamp(-2, 2))


def test_noise_that_is_given_shares_its_draws(vehicles):
    options = SampleOptions(steps=3, eta=1.0, renoise=SHORT)
    x_T = vehicles.starting_noise(1, Noise(4))
    twice = finish(vehicles.generate(2, options, Noise(1), x_T=x_T.expand(2, -1, -1, -1, -1)))
    assert torch.equal(twice[0], twice[1])
    own = finish(vehicles.generate(1, options, Noise(4), x_T=x_T))
    assert torch.equal(own, finish(vehicles.generate(1, options, Noise(4))))
