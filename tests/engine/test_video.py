"""Videos, sheets and passes, read back by other programs."""

import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import ExportError, WriteError
from engine.events import finish
from engine.ops.cameras import orbit_camera, pose_angles
from engine.output.ffmpeg import whole
from engine.output.video import (
    contact_sheet,
    film,
    frame_renderer,
    save_pass,
    save_picture,
    scene_sheet,
    turntable,
)
from engine.render.frames import EMPTY_DEPTH, RenderOutput, bake, render
from engine.types import Camera
from tests.full_disk import files_of_at_most


class Ball:
    """A ball, red on its front half (y > 0) and blue behind."""

    kind = "ball"
    aabb = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])

    def density(self, xyz):
        return 200.0 * (xyz.norm(dim=-1) < 0.6)

    def query(self, xyz, dirs):
        front = (xyz[:, 1:2] > 0).float()
        return self.density(xyz), torch.cat([front, 0 * front, 1 - front], 1)


def coloured_by_azimuth(camera: Camera) -> np.ndarray:
    """A plain frame whose grey tells the azimuth."""
    azimuth, _, _ = pose_angles(camera.c2w)
    value = round(float(torch.rad2deg(azimuth)) % 360 / 360 * 200)
    return np.full((camera.height, camera.width, 3), value, np.uint8)


def test_a_turntable_has_its_frames_its_size_and_goes_once_around(tmp_path):
    path = tmp_path / "turn.mp4"
    seen = []
    run = turntable(coloured_by_azimuth, path, frames=12, size=63, fps=10)
    assert finish(run, seen.append) == path
    assert [step.index for step in seen] == list(range(1, 13))
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert len(frames) == 12
    assert frames[0].shape == (64, 64, 3)
    assert video.get(cv2.CAP_PROP_FPS) == 10
    values = [frame.mean() for frame in frames]
    np.testing.assert_allclose(values, np.arange(12) / 12 * 200, atol=4)


def test_browsers_can_play_the_turntable_from_its_first_bytes(tmp_path):
    path = finish(turntable(coloured_by_azimuth, tmp_path / "turn.mp4", frames=4, size=32))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    told = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True
    ).stderr
    assert "h264" in told
    assert "yuv420p" in told


def children() -> set[str]:
    """Processes that this one has started and that are still there, dead ones that nobody has waited for included."""
    return {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    }


def test_a_cancelled_turntable_leaves_neither_a_file_nor_a_process(tmp_path):
    before = children()
    run = turntable(coloured_by_azimuth, tmp_path / "turn.mp4", frames=12, size=32)
    next(run)
    assert children() - before, "ffmpeg, which waits for pictures"
    run.close()
    assert not list(tmp_path.iterdir())
    assert not children() - before


def test_a_gif_has_its_frames_its_pace_and_its_colours_and_goes_on_for_ever(tmp_path):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (0, 0, 0), (255, 255, 255)]
    frames = [np.full((33, 33, 3), colour, np.uint8) for colour in colours]
    seen = []
    path = finish(film(iter(frames), tmp_path / "new" / "a.gif", 5, fps=12), seen.append)
    assert [(step.stage, step.index, step.total) for step in seen] == [
        ("film", k, 5) for k in range(1, 6)
    ]
    with Image.open(path) as gif:
        assert gif.n_frames == 5
        assert gif.size == (33, 33)
        assert gif.info["loop"] == 0
        durations = []
        for index, colour in enumerate(colours):
            gif.seek(index)
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(shown - colour).max() <= 8
            durations.append(gif.info["duration"])
    assert sum(durations) == pytest.approx(5 * 1000 / 12, abs=10)
    assert set(durations) <= {80, 90}


def test_a_film_draws_a_picture_only_when_the_one_before_is_written(tmp_path):
    drawn = []

    def frames():
        for index in range(3):
            drawn.append(index)
            yield np.zeros((32, 32, 3), np.uint8)

    run = film(frames(), tmp_path / "a.gif", 3)
    next(run)
    assert drawn == [0]
    run.close()
    assert not list(tmp_path.iterdir())


def test_a_turntable_may_be_a_gif(tmp_path):
    path = finish(turntable(coloured_by_azimuth, tmp_path / "turn.gif", frames=6, size=32, fps=25))
    with Image.open(path) as gif:
        assert gif.n_frames == 6
        assert gif.info["duration"] == 40


def test_a_gif_that_players_would_slow_down_is_refused(tmp_path):
    with pytest.raises(ExportError, match="found 60 pictures per second, expected at most 50"):
        finish(film(iter([]), tmp_path / "a.gif", 0, fps=60))


def test_wrong_endings_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ExportError, match=r"'\.avi', expected \.mp4 or \.gif\.$"):
        finish(turntable(coloured_by_azimuth, tmp_path / "turn.avi"))
    with pytest.raises(ExportError, match=r"'\.jpg', expected \.png\.$"):
        save_picture(tmp_path / "a.jpg", np.zeros((4, 4, 3), np.uint8))


def test_a_file_in_the_way_of_a_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="part of its path is a file"):
        finish(turntable(coloured_by_azimuth, tmp_path / "file" / "turn.mp4", frames=2, size=32))
    with pytest.raises(WriteError, match="part of its path is a file"):
        save_picture(tmp_path / "file" / "a.png", np.zeros((4, 4, 3), np.uint8))


