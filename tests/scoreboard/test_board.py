from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from app.report.page import write_page
from engine.data.procedural.categories import CHAIRS, VEHICLES
from engine.errors import ConfigError
from engine.evaluation import board as board_module
from engine.evaluation import entries as entries_module
from engine.evaluation import kept as kept_module
from engine.evaluation import measure as measure_module
from engine.evaluation import samples as samples_module
from engine.evaluation.baselines import TrainingScenes
from engine.evaluation.board import Instruments, Players, scoreboard
from engine.evaluation.entries import Contender, Nearest, fitting_entries, own_entries
from engine.evaluation.kept import Ranks
from engine.evaluation.measure import Task, measure
from engine.evaluation.protocol import SHAPED_SCENES, SHOWN_PLACES, BoardOptions, given_views
from engine.evaluation.rows import BASELINES, planned
from engine.evaluation.scenes import Answer, TestScene
from engine.events import finish
from engine.methods.ssdnerf.options import FitOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.render.frames import RenderOptions, render_views
from tests.scoreboard.counting import CountingMethod

SIZE = 16
FEW_SCENES = BoardOptions(
    scenes=2,
    dense_scenes=1,
    ablation_scenes=2,
    samples=2,
    size=SIZE,
    training_scenes=3,
    rate_scenes=1,
)


