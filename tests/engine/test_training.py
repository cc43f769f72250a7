"""The trainer: it learns, repeats itself, and goes on exactly where it was."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch

from engine.data.pack import pack_scenes
from engine.data.procedural.categories import CHAIRS, VEHICLES
from engine.errors import CheckpointError, EngineError, WriteError
from engine.events import finish
from engine.methods.base import Capabilities
from engine.methods.ssdnerf.options import SampleOptions
from engine.methods.training import latent_statistics
from engine.noise import Noise
from engine.store.checkpoint import find_checkpoint, open_checkpoint, save_checkpoint
from engine.training.ema import ema_decay, update_ema
from engine.training.keeping import load_state, read_log, trim_log
from engine.training.loop import (
    finished,
    iterate,
    rate_factor,
    scene_order,
    span_of,
    train,
    warmup_factor,
)
from engine.training.preview import save_preview
from engine.training.recipe import LoopOptions
from engine.training.state import TrainState
from tests.full_disk import files_of_at_most
from train.recipes import RECIPES

SMOKE = RECIPES["smoke"].changed(scenes=6, views=6, size=32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack") / "vehicles"
    return finish(pack_scenes(folder, VEHICLES, range(6), SMOKE.data.views, SMOKE.data.size))


def tensors(state: TrainState, path) -> dict:
    state.save(path)
    return torch.load(path, weights_only=True)


def assert_same(a, b, where="state", but=""):
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a.keys() - {but}:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, list):
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{k}]")
    else:
        assert a == b, where


def test_smoke_recipe_learns(data):
    state = TrainState.fresh(SMOKE, len(data))
    reports = [iterate(state, data) for _ in range(60)]
    start = sum(r["psnr"] for r in reports[:3]) / 3
    end = sum(r["psnr"] for r in reports[-6:]) / 6
    assert end > start + 6


def test_saved_and_loaded_run_equals_an_uninterrupted_one(data, tmp_path):
    whole = TrainState.fresh(SMOKE, len(data))
    for _ in range(8):
        iterate(whole, data)
    half = TrainState.fresh(SMOKE, len(data))
    for _ in range(3):
        iterate(half, data)
    half.save(tmp_path / "half.pt")
    resumed = TrainState.fresh(SMOKE, len(data))
    resumed.load(tmp_path / "half.pt")
    for _ in range(5):
        iterate(resumed, data)
    assert_same(tensors(whole, tmp_path / "a.pt"), tensors(resumed, tmp_path / "b.pt"))


def test_closing_a_run_saves_it_and_the_log_continues_without_repetition(data, tmp_path):
    recipe = SMOKE.changed(iterations=6, log_every=1)
    run = train(TrainState.fresh(recipe, len(data)), data, tmp_path)
    for _ in range(4):
        step = next(run)
    run.close()
    assert step.index == 4
    assert step.total == 6
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write(
            '{"step": 5, "psnr": 1.0}\n{"step": 6, "ps'
        )  # written after the last save, then killed
    state = TrainState.fresh(recipe, len(data))
    state.load(tmp_path / "state.pt")
    assert state.step == 4
    method = finish(train(state, data, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert len(method.gallery) == 6


def test_state_of_another_recipe_is_refused(data, tmp_path):
    TrainState.fresh(SMOKE, len(data)).save(tmp_path / "state.pt")
    unet = dataclasses.replace(SMOKE.model.unet, base=8)
    other = SMOKE.changed(model=dataclasses.replace(SMOKE.model, unet=unet))
    with pytest.raises(CheckpointError, match="does not fit this recipe"):
        TrainState.fresh(other, len(data)).load(tmp_path / "state.pt")


def test_a_resumed_run_says_which_settings_changed(data, tmp_path):
    TrainState.fresh(SMOKE, len(data)).save(tmp_path / "state.pt")
    assert TrainState.fresh(SMOKE, len(data)).load(tmp_path / "state.pt") == []
    longer = SMOKE.changed(iterations=900)
    changes = TrainState.fresh(longer, len(data)).load(tmp_path / "state.pt")
    assert changes == ["iterations 300 -> 900"]


def test_a_state_whose_recipe_lies_flat_goes_on(data, tmp_path):
    """As they were before recipes had parts: everything but `model` and `train` side by side."""
    TrainState.fresh(SMOKE, len(data)).save(tmp_path / "state.pt")
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    recipe = json.loads(content["recipe"])
    flat = recipe | recipe.pop("data") | recipe.pop("loop")
    for name in ("unet_rate", "decoder_rate", "denoiser_from"):
        flat[name] = flat["train"].pop(name)
    torch.save(content | {"recipe": json.dumps(flat)}, tmp_path / "state.pt")
    assert TrainState.fresh(SMOKE, len(data)).load(tmp_path / "state.pt") == []
    rates = dataclasses.replace(SMOKE.train, unet_rate=1e-4)
    other = SMOKE.changed(train=rates, batch=2)
    changes = TrainState.fresh(other, len(data)).load(tmp_path / "state.pt")
    assert sorted(changes) == ["batch 4 -> 2", "train.unet_rate 0.002 -> 0.0001"]


def test_numbers_that_are_not_finite_stop_the_run_and_name_the_iteration(data):
    state = TrainState.fresh(SMOKE, len(data))
    with torch.no_grad():
        state.method.decoder.base[0].weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="iteration 0"):
        iterate(state, data)


def test_every_scene_is_visited_once_per_epoch():
    loop = SMOKE.changed(batch=4, first_iterations=0).loop
    seen = torch.cat([scene_order(loop, 12, step) for step in range(3)])
    assert sorted(seen.tolist()) == list(range(12))
    again = torch.cat([scene_order(loop, 12, step) for step in range(3, 6)])
    assert sorted(again.tolist()) == list(range(12))
    assert seen.tolist() != again.tolist()


def test_first_iterations_stay_with_the_first_scenes_and_the_others_start_from_their_mean(data):
    recipe = SMOKE.changed(batch=2, first_scenes=4, first_iterations=3)
    state = TrainState.fresh(recipe, len(data))
    for _ in range(3):
        iterate(state, data)
    raw = state.bank.records.raw.clone()
    assert (state.bank.records.steps[4:] == 0).all()
    state.spread_mean()
    activation = state.method.activation
    expected = activation(raw[state.bank.records.steps > 0]).mean(0)
    torch.testing.assert_close(activation(state.bank.records.raw[5]), expected)


def test_rates_are_constant_then_fall_to_their_last_share():
    loop, span = LoopOptions(decay_from=0.5, final_rate=0.1), range(100)
    assert rate_factor(loop, span, 0) == rate_factor(loop, span, 49) == 1
    assert rate_factor(loop, span, 75) == pytest.approx(0.55)
    assert rate_factor(loop, span, 100) == pytest.approx(0.1)


def test_every_stage_of_a_two_stage_run_has_its_own_warm_up_and_decay():
    options = dataclasses.replace(SMOKE.train, stage="fields", denoiser_from=100)
    loop = LoopOptions(iterations=300, warmup=10, decay_from=0.5)
    stages = TrainState.fresh(SMOKE, 1).method.stages(options, 300)
    assert stages == (("fields", 0), ("denoiser", 100))
    spans = [span_of(stages, 300, step) for step in (0, 99, 100, 299, 300)]
    assert spans == [range(100)] * 2 + [range(100, 300)] * 3
    assert [options.stage_at(step) for step in (0, 99, 100, 299)] == [
        "fields", "fields", "denoiser", "denoiser",
    ]  # fmt: skip

    def factors(factor, *steps):
        return [factor(loop, span_of(stages, 300, step), step) for step in steps]

    assert factors(rate_factor, 0, 49, 100, 199) == [1.0] * 4
    (last, middle, later) = factors(rate_factor, 99, 75, 250)
    assert last < 0.06 < 0.06 + middle
    assert middle == pytest.approx(later)
    assert factors(warmup_factor, 0, 4, 50, 100, 104, 200) == [0.1, 0.5, 1.0, 0.1, 0.5, 1.0]


def test_two_stages_learn_one_after_the_other(data):
    options = dataclasses.replace(SMOKE.train, stage="fields", denoiser_from=2)
    state = TrainState.fresh(SMOKE.changed(train=options), len(data))
    weights = {}
    for step in range(4):
        iterate(state, data)
        decoder, unet = (
            torch.cat([p.detach().flatten().clone() for p in part.parameters()])
            for part in (state.method.decoder, state.method.unet)
        )
        weights[step] = decoder, unet, state.bank.records.raw.clone()
    assert not torch.equal(weights[0][0], weights[1][0])
    assert torch.equal(weights[0][1], weights[1][1])
    assert torch.equal(weights[1][0], weights[3][0])
    assert not torch.equal(weights[2][1], weights[3][1])
    assert torch.equal(weights[1][2], weights[3][2])


def test_a_line_of_the_log_holds_what_each_stage_within_it_measured(data, tmp_path):
    options = dataclasses.replace(SMOKE.train, stage="fields", denoiser_from=3)
    recipe = SMOKE.changed(train=options, iterations=5, log_every=5)
    reports = []
    run = train(TrainState.fresh(recipe, len(data)), data, tmp_path)
    finish(run, lambda step: reports.append(dict(step.scalars)))
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    psnr, loss = (
        [report[key] for report in reports if key in report] for key in ("psnr", "diffusion_loss")
    )
    assert (len(psnr), len(loss)) == (3, 2)
    assert line["psnr"] == pytest.approx(sum(psnr) / 3, abs=1e-5)
    assert line["diffusion_loss"] == pytest.approx(sum(loss) / 2, abs=1e-5)


def test_held_networks_stay_while_latents_move(data):
    state = TrainState.fresh(SMOKE.changed(hold=2, warmup=1), len(data))
    parts = lambda: [p.detach().clone() for p in state.method.parameters()]  # noqa: E731
    before, raw = parts(), state.bank.records.raw.clone()
    for _ in range(2):
        iterate(state, data)
    assert all(torch.equal(a, b) for a, b in zip(before, parts(), strict=True))
    assert not torch.equal(raw, state.bank.records.raw)
    iterate(state, data)
    assert not all(torch.equal(a, b) for a, b in zip(before, parts(), strict=True))


def test_average_follows_the_closed_form():
    live, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    with torch.no_grad():
        live.weight.fill_(1)
        average.weight.fill_(0)
    for _ in range(10):
        update_ema(average, live, 0.9)
    assert average.weight.item() == pytest.approx(1 - 0.9**10, rel=1e-5)
    assert ema_decay(10**6) == pytest.approx(0.5 ** (16 / 4000))


def test_log_is_trimmed_to_the_state(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    trim_log(tmp_path, 2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert list(tmp_path.iterdir()) == [log]


def test_a_damaged_log_is_put_aside_and_what_can_be_read_of_it_goes_on(tmp_path, caplog):
    log = tmp_path / "metrics.jsonl"
    damaged = b'{"step": 1, "a": 1}\n\xff\x00\n[3]\n{"step": "4"}\n{"step": 5}\n'
    log.write_bytes(damaged)
    trim_log(tmp_path, 9)
    assert log.read_text() == '{"step": 1, "a": 1}\n{"step": 5}\n'
    assert (tmp_path / "metrics-damaged.jsonl").read_bytes() == damaged
    assert "3 of 5 lines cannot be read" in caplog.text
    assert read_log(log) == [{"step": 1, "a": 1}, {"step": 5}]


@pytest.fixture
def trained(data, tmp_path):
    """A folder with two states, and their iterations."""
    recipe = SMOKE.changed(iterations=3, save_every_s=0.0, log_every=1)
    run = train(TrainState.fresh(recipe, len(data)), data, tmp_path)
    next(run)
    next(run)
    run.close()
    steps = [
        torch.load(tmp_path / name, weights_only=True)["step"]
        for name in ("state.pt", "state-before.pt")
    ]
    assert steps == [2, 1]
    return recipe, tmp_path


def flipped(path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a bit": lambda path: flipped(path, path.stat().st_size // 2),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_state_before_a_damaged_one_is_taken_and_that_is_said(damage, trained, data, caplog):
    recipe, folder = trained
    whole = TrainState.fresh(recipe, len(data))
    finish(train(whole, data, folder / "twin"))
    DAMAGES[damage](folder / "state.pt")
    state = TrainState.fresh(recipe, len(data))
    assert load_state(state, folder) == []
    assert state.step == 1
    assert "state.pt: " in caplog.text
    assert "going on from the state before it" in caplog.text
    finish(train(state, data, folder))
    assert_same(tensors(whole, folder / "a.pt"), tensors(state, folder / "b.pt"), but="cpu_seconds")
    again = TrainState.fresh(recipe, len(data))
    caplog.clear()
    load_state(again, folder)
    assert again.step == 3
    assert not caplog.text


def test_where_no_state_is_whole_that_is_told(trained, data):
    recipe, folder = trained
    for name in ("state.pt", "state-before.pt"):
        DAMAGES["a bit"](folder / name)
    with pytest.raises(
        CheckpointError, match=r"state\.pt: damaged .*; .*state-before\.pt: damaged"
    ):
        load_state(TrainState.fresh(recipe, len(data)), folder)


def test_a_state_of_another_recipe_is_no_reason_to_take_an_older_one(trained, data):
    recipe, folder = trained
    DAMAGES["gone"](folder / "state-before.pt")
    TrainState.fresh(recipe, len(data)).save(folder / "state-before.pt")
    unet = dataclasses.replace(SMOKE.model.unet, base=8)
    other = SMOKE.changed(model=dataclasses.replace(SMOKE.model, unet=unet))
    TrainState.fresh(other, len(data)).save(folder / "state.pt")
    with pytest.raises(CheckpointError, match="does not fit this recipe"):
        load_state(TrainState.fresh(recipe, len(data)), folder)


def test_a_full_disk_ends_a_run_in_one_sentence_and_what_was_saved_stays(trained, data):
    recipe, folder = trained
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    state = TrainState.fresh(recipe, len(data))
    load_state(state, folder)
    with files_of_at_most(10_000), pytest.raises(WriteError, match="larger than the disk"):
        finish(train(state, data, folder))
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.pop("metrics.jsonl").startswith(before.pop("metrics.jsonl"))
    assert after == before


def test_a_window_of_the_log_survives_a_stop_in_its_midst(data, tmp_path):
    recipe = SMOKE.changed(iterations=4, log_every=4)
    finish(train(TrainState.fresh(recipe, len(data)), data, tmp_path / "whole"))
    run = train(TrainState.fresh(recipe, len(data)), data, tmp_path / "cut")
    next(run)
    next(run)
    run.close()
    state = TrainState.fresh(recipe, len(data))
    load_state(state, tmp_path / "cut")
    finish(train(state, data, tmp_path / "cut"))
    lines = [read_log(tmp_path / name / "metrics.jsonl")[0] for name in ("whole", "cut")]
    for line in lines:
        for name in ("seconds", "time", "cpu_seconds"):
            line.pop(name)
    assert lines[0] == lines[1]


def test_a_preview_shows_scenes_above_samples_however_few_there_are(tmp_path):
    few = finish(pack_scenes(tmp_path / "pack", VEHICLES, range(2), 1, 16))
    state = TrainState.fresh(SMOKE, 2)
    path = save_preview(state, few, tmp_path)
    picture = cv2.imread(str(path))
    assert path.name == "0000000.png"
    assert picture.shape == (4 * 16, 8 * 16, 3)
    assert np.array_equal(picture[:16, :16, ::-1], few.raw(0)[0])
    assert np.array_equal(picture[:16, 16:32, ::-1], few.raw(1)[0])
    assert (picture[:32, 32:] == 255).all()
    state.average.info = dataclasses.replace(state.average.info, capabilities=Capabilities())
    state.step = 7
    without = cv2.imread(str(save_preview(state, few, tmp_path)))
    assert np.array_equal(without, picture[:32, :32])


def test_directions_are_the_principal_components_of_the_latents(data):
    state = TrainState.fresh(SMOKE, len(data))
    for _ in range(12):
        iterate(state, data)
    records = state.bank.records
    latents = state.average.activated(records.raw[records.steps > 0]).detach()
    mean, directions, gallery = latent_statistics(latents, directions=3, gallery=4)
    flat = (latents - latents.mean(0)).flatten(1).double()
    _, values, axes = torch.linalg.svd(flat, full_matrices=False)
    expected = axes[:3] * (values[:3] / (len(flat) - 1) ** 0.5)[:, None]
    found = directions.flatten(1).double()
    signs = torch.sign((found * expected).sum(1, keepdim=True))
    torch.testing.assert_close(found * signs, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mean, latents.mean(0))
    assert torch.equal(gallery, latents[[0, 1, 3, 5]])
    method = finished(state)
    torch.testing.assert_close(method.directions[:3], directions)
    assert torch.equal(method.mean_latent, mean)
    assert torch.equal(method.gallery, latents)


def test_checkpoint_round_trip_draws_the_same_scene(data, tmp_path):
    state = TrainState.fresh(SMOKE, len(data))
    for _ in range(10):
        iterate(state, data)
    method = finished(state)
    folder = save_checkpoint(tmp_path / "prior", method, provenance={"recipe": "smoke"})
    opened = open_checkpoint(folder)
    options = SampleOptions(mode="paper", steps=3)
    ours = finish(method.generate(1, options, Noise(3)))
    theirs = finish(opened.generate(1, options, Noise(3)))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0.02)  # float16 on disk
    assert opened.config == method.config
    assert opened.checkpoint == "prior"
    assert opened.presets["reconstruct"]["paper"].rate_decay == "exponential"


def test_warm_start_keeps_weights_and_fits_latents_anew_from_the_mean(data, tmp_path):
    state = TrainState.fresh(SMOKE, len(data))
    for _ in range(5):
        iterate(state, data)
    save_checkpoint(tmp_path / "prior", finished(state), provenance={})
    opened = open_checkpoint(tmp_path / "prior")
    warm = TrainState.fresh(SMOKE, len(data))
    warm.warm_start(opened)
    assert warm.step == 0
    torch.testing.assert_close(warm.method.unet.out.weight, opened.unet.out.weight)
    started = warm.method.activation(warm.bank.records.raw[2])
    torch.testing.assert_close(started, opened.mean_latent, rtol=0, atol=1e-3)
    iterate(warm, data)
    decoder = dataclasses.replace(SMOKE.model.decoder, aabb=CHAIRS.box)
    model = dataclasses.replace(SMOKE.model, decoder=decoder, tv_weight=0.1, grid_shape=(9, 8, 7))
    elsewhere = TrainState.fresh(SMOKE.changed(model=model), len(data))
    elsewhere.warm_start(opened)
    torch.testing.assert_close(elsewhere.method.unet.out.weight, opened.unet.out.weight)
    torch.testing.assert_close(elsewhere.method.decoder.aabb, torch.tensor(CHAIRS.box))
    unet = dataclasses.replace(SMOKE.model.unet, base=8)
    model = dataclasses.replace(SMOKE.model, unet=unet)
    other = TrainState.fresh(SMOKE.changed(model=model), len(data))
    with pytest.raises(CheckpointError, match="networks differ"):
        other.warm_start(opened)


def test_large_checkpoints_are_sharded_at_16_mib(tmp_path, monkeypatch, data):
    monkeypatch.setattr("engine.store.checkpoint.SHARD_BYTES", 2**18)
    state = TrainState.fresh(SMOKE, len(data))
    iterate(state, data)
    method = finished(state)
    folder = save_checkpoint(tmp_path / "prior", method, provenance={})
    files = sorted(folder.glob("model*.safetensors"))
    assert len(files) > 1
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    torch.testing.assert_close(
        open_checkpoint(folder).unet.time1.weight, method.unet.time1.weight, rtol=1e-3, atol=1e-4
    )


def test_missing_checkpoint_names_the_bundled_ones(tmp_path):
    with pytest.raises(CheckpointError, match="bundled checkpoints"):
        find_checkpoint(tmp_path / "nothing")


def test_damaged_config_is_one_clear_sentence(tmp_path):
    folder = tmp_path / "prior"
    folder.mkdir()
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        open_checkpoint(folder)
    (folder / "config.json").write_text('{"format": "something else"}')
    with pytest.raises(CheckpointError, match="something else"):
        open_checkpoint(folder)
