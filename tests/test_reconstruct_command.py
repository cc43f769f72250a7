"""`launch.py reconstruct` with pictures whose object is in doubt."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from engine.fields.scene import Scene
from engine.pose.store import category_net
from tests.test_cli import PHOTO, only_the_scene, reconstruct

CAMERA = ("--azimuth", "55", "--elevation", "8", "--distance", "1.3")


@pytest.fixture
def two_objects(tmp_path):
    """A picture of two red blocks, and a mask of the left one."""
    picture = np.full((80, 160, 3), 255, np.uint8)
    picture[25:55, 20:70] = picture[25:55, 90:140] = [180, 30, 30]
    mask = np.zeros((80, 160), np.uint8)
    mask[25:55, 20:70] = 255
    paths = tmp_path / "two.png", tmp_path / "mask.png"
    for path, pixels in zip(paths, (picture, mask), strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def test_a_doubtful_picture_ends_with_a_sentence_and_code_2(
    tiny_checkpoint, two_objects, tmp_path, capsys
):
    picture, _ = two_objects
    assert reconstruct(tiny_checkpoint, tmp_path / "out", str(picture), *CAMERA) == 2
    said = capsys.readouterr().err
    assert f"{picture}: The picture seems to show more than one object; " in said
    assert "--mask" in said
    assert "--accept-cutout" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("accept", [False, True])
def test_a_mask_or_a_word_takes_it(tiny_checkpoint, two_objects, tmp_path, monkeypatch, accept):
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    picture, mask = two_objects
    word = ["--accept-cutout"] if accept else ["--mask", str(mask)]
    assert reconstruct(tiny_checkpoint, tmp_path / "out", str(picture), *CAMERA, *word) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["accept_cutout"] == accept
    assert report["masks"] == ([] if accept else ["mask.png"])


@pytest.mark.parametrize("count", [2, 3])
def test_masks_go_with_pictures_one_by_one(tiny_checkpoint, two_objects, tmp_path, capsys, count):
    picture, mask = two_objects
    masks = ["--mask", *[str(mask)] * count]
    assert reconstruct(tiny_checkpoint, tmp_path / "out", str(picture), *CAMERA, *masks) == 2
    assert f"Found {count} masks for 1 pictures; give one per picture" in capsys.readouterr().err


def turned(azimuth: float, expected: float) -> float:
    """Degrees between two azimuths."""
    return abs((azimuth - expected + 180) % 360 - 180)


def test_a_picture_needs_no_camera(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    assert reconstruct(tiny_checkpoint, tmp_path, str(PHOTO)) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    best, *others = report["hypotheses"]
    assert turned(best["azimuth"], 50) < 15, "the example was drawn from 50 degrees"
    assert abs(best["elevation"] - 12) < 10
    assert best["psnr"] == pytest.approx(report["psnr"]["mean"], abs=1e-3)
    assert all(best["probability"] >= other["probability"] for other in others)
    x, y, _ = torch.tensor(report["camera"][0]["c2w"])[:3, 3]
    assert turned(float(torch.rad2deg(torch.atan2(-x, y))), best["azimuth"]) < 1e-2


def test_every_hypothesis_becomes_an_object(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    monkeypatch.setattr("engine.pose.propose.SURE", 1.1)
    monkeypatch.setattr("engine.pose.guess.LEAST", 0.0)
    assert reconstruct(tiny_checkpoint, tmp_path, str(PHOTO), "--guess", "2") == 0
    told = json.loads((tmp_path / "report.json").read_text())
    count = len(told["hypotheses"])
    assert count >= 2
    assert told["psnr"]["mean"] == pytest.approx(told["hypotheses"][1]["psnr"], abs=1e-3)
    files = {path.name for path in tmp_path.glob("guess-*.safetensors")}
    assert files == {f"guess-{number}.safetensors" for number in range(1, count + 1) if number != 2}
    chosen, other = (
        Scene.load(tmp_path / name) for name in ("scene.safetensors", "guess-1.safetensors")
    )
    assert not torch.equal(chosen.field.latent, other.field.latent)


def test_without_a_network_cameras_must_be_told(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("engine.pose.store.FOLDER", tmp_path)
    category_net.cache_clear()
    out = tmp_path / "out"
    assert reconstruct(tiny_checkpoint, out, str(PHOTO)) == 2
    assert "no network that guesses" in capsys.readouterr().err
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    assert reconstruct(tiny_checkpoint, out, str(PHOTO), *CAMERA) == 0
    category_net.cache_clear()
    assert "hypotheses" not in json.loads((out / "report.json").read_text())
