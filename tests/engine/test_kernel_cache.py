"""Compiled kernels do not outlive the sources that were compiled into them, and lie where nobody else can write."""

import os
import shutil
import stat
from pathlib import Path

import numba
import pytest

from engine.kernels import kernel_cache
from engine.kernels.kernel_cache import drop_stale, find_place


def test_compiled_kernels_go_when_a_source_changes_and_stay_otherwise(tmp_path):
    ops = tmp_path / "ops"
    (ops / "__pycache__").mkdir(parents=True)
    helper, other = ops / "lanes.py", ops / "march.py"
    kernel, kept = ops / "__pycache__" / "trace.1.nbc", ops / "__pycache__" / "trace.pyc"
    helper.write_text("a = 1")
    other.write_text("b = 1")
    assert drop_stale(tmp_path)
    for path in (kernel, kept):
        path.write_bytes(b"x")
    assert not drop_stale(tmp_path)
    other.write_text("b = 2")
    assert not drop_stale(tmp_path)
    assert kernel.exists()
    helper.write_text("a = 2")
    assert drop_stale(tmp_path)
    assert not kernel.exists()
    assert kept.exists()
    assert not drop_stale(tmp_path)


@pytest.fixture
def sources(tmp_path) -> Path:
    """The engine's sources where nobody can write: below a file, as far as Numba can tell."""
    folder = tmp_path / "engine" / "ops"
    folder.mkdir(parents=True)
    (folder / "a_fast.py").write_text("a = 1")
    (folder / "__pycache__").write_text("a file, where the folder should be")
    return tmp_path / "engine"


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    """No home, no Numba folder; temporary files go to `tmp_path / "tmp"`."""
    (tmp_path / "home").write_text("no folder")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setattr(kernel_cache.tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    return tmp_path / "tmp"


def test_kernels_go_to_a_private_folder_where_the_sources_cannot_be_written_to(sources, nowhere):
    assert find_place(sources)
    place = Path(numba.config.CACHE_DIR)
    assert place.is_dir()
    (folder,) = nowhere.iterdir()
    assert place.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("planted", ["link", "open folder"])
def test_a_folder_that_others_may_write_to_is_not_trusted(planted, sources, nowhere, tmp_path):
    assert find_place(sources)
    (folder,) = nowhere.iterdir()
    shutil.rmtree(folder)
    (tmp_path / "others").mkdir()
    if planted == "link":
        folder.symlink_to(tmp_path / "others")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    os.environ["NUMBA_CACHE_DIR"] = ""
    assert find_place(sources)
    place = Path(numba.config.CACHE_DIR)
    assert place.parent != folder
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert not list((tmp_path / "others").iterdir())


def test_nothing_is_kept_where_nothing_can_be_written(sources, nowhere):
    nowhere.rmdir()
    nowhere.write_text("no folder either")
    assert not find_place(sources)


def test_a_full_disk_keeps_no_kernels(sources, nowhere, monkeypatch):
    monkeypatch.setattr(kernel_cache, "ROOM", 2**62)
    assert not find_place(sources)


def test_every_file_with_kernels_is_watched_and_kept_in_the_one_place():
    watched = set(kernel_cache._sources(kernel_cache.ENGINE))
    for path in kernel_cache.ENGINE.rglob("*.py"):
        text = path.read_text()
        if "import njit" in text or "import prange" in text:
            assert path in watched, f"{path} is compiled and not watched"
            assert "cache=True" not in text, f"{path} is kept elsewhere"
