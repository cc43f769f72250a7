"""What a client of the panel's own server may ask for: nothing but what the page asks for."""

from __future__ import annotations

import errno
import json
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import gradio as gr
import gradio.processing_utils
import gradio.route_utils
import gradio.routes
import pytest
from gradio.data_classes import DataWithFiles

from app.page.blocks import without_paths
from app.page.door import DEEPEST, NotUnderstoodError, decoded
from app.page.inputs import Brush
from app.page.mount import MOST_SENT, MOST_UPLOADS
from app.session import uploads
from tests.waiting import until

CANARY = "canary-2f1d7c"


def ask(url: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, str]:
    """Status and text of an answer; nothing takes long here."""
    request = urllib.request.Request(url, body, {"Content-Type": kind} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def handler(served, elem_id: str) -> int:
    """The number of what is called with the value of one component."""
    config = json.loads(ask(f"{served.url}/config")[1])
    components = {one["id"]: one["props"].get("elem_id") for one in config["components"]}
    calls = config["dependencies"]
    return next(c["id"] for c in calls if [components[i] for i in c["inputs"]] == [elem_id])


def call(served, data: list) -> str:
    """All that the page is told when it opens a run."""
    session, sessions = uuid.uuid4().hex, served.explorer.sessions
    opened = sessions.open_page(session, sessions.open().token)
    try:
        answer = _call(served, session, data)
        return answer + " ".join(sentence for _, sentence in opened.notices.told().values())
    finally:
        sessions.drop(opened)


def _call(served, session: str, data: list) -> str:
    asked = {"fn_index": handler(served, "open-run"), "session_hash": session, "data": data}
    status, text = ask(f"{served.url}/gradio_api/queue/join", json.dumps(asked).encode())
    if status != 200:
        return text
    return text + ask(f"{served.url}/gradio_api/queue/data?session_hash={session}")[1]


def file(path: object, **more) -> dict:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


def upload(served, name: str, content: bytes) -> str:
    """Where the server put a file that was sent to it."""
    edge = "x-edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
    kind = f"multipart/form-data; boundary={edge}"
    status, text = ask(f"{served.url}/gradio_api/upload", body, kind)
    assert status == 200
    return json.loads(text)[0]


@pytest.fixture
def canary(tmp_path) -> Path:
    path = tmp_path / "private.safetensors"
    path.write_text(CANARY)
    return path


def test_files_of_the_server_are_neither_opened_nor_copied_nor_sent(served, canary):
    link = uploads.folder() / "link.safetensors"
    link.symlink_to(canary)
    try:
        for path in (canary, link, f"{uploads.folder()}/../{canary.name}"):
            said = call(served, [file(path)])
            assert "was not sent" in said
            assert str(canary.parent) not in said
            status, text = ask(f"{served.url}/gradio_api/file={path}")
            assert status in (403, 404)
            assert CANARY not in said + text
    finally:
        link.unlink()
    copies = [path for path in uploads.folder().rglob("*") if path.is_file()]
    assert all(CANARY not in path.read_text(errors="replace") for path in copies)


def test_a_device_is_refused_at_once(served):
    began = time.monotonic()
    assert "was not sent" in call(served, [file("/dev/zero")])
    assert time.monotonic() - began < 20


def test_no_address_is_ever_fetched(served, monkeypatch):
    fetched = []

    async def fetch(url: str, *args, **options) -> str:
        fetched.append(url)
        raise ValueError("fetched")

    monkeypatch.setattr(gradio.processing_utils, "async_ssrf_protected_download", fetch)
    address = "http://example.org/a.png"
    for value in (file(address), file("", url=address), {"url": address, "path": None}):
        assert "was not sent" in call(served, [value])
    for asked in (f"file={address}", f"proxy={address}", f"file=/{address}"):
        assert ask(f"{served.url}/gradio_api/{asked}")[0] in (403, 404)
    assert fetched == []


def test_a_drawing_that_holds_a_script_is_never_shown_in_the_page(served):
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    path = upload(served, "a.svg", drawing)
    call(served, [file(path)])
    with urllib.request.urlopen(f"{served.url}/gradio_api/file={path}", timeout=30) as response:
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert "svg" not in response.headers["Content-Type"]


def test_errors_name_files_and_never_folders(served):
    path = upload(served, "words.safetensors", b"these are words")
    said = call(served, [file(path)])
    assert "words.safetensors" in said
    assert str(Path(path).parent) not in said
    told = "Cannot open '/srv/a b/d.png' (/x/y); steps/s 3/4, see https://a.org/b/c."
    assert without_paths(told) == "Cannot open 'd.png' (y); steps/s 3/4, see https://a.org/b/c."


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/deep_link?session_hash=a",
        "gradio_api/proxy=https://x.hf.space/",
        "gradio_api/custom_component/a/client/b/c",
        "gradio_api/stream/a/b/1/playlist.m3u8",
        "gradio_api/vibe-code",
        "gradio_api/runs",
        "gradio_api/dev/reload",
        "monitoring/summary",
        "login",
        "gradio_api/file=//host/share",
    ],
)
def test_routes_that_the_page_has_no_use_for_do_not_exist(served, path):
    assert ask(f"{served.url}/{path}")[0] == 404


