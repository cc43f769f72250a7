"""`launch.py reconstruct` with pictures whose object is in doubt."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.test_cli import only_the_scene, reconstruct

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
