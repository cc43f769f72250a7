"""Interpolation and variation in a session, with the real prior."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.page.steer import steer
from app.session import runs
from app.session.priors import Prior, Priors
from app.session.records import Record
from app.session.session import Session
from app.settings import AppSettings
from app.tabs.inspect.branching import Change, branch
from app.tabs.interpolate import blending
from app.tabs.interpolate.blending import Blend, own_noise
from app.tabs.interpolate.deeds import settled
from app.tabs.interpolate.variation import Variation
from engine.config import to_json
from engine.errors import ConfigError
from engine.events import finish
from engine.methods.base import Capabilities
from engine.methods.ssdnerf.options import RenoiseOptions, SampleOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.store.timeline import result_step
from tests.app.test_jobs import wait_for_end

FEW = SampleOptions(steps=3, renoise=RenoiseOptions(steps=1))


@pytest.fixture
def session(vehicles, monkeypatch):
    monkeypatch.setattr(blending, "options_of", lambda method, task, mode: FEW)
    monkeypatch.setattr(blending, "INVERSION", 12)
    session = Session(Prior("vehicles", vehicles), AppSettings())
    yield session
    session.close()


def drawn(session: Session, seed: int) -> Record:
    latents = finish(session.method.generate(1, FEW, Noise(seed)))
    about = {"seed": seed, "settings": to_json(FEW)}
    record = Record(
        "generate", f"Seed {seed}", about, [result_step(latents)], session.method, state="done"
    )
    session.add(record)
    return record


def spanned(session: Session, runner, *seeds: int) -> Blend:
    blend = session.part(Blend)
    for seed in seeds:
        blend.add(drawn(session, seed))
    wait_for_end(blend.prepare(runner))
    return blend


def test_the_first_corner_is_exact_and_the_others_differ_by_their_draws_alone(session, runner):
    blend = spanned(session, runner, 1, 2)
    first, second = (placed.record for placed in blend.placed)
    assert torch.equal(blend.codes[0, 0], first.latent(-1))
    assert blend.report()["corners"][0]["back"] == 99.0
    assert 25 < blend.report()["corners"][1]["back"] < 99
    x_T = own_noise(second)[None]
    shared = finish(session.method.generate(1, FEW, Noise(1), x_T=x_T))
    assert torch.equal(blend.codes[0, -1], shared[0])


def test_dragging_shows_what_lies_between_and_settling_what_the_prior_draws(
    session, runner, tmp_path
):
    blend = spanned(session, runner, 1, 2)
    answer = steer(session, runner, {"do": "blend", "u": 0.55, "v": 0})
    near = blend.record.latent(-1)
    assert answer["record"] == blend.record.id
    assert session.selection() == (blend.record, 9)
    assert torch.allclose(near, torch.lerp(blend.codes[0, 4], blend.codes[0, 5], 0.4), atol=1e-6)
    steer(session, runner, {"do": "settle", "u": 0.55, "v": 0})
    exact = blend.record.latent(-1)
    assert not torch.equal(exact, near)
    own = finish(session.method.generate(1, FEW, Noise(1), x_T=blend.record.noise[None]))
    assert torch.equal(own[0], exact), "what is shown comes from the noise that is kept with it"
    kept = blend.keep("kept")
    assert torch.equal(own_noise(kept), blend.record.noise)
    assert session.history[0] is kept
    stages = ["denoise", "denoise", "denoise", "renoise", "result"]
    assert [step.stage for step in kept.frames] == stages
    for place in range(4):
        branched, _ = branch(session, runner, kept, place, Change())
        wait_for_end(session.job)
        assert torch.equal(branched.latent(-1), exact), stages[place]
        assert own_noise(branched) is None, "what came of it is not its trunk's noise alone"
    with pytest.raises(ConfigError, match="no sampler drew"):
        branch(session, runner, blend.record, 0, Change())
    file = runs.save(kept, tmp_path / "run.safetensors")
    timeline, note = runs.load(file)
    priors = Priors(AppSettings(), session.method)
    again = runs.opened(timeline, note, runs.maker(timeline, priors), "cpu")
    session.add(again)
    opened, _ = branch(session, runner, again, 1, Change())
    wait_for_end(session.job)
    assert torch.equal(opened.latent(-1), exact), "opened from its file"
    blend.move(0.3, 0.0)
    near = blend.keep("near")
    assert [step.stage for step in near.frames] == ["result"]
    assert near.noise is None
    with pytest.raises(ConfigError, match="no steps"):
        branch(session, runner, near, 0, Change())


def test_what_the_page_keeps_is_drawn_in_full(session, runner):
    blend = spanned(session, runner, 1, 2)
    steer(session, runner, {"do": "blend", "u": 0.3, "v": 0})
    steer(session, runner, {"do": "path", "act": "store"})
    kept = session.history[0]
    assert len(kept.frames) == 5
    steer(session, runner, {"do": "blend", "u": 0.4, "v": 0})
    assert len(settled(session, blend.record).frames) == 5


def test_a_point_that_somebody_left_is_not_shown_when_it_arrives(session, runner, monkeypatch):
    blend = spanned(session, runner, 1, 2)
    generate = session.method.generate

    def slow(*args, **options):
        blend.move(0.0, 0.0)  # somebody drags on while it is drawn
        return generate(*args, **options)

    monkeypatch.setattr(session.method, "generate", slow)
    blend.settle(0.5, 0.0)
    assert blend.point == (0.0, 0.0)
    assert torch.equal(blend.record.latent(-1), blend.codes[0, 0])


@pytest.mark.parametrize("deed", ["prepare", "one corner"])
def test_a_point_of_a_path_that_is_no_more_is_not_shown(session, runner, monkeypatch, deed):
    blend = spanned(session, runner, 1, 2)
    old, generate = blend.record, session.method.generate

    def slow(*args, **options):
        if deed == "one corner":
            blend.remove(1)
        blend.prepare(runner)
        return generate(*args, **options)

    shown = [step.stage for step in old.frames]
    monkeypatch.setattr(session.method, "generate", slow)
    blend.settle(0.4, 0.0)
    monkeypatch.undo()
    assert [step.stage for step in old.frames] == shown
    assert old.noise is None
    if deed == "prepare":
        wait_for_end(session.job)
        assert [step.stage for step in blend.keep("new").frames] == ["result"]


def test_a_way_that_was_gone_is_not_drawn_again(session, runner, monkeypatch):
    blend = spanned(session, runner, 1, 2)
    slerp, told = blend.codes, blend.report()["corners"]
    blend.choose("code", "ours")
    wait_for_end(blend.prepare(runner))
    assert not torch.equal(blend.codes, slerp)
    with monkeypatch.context() as patch:
        patch.setattr(blending, "path", None)
        blend.choose("slerp", "ours")
        wait_for_end(blend.prepare(runner))
    assert torch.equal(blend.codes, slerp)
    assert [step.stage for step in blend.record.frames] == [*["path"] * 9, "result"]
    assert blend.report()["corners"] == told
    first = blend.placed[0].record
    blend.remove(0)
    blend.add(first)
    wait_for_end(blend.prepare(runner))
    assert not torch.equal(blend.codes, slerp), "other corners, other path"


def test_three_corners_span_a_pad_whose_lower_edge_is_the_third(session, runner):
    blend = spanned(session, runner, 1, 2, 3)
    assert blend.codes.shape[:2] == (5, 5)
    assert all(torch.equal(blend.codes[4, k], blend.codes[4, 0]) for k in range(5))
    blend.remove(2)
    assert blend.codes is None
    version = blend.record.version
    for deed in ("blend", "settle"):
        answer = steer(session, runner, {"do": deed, "u": 0, "v": 0})
        assert answer["version"] == version, "nothing moves while the keyframes are drawn"
    blend.remove(1)
    assert blend.prepare(runner) is None
    with pytest.raises(ValueError, match="no path"):
        steer(session, runner, {"do": "blend", "u": 0, "v": 0})


def test_an_object_without_noise_is_inverted_and_the_page_is_told_how_well(
    session, runner, vehicles
):
    found = Record(
        "file", "A file", {}, [result_step(vehicles.gallery[:1])], vehicles, state="done"
    )
    session.add(found)
    blend = session.part(Blend)
    blend.choose("code", "ours")
    blend.add(found)
    blend.add(drawn(session, 1))
    wait_for_end(blend.prepare(runner))
    assert blend.report()["corners"][0]["returned"] is None, "codes need no noise"
    assert blend.report()["corners"][0]["back"] == 99.0
    blend.choose("slerp", "ours")
    wait_for_end(blend.prepare(runner))
    told = blend.report()["corners"]
    assert told[0]["returned"] > 15
    assert (told[0]["own"], told[1]["own"]) == (False, True)
    assert told[1]["returned"] is None


def test_what_cannot_be_a_corner_gets_a_sentence(session, runner):
    blend = session.part(Blend)
    toy = ToyMethod()
    toy.info = replace(toy.info, capabilities=Capabilities())
    other = Record("generate", "Toy", {}, [result_step(toy.gallery[:1])], toy, state="done")
    with pytest.raises(ConfigError, match="no way between two objects"):
        blend.add(other)
    one = drawn(session, 1)
    one.state = "running"
    with pytest.raises(ConfigError, match="not finished"):
        blend.add(one)
    one.state = "done"
    for _ in range(4):
        blend.add(one)
    with pytest.raises(ConfigError, match="four corners"):
        blend.add(one)
    with pytest.raises(ConfigError, match="expected slerp"):
        blend.choose("straight", "ours")


def test_directions_move_an_object_by_standard_deviations_and_back(session, runner, vehicles):
    base = drawn(session, 1)
    answer = steer(session, runner, {"do": "vary", "record": base.id, "amounts": [0, 1.5]})
    shown = session.selection()[0]
    assert shown.id == answer["record"] != base.id
    moved = (base.latent(-1) + 1.5 * vehicles.directions[1]).clamp(-2, 2)
    assert torch.allclose(shown.latent(-1), moved, atol=1e-5)
    steer(session, runner, {"do": "vary", "record": base.id, "amounts": [0] * 8})
    assert torch.allclose(shown.latent(-1), base.latent(-1), atol=1e-6)
    assert shown not in session.history
    assert session.part(Variation).record is shown


def test_a_film_of_the_path_is_written(session, runner, tmp_path, monkeypatch):
    monkeypatch.setattr(blending, "FILM_FRAMES", 5)
    monkeypatch.setattr(blending, "FILM_SIZE", 32)
    blend = spanned(session, runner, 1, 2)
    for ending, magic in (("gif", b"GIF8"), ("mp4", b"ftyp")):
        path = finish(blend.film(tmp_path / f"path-1.{ending}"))
        assert magic in path.read_bytes()[:32]