@pytest.mark.parametrize("path", ["process_recording", "vibe-edit", "stream/a/close", "login"])
def test_nor_do_those_that_take_something(served, path):
    assert ask(f"{served.url}/gradio_api/{path}", b"{}")[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[]",
        b"words",
        b"\xff",
        b'{"fn_index": 1e400, "data": [], "session_hash": "a"}',
        b'{"fn_index": 99999, "data": [], "session_hash": "a"}',
        b'{"fn_index": -1, "data": [], "session_hash": "a"}',
        b'{"fn_index": "0", "data": [], "session_hash": "a"}',
        b'{"fn_index": 0, "data": {}, "session_hash": "a"}',
        b'{"fn_index": 0, "data": [1, 2, 3, 4, 5, 6, 7, 8, 9], "session_hash": "a"}',
        b'{"fn_index": 0, "data": []}',
        b'{"fn_index": 0, "data": [], "session_hash": "../a"}',
    ],
)
@pytest.mark.parametrize("route", ["queue/join", "cancel"])
def test_bodies_that_the_page_would_not_send_are_refused_in_one_sentence(served, body, route):
    status, text = ask(f"{served.url}/gradio_api/{route}", body)
    assert status == 400
    assert json.loads(text)["error"].endswith(".")


@pytest.mark.parametrize(
    "parts",
    [
        {"type": "layer", "index": "1000000000", "id": "a"},
        {"type": "layer", "index": "-1", "id": "a"},
        {"type": "layer", "index": "0", "id": "a" * 1000},
        {"type": "layer"},
        {},
    ],
)
def test_a_painting_has_few_layers(served, parts):
    _, text = ask(f"{served.url}/config")
    editor = next(one for one in json.loads(text)["components"] if one["type"] == "imageeditor")
    fields = {"component_id": editor["id"], "session_hash": "a", "fn_name": "accept_blobs", **parts}
    lines = [
        f'--e\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    lines.append(
        '--e\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--e--\r\n'
    )
    status, _ = ask(
        f"{served.url}/gradio_api/component_server",
        "".join(lines).encode(),
        "multipart/form-data; boundary=e",
    )
    assert status == 400


