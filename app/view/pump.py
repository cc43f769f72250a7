"""Relay of messages between a browser's socket and a viewport's server.

viser's own server listens on a loopback port that only this process can open, so that the explorer is one process on one
port.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.view.messages import checked
from app.view.viewport import Viewport

MOST_MESSAGES, MOST_MESSAGES_S = 1200, 4.0
"""Messages that a browser may send in a time before it is slowed down; a mouse moves 125 times a second, some 1000."""


async def pump(socket: WebSocket, viewport: Viewport) -> None:
    """Relay messages between a browser and a viewport until one of them disconnects."""
    protocols = socket.scope["subprotocols"][:4]
    async with connect(
        f"ws://127.0.0.1:{viewport.port}",
        additional_headers=viewport.secret,
        subprotocols=protocols or None,
        compression=None,
        max_size=None,
        max_queue=2,
        ping_interval=None,
        proxy=None,
    ) as upstream:
        await socket.accept(subprotocol=upstream.subprotocol)
        tasks = [
            asyncio.create_task(_to_viser(socket, upstream)),
            asyncio.create_task(_to_browser(socket, upstream)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.close()


async def _to_viser(socket: WebSocket, upstream: ClientConnection) -> None:
    sent, since = 0, time.monotonic()
    with contextlib.suppress(WebSocketDisconnect, ConnectionClosed):
        while True:
            received = await socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            message = checked(received.get("bytes") or b"")
            if message is not None:
                await upstream.send(message)
            sent += 1
            if sent >= MOST_MESSAGES:
                await asyncio.sleep(max(since + MOST_MESSAGES_S - time.monotonic(), 0.0))
                sent, since = 0, time.monotonic()


async def _to_browser(socket: WebSocket, upstream: ClientConnection) -> None:
    with contextlib.suppress(WebSocketDisconnect, ConnectionClosed, RuntimeError):
        async for message in upstream:
            await socket.send_bytes(message)
