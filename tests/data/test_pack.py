"""Packed data sets: the same pictures and cameras as their source, finished or absent, reused when identical."""

import dataclasses
import json
import os
import resource
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from engine import content
from engine.data.base import PackedDataset
from engine.data.cameras import spiral_cameras, srn_intrinsics, training_cameras
from engine.data.pack import pack_dataset, pack_scenes
from engine.data.procedural.categories import VEHICLES
from engine.data.procedural.shape import render_shape
from engine.data.procedural.vehicles import build_vehicle
from engine.data.raster import composite_white
from engine.data.srn import SRNDataset
from engine.data.write import write_scenes
from engine.errors import DataError
from engine.events import finish
from tests.waiting import until

SEEDS = [3, 1_000_001, 9]


@pytest.fixture
def packed(tmp_path):
    return finish(pack_scenes(tmp_path / "pack", VEHICLES, SEEDS, views=4, size=24))


def test_packed_vehicles_are_the_rendered_ones(packed):
    assert len(packed) == 3
    assert packed.ids == ("vehicle-0000003", "vehicle-1000001", "vehicle-0000009")
    for index, seed in enumerate(SEEDS):
        c2w = training_cameras(seed, 4)
        expected = composite_white(render_shape(build_vehicle(seed), c2w, srn_intrinsics(24), 24))
        np.testing.assert_array_equal(packed.images[index], expected)
        np.testing.assert_array_equal(packed.raw(index), expected)
        views = packed.views(index, [3, 1])
        np.testing.assert_allclose(views.images.numpy() * 255, expected[[3, 1]], atol=1e-4)
        np.testing.assert_allclose(views.camera.srn_c2w().numpy(), c2w[[3, 1]], atol=1e-6)
        camera = packed.cameras(index)
        assert (len(camera), camera.height, camera.width) == (4, 24, 24)
        np.testing.assert_allclose(camera.c2w[:, :3, 3].norm(dim=-1).numpy(), 2.6, rtol=1e-6)
        about = packed.describe(index)
        assert about["seed"] == seed
        assert about["attributes"] == build_vehicle(seed).attributes


def test_a_finished_folder_is_reused_and_another_request_refused(packed, tmp_path):
    before = (tmp_path / "pack" / "images.npy").stat().st_mtime_ns
    steps = []
    finish(pack_scenes(tmp_path / "pack", VEHICLES, SEEDS, views=4, size=24), steps.append)
    assert (tmp_path / "pack" / "images.npy").stat().st_mtime_ns == before
    assert [(step.stage, step.index, step.total) for step in steps] == [("dataset", 3, 3)]
    with pytest.raises(DataError, match="something other than the requested"):
        finish(pack_scenes(tmp_path / "pack", VEHICLES, SEEDS, views=5, size=24))


def test_an_interrupted_run_leaves_no_folder_and_can_be_repeated(tmp_path):
    run = pack_scenes(tmp_path / "pack", VEHICLES, range(9), views=2, size=16)
    assert next(run).index == 1
    run.close()
    assert not list(tmp_path.iterdir())
    steps = []
    packed = finish(
        pack_scenes(tmp_path / "pack", VEHICLES, range(9), views=2, size=16), steps.append
    )
    assert [step.index for step in steps] == list(range(1, 10))
    assert len(packed) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_the_spiral_can_be_packed(tmp_path):
    packed = finish(pack_scenes(tmp_path / "pack", VEHICLES, [2_000_000], size=16, spiral=True))
    assert packed.images.shape == (1, 251, 16, 16, 3)
    np.testing.assert_allclose(packed.cameras(0).srn_c2w().numpy(), spiral_cameras(), atol=1e-6)


def test_an_srn_folder_is_packed_to_the_same_views(tmp_path):
    dataset = finish(write_scenes(VEHICLES, tmp_path / "srn", 3, views=2, size=20))
    packed = finish(pack_dataset(dataset, tmp_path / "pack"))
    assert packed.ids == dataset.ids
    for index in range(3):
        ours, theirs = packed.views(index), dataset.views(index)
        torch.testing.assert_close(ours.images, theirs.images, atol=0.5 / 255 + 1e-6, rtol=0)
        torch.testing.assert_close(ours.camera.c2w, theirs.camera.c2w)
        torch.testing.assert_close(ours.camera.intrinsics, theirs.camera.intrinsics)
        assert packed.describe(index)["caption"] == dataset.describe(index)["caption"]


def rewrite(path, data):
    """Write into the very file, keeping its time; its size stays where `data` is as long."""
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def pack_again(tmp_path, **options):
    """The packed folder, and whether it was written just now."""
    before = (tmp_path / "pack" / "images.npy").stat().st_ino
    packed = finish(pack_dataset(SRNDataset(tmp_path / "srn"), tmp_path / "pack", **options))
    return packed, (tmp_path / "pack" / "images.npy").stat().st_ino != before