@pytest.fixture
def cheap(monkeypatch):
    """Everything but the bookkeeping costs nothing: plain pictures, no solids, few held-out scenes."""

    def plain(field, scene, quality):
        return torch.full_like(scene.views.images, float(field.latent.mean().sigmoid()))

    monkeypatch.setattr(entries_module, "look", plain)
    monkeypatch.setattr(measure_module, "_geometry", lambda *_: {"iou": 0.5, "chamfer": 0.02})
    monkeypatch.setattr(board_module, "choose_rate", chosen)
    monkeypatch.setattr(kept_module, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(samples_module, "HELD_OUT_SCENES", 3)
    monkeypatch.setattr(samples_module, "PLACES", (4, 100))
    monkeypatch.setattr(samples_module, "surface_points", cloud)


def chosen(method, views, **_):
    yield from ()
    return 0.01


def cloud(thing, count, seed):
    return np.random.default_rng(seed).normal(size=(16, 3))


def colours(images):
    return images.mean((1, 2)).double().numpy()


INSTRUMENTS = Instruments(networks={"small": colours})


def run(out, options=FEW_SCENES, method=None, ranks=Ranks(), **others):  # noqa: B008
    players = Players(method or CountingMethod(), **others)
    return finish(scoreboard(players, VEHICLES, out, options, INSTRUMENTS, ranks))


class Exact:
    """Answers with the truth, or something a little off."""

    name = title = "exact"

    def __init__(self, off: float = 0.0):
        self.off = off

    def settings(self, num_views):
        return {}

    def answer(self, scene, places):
        return Answer((scene.views.images + self.off).clamp(0, 1), None, 0.5)


def test_the_truth_scores_the_rounding_alone_and_everything_else_less(tmp_path):
    scene = TestScene(VEHICLES, 3, 32)
    exact = measure(Exact(), scene, 1, tmp_path, None)
    assert exact["psnr"] == pytest.approx(60.0, abs=1e-3)
    assert exact["ssim"] == pytest.approx(1.0)
    assert exact["seconds"] == 0.5
    assert "iou" not in exact
    off = measure(Exact(0.1), scene, 2, tmp_path, None)
    images = (scene.views.images + 0.1).clamp(0, 1)
    error = ((images * 255).round() / 255 - scene.views.images).square().mean((1, 2, 3))
    values = -10 * torch.log10(error + 1e-6)
    held_out = [k for k in range(251) if k not in (64, 104)]
    assert off["psnr"] == pytest.approx(float(values[held_out].mean()), abs=1e-3)
    assert off["input_psnr"] == pytest.approx(float(values[[64, 104]].mean()), abs=1e-3)


def test_a_field_without_matter_overlaps_nothing_and_is_a_diagonal_away(tmp_path):
    class Nothing(Exact):
        def answer(self, scene, places):
            field = empty_field()
            return dataclasses.replace(super().answer(scene, places), solid=field)

    scores = measure(Nothing(), TestScene(VEHICLES, SHAPED_SCENES - 1, SIZE), 1, tmp_path, None)
    assert (scores["iou"], scores["chamfer"]) == (0.0, 1.0)
    later = measure(Nothing(), TestScene(VEHICLES, SHAPED_SCENES, SIZE), 1, tmp_path, None)
    assert not {"iou", "chamfer"} & later.keys()


def empty_field():
    """A car of blobs without density."""
    latent = ToyMethod().mean_latent.clone()
    latent[:, 6] = -8.0
    return ToyMethod().scene(latent).field


def test_lpips_is_asked_about_the_views_that_were_not_given(tmp_path):
    def perceptual(images, truth):
        assert images.shape == truth.shape == (247, SIZE, SIZE, 3)
        return np.full(len(images), 0.25)

    scores = measure(Exact(), TestScene(VEHICLES, 20, SIZE), 4, tmp_path, perceptual)
    assert scores["lpips"] == 0.25


def test_pictures_of_the_first_scenes_are_kept(tmp_path):
    measure(Exact(), TestScene(VEHICLES, 1, SIZE), 2, tmp_path, None)
    shown = {
        f"001-02-{place:03d}-{who}.png" for place in SHOWN_PLACES for who in ("truth", "exact")
    }
    assert {path.name for path in tmp_path.iterdir()} == {"001-02-input.png", *shown}
    measure(Exact(), TestScene(VEHICLES, 12, SIZE), 2, tmp_path / "later", None)
    assert not (tmp_path / "later").exists()


def test_a_fit_draws_what_the_method_found_with_the_settings_of_its_number_of_views():
    method, scene = CountingMethod(), TestScene(VEHICLES, 0, SIZE)
    entries = {e.name: e for e in fitting_entries(Contender.of(method), FEW_SCENES, {2: 0.01})}
    answer = entries["ours"].answer(scene, given_views(2))
    (latent,) = finish(method.reconstruct(scene.views[[64, 104]], FitOptions(), Noise(0)))
    truth = render_views(method.scene(latent).field, scene.views.camera, RenderOptions("standard"))
    torch.testing.assert_close(answer.images, truth)
    assert method.asked[0].finetune_steps > method.presets["reconstruct"]["ours"].finetune_steps
    settings = {name: entry.settings(2)["fit"] for name, entry in entries.items()}
    assert settings["guidance_only"]["finetune_steps"] == settings["A3"]["finetune_steps"] == 0
    assert settings["rendering_only"]["prior_weight"] == settings["A2"]["prior_weight"] == 0
    assert settings["rendering_only"]["finetune_mix"] == 0
    assert settings["no_prior"]["steps"] == 0
    assert settings["no_prior"]["learning_rate"] == 0.01
    assert settings["paper"]["mode"] == settings["A2"]["mode"] == "paper"


def test_the_nearest_training_scene_of_a_training_scene_is_itself():
    training, scene = TrainingScenes(VEHICLES, 3), TestScene(VEHICLES, 0, SIZE)
    scene.__dict__["views"] = VEHICLES.views("train", 1, SIZE)  # as if this were the test scene
    answer = Nearest(training, "d").answer(scene, (64,))
    torch.testing.assert_close(answer.images, scene.views.images)
    assert answer.solid.seed == 1


@pytest.mark.usefixtures("cheap")
def test_the_board_holds_every_part_with_intervals(tmp_path):
    small, method = CountingMethod(), CountingMethod()
    results = run(tmp_path, method=method, one_stage=small, two_stage=CountingMethod())
    assert json.loads((tmp_path / "scoreboard.json").read_text()) == results
    assert write_page(tmp_path, results).stat().st_size > 1000
    assert list(results["baselines"]) == list(BASELINES)
    rows = [
        *results["ours"].values(),
        *(row for rows in results["baselines"].values() for row in rows.values()),
        *results["ablation"].values(),
        *(results["views"][str(n)] for n in (1, 2, 4, 8, 16, 32)),
        *results["views"]["no_prior"].values(),
    ]
    for row in rows:
        for metric in ("psnr", "ssim"):
            assert row[metric]["low"] <= row[metric]["mean"] <= row[metric]["high"]
        assert len(row["scene_psnr"]) == row["scenes"]
        assert row["psnr"]["mean"] == pytest.approx(np.mean(row["scene_psnr"]), abs=1e-4)
    one = results["baselines"]["mean_image"]["1"]
    margin = np.subtract(results["ours"]["1"]["scene_psnr"], one["scene_psnr"]).mean()
    assert one["margin"]["psnr"]["mean"] == pytest.approx(margin, abs=1e-3)
    assert results["ours"]["1"]["chamfer"] == {"mean": 0.02, "low": 0.02, "high": 0.02}
    assert list(results["ablation"]) == ["A0", "A2", "A3", "A0_equal", "A1_equal"]
    gains = [results["views"][str(n)]["gain"]["mean"] for n in (2, 4, 8, 16, 32)]
    curve = [results["views"][str(n)]["psnr"]["mean"] for n in (1, 32)]
    assert sum(gains) == pytest.approx(curve[1] - curve[0], abs=1e-2)
    assert set(results["samples"]["ours"]) == {"fd_small", "kd_small"}
    assert results["samples"]["training"] != results["samples"]["two_stage"]
    assert "one_stage" in results["samples"]
    assert results["settings"]["fit"]["paper"]["32"]["inner_steps"] == 8
    assert len(list((tmp_path / "pictures").glob("sample-*.png"))) == 8
    assert len(list((tmp_path / "pictures").glob("nearest-*.png"))) == 2


@pytest.mark.usefixtures("cheap")
def test_a_killed_run_goes_on_and_changed_settings_start_afresh(tmp_path):
    options = dataclasses.replace(FEW_SCENES, dense_scenes=0, ablation_scenes=0, samples=0)
    whole = run(tmp_path / "whole", options)
    first, second, third = CountingMethod(), CountingMethod(), CountingMethod()
    killed = scoreboard(Players(first), VEHICLES, tmp_path / "a", options, INSTRUMENTS, Ranks())
    for step in killed:
        if step.stage == "score" and step.index == 3:
            break
    killed.close()
    assert without_seconds(run(tmp_path / "a", options, second)) == without_seconds(whole)
    assert len(first.asked) == 3
    assert len(first.asked) + len(second.asked) == 2 * 2 * 5
    run(tmp_path / "a", options, third)
    assert third.asked == []
    third.presets["reconstruct"]["ours"] = dataclasses.replace(
        third.presets["reconstruct"]["ours"], steps=13
    )
    run(tmp_path / "a", options, third)
    changed = ("ours", "rendering_only", "guidance_only")
    assert len(third.asked) == 2 * 2 * len(changed)
    shutil.rmtree(tmp_path / "a/parts/paper")
    run(tmp_path / "a", options, third)
    assert len(third.asked) == 2 * 2 * (len(changed) + 1)


def without_seconds(results):
    """Results without what no two runs share."""
    if isinstance(results, dict):
        return {k: without_seconds(v) for k, v in results.items() if k != "seconds"}
    return results


@pytest.mark.usefixtures("cheap")
def test_two_processes_write_what_one_writes(tmp_path):
    options = dataclasses.replace(FEW_SCENES, dense_scenes=0, ablation_scenes=1)
    alone = run(tmp_path / "one", options)
    second, first = CountingMethod(), CountingMethod()
    shared = [
        scoreboard(Players(m), VEHICLES, tmp_path / "two", options, INSTRUMENTS, Ranks(rank, 2))
        for rank, m in ((0, first), (1, second))
    ]
    ended: list = [None, None]
    running = {0, 1}
    while running:  # they take turns, step by step, as two processes would
        for rank in tuple(running):
            try:
                next(shared[rank])
            except StopIteration as stop:
                ended[rank] = stop.value
                running.discard(rank)
    assert ended[1] is None
    assert without_seconds(ended[0]) == without_seconds(alone)
    written = json.loads((tmp_path / "two/scoreboard.json").read_text())
    assert written == ended[0]
    assert first.asked
    assert second.asked


def test_every_task_is_planned_once():
    options = BoardOptions(scenes=3, dense_scenes=2, ablation_scenes=4)
    own = own_entries(CountingMethod())
    tasks = planned(options, True, own)
    assert len(tasks) == len(set(tasks))
    assert Task("ours", 2, 2) in tasks
    assert Task("ours", 4, 2) not in tasks
    assert {task.scene for task in tasks if task.entry == "A1_equal"} == {0, 1, 2, 3}
    assert Task("paper", 1, 3) in tasks
    assert "A0_equal" not in {task.entry for task in planned(options, False, own)}
    scenes = [task.scene for task in tasks]
    assert scenes == sorted(scenes)
    alone = {task.entry for task in planned(options, False, own_entries(ToyMethod()))}
    yardsticks = {"nearest_training_scene", "mean_image", "mean_code"}
    assert alone == {"ours", "paper"} | yardsticks, "a method without a prior has no ablation"


def test_priors_of_other_objects_and_half_a_comparison_are_refused(tmp_path):
    method = ToyMethod()
    method.checkpoint = "toys"
    with pytest.raises(ConfigError, match="toys: was trained on vehicles, expected a model of ch"):
        finish(scoreboard(Players(method), CHAIRS, tmp_path, FEW_SCENES, INSTRUMENTS, Ranks()))
    with pytest.raises(ConfigError, match="Found one of the two small priors"):
        run(tmp_path, one_stage=method)


def test_without_the_small_priors_the_board_says_how_to_make_them(tmp_path, cheap):
    options = dataclasses.replace(
        FEW_SCENES, scenes=1, dense_scenes=0, ablation_scenes=1, samples=0
    )
    results = run(tmp_path, options)
    assert "--two-stage" in results["ablation"]["note"]
    assert results["views"] == {} == results["samples"]


def test_pictures_of_an_earlier_run_are_not_shown_beside_these_figures(tmp_path):
    kept = ["000-01-input", "000-01-032-truth", "000-01-032-ours", "sample-001-2", "nearest-001"]
    gone = ["001-01-input", "001-01-032-truth", "000-02-032-ours", "000-01-032-A0_equal"]
    gone += ["sample-002-0", "nearest-002"]
    for name in [*kept, *gone, "mine"]:
        (tmp_path / f"{name}.png").write_bytes(b"")
    board_module.drop_other_pictures(tmp_path, [Task("ours", 1, 0)], samples=2)
    assert {path.stem for path in tmp_path.iterdir()} == {*kept, "mine"}


def test_a_method_drawn_otherwise_or_another_object_has_other_keys():
    method = CountingMethod()
    before = Contender.of(method)
    method.config = dataclasses.replace(method.config, dt_gamma_scale=0.25)
    assert Contender.of(method).weights == before.weights
    assert Contender.of(method).model != before.model
    plain = TestScene(VEHICLES, 0, SIZE)
    beyond = dataclasses.replace(VEHICLES, build=lambda seed: hidden(VEHICLES.build(seed)))
    other = TestScene(beyond, 0, SIZE)
    assert torch.equal(plain.given((64,)).images, other.given((64,)).images)
    assert plain.fingerprint((64,)) != other.fingerprint((64,))
    assert plain.fingerprint((64,)) == TestScene(VEHICLES, 0, SIZE).fingerprint((64,))


def hidden(shape):
    """A shape with a further triangle inside, which no picture shows."""
    soup = shape.soup()
    centre = soup.vertices.mean(0)
    return dataclasses.replace(shape, vertices=np.concatenate([shape.vertices, centre[None]]))
