"""What the page fetches beside Gradio, over real sockets."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
import viser
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from app.server import listen
from app.session.records import Record
from engine.errors import ConfigError
from engine.fields.scene import Scene
from engine.store.timeline import result_step
from tests.waiting import until


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def socket(served, token: str):
    address = served.url.replace("http", "ws", 1) + f"/viewport/{token}"
    protocol = f"viser-v{viser.__version__}"
    return connect(address, subprotocols=[protocol], proxy=None, max_size=None)


def test_the_viewport_page_is_visers_client_in_our_style(served):
    session = served.explorer.sessions.open()
    page = get(f"{served.url}/viewport/{session.token}/").decode()
    assert ".mantine-Notifications-root" in page
    assert '<div id="root">' in page
    assert status(f"{served.url}/viewport/unknown/") == 404


def test_every_token_has_its_own_viewport(served):
    sessions, viewports = served.explorer.sessions, served.explorer.viewports
    one, other = sessions.open(), sessions.open()
    with socket(served, one.token) as first, socket(served, other.token) as second:
        assert first.recv(timeout=10)
        assert second.recv(timeout=10)
        ports = {viewports.of(one).port, viewports.of(other).port}
        assert len(ports) == 2


def test_a_viewport_is_closed_after_its_grace(served):
    sessions, viewports = served.explorer.sessions, served.explorer.viewports
    session = sessions.open()
    with socket(served, session.token) as connection:
        connection.recv(timeout=10)
        viewports.sweep(time.monotonic() + 10)
        assert viewports.of(session) is not None

    def closed() -> bool:
        viewports.sweep(time.monotonic() + 10)
        return viewports.of(session) is None

    until(closed, "the viewport's end")


def test_a_closed_page_is_forgotten(served):
    sessions, viewports = served.explorer.sessions, served.explorer.viewports
    session = sessions.open()
    viewports.sweep(time.monotonic())
    assert sessions.of_token(session.token) is session
    session.leave()
    viewports.sweep(time.monotonic())
    assert sessions.of_token(session.token) is None


def test_an_unknown_token_gets_no_socket(served):
    with pytest.raises((InvalidStatus, ConnectionClosed)), socket(served, "unknown") as connection:
        connection.recv(timeout=10)


def test_thumbnails_and_downloads_of_what_is_shown(served, tmp_path):
    session = served.explorer.sessions.open()
    record, _ = session.selection()
    film = f"{served.url}/film/{session.token}/{record.id}"
    assert get(f"{film}/0.jpg").startswith(b"\xff\xd8")
    assert get(f"{film}/last.jpg").startswith(b"\xff\xd8")
    saved = tmp_path / "scene.safetensors"
    saved.write_bytes(get(f"{served.url}/download/{session.token}/{record.id}/scene.safetensors"))
    assert Scene.load(saved).field.latent.shape == session.method.info.latent_shape


@pytest.mark.parametrize(
    "path",
    [
        "film/{token}/{record}/99.jpg",
        "film/{token}/99999/0.jpg",
        "film/unknown/{record}/0.jpg",
        "film/{token}/{record}/input/0.png",
        "film/{token}/{record}/render/0.png",
        "download/{token}/{record}/passwd",
        "download/{token}/99999/mesh.glb",
    ],
)
def test_what_does_not_exist_is_404(served, path):
    session = served.explorer.sessions.open()
    record, _ = session.selection()
    assert status(f"{served.url}/{path.format(token=session.token, record=record.id)}") == 404


def test_what_was_let_go_of_has_no_picture_and_that_is_no_error(served):
    session = served.explorer.sessions.open()
    old, _ = session.selection()
    frames = [result_step(session.method.gallery[:1]), result_step(session.method.gallery[:1])]
    new = Record("generate", "New", {}, frames, session.method, state="done")
    session.add(new)
    session.change(new, frames=[replace(frames[0], latent=None), frames[1]])
    film = f"{served.url}/film/{session.token}"
    for place in (f"{old.id}/0", f"{old.id}/last", f"{new.id}/0"):
        assert status(f"{film}/{place}.jpg") == 204
    assert status(f"{film}/{new.id}/1.jpg") == 200


def test_a_taken_port_is_explained():
    taken = listen("127.0.0.1", 0)
    with pytest.raises(ConfigError, match="--port"):
        listen("127.0.0.1", taken.getsockname()[1])
    taken.close()


def test_health_counts_what_lives(served):
    health = json.loads(get(f"{served.url}/healthz"))
    assert set(health) == {"sessions", "viewports", "queued", "peak_mb"}


def test_a_long_message_is_not_even_read(served):
    session = served.explorer.sessions.open()
    with socket(served, session.token) as connection:
        connection.recv(timeout=20)
        with contextlib.suppress(ConnectionClosed):
            connection.send(bytes(1 << 20))
            while connection.recv(timeout=20):
                pass
    assert connection.close_code == 1009


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"do": "step", "record": 1e400, "index": 0}',
        b'{"do": "step", "record": NaN, "index": 0}',
        b'{"do": "step", "record": 1, "index": 99999999999999999999999}',
        b'{"do": "step", "record": [1], "index": {}}',
        b'{"do": "step"}',
        b'{"do": "vary", "record": 1, "amounts": "abc"}',
        b'{"do": "blend", "u": null, "v": true}',
        b'{"do": ["step"]}',
        b"",
        b"\xff\xfe",
    ],
)
def test_messages_that_no_page_sends_get_one_sentence(served, body):
    session = served.explorer.sessions.open()
    request = urllib.request.Request(f"{served.url}/steer/{session.token}", body)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=30)
    assert error.value.code == 400
    assert json.loads(error.value.read())["error"].endswith(".")
    served.explorer.sessions.drop(session)


@pytest.mark.parametrize(
    "path",
    [
        "film/{token}/{huge}/0.jpg",
        "film/{token}/1/{huge}.jpg",
        "planes/{token}/{record}/{huge}.png?range=nan",
        "planes/{token}/{record}/0/{huge}/0.json?range=-inf",
        "planes/{token}/{record}/0/0/{huge}.json?range=1e400",
        "inspect/{token}/{huge}.json",
        "path/{token}/{huge}/path.mp4",
        "path/{token}/{record}/..%2f..%2fetc%2fpasswd",
        "download/{token}/{huge}/mesh.glb",
        "film/{token}/-1/0.jpg",
        "film/{token}/{long}/0.jpg",
    ],
)
def test_numbers_that_nothing_has_are_not_found(served, path):
    session = served.explorer.sessions.open()
    record, _ = session.selection()
    filled = path.format(token=session.token, record=record.id, huge="9" * 200, long="9" * 5000)
    assert status(f"{served.url}/{filled}") == 404
    served.explorer.sessions.drop(session)
