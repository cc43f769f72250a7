"""What the page fetches beside Gradio: the viewport's page and socket, thumbnails, downloads, health.

viser's own server listens on a loopback port that nobody else sees; its socket is pumped through here, so that the
explorer is one process on one port.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from functools import lru_cache
from importlib import resources
from pathlib import Path

import msgspec
from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, HTMLResponse
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app import present
from app.exports import export
from app.jobs import JobRunner
from app.records import Record
from app.session import Session, Sessions
from app.viewports import Viewports
from engine.render import to_uint8

REFUSED = ("ShareUrlRequest", "ShareUrlDisconnect")
"""Messages of viser's client that never reach its server: they would open a public tunnel."""
EXPIRED = 4404
"""Socket close code for a token nobody knows."""
CACHED = {"Cache-Control": "private, max-age=3600"}


def make_router(sessions: Sessions, viewports: Viewports, runner: JobRunner) -> APIRouter:
    """The routes of one explorer."""
    router = APIRouter()

    @router.get("/viewport/{token}/")
    def viewport_page(token: str) -> HTMLResponse:
        if sessions.of_token(token) is None:
            return HTMLResponse(asset("expired.html"), status_code=404)
        return HTMLResponse(viewport_html())

    @router.websocket("/viewport/{token}")
    @router.websocket("/viewport/{token}/")
    async def viewport_socket(socket: WebSocket, token: str) -> None:
        session = sessions.of_token(token)
        if session is None:
            await socket.close(EXPIRED)
            return
        viewport = await asyncio.to_thread(viewports.acquire, session)
        try:
            await pump(socket, viewport.port)
        finally:
            viewports.release(session)

    @router.get("/film/{token}/{number}/input/{view}.png")
    def input_picture(token: str, number: int, view: int) -> Response:
        _, record = find(sessions, token, number)
        if record is None or record.views is None or not 0 <= view < len(record.views):
            return Response(status_code=404)
        picture = to_uint8(record.views.images[view]).numpy()
        return Response(present.encode(picture, ".png"), media_type="image/png", headers=CACHED)

    @router.get("/film/{token}/{number}/render/{view}.png")
    def render_picture(token: str, number: int, view: int) -> Response:
        session, record = find(sessions, token, number)
        if record is None or record.views is None or not 0 <= view < len(record.views):
            return Response(status_code=404)
        baked = session.baked(record, len(record.frames) - 1)
        picture = present.picture(baked, record.views.camera[view])
        return Response(present.encode(picture, ".png"), media_type="image/png", headers=CACHED)

    @router.get("/film/{token}/{number}/last.jpg")
    def last_thumbnail(token: str, number: int) -> Response:
        session, record = find(sessions, token, number)
        if record is None or not record.frames:
            return Response(status_code=404)
        return thumbnail(session, record, len(record.frames) - 1)

    @router.get("/film/{token}/{number}/{place}.jpg")
    def frame_thumbnail(token: str, number: int, place: int) -> Response:
        session, record = find(sessions, token, number)
        if record is None or not 0 <= place < len(record.frames) or record.latent(place) is None:
            return Response(status_code=404)
        return thumbnail(session, record, place)

    @router.get("/download/{token}/{number}/{name}")
    def download(token: str, number: int, name: str) -> Response:
        session, record = find(sessions, token, number)
        if record is None or not record.frames or name not in present.DOWNLOADS:
            return Response(status_code=404)
        return FileResponse(export(session, record, name), filename=name)

    @router.get("/healthz")
    def health() -> dict[str, int | float]:
        return {
            "sessions": len(sessions.all()),
            "viewports": len(viewports),
            "queued": runner.waiting,
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }

    return router


def find(sessions: Sessions, token: str, number: int) -> tuple[Session | None, Record | None]:
    """A session and one of its records; None for what does not exist."""
    session = sessions.of_token(token)
    return session, None if session is None else session.record(number)


def thumbnail(session: Session, record: Record, place: int) -> Response:
    """A frame's thumbnail."""
    camera = present.thumb_camera(record, present.THUMB)
    background = session.snapshot().display.background
    data = present.encode(present.picture(session.baked(record, place), camera, background))
    return Response(data, media_type="image/jpeg", headers=CACHED)


def asset(name: str) -> str:
    """A text file of app/assets."""
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def viewport_html() -> str:
    """Viser's client, which is one file, with our style sheet and script."""
    page = (resources.files("viser") / "client" / "build" / "index.html").read_text("utf-8")
    ours = f"<style>{asset('viewport.css')}</style><script>{asset('viewport.js')}</script>"
    return page.replace("</head>", f"{ours}</head>", 1)


async def pump(socket: WebSocket, port: int) -> None:
    """Carry messages between a browser and a viser server until one of them leaves."""
    protocols = socket.scope["subprotocols"]
    async with connect(
        f"ws://127.0.0.1:{port}",
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
    with contextlib.suppress(WebSocketDisconnect, ConnectionClosed):
        while True:
            message = await socket.receive_bytes()
            if not refused(message):
                await upstream.send(message)


async def _to_browser(socket: WebSocket, upstream: ClientConnection) -> None:
    with contextlib.suppress(WebSocketDisconnect, ConnectionClosed, RuntimeError):
        async for message in upstream:
            await socket.send_bytes(message)


def refused(message: bytes) -> bool:
    """Whether a message of viser's client asks for a public tunnel, or is not understood."""
    try:
        decoded = msgspec.msgpack.decode(message)
    except msgspec.DecodeError:
        return True
    return not isinstance(decoded, dict) or decoded.get("type") in REFUSED
