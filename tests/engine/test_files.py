"""Files appear whole or not at all, with ordinary permissions; what cannot be read is told in one sentence."""

import contextlib
import errno
import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import (
    CheckpointError,
    DataError,
    PlainFormatter,
    SceneError,
    WriteError,
    plain,
    shown,
)
from engine.fields.scene import Scene
from engine.files import (
    alone,
    append_line,
    check_file,
    check_folder,
    regular,
    replacing,
    save_pickle,
    write_json,
)
from engine.store.checkpoint import open_checkpoint, read_metrics
from engine.store.pickles import load_pickle
from tests.full_disk import files_of_at_most

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkpoint(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "copy")


def test_a_file_takes_its_place_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_is_told_in_one_sentence(tmp_path):
    writers = {
        "a.json": lambda path: write_json(path, ["x" * 50_000]),
        "a.pt": lambda path: save_pickle(path, {"a": torch.zeros(20_000)}),
        "a.jsonl": lambda path: append_line(path, "x" * 50_000),
    }
    for name, write in writers.items():
        path = tmp_path / name
        path.write_text("old\n")
        with files_of_at_most(20_000), pytest.raises(WriteError) as caught:
            write(path)
        assert str(caught.value).startswith(f"{path}: larger than the disk or your limits allow; ")
        assert str(tmp_path) not in caught.value.remote
        assert caught.value.remote.startswith(f"{name}: ")
        assert path.read_text() == "old\n"
        write(path)  # there is room again
    assert {found.name for found in tmp_path.iterdir()} == set(writers)
    assert torch.equal(load_pickle(tmp_path / "a.pt", DataError)["a"], torch.zeros(20_000))


