from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from engine.data.cameras import spiral_cameras, srn_intrinsics
from engine.data.procedural.categories import VEHICLES, Category
from engine.data.procedural.shape import render_shape, scene_seed
from engine.data.procedural.vehicles import build_vehicle
from engine.data.raster import composite_white
from engine.errors import DataError
from engine.evaluation import baselines
from engine.evaluation.baselines import TrainingScenes, category_of, choose_rate
from engine.evaluation.evaluate import EvaluateOptions, _known, data_spread, evaluate
from engine.evaluation.tune import (
    Tuning,
    add_metrics,
    batch_of,
    save_tuning,
    settle,
    tune_fit,
    tune_sampling,
)
from engine.events import finish
from engine.methods.base import Method, TrainingData
from engine.methods.options import with_settings
from engine.methods.ssdnerf import options as options_module
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.methods.ssdnerf.options import FitOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.render.frames import RenderOptions, render_views
from engine.store.checkpoint import digest, fingerprint, known_rate, open_checkpoint
from engine.types import Camera, Views
from tests.scoreboard.counting import CountingMethod

SIZE = 32
SPIRAL = torch.from_numpy(spiral_cameras()[::36]).float()
CAMERA = Camera.from_srn(
    SPIRAL,
    torch.from_numpy(srn_intrinsics(SIZE)).float().expand(len(SPIRAL), 4).contiguous(),
    SIZE,
    SIZE,
)
"""Seven places."""
EXACT = 54.0
"""What equal pictures score at least: truth is not rounded, renders are (dB)."""


class Scenes:
    """A data set in memory."""

    def __init__(self, scenes: dict[str, Views]):
        self.scenes = scenes

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.scenes)

    def __len__(self) -> int:
        return len(self.scenes)

    stamp = None

    def key(self, index: int) -> str:
        scene = self.scenes[self.ids[index]]
        return digest(scene.images, scene.camera.c2w, scene.camera.intrinsics)

    def describe(self, index: int) -> dict:
        return {}

    def views(self, index: int, which=None) -> Views:
        scene = self.scenes[self.ids[index]]
        return scene if which is None else scene[list(which)]


def vehicle_scene(split: str, index: int) -> Views:
    pictures = render_shape(
        build_vehicle(scene_seed(split, index)), SPIRAL.numpy(), srn_intrinsics(SIZE), SIZE
    )
    return Views(torch.from_numpy(composite_white(pictures)).float() / 255, CAMERA)


def scene_of(method: Method, latent: torch.Tensor) -> Views:
    field = method.scene(latent).field
    return Views(render_views(field, CAMERA, RenderOptions(quality="high")), CAMERA)


@pytest.fixture(scope="module")
def vehicles() -> Scenes:
    return Scenes({f"test{i}": vehicle_scene("test", i) for i in range(3)})


VIEWS = EvaluateOptions(views=(2,))


def test_a_perfect_reconstruction_scores_the_rounding_alone(tmp_path):
    car = -CountingMethod().mean_latent
    method = CountingMethod(car)
    dataset = Scenes({"car": scene_of(method, car)})
    results = finish(evaluate(method, dataset, tmp_path / "m.json", VIEWS))
    assert results["psnr"] > EXACT
    assert results["ssim"] > 0.999
    assert results == json.loads((tmp_path / "m.json").read_text())


def test_every_third_view_is_compared_as_if_there_were_no_others(vehicles, tmp_path):
    """Of seven places 0, 3 and 6 are compared beside the given one, 2."""
    few = Scenes({name: scene[[0, 2, 3, 6]] for name, scene in vehicles.scenes.items()})
    thinned = dataclasses.replace(VIEWS, every=3)
    found = finish(evaluate(CountingMethod(), vehicles, tmp_path / "a.json", thinned))
    alone = dataclasses.replace(VIEWS, views=(1,))
    expected = finish(evaluate(CountingMethod(), few, tmp_path / "b.json", alone))
    assert (found["psnr"], found["ssim"]) == (expected["psnr"], expected["ssim"])


def test_a_method_without_a_prior_is_not_compared_with_a_fit_without_one(tmp_path):
    method = ToyMethod()
    scene = Scenes({"car": scene_of(method, method.mean_latent)})
    options = dataclasses.replace(VIEWS, baselines=True)
    results = finish(evaluate(method, scene, tmp_path / "m.json", options))
    assert set(results["baselines"]) == {"nearest_training_scene", "mean_code"}


