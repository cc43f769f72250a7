"""The SRN layout, written and read back, and the command line's data sets."""

import json

import cv2
import numpy as np
import pytest
import torch

from engine.data.cameras import orbit_cameras, spiral_cameras, srn_intrinsics, training_cameras
from engine.data.procedural.categories import VEHICLES
from engine.data.procedural.shape import render_shape
from engine.data.procedural.vehicles import build_vehicle
from engine.data.raster import composite_white
from engine.data.srn import SRNDataset, SRNScene, write_srn
from engine.data.srn_check import check_srn
from engine.data.write import write_scenes
from engine.errors import DataError
from engine.events import finish


def _scene(seed, channels=4, size=(24, 20)):
    noise = np.random.default_rng(seed)
    images = noise.integers(0, 256, (3, *size, channels)).astype(np.uint8)
    intrinsics = np.array([30.0, 30.0, size[1] / 2, size[0] / 2])
    return SRNScene(
        images, training_cameras(seed, 3), intrinsics, {"seed": seed, "caption": "noise"}
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_written_is_read_back(tmp_path, channels):
    scenes = [_scene(seed, channels) for seed in (1, 2)]
    dataset = finish(write_srn(tmp_path / "out", ["b", "a"], lambda i: scenes[i]))
    assert dataset.ids == ("a", "b")
    assert len(dataset) == 2
    for index, scene in ((0, scenes[1]), (1, scenes[0])):
        views = dataset.views(index)
        rgb = scene.images[..., :3] / 255
        alpha = scene.images[..., 3:] / 255 if channels == 4 else np.ones_like(rgb[..., :1])
        np.testing.assert_allclose(views.images.numpy(), rgb * alpha + 1 - alpha, atol=1e-6)
        assert (views.alpha is None) == (channels == 3)
        np.testing.assert_allclose(views.camera.srn_c2w().numpy(), scene.c2w, atol=1e-6)
        np.testing.assert_allclose(views.camera.c2w[:, :3, 3].norm(dim=-1).numpy(), 2.6, rtol=1e-6)
        np.testing.assert_allclose(views.camera.intrinsics[2].numpy(), scene.intrinsics)
        assert (views.camera.height, views.camera.width) == (24, 20)
        chosen = dataset.views(index, [2, 0])
        torch.testing.assert_close(chosen.images, views.images[[2, 0]])
        torch.testing.assert_close(chosen.camera.c2w, views.camera.c2w[[2, 0]])
        assert dataset.describe(index)["caption"] == "noise"


def test_the_files_are_those_of_the_specification(tmp_path):
    scene = _scene(3)
    finish(write_srn(tmp_path / "out", ["s"], lambda i: scene))
    folder = tmp_path / "out" / "s"
    assert sorted(path.name for path in folder.iterdir()) == [
        "attributes.json",
        "intrinsics.txt",
        "pose",
        "rgb",
    ]
    assert [path.name for path in sorted((folder / "rgb").iterdir())] == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    lines = (folder / "intrinsics.txt").read_text().split("\n")
    assert [float(value) for value in lines[0].split()] == [30, 10, 12, 0]
    assert [float(value) for value in lines[1].split()] == [0, 0, 0]
    assert float(lines[2]) == 1
    assert lines[3].split() == ["24", "20"]
    pose = (folder / "pose" / "000001.txt").read_text()
    assert pose.count("\n") == 1
    np.testing.assert_allclose(np.array(pose.split(), float).reshape(4, 4), scene.c2w[1], atol=1e-8)
    assert [path.name for path in (tmp_path).iterdir()] == ["out"]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    made = []

    def make(index):
        made.append(index)
        return _scene(index)

    ids = [f"s{index}" for index in range(12)]
    run = write_srn(tmp_path / "out", ids, make, {"size": 24})
    next(run)
    run.close()
    finished = {path.name for path in (tmp_path / "out").iterdir()}
    assert 0 < len(finished) < 12
    made.clear()
    steps = []
    finish(write_srn(tmp_path / "out", ids, make, {"size": 24}), steps.append)
    assert {f"s{index}" for index in made} == set(ids) - finished
    assert [step.index for step in steps] == list(range(len(finished), 13))
    assert {step.total for step in steps} == {12}
    with pytest.raises(DataError, match="other settings"):
        finish(write_srn(tmp_path / "out", ids, make, {"size": 48}))


def test_views_without_leading_zeros_come_in_the_order_of_their_numbers(tmp_path):
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    scene = SRNScene(images, training_cameras(0, 12), np.array([8.0, 8, 4, 4]))
    padded = finish(write_srn(tmp_path / "padded", ["s"], lambda i: scene)).views(0)
    finish(write_srn(tmp_path / "short", ["s"], lambda i: scene))
    for path in (tmp_path / "short").glob("s/*/0*"):
        path.rename(path.with_name(f"{int(path.stem)}{path.suffix}"))
    short = SRNDataset(tmp_path / "short")
    assert torch.equal(short.views(0).images, padded.images)
    assert torch.equal(short.views(0).camera.c2w, padded.camera.c2w)
    assert torch.equal(short.views(0, [10]).images, padded.images[[10]])
    for kind in ("rgb", "pose"):  # other programs' own files
        (tmp_path / "short" / "s" / kind / "._7.png").write_bytes(b"x")
        (tmp_path / "short" / "s" / kind / "._7.txt").write_bytes(b"x")
    assert len(SRNDataset(tmp_path / "short").frames(0)) == 12


def test_scenes_of_numbered_names_come_in_their_order(tmp_path):
    for name in ("car10", "car9", "car1"):
        finish(write_srn(tmp_path / "v", [name], lambda i: _scene(1)))
    assert SRNDataset(tmp_path / "v").ids == ("car1", "car9", "car10")


def test_a_failing_scene_leaves_no_half_written_folder(tmp_path):
    def make(index):
        if index == 1:
            raise DataError("broken on purpose")
        return _scene(index)

    with pytest.raises(DataError, match="on purpose"):
        finish(write_srn(tmp_path / "out", ["a", "b"], make))
    assert len(SRNDataset(tmp_path / "out").frames(0)) == 3
    assert not (tmp_path / "out" / "b").exists()


def test_vehicles_are_written_with_their_random_cameras(tmp_path):
    dataset = finish(write_scenes(VEHICLES, tmp_path / "v", 2, views=3, size=32, seed=5))
    assert dataset.ids == ("vehicle-0000005", "vehicle-0000006")
    views = dataset.views(1)
    c2w = training_cameras(6, 3)
    expected = composite_white(render_shape(build_vehicle(6), c2w, srn_intrinsics(32), 32))
    np.testing.assert_allclose(views.images.numpy() * 255, expected, atol=0.51)
    np.testing.assert_allclose(views.camera.srn_c2w().numpy(), c2w, atol=1e-6)
    about = dataset.describe(1)
    assert about["seed"] == 6
    assert about["attributes"]["body_type"] in about["caption"]
    report = check_srn(tmp_path / "v")
    assert (report.scenes, report.pictures, report.height) == (2, 6, 32)
    np.testing.assert_allclose(report.distance, 1.3, rtol=1e-6)


def test_the_spiral_belongs_to_the_test_split(tmp_path):
    dataset = finish(write_scenes(VEHICLES, tmp_path / "v", 1, spiral=True, size=16))
    assert dataset.ids == ("vehicle-2000000",)
    np.testing.assert_allclose(dataset.cameras(0).srn_c2w().numpy(), spiral_cameras(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenes": 0}, "Found scenes = 0"),
        ({"scenes": 1, "views": 0}, "Found views = 0"),
        ({"scenes": 1, "size": 4}, "Found size = 4"),
        ({"scenes": 2, "seed": 999_999}, "Found scene 1000000"),
        ({"scenes": 1, "split": "holdout"}, "Found split 'holdout'"),
    ],
)
def test_numbers_out_of_range_are_named(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        finish(write_scenes(VEHICLES, tmp_path / "v", **options))


class TestCheck:
    """Folders broken on purpose."""

    @pytest.fixture
    def root(self, tmp_path):
        finish(write_scenes(VEHICLES, tmp_path / "v", 2, views=2, size=32))
        return tmp_path / "v"

    def _fails(self, root, message):
        with pytest.raises(DataError, match=message) as caught:
            check_srn(root)
        assert "\n" not in str(caught.value)

    def _poses(self, root, change):
        for path in root.glob("*/pose/*.txt"):
            pose = change(np.loadtxt(path).reshape(4, 4))
            path.write_text(" ".join(map(str, np.asarray(pose).ravel())))

    def _pictures(self, root, change):
        for path in root.glob("*/rgb/*.png"):
            cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))

    def test_a_sound_folder_passes(self, root):
        assert check_srn(root, pictures_per_scene=1).pictures == 4

    def test_missing_folder(self, root):
        self._fails(root / "nowhere", "no such folder")

    def test_empty_folder(self, tmp_path):
        self._fails(tmp_path, "no scenes")

    @pytest.mark.parametrize("name", ["rgb", "pose"])
    def test_missing_part(self, root, name):
        (root / "vehicle-0000001" / name).rename(root / "vehicle-0000001" / "gone")
        self._fails(root, f"no folder {name}")

    def test_missing_intrinsics(self, root):
        (root / "vehicle-0000001" / "intrinsics.txt").unlink()
        self._fails(root, "no intrinsics.txt")

    def test_missing_pose(self, root):
        (root / "vehicle-0000000" / "pose" / "000001.txt").unlink()
        self._fails(root, "2 pictures and 1 poses")

    def test_unpaired_names(self, root):
        path = root / "vehicle-0000000" / "pose" / "000001.txt"
        path.rename(path.with_name("000007.txt"))
        self._fails(root, "expected equal names")

    def test_pose_of_eight_numbers(self, root):
        self._poses(root, lambda pose: pose[:2])
        self._fails(root, "found 8 numbers")

    def test_poses_of_three_rows(self, root):
        before = check_srn(root)
        self._poses(root, lambda pose: pose[:3])
        assert check_srn(root) == before

    def test_scaled_rotation(self, root):
        self._poses(root, lambda pose: pose @ np.diag([2, 2, 2, 1]))
        self._fails(root, "not a rotation")

    def test_left_handed_pose(self, root):
        self._poses(root, lambda pose: pose @ np.diag([-1, 1, 1, 1]))
        self._fails(root, "determinant -1")

    def test_opengl_cameras(self, root):
        self._poses(root, lambda pose: pose @ np.diag([1, -1, -1, 1]))
        self._fails(root, "looks away from the object .* give --convention opengl")

    def test_cameras_upside_down(self, root):
        self._poses(root, lambda pose: pose @ np.diag([-1, -1, 1, 1]))
        self._fails(root, "upside down.* give --convention pytorch3d")

    def test_cameras_in_another_unit(self, root):
        self._poses(root, lambda pose: np.diag([0.2, 0.2, 0.2, 5]) @ pose @ np.diag([5, 5, 5, 0.2]))
        self._fails(root, "inside the object's box.* give --scale 25")

    def test_object_larger_than_its_box(self, root):
        def closer(pose):
            pose[:3, 3] *= 3
            return pose

        self._poses(root, closer)
        self._fails(root, "times as large as its box.* give --scale 0.3333")

    def test_object_that_is_not_where_the_cameras_look(self, root):
        self._pictures(root, lambda picture: np.roll(picture, 12, 1))
        assert check_srn(root).doubts

    def test_background_that_is_not_white(self, root):
        self._pictures(
            root,
            lambda picture: np.where(picture[..., 3:] > 0, picture[..., :3], 90).astype(np.uint8),
        )
        self._fails(root, "background is not white")

    def test_empty_picture(self, root):
        self._pictures(root, lambda picture: np.full((32, 32, 3), 255, np.uint8))
        self._fails(root, "empty")

    def test_truncated_picture(self, root):
        path = root / "vehicle-0000001" / "rgb" / "000000.png"
        path.write_bytes(path.read_bytes()[:60])
        self._fails(root, "cannot be read as a picture")

    def test_picture_of_another_size(self, root):
        self._pictures(root, lambda picture: cv2.resize(picture, (16, 16)))
        self._fails(root, "found 16 x 16 pixels")
        with pytest.raises(DataError, match="found 16 x 16 pixels"):
            SRNDataset(root).views(0)

    def test_mixed_sizes(self, root):
        path = root / "vehicle-0000001" / "intrinsics.txt"
        path.write_text(path.read_text().replace("32 32", "64 64"))
        self._fails(root, "expected 32 x 32 as in the first scene")

    def test_mixed_intrinsics(self, root):
        path = root / "vehicle-0000001" / "intrinsics.txt"
        path.write_text(path.read_text().replace("32.81", "40.00"))
        self._fails(root, "holds one camera")


def test_a_camera_that_looks_past_the_object_is_named(tmp_path):
    c2w = orbit_cameras(np.array([0.3]), np.array([0.2]), 1.3)
    turn = np.array([[0.64, 0, 0.768], [0, 1, 0], [-0.768, 0, 0.64]])
    c2w[:, :3, :3] = c2w[:, :3, :3] @ turn
    images = np.full((1, 16, 16, 3), 255, np.uint8)
    images[:, 6:10, 6:10] = 0
    finish(write_srn(tmp_path / "o", ["s"], lambda i: SRNScene(images, c2w, srn_intrinsics(16))))
    with pytest.raises(DataError, match="looks past the object"):
        check_srn(tmp_path / "o")


def test_attributes_are_plain_json(tmp_path):
    finish(write_scenes(VEHICLES, tmp_path / "v", 1, views=1, size=16))
    found = json.loads((tmp_path / "v" / "vehicle-0000000" / "attributes.json").read_text())
    assert {"seed", "caption", "attributes", "request"} <= set(found)
