"""`launch.py interpolate`: what it writes, which noise it takes, what it says of mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import launch
from engine.config import to_json
from engine.events import finish
from engine.methods.ssdnerf.options import SampleOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.store.checkpoint import open_checkpoint

TOLD = re.compile(r"\(inverted, returns at (-?[\d.]+) dB, shown at (-?[\d.]+) dB\)")


@pytest.fixture(scope="module")
def scenes(tiny_checkpoint, tmp_path_factory) -> dict[str, Path]:
    """A drawn scene, one of nobody's seed, and one of another prior."""
    folder = tmp_path_factory.mktemp("scenes")
    method = open_checkpoint(tiny_checkpoint)
    options = SampleOptions(mode="paper", steps=2)
    latent = finish(method.generate(1, options, Noise(5)))[0]
    drawn = method.scene(latent, seed=5, settings=to_json(options))
    toy = ToyMethod()
    kept = {"DRAWN": drawn, "PLAIN": method.scene(0.9 * latent), "TOY": toy.scene(toy.gallery[0])}
    return {name: scene.save(folder / f"{name}.safetensors") for name, scene in kept.items()}


def interpolate(checkpoint: Path, *arguments: object) -> int:
    small = ["--checkpoint", checkpoint, "--size", 32, "--mode", "paper"]
    return launch.main(["interpolate", *map(str, (*arguments, *small))])


def frames_of(path: Path) -> list[np.ndarray]:
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(read[1])
    return frames


def test_a_film_and_a_strip_between_two_seeds(tiny_checkpoint, tmp_path, capsys):
    film, strip = tmp_path / "new" / "film.mp4", tmp_path / "strip.png"
    assert (
        interpolate(
            tiny_checkpoint, "--from", 1, "--to", 2, "--frames", 11, "--out", film, "--strip", strip
        )
        == 0
    )
    assert [frame.shape for frame in frames_of(film)] == [(32, 32, 3)] * 11
    assert cv2.imread(str(strip)).shape == (32, 9 * 32 + 8 * 4, 3)
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == f"{film}: 11 pictures, from seed 1 (exact) to seed 2 (exact)"


def test_pictures_between_keyframes_blend_the_objects_that_the_prior_draws_there(
    tiny_checkpoint, tmp_path, monkeypatch, capsys
):
    filmed, drawn = [], []

    def kept(method, codes, *args, **look):
        filmed.append(codes)
        yield from ()

    from engine.explore import film as films
    from engine.explore import interpolate as module

    walked = module.path
    monkeypatch.setattr(
        module, "path", lambda *args, **way: drawn.append(len(args[2])) or walked(*args, **way)
    )
    monkeypatch.setattr(films, "path_film", kept)
    ends = ("--from", 1, "--to", 2, "--out", tmp_path / "a.mp4")
    assert interpolate(tiny_checkpoint, *ends, "--frames", 9, "--keyframes", 5) == 0
    assert "9 pictures (5 drawn)" in capsys.readouterr().err
    assert interpolate(tiny_checkpoint, *ends, "--frames", 9, "--keyframes", 0) == 0
    assert interpolate(tiny_checkpoint, *ends, "--frames", 60) == 0
    assert interpolate(tiny_checkpoint, *ends, "--frames", 60, "--space", "code") == 0
    assert drawn == [5, 9, 17, 60]
    few, every, *_ = filmed
    torch.testing.assert_close(few[::2], every[::2])
    torch.testing.assert_close(few[1], (every[0] + every[2]) / 2)
    assert [len(codes) for codes in filmed] == [9, 9, 60, 60]


def test_a_gif_turns_and_has_its_pace(tiny_checkpoint, tmp_path):
    film = tmp_path / "film.gif"
    ends = ("--from", 1, "--to", 1, "--frames", 3)
    assert interpolate(tiny_checkpoint, *ends, "--fps", 10, "--turn", 90, "--out", film) == 0
    with Image.open(film) as gif:
        assert gif.n_frames == 3
        assert gif.info["duration"] == 100
        pictures = []
        for index in range(3):
            gif.seek(index)
            pictures.append(np.asarray(gif.convert("RGB")).astype(int))
    assert np.abs(pictures[0] - pictures[2]).mean() > 1, "the camera moved, the object did not"


def test_a_drawn_scene_brings_its_own_noise(tiny_checkpoint, scenes, tmp_path, capsys):
    arguments = ("--from", scenes["DRAWN"], "--to", 5, "--frames", 3, "--out", tmp_path / "a.mp4")
    assert interpolate(tiny_checkpoint, *arguments) == 0
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.endswith("DRAWN.safetensors (exact) to seed 5 (exact)")


def test_another_scene_is_inverted_and_its_return_is_told(
    tiny_checkpoint, scenes, tmp_path, capsys
):
    arguments = ("--from", scenes["PLAIN"], "--to", 5, "--frames", 2, "--out", tmp_path / "a.mp4")
    assert interpolate(tiny_checkpoint, *arguments) == 0
    returns, shown = TOLD.search(capsys.readouterr().err).groups()
    assert returns == shown, "the path walks the noise levels that the inversion walked"
    assert interpolate(tiny_checkpoint, *arguments, "--space", "code") == 0
    assert "PLAIN.safetensors (exact) to seed 5 (exact)" in capsys.readouterr().err


def test_the_shared_draws_are_those_of_the_first_seed_or_of_the_one_given(
    tiny_checkpoint, tmp_path, monkeypatch
):
    seen = []

    def spied(method, corners, points, *, seed, **options):
        seen.append((seed, options["kind"], options["space"]))
        return walked(method, corners, points, seed=seed, **options)

    from engine.explore import interpolate as module

    walked = module.path
    monkeypatch.setattr(module, "path", spied)
    ends = ("--from", 3, "--to", 2, "--frames", 2, "--out", tmp_path / "a.mp4")
    assert interpolate(tiny_checkpoint, *ends) == 0
    assert interpolate(tiny_checkpoint, *ends, "--seed", 7, "--kind", "lerp") == 0
    assert seen == [(3, "slerp", "noise"), (7, "lerp", "noise")]


MISTAKES = {
    "--from 1 --to 2 --frames 1 --out OUT/a.mp4": "Found --frames 1, expected 2 to 1000.",
    "--from 1 --to 2 --keyframes 1 --out OUT/a.mp4": "Found --keyframes 1, expected 2 to 1000.",
    "--from 1 --to 2 --out OUT/a.avi": "found the ending '.avi', expected .mp4 or .gif.",
    "--from 1 --to 2 --fps 60 --out OUT/a.gif": "expected at most 50 in a GIF",
    "--from 1 --to 2 --turn nan --out OUT/a.gif": "Found --turn nan",
    "--from 1 --to 2 --out OUT/a.mp4 --strip OUT/a.jpg": "found the ending '.jpg', expected .png.",
    "--from dog --to 2 --out OUT/a.mp4": "dog: there is no such file",
    "--from 1 --to TOY --out OUT/a.mp4": "found a latent of shape (14, 10)",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_with_one_sentence_and_writes_nothing(
    line, tiny_checkpoint, scenes, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(launch.Progress, "__call__", lambda self, step: None)
    names = {"OUT": tmp_path / "out", **scenes}
    filled = re.sub("|".join(names), lambda match: str(names[match[0]]), line)
    assert interpolate(tiny_checkpoint, *filled.split()) == 2
    message = capsys.readouterr().err
    assert MISTAKES[line] in message
    assert message.count("\n") == 1
    assert message.endswith(".\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