@pytest.fixture
def copied(tmp_path):
    finish(write_scenes(VEHICLES, tmp_path / "srn", 2, views=2, size=20))
    finish(pack_dataset(SRNDataset(tmp_path / "srn"), tmp_path / "pack"))
    return tmp_path / "srn"


@pytest.mark.parametrize("settled", [2 * 10**9, 0])
@pytest.mark.parametrize("part", ["rgb/000000.png", "pose/000001.txt", "intrinsics.txt"])
def test_files_rewritten_in_place_are_packed_anew(
    copied, tmp_path, caplog, monkeypatch, part, settled
):
    caplog.set_level("INFO")
    monkeypatch.setattr(content, "SETTLED_NS", settled)
    time.sleep(0.02)
    assert not pack_again(tmp_path)[1]
    for scene in sorted(copied.iterdir()):
        path = scene / part
        if path.suffix == ".png":
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            rewrite(path, cv2.imencode(".png", 255 - picture)[1].tobytes())
        else:
            rewrite(path, path.read_bytes().replace(b"1.", b"1.", 1).replace(b"5", b"4", 1))
        if part.startswith("rgb"):
            break
    packed, anew = pack_again(tmp_path)
    assert anew
    dataset = SRNDataset(tmp_path / "srn")
    for index in range(2):
        ours, theirs = packed.views(index), dataset.views(index)
        torch.testing.assert_close(ours.images, theirs.images, atol=0.5 / 255 + 1e-6, rtol=0)
        torch.testing.assert_close(ours.camera.c2w, theirs.camera.c2w)
        torch.testing.assert_close(ours.camera.intrinsics, theirs.camera.intrinsics)
    (said,) = [text for text in caplog.messages if "changed since" in text]
    assert "vehicle-0000000" in said
    assert not pack_again(tmp_path)[1]


def test_a_run_that_has_begun_is_not_given_other_pictures(copied, tmp_path):
    path = copied / "vehicle-0000001" / "pose" / "000000.txt"
    rewrite(path, path.read_bytes().replace(b"5", b"4", 1))
    with pytest.raises(
        DataError, match=r"cameras of vehicle-0000001 have changed .* --changed-data"
    ):
        pack_again(tmp_path, renew=False)
    assert pack_again(tmp_path)[1]
    assert not pack_again(tmp_path, renew=False)[1]


def test_files_of_the_same_contents_are_not_packed_again(copied, tmp_path):
    shutil.copytree(copied, tmp_path / "copy")
    shutil.rmtree(copied)
    (tmp_path / "copy").rename(copied)
    assert not pack_again(tmp_path, renew=False)[1]


def test_scenes_that_come_and_go_are_noticed(copied, tmp_path):
    finish(write_scenes(VEHICLES, copied, 3, views=2, size=20))
    assert [len(packed) for packed in (pack_again(tmp_path)[0],)] == [3]
    shutil.rmtree(copied / "vehicle-0000001")
    with pytest.raises(DataError, match="vehicle-0000001 have changed"):
        pack_again(tmp_path, renew=False)


def test_folders_of_an_older_format_are_packed_anew(copied, tmp_path):
    """Such a folder says nothing about its scenes' contents."""
    for folder, again in (
        (tmp_path / "copied", lambda f: pack_dataset(SRNDataset(copied), f)),
        (tmp_path / "drawn", lambda f: pack_scenes(f, VEHICLES, SEEDS, views=4, size=24)),
    ):
        finish(again(folder))
        meta = json.loads((folder / "meta.json").read_text())
        del meta["format"], meta["stamp"]
        meta["scenes"] = [{k: v for k, v in s.items() if k != "key"} for s in meta["scenes"]]
        (folder / "meta.json").write_text(json.dumps(meta))
        assert finish(again(folder)).key
        assert json.loads((folder / "meta.json").read_text())["format"] == 2


def test_a_generator_that_draws_otherwise_makes_other_packs(packed, tmp_path, monkeypatch):
    other = dataclasses.replace(VEHICLES, build=lambda seed: build_vehicle(seed + 1))
    again = finish(pack_scenes(tmp_path / "pack", other, SEEDS, views=4, size=24))
    assert again.key != packed.key
    expected = render_shape(build_vehicle(4), training_cameras(3, 4), srn_intrinsics(24), 24)
    np.testing.assert_array_equal(again.images[0], composite_white(expected))


def test_a_generator_that_draws_a_later_scene_otherwise_makes_other_packs(packed, tmp_path):
    def build(seed):
        return build_vehicle(4 if seed == SEEDS[-1] else seed)

    other = dataclasses.replace(VEHICLES, build=build)
    again = finish(pack_scenes(tmp_path / "pack", other, SEEDS, views=4, size=24))
    assert again.key != packed.key
    expected = render_shape(build_vehicle(4), training_cameras(9, 4), srn_intrinsics(24), 24)
    np.testing.assert_array_equal(again.images[2], composite_white(expected))


