"""Random draws that are made ahead: an iteration that reads them is the one that draws for itself."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from engine.data.pack import pack_scenes
from engine.data.procedural.categories import VEHICLES
from engine.events import finish
from engine.noise import Noise
from engine.training.graph import AHEAD, Draws, Tape
from engine.training.loop import load_batch
from engine.training.state import TrainState
from train.recipes import RECIPES

SMOKE = RECIPES["smoke"].changed(scenes=2, views=3, size=24)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack") / "vehicles"
    return finish(pack_scenes(folder, VEHICLES, range(2), SMOKE.data.views, SMOKE.data.size))


def learnt(data, noise):
    """Latents after one iteration with the given noise, and its numbers."""
    state = TrainState.fresh(SMOKE, len(data))
    scenes = torch.arange(2)
    records = state.bank.fetch(scenes, "cpu")
    batch = load_batch(data, scenes, "cpu")
    report = state.method.training_step(
        batch, records, state.optimizers, SMOKE.train, 0, noise, torch.tensor(0.5).double()
    )
    return records.raw, {name: float(value) for name, value in report.items()}


def test_draws_made_ahead_are_those_that_the_seed_gives(data):
    examples = {}

    def listen(draw):
        examples[draw] = getattr(Noise(3), draw[0])(*draw[1:])
        return examples[draw]

    expected = learnt(data, Noise(3))
    heard = learnt(data, Tape(3, source=listen))
    with ThreadPoolExecutor(2) as threads:
        draws = Draws(examples, lambda step: 3 + step, torch.device("cpu"), threads)
        for step in range(AHEAD + 3):
            draws.load(step)
            for (kind, *arguments), view in draws.views.items():
                assert torch.equal(view, getattr(Noise(3 + step), kind)(*arguments))
        draws.load(0)
        laid = learnt(data, Tape(3, source=draws.views.__getitem__))
    for raw, report in (heard, laid):
        assert torch.equal(raw, expected[0])
        assert report == expected[1]
    assert {kind for kind, *_ in examples} == {"normal", "uniform", "integers", "pixels"}
