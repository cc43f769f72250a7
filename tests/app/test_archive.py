"""Results of a tab survive their server: privately, bounded, and without what belongs to servers that live."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.session import archive as archive_module
from app.session.archive import Archive
from app.session.jobs import Job, JobRunner
from app.session.priors import Priors
from app.session.records import Record
from app.session.sessions import Sessions
from app.session.state import Locked, StateFolder
from app.session.tasks import generate
from app.session.tokens import Tokens
from app.settings import AppSettings
from engine.errors import ConfigError
from engine.methods.toy import ToyMethod
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = AppSettings(checkpoint="toy")


class Server:
    """What one process keeps, without a network."""

    def __init__(self, folder: Path, settings: AppSettings = SETTINGS):
        self.state = StateFolder.open(str(folder))
        self.archive = Archive(self.state, settings)
        self.priors = Priors(SETTINGS, ToyMethod())
        self.sessions = Sessions(self.priors, SETTINGS, Tokens(), self.archive)
        self.runner = JobRunner()

    def end(self) -> None:
        """Stop as a server does that is asked to."""
        self.runner.close()
        for session in self.sessions.all():
            self.sessions.drop(session)
        self.archive.close()

    def kill(self) -> None:
        """Stop without a last word: only what a killed process loses by itself is lost, its locks."""
        self.runner.close()
        for files in self.archive._held.values():
            files.lock.release()
        self.state._own.release()


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.end()


def made(server: Server, session, seed: int, steps: int = 3) -> Record:
    """The record of a run that has ended."""
    job = generate(session, server.runner, seed, 1, {"steps": steps}, "paper")
    (record,) = (one for one in session.history if one.job == job.id)
    until(lambda: record.state == "done", "the run")
    return record


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "ssdnerf-explorer").rglob("*") if path.is_file()]


def test_a_restart_brings_back_what_was_finished(tmp_path):
    before = Server(tmp_path)
    session = before.sessions.open("10.0.0.1")
    first, second = made(before, session, 1), made(before, session, 2)
    session.change(first, title="A fine car", pinned=True)
    session.select(first.id, 1)
    running = Record("generate", "Seed 3", {}, [], session.method, state="running")
    session.add(running, select=False)
    before.archive.write(session)
    before.kill()

    after = Server(tmp_path)
    found = after.sessions.recover(session.token)
    assert found.token == session.token
    assert found.said == (
        "The explorer was restarted; 2 results are back, but not the run under way (Seed 3)."
    )
    back = after.sessions.of_token(session.token)
    assert [(r.title, r.pinned) for r in back.history] == [("Seed 2", False), ("A fine car", True)]
    for old, new in zip((second, first), back.history, strict=True):
        assert len(new.frames) == len(old.frames)
        for ours, theirs in zip(new.frames, old.frames, strict=True):
            assert torch.equal(ours.latent, theirs.latent)
        assert new.method is after.priors.first.method
    shown, frame = back.selection()
    assert (shown.title, frame) == ("A fine car", 1)
    assert after.sessions.recover("made up").token is None
    again = made(after, back, 2)
    assert torch.equal(again.latent(-1), second.latent(-1))
    after.end()


def test_a_session_that_ended_while_the_server_lives_is_told_so(server):
    session = server.sessions.open()
    made(server, session, 1)
    server.sessions.drop(session)
    assert server.sessions.of_token(session.token) is None
    found = server.sessions.recover(session.token)
    assert found.said == "This tab's session had ended; 1 result is back."
    assert server.sessions.recover(session.token).said == "", "now it lives"


def test_a_session_that_is_still_being_closed_takes_nothing_from_the_one_that_came_back(server):
    sessions, archive = server.sessions, server.archive
    old = sessions.open("10.0.0.1")
    made(server, old, 1)
    archive.write(old)
    made(server, old, 2)
    sessions._forget(old)  # to make room; the rest follows in a thread
    assert sessions.recover(old.token).said.endswith("2 results are back.")
    new = sessions.of_token(old.token)
    assert new is not old
    sessions.drop(old)
    assert old.closed
    assert sessions.of_token(old.token) is new
    made(server, new, 3)
    archive.write(new)
    assert Locked.take(archive._place(new.token)) is None  # it is held
    sessions.drop(new)
    assert [r.title for r in archive.find(new.token, server.priors).records.values()] == [
        "Seed 3", "Seed 2", "Seed 1",
    ]  # fmt: skip


def test_a_branch_still_knows_its_trunk(tmp_path):
    before = Server(tmp_path)
    session = before.sessions.open()
    trunk, branch = made(before, session, 1), made(before, session, 1)
    session.change(branch, trunk=(trunk.id, 2))
    token = session.token
    before.end()
    after = Server(tmp_path)
    after.sessions.recover(token)
    branch, trunk = after.sessions.of_token(token).history
    assert branch.trunk == (trunk.id, 2)
    after.end()


def test_results_of_a_prior_that_changed_are_shown_and_that_is_said(tmp_path, monkeypatch):
    before = Server(tmp_path)
    session = before.sessions.open()
    record = made(before, session, 1)
    token = session.token
    before.end()
    monkeypatch.setattr("app.session.runs.fingerprint", lambda method: "other weights")
    after = Server(tmp_path)
    assert after.sessions.recover(token).said == (
        "The explorer was restarted; 1 result is back, but not the model of 1 result, which can only be looked at."
    )
    (back,) = after.sessions.of_token(token).history
    assert torch.equal(back.latent(-1), record.latent(-1))
    after.end()


def test_what_is_removed_or_renamed_is_so_on_disk(server, tmp_path):
    session = server.sessions.open()
    first, second = made(server, session, 1), made(server, session, 2)
    server.archive.write(session)
    assert len([path for path in files(tmp_path) if path.suffix == ".safetensors"]) == 2
    session.remove(first)
    session.change(second, title="Kept")
    server.archive.write(session)
    assert len([path for path in files(tmp_path) if path.suffix == ".safetensors"]) == 1
    (index,) = (json.loads(path.read_text()) for path in files(tmp_path) if path.suffix == ".json")
    assert [entry["title"] for entry in index["entries"]] == ["Kept"]
    server.sessions.remove(session)
    assert files(tmp_path) == []


def test_results_are_private_and_tell_no_token(server, tmp_path):
    session = server.sessions.open()
    made(server, session, 1)
    server.archive.write(session)
    folder = tmp_path / "ssdnerf-explorer"
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
        assert session.token not in str(path)
        assert path.is_dir() or session.token.encode() not in path.read_bytes()


def test_steps_for_which_there_is_no_room_are_not_written_and_that_is_said(tmp_path):
    settings = replace(SETTINGS, max_latent_mb=0)
    before = Server(tmp_path, settings)
    session = before.sessions.open()
    pinned, _ = made(before, session, 1), made(before, session, 2)
    session.change(pinned, pinned=True)
    token = session.token
    before.end()
    after = Server(tmp_path, settings)
    assert after.sessions.recover(token).said == (
        "The explorer was restarted; 2 results are back, but not the steps of 1 result, for which there was no room."
    )
    lean, whole = after.sessions.of_token(token).history
    assert (len(lean.frames), len(whole.frames)) == (1, len(pinned.frames))
    assert torch.equal(whole.latent(0), pinned.latent(0))
    after.end()


def test_old_sessions_go_by_age_and_where_there_is_no_room(tmp_path, monkeypatch):
    before = Server(tmp_path)
    tokens = []
    for seed in range(3):
        session = before.sessions.open()
        made(before, session, seed, steps=1)
        tokens.append(session.token)
        before.sessions.drop(session)
        (index,) = (path for path in files(tmp_path) if time.time() - path.stat().st_mtime < 1000
                    and path.name == "index.json")  # fmt: skip
        os.utime(index, (time.time() - 86400 * (8 - 3 * seed),) * 2)
    before.end()
    after = Server(tmp_path)  # 8, 5 and 2 days old
    assert [after.sessions.recover(token).token for token in tokens] == [None, *tokens[1:]]
    after.end()
    size = sum(path.stat().st_size for path in files(tmp_path))
    monkeypatch.setattr(archive_module, "MEGABYTE", int(0.75 * size))
    monkeypatch.setattr(archive_module, "SPARE", 0)
    full = Server(tmp_path, replace(SETTINGS, max_state_mb=1))
    assert [full.sessions.recover(token).token for token in tokens[1:]] == [None, tokens[2]]
    full.end()


def test_where_the_disk_is_full_the_page_is_told_and_all_goes_on(server, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    session = server.sessions.open()
    monkeypatch.setattr("app.session.session_files.runs.save", full)
    record = made(server, session, 1)
    server.archive.write(session)
    assert session.unkept == (
        "Results are not kept on disk (No space left on device); download what you need."
    )
    assert record in session.history
    monkeypatch.undo()
    server.archive.write(session)
    assert session.unkept == ""


@pytest.mark.parametrize(
    "damage",
    [
        lambda index, run: index.write_text("{"),
        lambda index, run: index.write_text("[" * 100_000),
        lambda index, run: index.write_text('{"entries": [{"file": "../../x", "number": 1, "title": ""}]}'),
        lambda index, run: index.unlink(),
        lambda index, run: run.write_bytes(b"\0" * 100),
        lambda index, run: run.unlink(),
    ],
    ids=["cut", "nested", "elsewhere", "gone", "damaged", "run gone"],
)  # fmt: skip
def test_what_somebody_has_damaged_is_told_and_harms_nothing(tmp_path, damage):
    before = Server(tmp_path)
    session = before.sessions.open()
    made(before, session, 1)
    token = session.token
    before.end()
    index, run = sorted(files(tmp_path), key=lambda path: path.suffix)
    damage(index, run)
    after = Server(tmp_path)
    found = after.sessions.recover(token)
    if found.token is not None:
        assert found.said == (
            "The explorer was restarted; 0 results are back, but not 1 file that cannot be read."
        )
        assert after.sessions.of_token(token).history == []
    after.end()


HOLD = """
import sys, time
from pathlib import Path
from app.session.state import Locked, StateFolder

