"""Names of files that are downloaded."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from app.page.present import DOWNLOADS
from app.session import exports
from app.session.exports import StorageError, file_name
from app.session.records import Record
from engine.errors import ExportError
from engine.methods.toy import ToyMethod
from engine.store.timeline import result_step


def record(title: str) -> Record:
    method = ToyMethod()
    return Record("generate", title, {}, [result_step(method.gallery[:1])], method, state="done")


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("mesh.glb", "seed-7.glb"),
        ("turntable.mp4", "seed-7-turntable.mp4"),
        ("sheet.png", "seed-7-sheet.png"),
        ("scene.safetensors", "seed-7-scene.safetensors"),
        ("run.safetensors", "seed-7.safetensors"),
    ],
)
def test_files_are_named_after_their_object(name, called):
    assert file_name(record("Seed 7"), name) == called


@pytest.mark.parametrize(
    "title", ["../../etc/passwd", "a/b\\c:d", "...", "", "車" * 80, 'q"uo;te\r\nX: y', "-rf", "--"]
)
def test_titles_of_any_kind_make_names_of_one_file(title):
    names = {file_name(record(title), name) for name in DOWNLOADS}
    assert len(names) == len(DOWNLOADS)
    for name in names:
        assert name[0].isalnum()
        assert all(c.isalnum() or c in "-." for c in name)
        assert len(name.encode()) < 200


@pytest.mark.parametrize(
    ("error", "status"), [(ExportError("It is empty."), 409), (StorageError("It is full."), 507)]
)
def test_only_a_server_that_cannot_write_says_that_it_cannot(served, monkeypatch, error, status):
    def refuse(*_):
        raise error

    monkeypatch.setattr("app.page.routes.export", refuse)
    session = served.explorer.sessions.open()
    made = record("One")
    session.add(made)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(
            f"{served.url}/download/{session.token}/{made.id}/mesh.glb", timeout=30
        )
    assert refused.value.code == status
    assert refused.value.read().decode() == str(error)


def test_a_download_has_that_name(served):
    session = served.explorer.sessions.open()
    made = record("Ein schönes Auto")
    session.add(made)
    url = f"{served.url}/download/{session.token}/{made.id}/scene.safetensors"
    with urllib.request.urlopen(url, timeout=30) as answer:
        told = answer.headers["Content-Disposition"]
    assert told == "attachment; filename*=utf-8''ein-sch%C3%B6nes-auto-scene.safetensors"


def test_files_go_with_their_result(session):
    session.add(record("Shown"))
    first, second, *more = (record(f"{k}") for k in range(4))
    session.add(first, select=False)
    session.add(second, select=False)
    files = [exports.export(session, one, "scene.safetensors") for one in (first, second)]
    session.remove(second)
    assert files[0].exists()
    assert not files[1].exists()
    for one in more:  # the first is the oldest of more than three
        session.add(one, select=False)
    session.add(record("4"), select=False)
    assert session.record(first.id) is None
    assert session.exported() == []
    assert not session.folder_of(first.id).exists()


def test_a_sessions_files_are_bounded_and_the_newest_stay(session, monkeypatch):
    records = [record(f"{k}") for k in range(3)]
    session.add(*records)
    size = exports.export(session, records[0], "scene.safetensors").stat().st_size
    monkeypatch.setattr(exports, "MOST_BYTES", 2 * size + size // 2)
    files = [exports.export(session, one, "scene.safetensors") for one in records]
    assert sorted(session.exported()) == sorted(files[1:])
    monkeypatch.setattr(exports, "MOST_BYTES", 0)
    assert exports.export(session, records[0], "scene.safetensors").exists()
    assert len(session.exported()) == 1