def test_scores_are_means_over_views_not_given_and_then_over_scenes(vehicles, tmp_path):
    method = CountingMethod()
    results = finish(evaluate(method, vehicles, tmp_path / "m.json", VIEWS))
    assert results["scenes"] == 3
    assert results["views"] == [2]
    predicted = scene_of(method, method.mean_latent).images
    rounded = (predicted.clamp(0, 1) * 255).round() / 255
    expected = []
    for name, scene in vehicles.scenes.items():
        error = (rounded - scene.images).square().mean((1, 2, 3))
        values = -10 * torch.log10(error + 1e-6)
        held_out = [k for k in range(len(scene)) if k != 2]
        expected.append(float(values[held_out].mean()))
        assert results["per_scene"][name]["psnr"] == pytest.approx(expected[-1], abs=1e-3)
        assert results["per_scene"][name]["input_psnr"] == pytest.approx(float(values[2]), abs=1e-3)
    assert results["psnr"] == pytest.approx(sum(expected) / 3, abs=1e-3)


def test_an_interrupted_evaluation_goes_on_where_it_stopped(vehicles, tmp_path):
    whole = finish(evaluate(CountingMethod(), vehicles, tmp_path / "whole.json", VIEWS))
    first = CountingMethod()
    run = evaluate(first, vehicles, tmp_path / "m.json", VIEWS)
    next(run)
    run.close()
    partial = json.loads((tmp_path / "m.json").read_text())
    assert partial["scenes"] == len(partial["per_scene"]) == 1
    second = CountingMethod()
    results = finish(evaluate(second, vehicles, tmp_path / "m.json", VIEWS))
    assert (len(first.asked), len(second.asked)) == (1, 2)
    assert results == whole
    third = CountingMethod()
    assert finish(evaluate(third, vehicles, tmp_path / "m.json", VIEWS)) == whole
    assert third.asked == []


def test_other_settings_weights_or_pictures_start_afresh(vehicles, tmp_path):
    out = tmp_path / "m.json"
    finish(evaluate(CountingMethod(), vehicles, out, VIEWS))
    changes = [
        (CountingMethod(), vehicles, dataclasses.replace(VIEWS, views=(3,))),
        (CountingMethod(), vehicles, dataclasses.replace(VIEWS, views=(3,), seed=1)),
        (CountingMethod(), vehicles, dataclasses.replace(VIEWS, views=(3,), mode="paper")),
    ]
    other = CountingMethod()
    other.mean_latent = other.mean_latent + 0.01
    changes.append((other, vehicles, changes[-1][2]))
    for method, dataset, options in changes:
        finish(evaluate(method, dataset, out, options))
        assert len(method.asked) == 3
    replaced = Scenes({**vehicles.scenes, "test1": vehicle_scene("test", 7)})
    method = CountingMethod()
    method.mean_latent = other.mean_latent
    finish(evaluate(method, replaced, out, changes[-1][2]))
    assert len(method.asked) == 1


def test_cameras_that_were_put_right_are_measured_anew(vehicles, tmp_path, caplog):
    """The same pictures from other places, the given view's own and another's; only such scenes are measured again."""
    caplog.set_level("INFO")
    out = tmp_path / "m.json"
    first = finish(evaluate(CountingMethod(), vehicles, out, VIEWS))
    for moved in (2, 5):
        scene = vehicles.scenes["test1"]
        c2w = scene.camera.c2w.clone()
        c2w[moved, :3, 3] *= 1.1
        camera = dataclasses.replace(scene.camera, c2w=c2w)
        changed = Scenes({**vehicles.scenes, "test1": dataclasses.replace(scene, camera=camera)})
        method = CountingMethod()
        results = finish(evaluate(method, changed, out, VIEWS))
        assert len(method.asked) == 1
        fresh = finish(evaluate(CountingMethod(), changed, tmp_path / f"{moved}.json", VIEWS))
        assert results == fresh
        moved_one = [found["per_scene"]["test1"]["input_psnr"] for found in (results, first)]
        means = [found["psnr"] for found in (results, first)]
        assert (means[0] != means[1]) == (moved == 5)  # the given view is not compared
        assert (moved_one[0] != moved_one[1]) == (moved == 2)
        assert "1 of 3 scenes changed" in caplog.messages[-1]
        assert "test1" in caplog.messages[-1]


