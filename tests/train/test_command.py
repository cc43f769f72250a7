"""`python -m train`: killed runs resume to the bit, Ctrl-C leaves a resumable state."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.data.procedural.categories import VEHICLES
from engine.data.write import write_scenes
from engine.events import finish
from engine.files import alone
from engine.store.checkpoint import open_checkpoint
from tests.bench.hostile import kills
from tests.signals import ignore_interrupts
from train.__main__ import Interrupt, main
from train.ending import stoppable

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"iterations": 24, "scenes": 6, "views": 6, "size": 32, "log-every": 4, "threads": 1}
FLAGS = [part for name, value in SHORT.items() for part in (f"--{name}", str(value))]


def start(folder: Path, *flags: str) -> subprocess.Popen:
    """A run in the background of a script."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "train", "smoke", "--device", "cpu", *FLAGS]
    command += ["--out", "run", *flags]
    options = {"stderr": subprocess.PIPE, "text": True, "preexec_fn": ignore_interrupts}
    return subprocess.Popen(command, cwd=folder, env=environment, **options)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    for _ in range(1200):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.05)


def test_a_run_killed_at_random_moments_ends_as_one_that_nobody_killed():
    """Weights, state and log, bit by bit; every other kill comes while the state is written."""
    outcomes = list(kills.attack(2, 3))
    assert len(outcomes) >= 3
    assert not [outcome for outcome in outcomes if outcome.bad]


def test_two_runs_in_one_folder_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with alone(tmp_path / "run", "is training there"):
        assert main(["smoke", "--device", "cpu", *FLAGS, "--out", "run"]) == 2
    told = rf"run: another process \({os.getpid()}\) is training there; wait for it or choose another --out\.\n"
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_resumable_state(number, code, tmp_path):
    process = start(tmp_path, "--iterations", "100000")
    wait_for(tmp_path / "run" / "metrics.jsonl", process)
    process.send_signal(number)
    assert process.wait() == code
    assert "run again to go on" in process.stderr.read()
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] > 0


def test_a_second_interrupt_does_not_wait_and_the_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    interrupt = Interrupt()
    with stoppable(interrupt):
        signal.raise_signal(signal.SIGINT)
        assert interrupt.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_dry_run_prints_the_recipe_and_does_nothing(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "train", "vehicles", "--dry-run", "--train.unet-rate", "2e-4"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["train"]["unet_rate"] == 2e-4
    assert not list(tmp_path.iterdir())


MISTAKES = {
    "--device tpu": "Found --device tpu",
    "--start nowhere": "nowhere: found no checkpoint",
    "--data nowhere": "nowhere: found no such folder",
    "--data upside-down": "the camera is upside down",
    "--data cars --out file": "file",
}


@pytest.mark.parametrize("flags", MISTAKES)
def test_a_mistake_ends_with_one_sentence(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for name in ("cars", "upside-down"):
        finish(write_scenes(VEHICLES, tmp_path / name, 1, views=2, size=32))
    for path in (tmp_path / "upside-down").glob("*/pose/*.txt"):
        path.write_text(
            " ".join(map(str, (np.loadtxt(path).reshape(4, 4) * [-1, -1, 1, 1]).ravel()))
        )
    assert main(["smoke", "--device", "cpu", *FLAGS, *flags.split()]) == 2
    assert MISTAKES[flags] in capsys.readouterr().err
    assert not (tmp_path / "runs" / "smoke" / "state.pt").exists()


def test_a_prior_can_be_trained_on_a_folder_of_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finish(write_scenes(VEHICLES, tmp_path / "cars", 2, views=3, size=32))
    assert (
        main(
            [
                "smoke",
                "--device",
                "cpu",
                *FLAGS,
                "--iterations",
                "2",
                "--data",
                "cars",
                "--out",
                "run",
            ]
        )
        == 0
    )
    assert len(open_checkpoint(tmp_path / "run" / "checkpoint").gallery) == 2


def test_a_folder_of_other_conventions_is_read_as_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    finish(write_scenes(VEHICLES, tmp_path / "cars", 2, views=3, size=32))
    flags = ["smoke", "--device", "cpu", *FLAGS, "--iterations", "1", "--data", "cars"]
    assert main([*flags, "--out", "right"]) == 0
    for path in (tmp_path / "cars").glob("*/pose/*.txt"):
        pose = np.linalg.inv(np.loadtxt(path).reshape(4, 4) * [1, -1, -1, 1])
        path.write_text(" ".join(map(str, pose.ravel())))
    assert main([*flags, "--out", "other"]) == 2
    assert "give --convention opengl --inverse." in capsys.readouterr().err
    flags += ["--convention", "opengl", "--inverse"]
    assert main([*flags, "--out", "other"]) == 0
    poses = [np.load(f"{run}/data/c2w.npy") for run in ("right", "other")]
    np.testing.assert_allclose(poses[1], poses[0], atol=1e-6)


def test_a_run_whose_pictures_have_changed_says_so_and_goes_on_only_when_told(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    finish(write_scenes(VEHICLES, tmp_path / "cars", 2, views=3, size=32))
    flags = ["smoke", "--device", "cpu", *FLAGS, "--data", "cars", "--preview-every", "0"]
    assert main([*flags, "--iterations", "2", "--out", "run"]) == 0
    before = np.load("run/data/c2w.npy")
    poses = sorted((tmp_path / "cars/vehicle-0000001/pose").iterdir())
    texts = [path.read_text() for path in poses]
    for path, text in zip(poses, texts[1:] + texts[:1], strict=True):
        path.write_text(text)
    pictures = sorted((tmp_path / "cars/vehicle-0000001/rgb").iterdir())
    data = [path.read_bytes() for path in pictures]
    for path, content in zip(pictures, data[1:] + data[:1], strict=True):
        path.write_bytes(content)
    longer = [*flags, "--iterations", "4"]
    assert main([*longer, "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert "vehicle-0000001 have changed" in said
    assert "--changed-data" in said
    np.testing.assert_array_equal(np.load("run/data/c2w.npy"), before)
    shutil.rmtree("run/data")
    assert main([*longer, "--out", "run"]) == 2
    assert "state.pt: was trained on other pictures or cameras" in capsys.readouterr().err
    assert main([*longer, "--out", "run", "--changed-data"]) == 0
    assert torch.load("run/state.pt", weights_only=True)["step"] == 4
    expected = np.roll(before[1], -1, 0)
    np.testing.assert_array_equal(np.load("run/data/c2w.npy")[1], expected)
    assert main([*longer, "--out", "other"]) == 0
    np.testing.assert_array_equal(np.load("other/data/c2w.npy")[1], expected)
