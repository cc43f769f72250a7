"""Guesses of cameras: their geometry against the rasteriser, their symmetry, training, files and figures."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from engine.data.procedural.categories import VEHICLES
from engine.data.procedural.shape import scene_seed
from engine.data.raster import rasterise
from engine.errors import CheckpointError
from engine.evaluation.unposed import given_view, true_view
from engine.events import finish
from engine.nets.posenet import PoseNet, bin_angles
from engine.ops.cameras import orbit_camera
from engine.pose.guess import (
    FILLED,
    Guess,
    centred,
    frame_for,
    framed_camera,
    guess_cameras,
    guessed_view,
    mirrored,
    network_picture,
)
from engine.pose.judge import Exam, exams, figures, judge, mesh_exams
from engine.pose.pictures import CameraRange, PictureOptions, draw_pictures
from engine.pose.spoil import spoilt
from engine.pose.store import load_pose_net, save_pose_net
from engine.pose.training import STATE, PoseRecipe, soft_target, train_pose

STRAIGHT = CameraRange(beside=0.0, crop=0.0)
TINY = PoseRecipe(PictureOptions(scenes=2, views=6), iterations=6, batch=8)


def project(camera, point):
    """Pixels of a point in SRN units, by hand."""
    c2w = camera.srn_c2w().double().numpy()
    local = (np.asarray(point) - c2w[:3, 3]) @ c2w[:3, :3]
    fx, fy, cx, cy = camera.intrinsics.tolist()
    return np.array([local[0] / local[2] * fx + cx, local[1] / local[2] * fy + cy])


def random_net(seed=0):
    torch.manual_seed(seed)
    net = PoseNet()
    for (
        layer
    ) in net.modules():  # statistics as after some training, so that no two pictures look alike
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return net.eval().requires_grad_(False)


def some_picture():
    shape = VEHICLES.build(scene_seed("test", 5))
    camera = orbit_camera(40.0, 20.0)
    rgba = rasterise(
        shape.soup(), camera.srn_c2w()[None].numpy(), camera.intrinsics.numpy(), 128, 128
    )[0]
    return centred(rgba.astype(np.float32) / 255, 128)


def test_a_guess_is_a_camera_with_its_numbers():
    guess = Guess(30.0, 10.0, 1.4, 0.0, 0.9, (0.05, -0.02), 1.0)
    camera = guess.camera(200)
    assert project(camera, [0, 0, 0]) == pytest.approx([110, 96], abs=1e-3)
    right = camera.srn_c2w()[:3, 0].numpy() * 0.1  # 0.1 units right of the centre, at its depth
    assert project(camera, right) == pytest.approx([110 + 0.1 * 0.9 * 200, 96], abs=1e-3)
    assert camera.srn_c2w()[:3, 3].norm() == pytest.approx(1.4)
    assert guess.at_focal(1.8).distance == pytest.approx(2.0)
    assert guess.at_focal(1.8).camera(100).intrinsics[0] == pytest.approx(180)


def test_a_rolled_camera_turns_the_object_the_other_way():
    plain = Guess(30.0, 10.0, 1.4, 0.0, 0.9, (0.0, 0.0), 1.0)
    rolled = dataclasses.replace(plain, roll=10.0)
    up = project(rolled.camera(200), [0, 0, 0.1]) - 100
    assert abs(project(plain.camera(200), [0, 0, 0.1])[0] - 100) < 1e-3
    assert math.degrees(math.atan2(up[0], -up[1])) == pytest.approx(-10, abs=0.3)


def test_training_pictures_are_what_their_cameras_see():
    options = PictureOptions(scenes=2, views=5, varied=0.0, cameras=STRAIGHT)
    data = finish(draw_pictures(VEHICLES, options))
    cameras = framed_camera(data.direction[:, 0], data.direction[:, 1], data.framing, 64)
    for index in range(10):
        shape = VEHICLES.build(scene_seed("train", options.first_scene + index // 5))
        camera = cameras[index]
        pose, intrinsics = camera.srn_c2w().double().numpy(), camera.intrinsics.double().numpy()
        seen = rasterise(shape.soup(), pose[None], intrinsics, 64, 64, 2)[0].astype(int)
        assert np.abs(seen[..., 3] - data.rgba[index, ..., 3].numpy()).mean() < 2.0
        rows, columns = np.nonzero(seen[..., 3])
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        assert longer == pytest.approx(FILLED * 64, abs=2)


def test_training_pictures_are_a_function_of_their_options():
    options = PictureOptions(scenes=3, views=2)
    first, again = (finish(draw_pictures(VEHICLES, options)) for _ in range(2))
    assert first.key == again.key
    assert torch.equal(first.framing, again.framing)
    other = finish(draw_pictures(VEHICLES, dataclasses.replace(options, first_scene=20_001)))
    assert other.key != first.key


def test_spoilt_pictures_stay_pictures():
    data = finish(draw_pictures(VEHICLES, PictureOptions(scenes=2, views=8)))
    rgba = data.rgba.movedim(-1, 1).float() / 255
    one = spoilt(rgba, torch.Generator().manual_seed(3))
    assert torch.equal(one, spoilt(rgba, torch.Generator().manual_seed(3)))
    assert one.shape == rgba.shape
    assert one.min() >= 0
    assert one.max() <= 1
    outside = one[:, 3:] == 0
    assert (one[:, :3][outside.expand(-1, 3, -1, -1)] == 1).all()
    overlap = ((one[:, 3] > 0.5) & (rgba[:, 3] > 0.5)).sum() / (rgba[:, 3] > 0.5).sum()
    assert overlap > 0.8


def test_a_centred_picture_has_its_object_in_the_middle():
    square, window = some_picture()
    rows, columns = np.nonzero(square[..., 3] > 0.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(63.5, abs=1)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(63.5, abs=1)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(FILLED * 128, abs=2)
    assert 60 < window.side < 200


def test_the_mirror_image_has_the_mirrored_guess():
    net, (square, _) = random_net(), some_picture()
    picture = network_picture(square)
    for one, other in zip(
        guess_cameras(net, picture), guess_cameras(net, picture.flip(-1)), strict=True
    ):
        assert other.azimuth == pytest.approx(360 - one.azimuth, abs=1e-2)
        assert other.elevation == pytest.approx(one.elevation, abs=1e-2)
        assert other.centre[0] == pytest.approx(-one.centre[0], abs=1e-4)
        assert other.roll == pytest.approx(-one.roll, abs=1e-2)
        assert other.scale == pytest.approx(one.scale, rel=1e-4)


def test_mirroring_moves_every_azimuth_to_its_opposite():
    azimuths, _ = bin_angles()
    grid = mirrored(azimuths.cos() + 2 * azimuths.sin())
    assert torch.allclose(grid, azimuths.cos() - 2 * azimuths.sin(), atol=1e-5)


def test_guesses_are_in_order_and_share_at_most_everything():
    guesses = guess_cameras(random_net(1), network_picture(some_picture()[0]), 3)
    masses = [guess.probability for guess in guesses]
    assert masses == sorted(masses, reverse=True)
    assert 0 < sum(masses) <= 1
    assert 1 <= len(guesses) <= 3


def test_a_direction_that_a_person_sets_is_kept():
    guess = frame_for(random_net(), network_picture(some_picture()[0]), 123.0, 33.0)
    assert guess.azimuth == pytest.approx(123)
    assert guess.elevation == pytest.approx(33)
    assert guess.distance > 0
    assert 0 <= guess.probability <= 1


def test_the_view_of_a_guess_has_the_pixels_of_the_square():
    square, _ = some_picture()
    guess = Guess(30.0, 10.0, 1.4, 2.0, 0.9, (0.05, -0.02), 1.0)
    views = guessed_view(square, guess)
    alpha = square[..., 3:]
    assert np.allclose(views.images[0].numpy(), square[..., :3] * alpha + 1 - alpha, atol=1e-6)
    assert torch.equal(views.camera.c2w[0], guess.camera(128).c2w)


def test_the_target_is_centred_on_the_direction():
    azimuth, elevation = torch.tensor([0.02, 3.1]), torch.tensor([0.2, 0.9])
    target = soft_target(azimuth, elevation, 4.0).unflatten(1, (16, 72))
    azimuths, elevations = bin_angles()
    assert torch.allclose(target.sum((1, 2)), torch.ones(2))
    assert torch.allclose(target.sum(2) @ elevations, elevation, atol=2e-3)
    turn = (target.sum(1) * torch.exp(1j * azimuths)).sum(1).angle()
    assert torch.allclose(turn, azimuth, atol=2e-3)


def test_a_killed_training_goes_on_to_the_bit(tmp_path):
    whole = finish(train_pose(VEHICLES, TINY, tmp_path / "whole"))
    run = train_pose(VEHICLES, TINY, tmp_path / "killed", save_every_s=0.0)
    trained = (step for step in run if step.stage == "train")
    for _ in range(3):
        next(trained)
    run.close()
    steps = []
    resumed = finish(train_pose(VEHICLES, TINY, tmp_path / "killed"), steps.append)
    assert [step.index for step in steps if step.stage == "train"] == [4, 5, 6]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_state_of_another_run_is_refused(tmp_path):
    finish(train_pose(VEHICLES, TINY, tmp_path))
    with pytest.raises(CheckpointError, match="another run"):
        finish(train_pose(VEHICLES, dataclasses.replace(TINY, seed=1), tmp_path))
    (tmp_path / STATE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a readable"):
        finish(train_pose(VEHICLES, TINY, tmp_path))


def test_a_network_is_saved_and_a_damaged_one_refused(tmp_path):
    assert load_pose_net(tmp_path) is None
    net = random_net()
    save_pose_net(tmp_path, net, {"recipe": {}})
    picture = network_picture(some_picture()[0])
    first, second = (
        guess_cameras(net, picture)[0],
        guess_cameras(load_pose_net(tmp_path), picture)[0],
    )
    assert second.azimuth == pytest.approx(first.azimuth, abs=0.5)
    weights = tmp_path / "pose.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        load_pose_net(tmp_path)


def test_the_truth_has_no_error_and_the_other_side_is_a_flip(monkeypatch):
    made = finish(exams(VEHICLES, 6))
    truths = iter(made)

    def told(turn):
        def guesses(net, picture, count):
            exam: Exam = next(truths)
            azimuth, elevation, roll = map(math.degrees, exam.direction)
            scale = (
                131.25 / exam.window.side / exam.distance
            )  # SRN's focal length over side and distance
            return (Guess(azimuth + turn, elevation, exam.distance, roll, scale, (0.0, 0.0), 1.0),)

        return guesses

    monkeypatch.setattr("engine.pose.judge.guess_cameras", told(0.0))
    right = figures(finish(judge(PoseNet(), made)))
    assert right["top1_5deg"] == right["translation_3percent"] == right["focal_3percent"] == 1
    assert right["median_deg"] == pytest.approx(0, abs=1e-4)
    truths = iter(made)
    monkeypatch.setattr("engine.pose.judge.guess_cameras", told(180.0))
    wrong = figures(finish(judge(PoseNet(), made)))
    assert wrong["flips"] == 1
    assert wrong["top1_10deg"] == 0


def test_the_true_view_is_what_the_renderer_sees_through_the_square():
    for index, exam in enumerate(finish(exams(VEHICLES, 3))):
        views = true_view(exam)
        camera, shape = views.camera[0], VEHICLES.build(scene_seed("test", index))
        pose, intrinsics = camera.srn_c2w().double().numpy(), camera.intrinsics.double().numpy()
        seen = rasterise(shape.soup(), pose[None], intrinsics, 128, 128)[0, ..., 3] / 255
        overlap = np.minimum(seen, exam.square[..., 3]).sum()
        assert overlap / np.maximum(seen, exam.square[..., 3]).sum() > 0.95


def test_no_guess_reads_a_true_camera():
    net, blind = random_net(), float("nan")
    for exam in finish(exams(VEHICLES, 2)):
        nowhere = dataclasses.replace(
            exam,
            camera=dataclasses.replace(exam.camera, c2w=exam.camera.c2w * blind),
            direction=(blind, blind, blind),
            distance=blind,
        )
        views, expected = (
            given_view("guessed", one, net, np.zeros((1, 1, 3), np.float32))
            for one in (nowhere, exam)
        )
        assert torch.equal(views.camera.c2w, expected.camera.c2w)
        assert torch.equal(views.images, expected.images)
        assert views.camera.c2w.isfinite().all()
        assert views.camera.intrinsics.isfinite().all()


def test_a_round_object_can_be_turned():
    angles = np.linspace(0, 2 * np.pi, 181)[:-1]
    ring = np.stack([0.5 * np.cos(angles), 0.5 * np.sin(angles)], 1)
    vertices = np.concatenate([np.c_[ring, np.full(180, -0.2)], np.c_[ring, np.full(180, 0.2)]])
    k = np.arange(180)
    n = (k + 1) % 180
    faces = np.concatenate([np.c_[k, n, n + 180], np.c_[k, n + 180, k + 180]])
    from engine.data.raster import Soup

    grey = np.full((len(faces), 3, 3), 0.5, np.float32)
    round_ = mesh_exams(Soup(vertices.astype(np.float32), faces.astype(np.int32), grey), 1)
    assert len(round_[0].turns) == 72
    car = finish(exams(VEHICLES, 1))
    assert car[0].turns == (0.0,)
