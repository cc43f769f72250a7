"""Websocket messages that no browser sends, to a view that an honest visitor looks at."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import struct
import time
from collections.abc import Callable, Iterator

import msgspec
import viser
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.bench.hostile.outcome import Outcome
from tests.bench.hostile.routes import Page
from tests.bench.hostile.target import PATIENCE_S, Target
from tests.scripted_viewer import ScriptedViewer, looking
from tests.waiting import until

CAMERA = msgspec.msgpack.decode(ScriptedViewer("", "")._camera(0))
PROTOCOL = f"viser-v{viser.__version__}"
SERVER_ONLY = ("ShareUrlRequest", "ShareUrlDisconnect", "RunJavascriptMessage", "GuiUpdateMessage", "FileTransferStartUpload", "GetRenderResponseMessage", "BackgroundImageMessage", "ScenePointerMessage", "CommandTriggerMessage")  # fmt: skip
NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1, 0, 10**9, 2**63, "1", None, [], {})

Say = Callable[[random.Random, ClientConnection], object]


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """`count` messages drawn from `seed`, each on a connection of its own."""
    rng = random.Random(seed)
    logging.getLogger("websockets.client").setLevel(
        logging.CRITICAL
    )  # the attacker's own complaints
    with Target() as target:
        page = Page(target)
        honest = ScriptedViewer(f"http://127.0.0.1:{target.port}", Page(target).token, 120, 160)
        with looking(honest):
            until(lambda: len(honest.frames) > 3, "frames for the honest visitor")
            for number in range(count):
                say = rng.choice((*KINDS, foreign, foreign))
                yield send(target, page, honest, rng, say, number)


def send(
    target: Target, page: Page, honest: ScriptedViewer, rng: random.Random, say: Say, number: int
) -> Outcome:
    """Say something on a new connection; see what becomes of it, of the server, and of others."""
    began, frames = time.monotonic(), len(honest.frames)
    verdict, message = "done", ""
    try:
        with connected(target, page, **(strange(rng) if say is foreign else {})) as socket:
            if say is foreign:
                verdict, message = "internal", "a foreign page or name was answered"
            else:
                say(rng, socket)
                socket.send(msgspec.msgpack.encode(CAMERA))
                socket.recv(timeout=PATIENCE_S)
    except InvalidStatus as error:
        verdict, message = "refused", f"status {error.response.status_code}"
    except (ConnectionClosed, WebSocketException, ConnectionError) as error:
        verdict, message = "refused", str(error)[:100]
    except TimeoutError:
        verdict = "timeout"
    seconds = time.monotonic() - began
    with contextlib.suppress(AssertionError):
        until(lambda: len(honest.frames) > frames + 1, "another frame", PATIENCE_S)
    waited, memory = target.since(began)
    if len(honest.frames) <= frames + 1:
        waited = PATIENCE_S
    fault = target.faults()
    if fault:
        verdict, message = "internal", fault
    name = f"{number} {say.__name__}"
    return Outcome("messages", name, verdict, seconds, memory, message, waited)


def connected(target: Target, page: Page, **options: object) -> ClientConnection:
    """A socket to the attacker's own view."""
    given = {"subprotocols": [PROTOCOL], "max_size": None, "compression": None, "open_timeout": PATIENCE_S} | options  # fmt: skip
    path = str(given.pop("path", f"/viewport/{page.token}"))
    return connect(f"ws://127.0.0.1:{target.port}{path}", proxy=None, close_timeout=2, **given)


def strange(rng: random.Random) -> dict[str, object]:
    """A handshake that must fail."""
    return rng.choice((
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"path": "/viewport/made-up"},
        {"path": "/viewport/" + "x" * 300},
        {"path": "/gradio_api/queue/join"},
        {"path": "/healthz"},
        {"additional_headers": {"Host": "evil.example"}},
    ))  # fmt: skip


# -- what is said ----------------------------------------------------------------------------------


def foreign(rng: random.Random, socket: ClientConnection) -> None:
    """Only the handshake."""


def long(rng: random.Random, socket: ClientConnection) -> None:
    """60 MB at once."""
    socket.send(os.urandom(1 << 20) * 60)


def long_in_parts(rng: random.Random, socket: ClientConnection) -> None:
    """60 MB, a megabyte at a time."""
    part = bytes(1 << 20)
    socket.send(part for _ in range(60))


def empty_parts(rng: random.Random, socket: ClientConnection) -> None:
    """A message of nothing in very many parts."""
    socket.send(b"" for _ in range(20_000))


def nested(rng: random.Random, socket: ClientConnection) -> None:
    """Lists in lists."""
    socket.send(rng.choice((b"\x91", b"\x81\xa1a")) * 20_000)


def text(rng: random.Random, socket: ClientConnection) -> None:
    """Text where bytes are expected."""
    socket.send(rng.choice(("", "hello", "{}", "\u0000" * 100)))


def noise(rng: random.Random, socket: ClientConnection) -> None:
    """Bytes that mean nothing."""
    for _ in range(50):
        socket.send(rng.randbytes(rng.randrange(1, 2000)))


def for_the_browser(rng: random.Random, socket: ClientConnection) -> None:
    """A kind of message that only goes the other way, or nowhere here."""
    more = {"uuid": "a", "javascript_source": "1", "updates": {}, "request_uuid": "a", "name": "/"}
    socket.send(msgspec.msgpack.encode({"type": rng.choice(SERVER_ONLY), **more}))


def bad_camera(rng: random.Random, socket: ClientConnection) -> None:
    """A camera with a number that none has."""
    message = dict(CAMERA)
    for name in rng.sample(sorted(message), 3):
        value = rng.choice(NUMBERS)
        message[name] = [value] * len(message[name]) if isinstance(message[name], list) else value
    with contextlib.suppress(OverflowError):
        socket.send(msgspec.msgpack.encode(message))


def huge_canvas(rng: random.Random, socket: ClientConnection) -> None:
    """The largest canvas that is taken for one, and the narrowest."""
    sides = {"image_height": rng.choice((1, 16384)), "image_width": rng.choice((1, 16384))}
    socket.send(msgspec.msgpack.encode(CAMERA | sides))
    time.sleep(0.3)


def many(rng: random.Random, socket: ClientConnection) -> None:
    """More cameras than any mouse makes."""
    message = msgspec.msgpack.encode(CAMERA)
    for _ in range(3000):
        socket.send(message)


def pings(rng: random.Random, socket: ClientConnection) -> None:
    """Questions whether anybody is there."""
    for _ in range(500):
        socket.ping(rng.randbytes(120))


def answers(rng: random.Random, socket: ClientConnection) -> None:
    """Answers to questions that were never asked."""
    reply = {"type": "LocalStorageGetItemResponseMessage", "value": None, "error": None}
    for number in range(200):
        socket.send(msgspec.msgpack.encode({**reply, "request_uuid": str(number)}))


def broken_frame(rng: random.Random, socket: ClientConnection) -> None:
    """Bytes that are no frame of a websocket."""
    socket.socket.sendall(
        rng.choice(
            (b"\xff" * 64, b"\x83\x80abcd", struct.pack(">BBQ", 0x82, 0xFF, 2**62) + b"abcd")
        )
    )


KINDS: tuple[Say, ...] = (
    long, long_in_parts, empty_parts, nested, text, noise, for_the_browser, bad_camera, huge_canvas, many, pings,
    answers, broken_frame,
)  # fmt: skip
