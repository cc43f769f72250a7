"""Branches in a session."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from app.session import runs
from app.session.priors import Priors
from app.session.records import Record
from app.settings import AppSettings
from app.tabs.complete.keeping import Keeping
from app.tabs.inspect.branching import Change, branch, change_of, pictures
from app.tabs.inspect.inspector import report, tree
from engine.config import to_json
from engine.diffusion.sample import Sampler
from engine.errors import ConfigError
from engine.methods.base import options_of
from engine.methods.toy_options import MatchOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views
from engine.types import Views
from tests.app.test_jobs import wait_for_end
from tests.app.test_session import generate

FIT = MatchOptions(levels=3, rounds=2)


def drawn(session, runner) -> Record:
    """An object of the model, in few steps."""
    method = session.method
    options = replace(options_of(method, "generate", "paper"), steps=4)
    about = {"seed": 3, "settings": to_json(options)}
    record = Record("generate", "Seed 3", about, [], method)
    wait_for_end(session.start(runner, lambda: method.generate(1, options, Noise(3)), [record], ()))
    return record


def views(method) -> Views:
    camera = orbit_camera(torch.tensor([30.0]), 10.0, 1.3, 24)
    return Views(render_views(method.scene(method.gallery[1]).field, camera), camera)


def reconstruct(session, runner) -> Record:
    given = views(session.method)
    about = {"seed": 2, "settings": to_json(FIT)}
    record = Record("reconstruct", "From 1 picture", about, [], session.method, views=given)
    method = session.method
    wait_for_end(
        session.start(runner, lambda: method.reconstruct(given, FIT, Noise(2)), [record], ())
    )
    return record


@pytest.mark.parametrize("place", range(3))
def test_a_branch_without_a_change_is_its_trunk_bit_for_bit(session, runner, place):
    _, record = generate(session, runner, count=2, seed=4)
    made, _ = branch(session, runner, record, place, Change())
    wait_for_end(session.job)
    assert len(made.frames) == len(record.frames)
    for index in range(len(made.frames)):
        assert torch.equal(made.latent(index), record.latent(index)), index
    assert made.trunk == (record.id, place)
    assert session.history[0] is made


def test_a_proposal_branches_with_what_it_keeps(session, method, runner, tmp_path):
    keeping = session.part(Keeping)
    original = drawn(session, runner)
    keeping.begin(original)
    keeping.half("front")
    wait_for_end(keeping.propose(runner, 1, 7))
    (proposal,) = keeping.proposals
    stages = [step.stage for step in proposal.frames]
    assert proposal.figures["kept"] > 20
    timeline, note = runs.load(runs.save(proposal, tmp_path / "run.safetensors"))
    again = runs.opened(timeline, note, runs.maker(timeline, Priors(AppSettings(), method)), "cpu")
    assert again.method is method
    session.add(again)
    same, _ = branch(session, runner, again, 5, Change())
    wait_for_end(session.job)
    assert [step.stage for step in same.frames] == stages
    assert same.figures["kept"] == pytest.approx(proposal.figures["kept"])
    assert torch.equal(same.latent(-1), proposal.latent(-1)), "opened from its file"
    other, _ = branch(session, runner, proposal, 2, Change(seed=8, settings={"spread": 2.0}))
    wait_for_end(session.job)
    assert not torch.equal(other.latent(-1), proposal.latent(-1))
    assert other.figures["kept"] > 20
    assert other.provenance["settings"]["spread"] == 2.0
    proposal.kept = None
    with pytest.raises(ConfigError, match="what it was to keep"):
        branch(session, runner, proposal, 2, Change())


def test_a_reconstruction_branches_too(session, runner):
    record = reconstruct(session, runner)
    for place in range(len(record.frames) - 1):
        made, _ = branch(session, runner, record, place, Change())
        wait_for_end(session.job)
        assert [step.stage for step in made.frames] == [step.stage for step in record.frames]
        assert torch.equal(made.latent(-1), record.latent(-1))
    assert made.psnr == record.psnr


def test_a_change_is_written_down(session, runner):
    record = reconstruct(session, runner)
    change = Change(seed=9, settings={"pull": 7.0, "rate": 0.3})
    made, _ = branch(session, runner, record, 1, change)
    wait_for_end(session.job)
    assert made.provenance["seed"] == 9
    settings = made.provenance["settings"]
    assert (settings["pull"], settings["rate"]) == (7.0, 0.3)
    assert record.provenance["settings"]["pull"] != 7.0
    assert made.provenance["trunk"] == {"title": "From 1 picture", "after": "guide 2"}


def test_other_pictures_guide_the_rest(session, runner):
    record = reconstruct(session, runner)
    with pytest.raises(ConfigError, match="drop one"):
        pictures(session)
    session.set_slot(0, views(session.method))
    made, _ = branch(session, runner, record, 0, Change(views=pictures(session)))
    wait_for_end(session.job)
    assert made.views is not record.views
    assert len(made.psnrs) == 1


def test_branches_hang_together_as_a_tree(session, runner):
    (root,) = generate(session, runner)
    first, _ = branch(session, runner, root, 0, Change(seed=5))
    wait_for_end(session.job)
    second, _ = branch(session, runner, first, 1, Change(seed=6))
    wait_for_end(session.job)
    for record in (root, first, second):
        found = tree(session, record)
        assert [one["id"] for one in found] == [root.id, first.id, second.id]
        assert [one["trunk"] for one in found] == [None, (root.id, 0), (first.id, 1)]


def test_there_is_nothing_to_branch_from_after_the_end(session, runner):
    (record,) = generate(session, runner)
    for shown, place in ((record, 3), session.selection(), (session.snapshot().panes[0].record, 3)):
        with pytest.raises(ConfigError, match="step to branch from"):
            branch(session, runner, shown, place, Change())


def test_the_inspector_says_which_steps_can_be_branched_from_and_why_not_the_others(
    session, runner
):
    record = drawn(session, runner)
    told = report(session, record)["obstacles"]
    assert len(told) == len(record.frames)
    for place, sentence in enumerate(told):
        if sentence is None:
            branch(session, runner, record, place, Change())
            wait_for_end(session.job)
        else:
            with pytest.raises(ConfigError) as refused:
                branch(session, runner, record, place, Change())
            assert str(refused.value) == sentence
    assert told[0] is None
    assert told[-1] is not None


def test_pictures_do_not_guide_what_is_made_of_noise_alone(session, runner):
    (record,) = generate(session, runner)
    with pytest.raises(ConfigError, match="reconstruction"):
        branch(session, runner, record, 0, Change(views=views(session.method)))


def test_the_form_offers_what_a_branch_of_the_record_may_change(session, runner):
    wanted = {"generate": ["sampler", "spread"], "reconstruct": ["pull", "rate"]}
    for record in (drawn(session, runner), reconstruct(session, runner)):
        fields = {one["name"]: one for one in report(session, record)["settings"]}
        assert list(fields) == wanted[record.kind]
        for name, field in fields.items():
            assert field["value"] == record.provenance["settings"][name]
        if record.kind == "generate":
            assert set(fields["sampler"]["choices"]) == set(get_args(Sampler))
            wrong = {"settings": {"sampler": "euler"}}
            with pytest.raises(ConfigError, match="expected"):
                branch(session, runner, record, 0, change_of(session, record, wrong))
    told = {"seed": "7", "settings": {"rate": "", "pull": "7"}}
    assert change_of(session, record, told) == Change(seed=7, settings={"pull": 7.0})
    for wrong in ({"pull": "x"}, {"seed": "x"}):
        with pytest.raises(ConfigError, match="no number"):
            change_of(session, record, {"settings": wrong, **wrong})
    for wrong in ({"rate": "99"}, {"rounds": 3}):
        with pytest.raises(ConfigError, match="expected"):
            branch(session, runner, record, 0, change_of(session, record, {"settings": wrong}))


def test_the_form_offers_nothing_of_a_run_that_cannot_be_gone_on_with(session):
    record, _ = session.selection()
    assert report(session, record)["settings"] == []