def test_a_full_disk_is_told_when_a_file_comes(served, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/secret")

    monkeypatch.setattr(gradio.route_utils, "NamedTemporaryFile", full)
    body = (
        b'--e\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nx\r\n--e--\r\n'
    )
    status, text = ask(f"{served.url}/gradio_api/upload", body, "multipart/form-data; boundary=e")
    assert (status, json.loads(text)) == (507, {"error": "The server's disk is full."})


def test_fields_of_a_form_are_short(served):
    head = '--e\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
    body = head.encode() + b"x" * (2 << 20) + b"\r\n--e--\r\n"
    kind = "multipart/form-data; boundary=e"
    status, text = ask(f"{served.url}/gradio_api/upload", body, kind)
    assert status == 413
    assert "maximum allowed size" in text


def test_paintings_are_small_and_few():
    def keep(number: int, content: bytes) -> None:
        told = {"type": "background", "index": "null", "id": str(number)}
        brush.accept_blobs(DataWithFiles(data=told, files=[("f", content)]))

    brush = Brush(type="numpy", image_mode="RGBA", render=False)
    for number in range(100):
        keep(number, bytes(1 << 20))
    assert len(brush.blob_storage) <= brush.MOST_PAINTINGS
    for number in range(100):
        keep(number, bytes(brush.MOST_BYTES))
    assert sum(len(one.background) for one in brush.blob_storage.values()) <= brush.MOST_KEPT_BYTES
    with pytest.raises(gr.Error):
        keep(0, bytes(brush.MOST_BYTES + 1))


def test_nested_bodies_have_a_bound():
    def nested(levels: int) -> bytes:
        return b'{"a":' + b"[" * levels + b"]" * levels + b"}"

    assert decoded(nested(DEEPEST - 2))
    with pytest.raises(NotUnderstoodError, match="nested"):
        decoded(nested(DEEPEST + 1))


def form(name: str, filename: str, end: bytes = b"\r\n--x-edge--\r\n") -> bytes:
    """A form with one file in it."""
    head = (
        f'--x-edge\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    )
    return head.encode() + b"content" + end


@pytest.mark.parametrize(
    "body",
    [form("other", "a.png"), form("files", ".."), form("files", "a.png", b"")],
    ids=["under another name", "with no name", "broken off"],
)
def test_files_that_nothing_comes_of_are_removed(served, body):
    before = set(uploads.folder().glob("tmp*"))
    ask(f"{served.url}/gradio_api/upload", body, "multipart/form-data; boundary=x-edge")
    until(lambda: set(uploads.folder().glob("tmp*")) <= before, "their end")


def test_uploads_are_forgotten(served):
    url, known = f"{served.url}/gradio_api", gradio.routes.file_upload_statuses
    kind = "multipart/form-data; boundary=x-edge"
    for name in ("a" * 65, "a%0a", "%F0%9F"):
        assert ask(f"{url}/upload_progress?upload_id={name}")[0] == 400
        assert ask(f"{url}/upload?upload_id={name}", form("files", "a.png"), kind)[0] == 400
    assert ask(f"{url}/upload_progress?upload_id=one&more={'a' * 5000}")[0] == 404
    assert ask(f"{url}/upload?upload_id=one", form("files", "a.png"), kind)[0] == 200
    assert "done" in ask(f"{url}/upload_progress?upload_id=one")[1]
    assert "one" not in known._signals
    for k in range(2 * MOST_UPLOADS):
        known.track(f"made-up-{k}")
    assert len(known._signals) == len(known._statuses) == MOST_UPLOADS


def test_a_request_has_few_files(served):
    head = (
        '--x-edge\r\nContent-Disposition: form-data; name="files"; filename="{}.png"\r\n\r\n.\r\n'
    )
    before, kind = set(uploads.folder().iterdir()), "multipart/form-data; boundary=x-edge"
    for count, expected in ((MOST_SENT, 200), (MOST_SENT + 1, 400)):
        body = "".join(head.format(f"{count}-{k}") for k in range(count)) + "--x-edge--\r\n"
        status, text = ask(f"{served.url}/gradio_api/upload", body.encode(), kind)
        assert status == expected, text
    new = set(uploads.folder().iterdir()) - before
    assert len([path for one in new for path in one.iterdir()]) == MOST_SENT