def test_pictures_cut_short_are_an_error(packed, tmp_path):
    with (tmp_path / "pack" / "images.npy").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(DataError, match="found 5000 bytes"):
        PackedDataset(tmp_path / "pack")


@pytest.mark.parametrize("name", ["images.npy", "c2w.npy", "intrinsics.npy"])
@pytest.mark.parametrize("damage", ["a bit", "cut short", "gone"])
def test_a_damaged_pack_is_packed_anew_and_that_is_said(name, damage, packed, tmp_path, caplog):
    path = tmp_path / "pack" / name
    whole = path.read_bytes()
    if damage == "a bit":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "cut short":
        path.write_bytes(whole[:-1])
    else:
        path.unlink()
    again = finish(pack_scenes(tmp_path / "pack", VEHICLES, SEEDS, views=4, size=24))
    assert path.read_bytes() == whole
    assert again.key == packed.key
    assert f"pack: damaged ({'' if damage == 'gone' else 'the checksum of '}{name}" in caplog.text


def test_a_damaged_copy_is_packed_anew_also_when_its_run_has_begun(packed, tmp_path, caplog):
    finish(write_scenes(VEHICLES, tmp_path / "srn", 1, views=2, size=24))
    dataset = SRNDataset(tmp_path / "srn")
    finish(pack_dataset(dataset, tmp_path / "copy"))
    path = tmp_path / "copy" / "images.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    finish(pack_dataset(dataset, tmp_path / "copy", renew=False))
    assert path.read_bytes() == whole
    assert "the checksum of images.npy differs" in caplog.text


def test_a_pack_that_cannot_be_read_is_an_error(packed, tmp_path):
    (tmp_path / "pack" / "c2w.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="pack: damaged"):
        PackedDataset(tmp_path / "pack")
    (tmp_path / "pack" / "images.npy").write_bytes(b"")
    with pytest.raises(DataError, match="pack: damaged"):
        PackedDataset(tmp_path / "pack")


def test_nothing_to_pack_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no scenes"):
        finish(pack_scenes(tmp_path / "pack", VEHICLES, []))


def test_an_unfinished_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no meta\.json"):
        PackedDataset(tmp_path)


def test_a_folder_that_disagrees_with_itself_is_an_error(packed, tmp_path):
    meta = json.loads((tmp_path / "pack" / "meta.json").read_text())
    meta["scenes"].pop()
    (tmp_path / "pack" / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="disagree"):
        PackedDataset(tmp_path / "pack")
    (tmp_path / "pack" / "meta.json").write_text("{")
    with pytest.raises(DataError, match="not readable as JSON"):
        PackedDataset(tmp_path / "pack")


def test_reading_everything_does_not_keep_it_in_memory(tmp_path):
    """Peak memory grows by what lies between two releases, not by the size of the file."""
    folder = tmp_path / "big"
    folder.mkdir()
    scenes, shape = 1024, (2, 256, 256, 3)
    with (folder / "images.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (scenes, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + scenes * int(np.prod(shape)))
    np.save(folder / "c2w.npy", np.tile(np.eye(4, dtype=np.float32), (scenes, 2, 1, 1)))
    np.save(folder / "intrinsics.npy", np.ones((scenes, 4), np.float32))
    entries = [{"id": str(index)} for index in range(scenes)]
    (folder / "meta.json").write_text(json.dumps({"request": {}, "scenes": entries}))
    packed = PackedDataset(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in np.random.default_rng(0).permutation(scenes):
        packed.raw(int(index))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 0.5 * scenes * np.prod(shape) / 1024


def test_two_packings_of_the_same_scenes_share_one_result(tmp_path, caplog):
    def run():
        return pack_scenes(tmp_path / "pack", VEHICLES, SEEDS, views=2, size=16)

    first = run()
    next(first)
    steps = []
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: finish(run(), steps.append))
        until(lambda: second.done() or "another process packs the same scenes" in caplog.text)
        one, other = finish(first), second.result(60)
    assert one.key == other.key
    assert [step.index for step in steps] == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_two_writers_of_the_same_scenes_wait_for_each_other(tmp_path, caplog):
    first = write_scenes(VEHICLES, tmp_path / "srn", 4, views=2, size=16)
    next(first)
    with ThreadPoolExecutor(1) as pool:
        run = write_scenes(VEHICLES, tmp_path / "srn", 4, views=2, size=16)
        second = pool.submit(finish, run)
        until(lambda: second.done() or "another process writes scenes there" in caplog.text)
        assert len(finish(first)) == len(second.result(60)) == 4
    assert {path.name[:7] for path in (tmp_path / "srn").iterdir()} == {"vehicle"}