state = StateFolder.open(sys.argv[1])
(state.own / "left").write_text("x")
print(state.own, flush=True)
time.sleep(600)
"""


def test_leftovers_of_a_killed_server_go_at_the_next_start_and_a_living_ones_stay(tmp_path):
    def hold() -> tuple[subprocess.Popen, Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        return process, Path(process.stdout.readline().strip())

    (killed, dead), (living, alive) = hold(), hold()
    try:
        killed.kill()
        killed.wait()
        assert (dead / "left").exists()
        state = StateFolder.open(str(tmp_path))
        assert not dead.exists()
        assert (alive / "left").exists()
        state.close()
        assert not state.own.exists()
    finally:
        for process in (killed, living):
            process.kill()
            process.wait()
            process.stdout.close()


def test_two_servers_do_not_take_one_tabs_results(tmp_path):
    one, other = Server(tmp_path), Server(tmp_path)
    session = one.sessions.open()
    made(one, session, 1)
    one.archive.write(session)
    assert other.sessions.recover(session.token).token is None
    one.sessions.drop(session)
    assert other.sessions.recover(session.token).token == session.token
    one.end()
    other.end()


def test_a_folder_that_cannot_be_used_is_explained(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="--state-dir"):
        StateFolder.open(str(tmp_path / "file"))


def test_a_home_that_cannot_be_written_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = StateFolder.open("auto")
    assert state.path.parent == tmp_path
    state.close()


def test_writing_follows_a_session_by_itself(server, tmp_path):
    server.archive.follow(server.sessions.all)
    session = server.sessions.open()
    made(server, session, 1)
    until(lambda: any(path.suffix == ".safetensors" for path in files(tmp_path)), "the file")
    assert isinstance(session.job, Job)
