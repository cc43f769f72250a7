"""Room for files that visitors send, and who may have how much of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.session import uploads
from app.session.uploads import Ledger, StorageFullError

MB = 1 << 20


def sent(ledger: Ledger, folder: Path, name: str, address: str, size: int) -> Path:
    path = folder / name
    with ledger.expect(address, size):
        path.write_bytes(bytes(size))
        ledger.note(path, address)
    return path


def test_one_address_has_a_quarter_and_all_together_have_the_whole(tmp_path):
    ledger = Ledger(8)
    sent(ledger, tmp_path, "a", "1", MB)
    sent(ledger, tmp_path, "b", "1", MB)
    with pytest.raises(StorageFullError):
        sent(ledger, tmp_path, "c", "1", MB)
    for address in ("2", "3", "4"):
        sent(ledger, tmp_path, address, address, 2 * MB)
    with pytest.raises(StorageFullError):
        sent(ledger, tmp_path, "d", "5", MB)


def test_what_is_on_its_way_counts_and_what_is_gone_does_not(tmp_path):
    ledger = Ledger(8)
    with ledger.expect("1", 2 * MB), pytest.raises(StorageFullError), ledger.expect("1", 1):
        pass
    path = sent(ledger, tmp_path, "a", "1", 2 * MB)
    path.unlink()
    sent(ledger, tmp_path, "b", "1", 2 * MB)


def test_old_files_make_room_and_new_ones_do_not(tmp_path, monkeypatch):
    ledger = Ledger(8)
    first = sent(ledger, tmp_path, "a", "1", MB)
    second = sent(ledger, tmp_path, "b", "1", MB)
    later = time.monotonic() + uploads.KEPT_S + 1
    monkeypatch.setattr(uploads.time, "monotonic", lambda: later)
    third = sent(ledger, tmp_path, "c", "1", MB)
    assert not first.exists()
    assert second.exists()
    assert third.exists()


def test_small_files_are_counted_too(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILES", 8)
    ledger = Ledger(8)
    for name in "ab":
        sent(ledger, tmp_path, name, "1", 1)
    with pytest.raises(StorageFullError):
        sent(ledger, tmp_path, "c", "1", 1)
    for k in range(6):
        sent(ledger, tmp_path, str(k), str(2 + k), 1)
    with pytest.raises(StorageFullError):
        sent(ledger, tmp_path, "d", "9", 1)


def test_a_small_file_takes_what_the_disk_gives_it(tmp_path):
    ledger = Ledger(1)
    for k in range(MB // 4 // 8192):
        sent(ledger, tmp_path, str(k), "1", 1)
    with pytest.raises(StorageFullError):
        sent(ledger, tmp_path, "more", "1", 1)


def test_a_file_that_makes_room_goes_with_its_folder(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILES", 4)
    ledger, own = Ledger(8), uploads.folder() / "hash-of-the-content"
    own.mkdir()
    sent(ledger, own, "a", "1", 1)
    later = time.monotonic() + uploads.KEPT_S + 1
    monkeypatch.setattr(uploads.time, "monotonic", lambda: later)
    with ledger.expect("1", 1):
        assert not own.exists()
    assert uploads.folder().is_dir()


def test_the_folder_is_private_and_what_never_arrived_is_removed():
    folder = uploads.folder()
    assert folder.stat().st_mode & 0o077 == 0
    old, young = folder / "tmpold", folder / "tmpyoung"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - uploads.ABANDONED_S - 5))
    uploads.sweep(time.time())
    assert not old.exists()
    assert young.exists()
    young.unlink()


def test_a_killed_servers_folder_goes_at_the_next_start(tmp_path):
    program = "import os; from app.session import uploads; print(uploads.folder(), flush=True); os.kill(os.getpid(), 9)"
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}
    folders = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        folders.append(Path(done.stdout.strip()))
    assert not folders[0].exists()
    assert folders[1].is_dir()


def test_so_does_the_folder_of_a_container_that_ran_before():
    mine = uploads.folder()
    assert not uploads._owned_by_a_living_process(
        mine.with_name(f"{uploads.PREFIX}{os.getpid()}-x")
    )
    assert uploads._owned_by_a_living_process(mine.with_name(f"{uploads.PREFIX}{os.getppid()}-x"))
    assert uploads._owned_by_a_living_process(mine.with_name(f"{uploads.PREFIX}other"))
