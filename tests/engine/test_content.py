"""Keys tell contents apart; stamps notice every write."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from engine import content
from engine.content import file_key, files_key, key_of, stamp


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "one.txt").write_text("1 2 3")
    (folder / "two.txt").write_text("4 5 6")
    return folder


def test_a_file_rewritten_in_place_has_another_stamp_even_with_its_old_size_and_time(
    folder, monkeypatch
):
    monkeypatch.setattr(content, "SETTLED_NS", 0)
    time.sleep(0.05)
    before, path = stamp([folder]), folder / "two.txt"
    assert before == stamp([folder]) is not None
    status = path.stat()
    with path.open("r+") as file:
        file.write("4 5 7")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    time.sleep(0.05)
    assert stamp([folder]) != before


def test_a_stamp_is_withheld_while_a_further_write_could_go_unnoticed(folder, monkeypatch):
    assert stamp([folder]) is None
    later = (folder / "two.txt").stat().st_ctime_ns + 3 * 10**9
    monkeypatch.setattr(content.time, "time_ns", lambda: later)
    assert stamp([folder]) is not None


def test_keys_depend_on_names_contents_and_order_and_on_nothing_else(folder, tmp_path):
    paths = [folder / "one.txt", folder / "two.txt"]
    key = files_key(folder, paths)
    copy = shutil.copytree(folder, tmp_path / "b")
    os.utime(copy / "one.txt", (1, 1))
    assert files_key(copy, [copy / "one.txt", copy / "two.txt"]) == key
    assert files_key(folder, paths[::-1]) != key
    (copy / "two.txt").write_text("4 5 7")
    assert files_key(copy, [copy / "one.txt", copy / "two.txt"]) != key
    (folder / "two.txt").rename(folder / "three.txt")
    assert files_key(folder, [folder / "one.txt", folder / "three.txt"]) != key
    assert file_key(folder / "one.txt") == file_key(copy / "one.txt") != file_key(copy / "two.txt")


def test_keys_of_values_differ_by_value_and_not_by_the_order_of_names():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of(1), key_of("1"), key_of(1, 2), key_of([1, 2]), key_of(None)}) == 5


def test_a_folder_that_cannot_be_listed_has_no_stamp(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert stamp([tmp_path / "missing"]) is None
    assert stamp([tmp_path / "file"]) is None
