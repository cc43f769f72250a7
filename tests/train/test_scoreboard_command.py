"""`launch.py scoreboard`: the small priors of the ablation are trained once, by one process."""

import dataclasses

import pytest

from app.commands.evaluate import Scoreboard
from engine.errors import ConfigError
from engine.evaluation import kept
from engine.evaluation.kept import Ranks
from engine.evaluation.protocol import BoardOptions
from engine.events import finish
from engine.store.checkpoint import open_checkpoint, read_metrics
from train.recipes import RECIPES

TINY = RECIPES["smoke"].changed(
    iterations=2, scenes=4, views=4, size=32, log_every=1, tune_scenes=1
)
SMALL = {name: TINY.changed(name=name) for name in ("vehicles-short", "vehicles-two-stage")}


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, recipe in SMALL.items():
        monkeypatch.setitem(RECIPES, name, recipe)
    monkeypatch.setattr(
        "train.run.settle", lambda folder, **_: settled(folder)
    )  # choosing settings takes minutes and has tests of its own
    return Scoreboard("vehicles", tmp_path / "board", device="cpu")


def settled(folder):
    from engine.evaluation.tune import add_metrics

    add_metrics(folder, settled=True)
    yield from ()


def test_missing_small_priors_are_trained_once(command, tmp_path):
    steps = []
    first = finish(command._small_priors(BoardOptions(), Ranks()), steps.append)
    assert first == tuple(f"runs/{name}/checkpoint" for name in SMALL)
    for path in first:
        assert open_checkpoint(path, "cpu").data.category == "vehicles"
        assert read_metrics(tmp_path / path) == {"settled": True}
    assert {step.stage for step in steps} == {"dataset", "train"}
    again = finish(command._small_priors(BoardOptions(), Ranks()), pytest.fail)
    assert again == first


def test_small_priors_of_another_recipe_are_not_taken(command, monkeypatch):
    finish(command._small_priors(BoardOptions(), Ranks()))
    name = "vehicles-two-stage"
    quieter = SMALL[name].changed(log_every=7)
    monkeypatch.setitem(RECIPES, name, quieter)
    finish(command._small_priors(BoardOptions(), Ranks()), pytest.fail)
    monkeypatch.setitem(RECIPES, name, SMALL[name].changed(iterations=3))
    with pytest.raises(ConfigError, match=r"iterations 2 -> 3\); remove runs/vehicles-two-stage"):
        finish(command._small_priors(BoardOptions(), Ranks()))


def test_a_run_that_was_killed_before_its_settings_were_chosen_goes_on(command, tmp_path):
    path, _ = finish(command._small_priors(BoardOptions(), Ranks()))
    (tmp_path / path / "metrics.json").unlink()
    steps = []
    finish(command._small_priors(BoardOptions(), Ranks()), steps.append)
    assert "train" not in {step.stage for step in steps}
    assert read_metrics(tmp_path / path) == {"settled": True}


def test_the_first_of_two_processes_trains_both(command, monkeypatch):
    monkeypatch.setattr(kept, "POLL_SECONDS", 0.0)
    runs = [command._small_priors(BoardOptions(), Ranks(rank, 2)) for rank in (0, 1)]
    trained, ended = [0, 0], {}
    while len(ended) < 2:
        for rank in {0, 1} - ended.keys():
            try:
                trained[rank] += next(runs[rank]).stage == "train"
            except StopIteration as stop:
                ended[rank] = stop.value
    assert ended[0] == ended[1] == tuple(f"runs/{name}/checkpoint" for name in SMALL)
    assert trained == [4, 0]


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"equal_compute": False}, BoardOptions()),
        ({"quick": True}, BoardOptions()),
        ({}, BoardOptions(ablation_scenes=0)),
        ({"category": "chairs"}, BoardOptions()),
    ],
)
def test_nothing_is_trained_where_nobody_asked_for_it(command, changes, options):
    asked = dataclasses.replace(command, **changes)
    assert finish(asked._small_priors(options, Ranks()), pytest.fail) == (None, None)


def test_named_priors_are_taken_as_they_are(command):
    named = dataclasses.replace(command, one_stage="a", two_stage="b")
    assert finish(named._small_priors(BoardOptions(), Ranks()), pytest.fail) == ("a", "b")