def test_a_method_that_draws_otherwise_is_measured_anew(vehicles, tmp_path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "m.json"
    finish(evaluate(CountingMethod(), vehicles, out, VIEWS))
    method = CountingMethod()
    method.config = dataclasses.replace(SSDNeRFConfig(), dt_gamma_scale=0.25)
    finish(evaluate(method, vehicles, out, VIEWS))
    assert len(method.asked) == 3
    assert "model changed" in caplog.messages[-1]


def test_the_mode_decides_whose_settings_are_used(vehicles, tmp_path):
    for mode, options in (
        ("ours", CountingMethod().presets["reconstruct"]["ours"]),
        ("paper", CountingMethod().presets["reconstruct"]["paper"]),
    ):
        method = CountingMethod()
        chosen = dataclasses.replace(VIEWS, mode=mode, limit=1)
        results = finish(evaluate(method, vehicles, tmp_path / f"{mode}.json", chosen))
        assert method.asked == [options]
        assert results["settings"]["mode"] == mode
        assert results["scenes"] == 1


@pytest.mark.parametrize("content", ['{"my": "notes"}', '{"per_scene": 1, "settings": 2}', "{"])
def test_a_foreign_output_file_is_left_alone(vehicles, tmp_path, content):
    out = tmp_path / "notes.json"
    out.write_text(content)
    with pytest.raises(DataError, match="something other than an evaluation"):
        finish(evaluate(CountingMethod(), vehicles, out, VIEWS))
    assert out.read_text() == content


def test_views_that_the_data_lack_are_named(vehicles, tmp_path):
    options = EvaluateOptions(views=(2, 64))
    with pytest.raises(DataError, match="test0: has no view 64"):
        finish(evaluate(CountingMethod(), vehicles, tmp_path / "m.json", options))


def test_baselines_find_the_training_scene_and_draw_the_mean(tmp_path):
    method = CountingMethod()
    scenes = {"train7": vehicle_scene("train", 7), "mean": scene_of(method, method.mean_latent)}
    options = dataclasses.replace(VIEWS, baselines=True, rate=1e-2)
    results = finish(evaluate(method, Scenes(scenes), tmp_path / "m.json", options))
    assert results["per_scene"]["train7"]["baselines"]["nearest_training_scene"]["psnr"] > 59
    assert results["per_scene"]["mean"]["baselines"]["mean_code"]["psnr"] > EXACT
    for name in ("nearest_training_scene", "mean_code", "no_prior"):
        entries = [entry["baselines"][name]["psnr"] for entry in results["per_scene"].values()]
        assert results["baselines"][name]["psnr"] == pytest.approx(sum(entries) / 2, abs=1e-3)
        assert 0 < results["baselines"][name]["ssim"] <= 1
    assert results["settings"]["no_prior_rate"] == 1e-2
    alone = method.asked[1]
    assert (alone.prior_weight, alone.steps, alone.mode) == (0.0, 0, "paper"), (
        "no prior, no guidance"
    )
    assert alone.learning_rate == 1e-2


def test_the_nearest_training_scene_is_the_one_with_the_smallest_error():
    training = TrainingScenes(VEHICLES, 12)
    inputs = vehicle_scene("test", 0)[[1, 4]]
    errors = [(training.draw(k, inputs.camera) - inputs.images).square().mean() for k in range(12)]
    assert training.nearest(inputs) == int(torch.stack(errors).argmin())


def test_the_fit_without_prior_leaves_the_prior_out(tiny_checkpoint):
    method = open_checkpoint(tiny_checkpoint)
    inputs = vehicle_scene("test", 0)[[2]]
    alone = method.without_prior(method.presets["reconstruct"]["ours"], 1e-2)
    options = dataclasses.replace(alone, finetune_steps=2)
    before = finish(method.reconstruct(inputs, options, Noise(0)))
    for parameter in method.unet.parameters():
        parameter.normal_()
    assert torch.equal(finish(method.reconstruct(inputs, options, Noise(0))), before)


def test_the_rate_that_does_best_on_validation_scenes_is_chosen(monkeypatch):
    truth = CountingMethod().mean_latent

    class OneGoodRate(CountingMethod):
        def reconstruct(self, views, options, noise):
            self.asked.append(options)
            yield from ()
            return (truth if options.learning_rate == 3e-2 else truth - 1)[None]

    method = OneGoodRate()
    monkeypatch.setattr(Category, "views", lambda *_: scene_of(method, truth))
    steps = []
    rate = finish(choose_rate(method, (2,), num_scenes=2, size=SIZE), steps.append)
    assert rate == 3e-2
    assert len(method.asked) == len(steps) == steps[-1].total == 8


def test_a_prior_of_other_data_has_no_training_scenes_to_compare_with():
    method = ToyMethod()
    method.data, method.checkpoint = TrainingData(), "elsewhere"
    with pytest.raises(DataError, match="elsewhere: was trained on pictures from elsewhere"):
        category_of(method)


def test_unseen_views_follow_the_test_path():
    views = VEHICLES.views("val", 0, SIZE)
    assert views.images.shape == (251, SIZE, SIZE, 3)
    torch.testing.assert_close(views.camera.c2w[36], CAMERA.c2w[1])
    some = VEHICLES.views("val", 0, SIZE, [72, 36])
    assert torch.equal(some.images, views.images[[72, 36]])
    assert torch.equal(some.camera.c2w, views.camera.c2w[[72, 36]])
    assert not torch.equal(VEHICLES.views("test", 0, SIZE, [36]).images, some.images[1:])


def test_spread_is_the_mean_pairwise_psnr_at_one_view():
    flat = [torch.full((1, SIZE, SIZE, 3), value) for value in (0.0, 0.1, 0.3)]
    scenes = {str(k): Views(image, CAMERA[:1]) for k, image in enumerate(flat)}
    spread = data_spread(Scenes(scenes))
    expected = sum(-20 * torch.log10(torch.tensor(d)) for d in (0.1, 0.3, 0.2)) / 3
    assert spread["mean_pairwise_psnr"] == pytest.approx(float(expected), abs=1e-2)
    assert (spread["scenes"], spread["view"]) == (3, 0)


class GainMethod(CountingMethod):
    """Does the better the closer the gain is to 1e4 and the mix to 0.5."""

    def reconstruct(self, views, options, noise):
        self.asked.append(options)
        yield from ()
        gain = torch.tensor(options.guidance_gain / 1e4).log().abs()
        error = 0.1 * gain + abs(options.renoise.mix - 0.5)
        count = views.images.shape[0]
        return (self.mean_latent - 0.5 * error).expand(count, *self.info.latent_shape)


def test_the_greedy_search_finds_the_best_of_every_option():
    method = GainMethod()
    scene = scene_of(method, method.mean_latent)
    start = FitOptions(guidance_gain=1e2)
    candidates = (("guidance_gain", (1e3, 1e4, 1e5)), ("renoise.mix", (0.3, 0.5)))
    run = tune_fit(method, batch_of([scene[[0]]]), [scene[[1, 3]]], start, candidates)
    steps = []
    best, history = finish(run, steps.append)
    expected = with_settings(start, {"guidance_gain": 1e4, "renoise.mix": 0.5})
    assert best == expected
    assert len(method.asked) == len(history) == 5
    assert steps[-1].index == steps[-1].total == 5
    assert steps[-1].scalars["psnr"] == max(entry["psnr"] for entry in history)


def test_sampling_settings_are_chosen_among_the_candidates():
    method = CountingMethod()
    options, history = finish(tune_sampling(method, 2))
    assert options.mode == "ours"
    assert len(history) == 6
    assert dataclasses.asdict(options.renoise) in [entry["value"] for entry in history]


def test_chosen_settings_are_what_the_checkpoint_opens_with(tiny_checkpoint, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_checkpoint, folder)
    method = open_checkpoint(folder)
    tuning = Tuning(
        sample=dataclasses.replace(method.presets["generate"]["ours"], steps=7),
        fit=with_settings(method.presets["reconstruct"]["ours"], {"renoise.steps": 9}),
        paper_fit=dataclasses.replace(method.presets["reconstruct"]["paper"], guidance_gain=5.0),
        history=({"option": "start", "psnr": 20.0},),
    )
    rate = {"rate": 0.03, "views": [64], "weights": fingerprint(method)}
    add_metrics(folder, no_prior_rate=rate)
    save_tuning(folder, tuning)
    opened = open_checkpoint(folder)
    assert opened.presets["generate"]["ours"] == tuning.sample
    assert opened.presets["reconstruct"]["ours"] == tuning.fit
    assert opened.presets["reconstruct"]["paper"] == tuning.paper_fit
    assert opened.presets["generate"]["paper"] == method.presets["generate"]["paper"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["no_prior_rate"] == rate
    assert known_rate(folder, opened, (64,)) == 0.03
    assert known_rate(folder, opened, (64, 104)) is None
    assert known_rate("official.pth", opened, (64,)) is None
    opened.mean_latent = opened.mean_latent + 1
    assert known_rate(folder, opened, (64,)) is None
    assert metrics["tuning"] == list(tuning.history)


def test_settling_writes_settings_and_the_rate_of_the_fit_without_prior(
    tiny_checkpoint, tmp_path, monkeypatch
):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_checkpoint, folder)
    monkeypatch.setattr(baselines, "RATES", (1e-3, 1e-2))
    alone = options_module.without_prior
    monkeypatch.setattr(
        SSDNeRF,
        "without_prior",
        lambda self, ours, rate: dataclasses.replace(alone(ours, rate), finetune_steps=1),
    )
    tuning = finish(settle(folder, num_scenes=1, num_samples=2))
    opened = open_checkpoint(folder)
    assert (opened.presets["reconstruct"]["ours"], opened.presets["reconstruct"]["paper"]) == (
        tuning.fit,
        tuning.paper_fit,
    )
    assert (tuning.fit.mode, tuning.paper_fit.mode) == ("ours", "paper")
    assert known_rate(folder, opened, (64,)) in (1e-3, 1e-2)


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(per_scene=[1]),
        lambda told: told["per_scene"].update(a={"psnr": "high", "ssim": 1.0}),
        lambda told: told["per_scene"].update(a={"ssim": 1.0}),
        lambda told: told["per_scene"].update(a={"psnr": 20.0, "ssim": 1.0, "baselines": [1]}),
        lambda told: told.update(settings=10**400),
    ],
)
def test_a_results_file_that_somebody_changed_is_not_gone_on_with(tmp_path, change):
    told = {"per_scene": {}, "settings": {}}
    change(told)
    (tmp_path / "m.json").write_text(json.dumps(told, default=str))
    with pytest.raises(DataError, match=r"m\.json: holds something other than an evaluation"):
        _known(tmp_path / "m.json", {})


