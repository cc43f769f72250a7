"""The trainer with a method that has nothing of SSDNeRF: a code for each scene, one linear layer, no grid and no prior."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from torch import nn

from engine.data.pack import pack_scenes
from engine.data.procedural.categories import VEHICLES
from engine.events import finish
from engine.methods import METHODS
from engine.methods.optimise import LatentRecords
from engine.methods.training import ParameterGroup, Stage, Trainable
from engine.training.keeping import load_state, read_log
from engine.training.loop import iterate, train
from engine.training.recipe import DataOptions, LoopOptions, Recipe
from engine.training.state import TrainState
from train.__main__ import parse
from train.recipes import RECIPES


@dataclasses.dataclass(frozen=True)
class MeansConfig:
    width: int = 5


@dataclasses.dataclass(frozen=True)
class MeansOptions:
    rate: float = 1e-2
    code_rate: float = 3e-2
    decay: float = 0.0
    keep_codes: bool = True
    second_from: int | None = None


class Means(nn.Module):
    """The mean colour of a random view of a scene, from the scene's code."""

    network_dtype = None

    def __init__(self, config: MeansConfig):
        super().__init__()
        self.config = config
        self.net = nn.Linear(config.width, 3)
        self.register_buffer("begun", torch.zeros(2))

    @property
    def device(self):
        return self.begun.device

    def stages(self, options, iterations):
        second = options.second_from
        return [Stage("one"), *([] if second is None else [Stage("two", second)])]

    def begin_stage(self, stage, records):
        self.begun[("one", "two").index(stage)] += 1 + (0 if records is None else len(records.raw))

    def bank(self, scenes, noise, options):
        if not options.keep_codes:
            return None
        return LatentRecords.fresh(noise.normal((scenes, self.config.width), "codes"))

    def parameter_groups(self, options):
        return {"net": ParameterGroup(list(self.net.parameters()), options.rate, options.decay)}

    def training_step(self, batch, records, optimizers, options, step, noise, rate_factor=1.0):
        view = int(noise.integers(0, batch.images.shape[1], (1,), "view"))
        images = batch.images if batch.scene is None else batch.images[batch.scene]
        wanted = images[:, view].float().mean((1, 2)) / 255
        raw = torch.zeros(len(wanted), self.config.width) if records is None else records.raw
        raw = raw.detach().requires_grad_(True)
        loss = (self.net(raw) - wanted).square().mean()
        optimizers["net"].zero_grad()
        loss.backward()
        optimizers["net"].step()
        if records is not None:
            records.raw = raw.detach()
            records.adam(raw.grad, options.code_rate * rate_factor)
        return {"loss": loss.detach()}

    def iteration_kind(self, options, step):
        return None

    def networks(self):
        return self.config

    def activated(self, raw):
        return raw

    def deactivated(self, latents):
        return latents

    def finish(self, raw):
        self.mean_latent = raw.mean(0)


RECIPE = Recipe(
    name="means",
    model=MeansConfig(),
    train=MeansOptions(),
    data=DataOptions(scenes=3, views=2, size=16),
    loop=LoopOptions(batch=2, iterations=9, warmup=1, first_iterations=0, log_every=3),
)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(METHODS, "means", (Means, MeansConfig))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack") / "vehicles"
    return finish(pack_scenes(folder, VEHICLES, range(3), 2, 16))


def test_a_method_of_codes_and_a_layer_is_all_that_the_trainer_needs(data, tmp_path):
    assert isinstance(Means(MeansConfig()), Trainable)
    state = TrainState.fresh(RECIPE.changed(iterations=150), len(data))
    losses = []
    method = finish(train(state, data, tmp_path), lambda step: losses.append(step.scalars["loss"]))
    assert sum(losses[-9:]) < 0.05 * sum(losses[:9])
    assert method.data.category == "vehicles"
    assert torch.equal(method.mean_latent, state.bank.records.raw.mean(0))
    assert int(state.bank.records.steps.sum()) == 2 * 150


def test_it_goes_on_to_the_bit_from_what_lay_on_the_disk_when_it_was_killed(data, tmp_path):
    """Also within a stage, which is begun once however often the run is."""
    options = MeansOptions(decay=0.1, second_from=4)
    recipe = RECIPE.changed(train=options, save_every_s=0.0, half_bank=True)
    whole = TrainState.fresh(recipe, len(data))
    for step in train(whole, data, tmp_path / "run"):
        if step.index in (4, 6):  # the state before this iteration's is on the disk
            shutil.copytree(tmp_path / "run", tmp_path / f"killed-{step.index}")
    for index in (4, 6):
        folder = tmp_path / f"killed-{index}"
        state = TrainState.fresh(recipe, len(data))
        assert load_state(state, folder) == []
        assert state.step == index - 1
        finish(train(state, data, folder))
        for part, tensors in whole.state_dicts().items():
            for name, tensor in tensors.items():
                assert torch.equal(tensor, state.state_dicts()[part][name]), (index, part, name)
        moments = [s.optimizers["net"].state_dict()["state"][0]["exp_avg"] for s in (whole, state)]
        assert torch.equal(*moments)
        logs = [
            [(line["step"], line["loss"]) for line in read_log(path / "metrics.jsonl")]
            for path in (tmp_path / "run", folder)
        ]
        assert logs[0] == logs[1]
        assert state.method.begun.tolist() == [4.0, 4.0]
        assert state.average.begun.tolist() == [4.0, 4.0]


def test_weights_decay_as_adamw_says(data):
    """With the rate r and the decay w the weights shrink by 1 - r w in a step; the rest is Adam's."""
    steps = {}
    for decay in (0.0, 0.5):
        recipe = RECIPE.changed(train=MeansOptions(rate=0.1, decay=decay))
        state = TrainState.fresh(recipe, len(data))
        before = state.method.net.weight.detach().clone()
        iterate(state, data)
        steps[decay] = state.method.net.weight.detach() - before
    torch.testing.assert_close(steps[0.5], steps[0.0] - 0.1 * 0.5 * before)


def test_a_method_may_keep_nothing_of_scenes(data, tmp_path):
    recipe = RECIPE.changed(train=MeansOptions(keep_codes=False), first_iterations=1)
    state = TrainState.fresh(recipe, len(data))
    method = finish(train(state, data, tmp_path))
    assert not hasattr(method, "mean_latent")
    again = TrainState.fresh(recipe, len(data))
    load_state(again, tmp_path)
    assert torch.equal(again.method.net.weight, state.method.net.weight)


def test_weights_start_only_from_a_method_of_the_same_networks(data):
    wide = TrainState.fresh(RECIPE.changed(model=MeansConfig(width=6)), len(data)).method
    wide.checkpoint = "wide"
    with pytest.raises(Exception, match="wide: its networks differ from recipe means's"):
        TrainState.fresh(RECIPE, len(data)).warm_start(wide)


def test_its_settings_are_options_of_the_command(monkeypatch):
    monkeypatch.setitem(RECIPES, "means", RECIPE)
    flags = ["--train.rate", "0.5", "--model.width", "7", "--batch", "1", "--scenes", "2"]
    command = parse("train", ["means", *flags])
    recipe = command.recipe
    assert (recipe.train.rate, recipe.model.width) == (0.5, 7)
    assert (recipe.loop.batch, recipe.data.scenes) == (1, 2)
    assert recipe.loop.iterations == 9
