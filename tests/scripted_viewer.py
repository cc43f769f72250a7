"""Somebody who drags without a browser: speaks viser's protocol, answers at once and counts the pictures."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import msgspec
import numpy as np
import viser
import zstandard
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.view.drawing import field_of_view
from engine.ops.cameras import orbit_camera
from engine.types import Camera
from tests.waiting import until

MOVE_S = 1 / 60
"""Between two positions of the mouse."""


@dataclass
class ScriptedViewer:
    """One viewer.

    Attributes:
        url: The explorer's address.
        token: Of the session whose viewport is looked at.
        rows: Height of the canvas it claims to have, pixels.
        columns: Its width.
        dragging: Whether the camera moves; may be changed while it looks.
        answering: Whether questions are answered at once, or kept until they are; likewise.
        headers: Sent with the handshake, where the viewport is asked without the explorer.
        moves: Positions of the camera sent so far.
        frames: When each picture arrived, seconds since the first moment of `look`.
        picture: The last one, as it was sent.
    """

    url: str
    token: str
    rows: int = 540
    columns: int = 850
    dragging: bool = True
    answering: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    moves: int = 0
    frames: list[float] = field(default_factory=list)
    picture: bytes = b""
    unanswered: list[bytes] = field(default_factory=list)

    async def look(self, over: asyncio.Event) -> None:
        """Look, and drag while `dragging`, until the event is set."""
        start = time.monotonic()
        address = f"{self.url.replace('http', 'ws', 1).rstrip('/')}/viewport/{self.token}"
        protocol = viser.__version__
        async with connect(
            address,
            additional_headers=self.headers,
            subprotocols=[f"viser-v{protocol}"],
            compression=None,
            max_size=None,
            proxy=None,
        ) as socket:
            tasks = [
                asyncio.create_task(self._move(socket)),
                asyncio.create_task(self._watch(socket, start)),
            ]
            await over.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the last picture."""
        data = np.frombuffer(self.picture, np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR).shape[:2]

    async def _move(self, socket: ClientConnection) -> None:
        while True:
            if self.dragging or not self.moves:
                await socket.send(self._camera(self.moves))
                self.moves += 1
            await self._answer(socket)
            await asyncio.sleep(MOVE_S)

    async def _answer(self, socket: ClientConnection) -> None:
        while self.answering and self.unanswered:
            await socket.send(self.unanswered.pop(0))

    def _camera(self, move: int) -> bytes:
        """What the browser sends when its camera has moved."""
        camera = position(move)
        c2w = camera.srn_c2w().double().numpy()
        message = {
            "type": "ViewerCameraMessage",
            "wxyz": viser.transforms.SO3.from_matrix(c2w[:3, :3]).wxyz.tolist(),
            "position": c2w[:3, 3].tolist(),
            "fov": field_of_view(camera),
            "near": 0.01,
            "far": 1000.0,
            "image_height": self.rows,
            "image_width": self.columns,
            "look_at": (0.0, 0.0, 0.0),
            "up_direction": (0.0, 0.0, 1.0),
        }
        return msgspec.msgpack.encode(message)

    async def _watch(self, socket: ClientConnection, start: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for window in socket:
                for message in messages(window):
                    if message["type"] == "BackgroundImageMessage" and message["rgb_data"]:
                        self.picture = message["rgb_data"]
                        self.frames.append(time.monotonic() - start)
                    elif message["type"] == "LocalStorageGetItemRequestMessage":
                        self.unanswered.append(answer(message))
                        await self._answer(socket)


def position(move: int) -> Camera:
    """Where a mouse that goes round the object has brought the camera."""
    return orbit_camera(2.0 * move, 20.0 + 10 * math.sin(move / 20), 1.3)


def messages(window: bytes) -> list[dict]:
    """What viser's server sent at once: two lengths, then compressed msgpack."""
    packed = int.from_bytes(window[8:16], "little")
    inner = zstandard.ZstdDecompressor().decompress(window[16 : 16 + packed])
    return msgspec.msgpack.decode(inner)["messages"]


def answer(question: dict) -> bytes:
    """What a browser answers when it is asked for something it has not stored."""
    reply = {"type": "LocalStorageGetItemResponseMessage", "value": None, "error": None}
    return msgspec.msgpack.encode({**reply, "request_uuid": question["request_uuid"]})


@contextlib.contextmanager
def looking(*viewers: ScriptedViewer) -> Iterator[None]:
    """Some viewers look, until the end of the block."""
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    async def look() -> None:
        await asyncio.gather(*(viewer.look(over) for viewer in viewers))

    thread = threading.Thread(target=lambda: loop.run_until_complete(look()))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


def count_together(viewers: list[ScriptedViewer], seconds: float) -> list[int]:
    """Pictures that each of several viewers sees in the same `seconds`, once all of them see one."""
    with looking(*viewers):
        until(lambda: all(viewer.frames for viewer in viewers), "a first frame")
        before = [len(viewer.frames) for viewer in viewers]
        time.sleep(seconds)
        return [len(viewer.frames) - seen for viewer, seen in zip(viewers, before, strict=True)]
