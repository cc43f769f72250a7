"""`launch.py regenerate`: files, figures, and what it refuses in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

import launch
from app.commands.regenerate import read_box
from engine.errors import ConfigError
from engine.explore.completion import Looks, keep_figures
from engine.fields.scene import Scene
from engine.methods.ssdnerf.options import KeepOptions, RenoiseOptions
from engine.store.checkpoint import open_checkpoint
from train.ending import USER_ERROR

FRONT = "-0.5,0,-0.5,0.5,0.5,0.5"


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    method = open_checkpoint("vehicles")
    return method.scene(method.gallery[3]).save(
        tmp_path_factory.mktemp("scene") / "scene.safetensors"
    )


@pytest.fixture
def quick(monkeypatch):
    """Few steps, and of a result only its scene."""

    def only_the_scene(scene, folder, inputs=None):
        yield from ()
        return scene.save(Path(folder) / "scene.safetensors")

    few = {
        "steps": 5,
        "guide_below": 1000,
        "finetune_steps": 5,
        "renoise": RenoiseOptions(steps=2, mix=0.3, t_high=250),
    }
    options = KeepOptions(fit=replace(KeepOptions().fit, **few), cameras=8, size=64)
    monkeypatch.setattr("engine.methods.base.options_of", lambda method, task, mode: options)
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)


def regenerate(scene: Path, out: Path, *arguments: str) -> int:
    return launch.main(["regenerate", str(scene), "--out", str(out), *arguments])


def refused(capsys, scene: Path, out: Path, *arguments: str) -> str:
    """What is said of arguments that are refused."""
    assert regenerate(scene, out, *arguments) == USER_ERROR
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert not out.exists()
    return line


def test_proposals_get_folders_and_are_judged(scene, tmp_path, quick):
    assert regenerate(scene, tmp_path, "--keep-box", FRONT, "--proposals", "2", "--seed", "4") == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"proposal_1", "proposal_2", "sheet.png", "report.json"}
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["keep_box"] == [[-0.5, 0.0, -0.5], [0.5, 0.5, 0.5]]
    assert report["checkpoint"] == "vehicles"
    assert len(report["kept_psnr"]) == len(report["seconds"]) == report["proposals"] == 2
    assert min(report["kept_psnr"]) > 20
    assert report["between_psnr"][0] < report["between_all_psnr"][0]
    assert 0.3 < report["kept_share"] < 0.7
    first, second = (Scene.load(tmp_path / f"proposal_{k}" / "scene.safetensors") for k in (1, 2))
    assert (first.provenance["seed"], second.provenance["seed"]) == (4, 5)
    assert not torch.equal(first.field.latent, second.field.latent)
    one = json.loads((tmp_path / "proposal_1" / "report.json").read_text())
    assert {"guide", "renoise", "finetune"} <= one["seconds"].keys()
    rows = 4  # the original, its kept part, two proposals
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[0] == rows * 132 - 4


def test_boxes_are_read_and_swapped_corners_put_right():
    assert read_box("0.5,0,-1,-0.5,1,1") == [[-0.5, 0.0, -1.0], [0.5, 1.0, 1.0]]
    for text in ("1,2,3", "a,b,c,d,e,f", "0,0,0,1,1,nan", "0,0,0,1,1,0"):
        with pytest.raises(ConfigError, match="keep-box"):
            read_box(text)


def test_what_cannot_be_done_is_told_in_a_sentence(scene, tmp_path, quick, capsys, tiny_checkpoint):
    out = tmp_path / "out"
    nothing = refused(capsys, scene, out, "--keep-box", "-0.5,-0.5,0.3,0.5,0.5,0.5")
    assert "mark some of the object" in nothing
    whole = refused(capsys, scene, out, "--keep-box", "-1,-1,-1,1,1,1")
    assert "leave something" in whole
    other = ("--keep-box", FRONT, "--checkpoint", str(tiny_checkpoint))
    assert "name the model that made the scene" in refused(capsys, scene, out, *other)
    assert "--proposals 0" in refused(capsys, scene, out, "--keep-box", FRONT, "--proposals", "0")
    missing = refused(capsys, tmp_path / "none.safetensors", out, "--keep-box", FRONT)
    assert "no such file" in missing


def test_figures_are_those_of_the_pixels_they_name():
    blank = torch.ones(8, 4, 4, 3)
    opacity = torch.zeros(8, 4, 4)
    opacity[:, :2] = 1
    kept = torch.zeros(8, 4, 4, dtype=torch.bool)
    kept[:, 0] = True
    depth = torch.ones(8, 4, 4)

    def shown(top: float, below: float) -> Looks:
        rgb = blank.clone()
        rgb[:, 0], rgb[:, 1] = top, below
        return Looks(rgb, opacity, depth)

    found = keep_figures(shown(0.5, 0.5), kept, [shown(0.6, 0.2), shown(0.51, 0.3)])
    assert found.kept_psnr == pytest.approx([20.0, 40.0], abs=1e-3)
    assert found.between_psnr == pytest.approx([20.0], abs=1e-3)
    assert found.between_all_psnr == pytest.approx([24.771], abs=1e-3)
    assert found.kept_share == 0.5
    unseen = keep_figures(
        shown(0.5, 0.5), torch.zeros_like(kept), [shown(0.6, 0.2), shown(0.5, 0.3)]
    )
    assert unseen.kept_psnr == [], "what no view shows has no figure"
    assert len(unseen.between_psnr) == 1