def test_no_kept_result_is_lost_when_a_file_is_written_anew(vehicles, tmp_path):
    out = tmp_path / "m.json"
    whole = finish(evaluate(CountingMethod(), vehicles, out, VIEWS))
    told = json.loads(out.read_text())
    del told["per_scene"]["test0"]
    out.write_text(json.dumps(told))
    run = evaluate(CountingMethod(), vehicles, out, VIEWS)
    next(run)
    run.close()
    assert json.loads(out.read_text())["per_scene"] == whole["per_scene"], "those not reached yet"
    few = finish(evaluate(CountingMethod(), vehicles, out, dataclasses.replace(VIEWS, limit=1)))
    assert list(few["per_scene"]) == ["test0"]
    assert few["psnr"] == whole["per_scene"]["test0"]["psnr"]
    told = json.loads(out.read_text())
    assert told["scenes"] == 1
    assert told["per_scene"] == whole["per_scene"], "those beyond the limit"
    third = CountingMethod()
    assert finish(evaluate(third, vehicles, out, VIEWS)) == whole
    assert third.asked == []


def test_an_entry_without_the_yardsticks_that_are_asked_for_is_measured(tmp_path):
    scenes, out = Scenes({"train7": vehicle_scene("train", 7)}), tmp_path / "m.json"
    options = dataclasses.replace(VIEWS, baselines=True, rate=1e-2)
    whole = finish(evaluate(CountingMethod(), scenes, out, options))
    told = json.loads(out.read_text())
    del told["per_scene"]["train7"]["baselines"]
    out.write_text(json.dumps(told))
    assert finish(evaluate(CountingMethod(), scenes, out, options)) == whole
