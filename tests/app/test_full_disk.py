"""The explorer on a disk that is full: runs go on, files are refused in a sentence and made when there is room again."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from app.session.exports import StorageError, export
from app.session.jobs import Job
from app.tabs.history.again import take_picture
from engine.events import Step
from engine.files import write_json
from tests.app.programs import Program, RefusedError
from tests.app.test_jobs import wait_for_end
from tests.full_disk import files_of_at_most

ROOM = 10_000
"""Less than any of `FILES`."""
FILES = ("mesh.glb", "run.safetensors")
FULL = (
    "the server cannot write it, larger than the disk or your limits allow; tell whoever runs it."
)


def answer(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_run_survives_a_full_disk_and_its_files_come_when_there_is_room(served):
    program = Program(served.url)
    with files_of_at_most(ROOM):
        record = program.made("/generate", seed=3, steps=20, mode="paper")
        for name in FILES:
            code, text = answer(served.url + record["downloads"][name])
            assert code == 507
            assert text.decode() == f"{name}: {FULL}"
        with pytest.raises(RefusedError) as caught:
            program.ask("POST", f"{program.address}/files?name=a.png", data=bytes(2 * ROOM))
        assert FULL in str(caught.value.said)
    for name in FILES:
        assert len(program.download(record, name)) > ROOM


def test_a_sentence_names_no_folder_of_the_server(session):
    record, _ = session.selection()
    session.folder_of(record.id).write_text("a file, where the folder should be")
    for refused in (
        lambda: export(session, record, "mesh.glb"),
        lambda: take_picture(session, record),
    ):
        with pytest.raises(StorageError) as caught:
            refused()
        assert str(session.folder_of(0).parent) not in str(caught.value)
        assert "part of its path is a file" in str(caught.value)


def test_a_job_that_finds_no_room_fails_in_a_sentence_and_the_next_one_runs(runner, tmp_path):
    def film():
        yield Step(stage="film", index=1, total=1)
        write_json(tmp_path / "path.json", ["x" * 2 * ROOM])

    with files_of_at_most(ROOM):
        failed = wait_for_end(runner.submit(Job(film)))
    assert failed.state == "failed"
    assert failed.error.startswith("path.json: the server cannot write it, larger than the disk")
    assert str(tmp_path) not in failed.error
    assert wait_for_end(runner.submit(Job(film))).state == "done"
