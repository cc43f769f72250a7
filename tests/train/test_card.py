"""The model card's measures, on a checkpoint whose samples are known."""

import json
import shutil

import numpy as np
import torch
from PIL import Image
from plotly.offline import get_plotlyjs

import launch
from engine.data.procedural.categories import VEHICLES
from engine.store.checkpoint import open_checkpoint
from train import card
from train.card import (
    curve_figure,
    draw_curve,
    draw_samples,
    occupied,
    trained_scenes,
    true_looks,
)


def test_card_measures_samples_and_draws_its_sheets(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "tiny")
    run = tmp_path / "run"
    run.mkdir()
    lines = [{"step": k, "psnr": 20 + k / 10, "diffusion_loss": 1 / k} for k in range(1, 40)]
    lines += [{"step": k, "diffusion_loss": 1 / k} for k in range(40, 50)]  # the denoiser alone
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = ["--samples", "8", "--training-scenes", "4", "--reconstructions", "1"]
    assert launch.main(["card", str(folder), "--run", str(run), *flags]) == 0
    measured = json.loads((folder / "metrics.json").read_text())["samples"]
    assert measured["count"] == 8
    assert measured["largest_component_min"] > 0.9  # the tiny checkpoint draws a solid brick
    assert measured["further_than_30_db"] == 8  # and no vehicle is a brick
    for name in ("samples.png", "neighbours.png", "reconstructions.png", "curve.html"):
        assert (folder / name).stat().st_size > 1000


def test_curves_hold_what_was_logged_and_its_running_mean():
    lines = [{"step": 10 * k, "psnr": 20.0 + k % 2, "diffusion_loss": 1 / k} for k in range(1, 241)]
    lines += [{"step": 10 * k, "diffusion_loss": 1 / k} for k in range(241, 301)]
    logged, mean, losses, _ = curve_figure(lines).data
    assert list(logged.x) == list(range(10, 2401, 10))
    assert list(logged.y) == [20.0 + k % 2 for k in range(1, 241)]
    assert list(mean.x) == list(range(40, 2401, 10)), "of four values each"
    assert set(mean.y) == {20.5}
    assert list(losses.y) == [1 / k for k in range(1, 301)]
    assert (logged.xaxis, losses.xaxis) == ("x", "x2")


def test_the_curves_page_is_one_file_and_the_picture_waits_for_kaleido(tmp_path, monkeypatch):
    monkeypatch.setattr(card, "find_spec", lambda name: None)
    (tmp_path / "metrics.jsonl").write_text('{"step": 7, "psnr": 21.25, "diffusion_loss": 0.5}\n')
    draw_curve(tmp_path / "metrics.jsonl", tmp_path)
    page = (tmp_path / "curve.html").read_text(encoding="utf-8")
    assert get_plotlyjs() in page
    assert '<script src="' not in page.replace(get_plotlyjs(), "")
    assert not (tmp_path / "curve.png").exists()


def test_samples_are_compared_with_as_many_scenes_as_the_prior_was_trained_on(
    tiny_checkpoint, tmp_path
):
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    for recipe, count in (({"scenes": 7}, 7), ({"data": {"scenes": 8}}, 8), ("untrained", 300)):
        told = config | {"provenance": {"recipe": recipe}}
        (tmp_path / "config.json").write_text(json.dumps(told))
        assert trained_scenes(tmp_path) == count


def test_missing_checkpoint_ends_with_code_2(tmp_path):
    assert launch.main(["card", str(tmp_path / "nothing")]) == 2


def test_occupied_cells_are_those_denser_than_the_mesh_threshold(tiny_checkpoint):
    method = open_checkpoint(tiny_checkpoint)
    with torch.no_grad():
        for bias, expected in ((20.0, 1.0), (-20.0, 0.0)):
            method.decoder.density_head[-1].bias.fill_(bias)
            field = method.scene(method.mean_latent).field
            assert occupied(field, 8).mean() == expected


def test_the_sheet_is_cropped_to_what_any_sample_covers(tmp_path):
    renders = torch.ones(3, 2, 16, 16, 3)
    renders[0, 0, 4, 5] = renders[2, 1, 9, 12, 0] = 0.0
    draw_samples(renders, tmp_path / "sheet.png", columns=3)
    sheet = np.array(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (6, 6 * 8, 3)
    assert (sheet[0, 0] == 0).all()
    assert sheet[5, 47].tolist() == [0, 255, 255]
    assert (sheet < 255).sum() == 4


def test_true_looks_fill_the_small_picture():
    images, alpha = true_looks(VEHICLES, 4)
    assert images.shape == (8, 64, 64, 3)
    assert 0.2 < float((alpha > 0.5).float().mean()) < 0.5
