"""`launch.py denoise`: a run taken apart on disk."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import launch
from app.session import runs
from engine.config import from_json
from engine.events import finish
from engine.methods.ssdnerf.options import SampleOptions
from engine.noise import Noise
from engine.store.checkpoint import open_checkpoint


@pytest.fixture(scope="module")
def taken_apart(tiny_checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("denoise") / "run"
    arguments = [
        "--seed",
        "4",
        "--set",
        "steps=3",
        "--set",
        "sampler=heun",
        "--size",
        "24",
        "--out",
        str(out),
    ]
    assert launch.main(["denoise", *arguments, "--checkpoint", str(tiny_checkpoint)]) == 0
    return out


def test_every_step_has_its_pictures_and_its_row(taken_apart):
    rows = list(csv.DictReader((taken_apart / "curves.csv").open()))
    stages = [row["stage"] for row in rows]
    assert stages == ["denoise"] * 3 + ["renoise", "result"]
    for look in ("x0", "x_t", "difference"):
        files = sorted((taken_apart / look).iterdir())
        assert [path.stem.split("_")[1] for path in files] == stages
    clean, noisy, apart = (
        np.asarray(Image.open(taken_apart / look / "000_denoise_001.png")).astype(int)
        for look in ("x0", "x_t", "difference")
    )
    same = np.abs(clean - noisy).max(-1) == 0
    assert (apart[same] == 255).all(), "white where nothing differs"
    assert (apart[~same] < 255).any()
    result = np.asarray(Image.open(taken_apart / "difference" / "004_result_001.png"))
    assert (result == 255).all(), "a result has no noisy state"


def test_the_file_holds_the_whole_run_bit_for_bit(taken_apart, tiny_checkpoint):
    timeline, note = runs.load(taken_apart / "run.safetensors")
    assert (note.title, note.kind) == ("Seed 4", "generate")
    method = open_checkpoint(tiny_checkpoint)
    told = json.loads((taken_apart / "report.json").read_text())
    options = from_json(SampleOptions, told["settings"], "settings")
    assert options.sampler == "heun"
    end = finish(method.generate(1, options, Noise(4)))
    assert torch.equal(timeline.steps[-1].latent, end)
    again = finish(method.generate(1, options, Noise(4), after=timeline.steps[1]))
    assert torch.equal(again, end)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [(["--seed", "-1"], "--seed"), (["--size", "2"], "--size"), (["--set", "steps=0"], "steps")],
)
def test_numbers_that_make_no_sense_get_a_sentence(
    tiny_checkpoint, tmp_path, capsys, arguments, wrong
):
    common = ["--out", str(tmp_path / "run"), "--checkpoint", str(tiny_checkpoint)]
    assert launch.main(["denoise", *common, *arguments]) == 2
    assert wrong in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