def test_a_full_disk_is_named_with_the_room_that_is_left(tmp_path, monkeypatch):
    def full(held):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("engine.files.os.fsync", full)
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**20)
    monkeypatch.setattr("engine.files.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(WriteError) as caught:
        write_json(tmp_path / "a.json", 1)
    assert str(caught.value) == (
        f"{tmp_path}/a.json: no space left on the disk (3.0 MB free in {tmp_path}); free some or choose another --out."
    )
    assert not list(tmp_path.iterdir())


def test_errors_about_other_files_pass(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        (tmp_path / "input.txt").read_text()
    assert not list(tmp_path.iterdir())


def test_writers_of_one_file_do_not_meet_and_what_a_killed_one_left_is_taken_over(tmp_path):
    path = tmp_path / "a.txt"
    (tmp_path / ".tmp-a.txt").write_text("left by a process that was killed, and longer")
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            assert second != first
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_in_place_leaves_the_next_writers_alone(tmp_path, monkeypatch):
    path, replace = tmp_path / "a.txt", os.replace

    def replace_late(temporary, target):
        replace(temporary, target)
        Path(temporary).write_text("of another writer, who began in between")

    monkeypatch.setattr(os, "replace", replace_late)
    with replacing(path) as temporary:
        temporary.write_text("ours")
    assert path.read_text() == "ours"
    assert temporary.read_text() == "of another writer, who began in between"


def test_places_that_cannot_be_written_to_are_refused_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    for check in (check_file, check_folder):
        check(tmp_path / "new" / "deeper")
        with pytest.raises(WriteError, match=r"part of its path is a file, .*/file\)"):
            check(tmp_path / "file" / "deeper")
    check_folder(tmp_path)
    with pytest.raises(WriteError, match="found a folder, expected a file"):
        check_file(tmp_path)
    with pytest.raises(WriteError, match="expected a folder"):
        check_folder(tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_a_folder_is_for_one_process_until_that_ends(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from engine.files import alone\n"
        "with alone(Path(sys.argv[1]), 'trains there'): print('in', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        told = rf"another process \({process.pid}\) trains there; wait for it"
        with pytest.raises(WriteError, match=told), alone(tmp_path, "trains there"):
            pass
        process.kill()
        process.wait()
    with alone(tmp_path, "trains there"):
        pass


def test_everything_written_has_ordinary_permissions(tiny_checkpoint, tmp_path):
    (tmp_path / "plain").write_text("")
    ordinary = (tmp_path / "plain").stat().st_mode
    method = open_checkpoint(tiny_checkpoint)
    written = [
        method.scene(method.mean_latent).save(tmp_path / "scene.safetensors"),
        tiny_checkpoint / "model.safetensors",
        tiny_checkpoint / "config.json",
    ]
    write_json(tmp_path / "a.json", {})
    assert {path.stat().st_mode for path in (*written, tmp_path / "a.json")} == {ordinary}


def test_a_scene_comes_back_with_its_planes_decoder_and_provenance(tiny_checkpoint, tmp_path):
    method = open_checkpoint(tiny_checkpoint)
    saved = method.scene(method.gallery[0], seed=4, settings={"steps": 2})
    loaded = Scene.load(saved.save(tmp_path / "scene.safetensors"))
    assert loaded.provenance == saved.provenance
    assert loaded.provenance["checkpoint"] == "tiny"
    xyz = 0.8 * (torch.rand(50, 3) - 0.5)
    for found, expected in zip(
        loaded.field.query(xyz, xyz), saved.field.query(xyz, xyz), strict=True
    ):
        assert torch.equal(found, expected)


class Code:
    """Something that would run when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("never",)


@pytest.mark.parametrize("content", [b"PK", b"plain text", b"PK\x03\x04 cut off"])
def test_what_is_no_pickle_of_tensors_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"state\.pt: not a file that can be read safely") as caught:
        load_pickle(path, DataError)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        load_pickle(tmp_path / "nothing.pt", DataError)


def test_code_in_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"code": Code()}, "state.pt")
    with pytest.raises(CheckpointError, match="not a file that can be read safely"):
        load_pickle("state.pt", CheckpointError)
    assert not (tmp_path / "never").exists()


CONFIG_MISTAKES = {
    "unknown key": lambda c: c["model"].update(colour=1),
    "missing settings": lambda c: c.pop("settings"),
    "settings of another kind": lambda c: c.update(settings=[1]),
    "groups that do not divide": lambda c: c["model"]["unet"].update(groups=7),
    "other widths": lambda c: c["model"]["unet"].update(base=8),
}


@pytest.mark.parametrize("mistake", CONFIG_MISTAKES)
def test_a_damaged_checkpoint_is_refused_in_one_sentence(checkpoint, mistake):
    config = json.loads((checkpoint / "config.json").read_text())
    CONFIG_MISTAKES[mistake](config)
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="damaged") as caught:
        open_checkpoint(checkpoint)
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_refused(checkpoint):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a readable"):
        open_checkpoint(checkpoint)
    path.unlink()
    with pytest.raises(CheckpointError, match="found no model"):
        open_checkpoint(checkpoint)


@pytest.mark.parametrize("content", ["{", "[1, 2]"])
def test_damaged_metrics_are_told_in_one_sentence(checkpoint, content):
    assert read_metrics(checkpoint) == {}
    (checkpoint / "metrics.json").write_text(content)
    with pytest.raises(
        CheckpointError,
        match=r"metrics\.json: metrics: (not readable as JSON|found \[1, 2\], expected an object)",
    ):
        read_metrics(checkpoint)


SCENE_MISTAKES = {
    "no planes": lambda tensors, header: tensors.pop("latent"),
    "planes of other channels": lambda tensors, header: tensors.update(
        latent=torch.zeros(3, 5, 8, 8)
    ),
    "a weight missing": lambda tensors, header: tensors.pop("field.base.0.weight"),
    "unknown decoder": lambda tensors, header: header.update(
        field='{"kind": "triplane", "config": {"channel": 4}}'
    ),
    "provenance that is no JSON": lambda tensors, header: header.update(provenance="{"),
    "another format": lambda tensors, header: header.update(format="x"),
}


@pytest.mark.parametrize("mistake", SCENE_MISTAKES)
def test_a_damaged_scene_is_refused_in_one_sentence(tiny_checkpoint, tmp_path, mistake):
    method = open_checkpoint(tiny_checkpoint)
    path = method.scene(method.mean_latent).save(tmp_path / "scene.safetensors")
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_bytes])["__metadata__"]
    tensors = load_file(path)
    SCENE_MISTAKES[mistake](tensors, header)
    save_file(tensors, path, metadata=header)
    with pytest.raises(SceneError, match=r"scene\.safetensors") as caught:
        Scene.load(path)
    assert "\n" not in str(caught.value)


NOT_ORDINARY = {
    "missing": (lambda path: None, "there is no such file"),
    "below a file": (lambda path: path.parent.write_text("a"), "no such file"),
    "a folder": (lambda path: path.mkdir(), "found a folder"),
    "a pipe": (os.mkfifo, "not an ordinary file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not an ordinary file"),
    "a link in a circle": (lambda path: path.symlink_to(path), "cannot be read"),
    "empty": (lambda path: path.touch(), "the file is empty"),
    "one byte too large": (
        lambda path: path.write_bytes(bytes(2 * 2**20 + 1)),
        "found 2.0 MB, expected a thing of at most 2.0 MB",
    ),
}


@pytest.mark.parametrize("case", NOT_ORDINARY)
def test_what_is_no_ordinary_file_is_refused_before_it_is_opened(tmp_path, case):
    path = tmp_path / "plain" / "thing" if case == "below a file" else tmp_path / "thing"
    make, words = NOT_ORDINARY[case]
    make(path)
    with pytest.raises(SceneError, match=rf"^{path}: .*{words}") as caught:
        regular(path, SceneError, "a thing", 2 * 2**20)
    assert str(caught.value).endswith(".")
    with pytest.raises(SceneError, match=r"^thing: "):
        regular(path, SceneError, "a thing", 2 * 2**20, name=path.name)


def test_an_ordinary_file_of_just_the_size_is_taken_also_through_a_link(tmp_path):
    (tmp_path / "thing").write_bytes(bytes(100))
    (tmp_path / "link").symlink_to("thing")
    assert regular(str(tmp_path / "link"), SceneError, "a thing", 100) == tmp_path / "link"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("car.png", "car.png"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07end", "red end"),
        ("\x1b]8;;http://a.b\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone\x07\x00", "gone"),
        ("two\nlines\r\tand tabs\u2028more", "two lines and tabs more"),
        ("gpj.\u202eexe \u2066x\u2069 \u200bzero\ufeff", "gpj.exe x zero"),
        ("caf\udce9.glb", "caf?.glb"),
        ("ein Käfer 👩\u200d🚀", "ein Käfer 👩\u200d🚀"),
    ],
)
def test_text_from_outside_is_printed_without_what_a_terminal_obeys(text, seen):
    assert plain(text) == seen


def test_a_long_text_keeps_its_two_ends():
    line = plain("/start" + 10**6 * "x" + "/end.glb")
    assert len(line) == 200
    assert line.startswith("/start")
    assert line.endswith("x/end.glb")
    assert len(shown([[["\x1b[2J" * 10**5]]])) <= 200
    assert "\x1b" not in shown({"\x1b[2J": "\u202e"})


def test_what_is_logged_reaches_the_terminal_without_what_it_obeys():
    record = logging.LogRecord(
        "a",
        logging.WARNING,
        "",
        0,
        "doubtful: %s",
        ("car\x1b]0;owned\x07\x1b[2J\nfake\u202e",),
        None,
    )
    assert PlainFormatter("%(message)s").format(record) == "doubtful: car fake"
    record.args = ("a" * 1000,)
    assert PlainFormatter("%(message)s").format(record).endswith("a" * 1000)
    record.exc_info = (ValueError, ValueError("no"), None)
    assert PlainFormatter("%(message)s").format(record).endswith("\nValueError: no")


@pytest.mark.parametrize("module", ["launch", "train.__main__"])
def test_both_programs_log_so(module, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before = root.level
    with contextlib.suppress(SystemExit):
        importlib.import_module(module).main(["--nonsense-option-that-is-not-there"])
    root.setLevel(before)
    assert [type(handler.formatter) for handler in root.handlers] == [PlainFormatter]