def noise_frames(count: int, size: int):
    """Pictures that no encoder makes small."""
    random = np.random.default_rng(0)
    return (random.integers(0, 256, (size, size, 3), np.uint8) for _ in range(count))


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_film_that_finds_no_room_is_refused_and_the_old_one_stays(ending, tmp_path):
    path = finish(film(noise_frames(2, 32), tmp_path / f"a.{ending}", 2))
    before = path.read_bytes()
    with files_of_at_most(20_000), pytest.raises(WriteError, match="larger than the disk"):
        finish(film(noise_frames(12, 96), path, 12))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 1", "no whole film"),
        ("cat > /dev/null; exit 7", r"no whole film \(exit code 7\)"),
        ("cat > /dev/null; cat WHOLE > FILM; exit 1", r"no whole film \(exit code 1\)"),
        ("cat > /dev/null", "no whole film"),
        ("cat > /dev/null; head -c 900 WHOLE > FILM", "no whole film"),
    ],
)
def test_a_film_counts_only_when_ffmpeg_ends_well_and_leaves_it_whole(
    script, told, tmp_path, monkeypatch
):
    whole = finish(film(noise_frames(4, 32), tmp_path / "whole.mp4", 4))
    program, path = tmp_path / "ffmpeg", tmp_path / "a.mp4"
    script = script.replace("WHOLE", str(whole)).replace("FILM", str(tmp_path / ".tmp-a.mp4"))
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg._io, "get_ffmpeg_exe", lambda: str(program))
    with pytest.raises(ExportError, match=told) as caught:
        finish(film(noise_frames(40, 64), path, 40))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert {found.name for found in tmp_path.iterdir()} == {"whole.mp4", "ffmpeg"}


@pytest.mark.parametrize("folder", ["12:30", "-dash", "a b", "%d", "pipe:1"])
def test_a_film_goes_where_its_name_says_whatever_that_means_to_ffmpeg(
    folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for ending in ("mp4", "gif"):
        path = finish(film(noise_frames(2, 32), Path(folder) / f"{folder}.{ending}", 2))
        assert whole(tmp_path / path)


def test_a_sheet_puts_pictures_in_rows_on_white():
    images = [np.full((10, 20, 3), 10 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (2 * 10 + 2, 3 * 20 + 2 * 2, 3)
    for i in range(5):
        row, col = divmod(i, 3)
        assert (sheet[row * 12 : row * 12 + 10, col * 22 : col * 22 + 20] == 10 * i).all()
    assert (sheet[10:12] == 255).all()
    assert (sheet[12:, 44:] == 255).all()


def test_labels_are_written_above_and_never_into_pictures():
    images = [np.full((10, 40, 3), 7, np.uint8)] * 3
    plain = contact_sheet(images, columns=2)
    labelled = contact_sheet(images, columns=2, labels=["one", "a very long label indeed", "g"])
    strip = (labelled.shape[0] - plain.shape[0]) // 2
    assert strip > 0
    for row in range(2):
        top = row * (strip + 14)
        assert (labelled[top : top + strip, :40] < 128).any()
        assert (labelled[top + strip : top + strip + 10, :40] == 7).all()


def test_a_scene_sheet_shows_front_and_back():
    sheet = scene_sheet(frame_renderer(Ball()), size=32)
    assert sheet.shape == (2 * 32 + 4, 4 * 32 + 3 * 4, 3)
    front, back = sheet[36 + 16, 16], sheet[36 + 16, 72 + 16]
    assert front[0] > 200
    assert front[2] < 50
    assert back[2] > 200
    assert back[0] < 50


def test_passes_are_read_back_with_their_units(tmp_path):
    depth = torch.full((3, 4), EMPTY_DEPTH)
    depth[1, 2] = 2.6
    opacity = torch.zeros(3, 4)
    opacity[1, 2] = 1
    normal = torch.zeros(3, 4, 3)
    normal[1, 2] = torch.tensor([0.0, 1.0, 0.0])
    rgb = torch.ones(3, 4, 3)
    rgb[1, 2] = torch.tensor([0.2, 0.4, 1.2])
    output = RenderOutput(rgb, opacity, depth, normal)
    read = {
        kind: np.asarray(Image.open(save_pass(tmp_path / f"{kind}.png", kind, output)))
        for kind in ("rgb", "depth", "normal", "opacity")
    }
    assert read["rgb"][1, 2].tolist() == [51, 102, 255]
    assert read["depth"][1, 2] == 13000
    assert read["depth"].sum() == 13000
    assert read["normal"][1, 2].tolist() == [128, 255, 128]
    assert read["normal"][0, 0].tolist() == [0, 0, 0]
    assert read["opacity"].tolist()[1] == [0, 0, 255, 0]
    assert len(list(tmp_path.iterdir())) == 4


def test_normals_that_were_not_rendered_are_missed(tmp_path):
    camera_free = RenderOutput(torch.ones(2, 2, 3), torch.ones(2, 2), torch.ones(2, 2))
    with pytest.raises(ExportError, match="without normals"):
        save_pass(tmp_path / "normal.png", "normal", camera_free)


def test_the_depth_of_a_ball_is_its_distance(tmp_path):
    output = render(bake(Ball()), orbit_camera(0.0, 0.0, 1.3, 33))
    picture = np.asarray(Image.open(save_pass(tmp_path / "d.png", "depth", output)))
    assert abs(int(picture[16, 16]) - 10_000) < 300
    assert picture[0, 0] == 0
