"""What needs the engine and not Gradio: the viewports' sockets, thumbnails, downloads, health.

viser's own server listens on a loopback port that nobody else sees; its socket is pumped through here, so that the
explorer is one process on one port.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource

import msgspec
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app import cards, inspector, present
from app.blending import Blend
from app.exports import export, file_name
from app.jobs import JobRunner
from app.keeping import Keeping
from app.records import Look, Record
from app.session import Session
from app.sessions import Sessions
from app.steer import steer
from app.viewports import Viewports
from engine.errors import EngineError
from engine.render import to_uint8

REFUSED = ("ShareUrlRequest", "ShareUrlDisconnect")
"""Messages of viser's client that never reach its server: they would open a public tunnel."""
EXPIRED = 4404
"""Socket close code for a token nobody knows."""
FILM = ("path.mp4", "path.gif")
FRESH = {"Cache-Control": "no-store"}
CACHED = {"Cache-Control": "private, max-age=3600"}


def make_routes(sessions: Sessions, viewports: Viewports, runner: JobRunner) -> list[BaseRoute]:
    """The routes of one explorer."""

    async def viewport_socket(socket: WebSocket) -> None:
        session = sessions.of_token(socket.path_params["token"])
        if session is None:
            await socket.close(EXPIRED)
            return
        viewport = await asyncio.to_thread(viewports.acquire, session)
        try:
            await pump(socket, viewport.port)
        finally:
            viewports.release(session)

    def input_picture(request: Request) -> Response:
        _, record = find(sessions, request)
        view = request.path_params["view"]
        if record is None or record.views is None or view >= len(record.views):
            return Response(status_code=404)
        picture = to_uint8(record.views.images[view]).numpy()
        return Response(present.encode(picture, ".png"), media_type="image/png", headers=CACHED)

    def render_picture(request: Request) -> Response:
        session, record = find(sessions, request)
        view = request.path_params["view"]
        if record is None or record.views is None or view >= len(record.views):
            return Response(status_code=404)
        baked = session.baked(record, len(record.frames) - 1)
        picture = present.picture(baked, record.views.camera[view])
        return Response(present.encode(picture, ".png"), media_type="image/png", headers=CACHED)

    def last_thumbnail(request: Request) -> Response:
        session, record = find(sessions, request)
        if record is None or not record.frames:
            return no_picture(sessions, request)
        return thumbnail(session, record, len(record.frames) - 1, "x0")

    def frame_thumbnail(request: Request) -> Response:
        session, record = find(sessions, request)
        place = request.path_params["place"]
        if record is None or place >= len(record.frames):
            return no_picture(sessions, request)
        if record.latent(place) is None:
            return Response(status_code=204, headers=FRESH)
        return thumbnail(session, record, place, asked_look(request))

    def download(request: Request) -> Response:
        session, record = find(sessions, request)
        name = request.path_params["name"]
        if record is None or not record.frames or name not in present.DOWNLOADS:
            return Response(status_code=404)
        try:
            path = export(session, record, name)
        except EngineError as error:
            return PlainTextResponse(str(error), status_code=507)
        return FileResponse(path, filename=file_name(record, name))

    async def steered(request: Request) -> Response:
        session = sessions.of_token(request.path_params["token"])
        if session is None:
            return Response(status_code=404)
        session.touch()
        try:
            wish = await request.json()
            answer = await asyncio.to_thread(steer, session, wish)
        except EngineError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except (ValueError, TypeError, KeyError) as error:
            return JSONResponse({"error": f"Not understood: {error}."}, status_code=400)
        return JSONResponse(answer)

    def blended(request: Request) -> Response:
        session = sessions.of_token(request.path_params["token"])
        if session is None:
            return Response(status_code=404)
        return JSONResponse(session.part(Blend).report(), headers=FRESH)

    def kept(request: Request) -> Response:
        session = sessions.of_token(request.path_params["token"])
        if session is None:
            return Response(status_code=404)
        return JSONResponse(session.part(Keeping).report(), headers=FRESH)

    def inspected(request: Request) -> Response:
        session, record = find(sessions, request)
        if record is None or not record.frames:
            return Response(status_code=404)
        return JSONResponse(inspector.report(session, record), headers=FRESH)

    def planes(request: Request) -> Response:
        _, record = find(sessions, request)
        code = (
            None
            if record is None
            else inspector.code(record, request.path_params["place"], asked_look(request))
        )
        if code is None:
            return Response(status_code=404)
        sheet = inspector.planes_picture(code, asked_range(request))
        return Response(present.encode(sheet, ".png"), media_type="image/png", headers=CACHED)

    def histogram(request: Request) -> Response:
        _, record = find(sessions, request)
        code = (
            None
            if record is None
            else inspector.code(record, request.path_params["place"], asked_look(request))
        )
        plane, channel = request.path_params["plane"], request.path_params["channel"]
        if code is None or plane >= code.shape[0] or channel >= code.shape[1]:
            return Response(status_code=404)
        return JSONResponse(inspector.histogram(code[plane, channel], asked_range(request)))

    def path_film(request: Request) -> Response:
        session = sessions.of_token(request.path_params["token"])
        name = request.path_params["name"]
        if session is None or name not in FILM:
            return Response(status_code=404)
        path = session.folder_of(request.path_params["number"]) / name
        return FileResponse(path) if path.is_file() else Response(status_code=404)

    def history(request: Request) -> Response:
        session = sessions.of_token(request.path_params["token"])
        if session is None:
            return Response(status_code=404)
        session.touch()
        return HTMLResponse(cards.history(session), headers=FRESH)

    def health(request: Request) -> Response:
        return JSONResponse(
            {
                "sessions": len(sessions.all()),
                "viewports": len(viewports),
                "queued": runner.waiting,
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )

    film = "/film/{token}/{number:int}"
    return [
        WebSocketRoute("/viewport/{token}", viewport_socket),
        WebSocketRoute("/viewport/{token}/", viewport_socket),
        Route(film + "/input/{view:int}.png", input_picture),
        Route(film + "/render/{view:int}.png", render_picture),
        Route(film + "/last.jpg", last_thumbnail),
        Route(film + "/{place:int}.jpg", frame_thumbnail),
        Route("/history/{token}", history),
        Route("/steer/{token}", steered, methods=["POST"]),
        Route("/blend/{token}.json", blended),
        Route("/keep/{token}.json", kept),
        Route("/inspect/{token}/{number:int}.json", inspected),
        Route("/planes/{token}/{number:int}/{place:int}.png", planes),
        Route("/planes/{token}/{number:int}/{place:int}/{plane:int}/{channel:int}.json", histogram),
        Route("/path/{token}/{number:int}/{name}", path_film),
        Route("/download/{token}/{number:int}/{name}", download),
        Route("/healthz", health),
    ]


def find(sessions: Sessions, request: Request) -> tuple[Session | None, Record | None]:
    """The session and the record that a path names; None for what does not exist."""
    session = sessions.of_token(request.path_params["token"])
    number = request.path_params["number"]
    return session, None if session is None else session.record(number)


def no_picture(sessions: Sessions, request: Request) -> Response:
    """Of what was let go of a page may still ask while it draws something else: there is nothing, and nothing is wrong."""
    session = sessions.of_token(request.path_params["token"])
    forgotten = session is not None and session.forgot(request.path_params["number"])
    return Response(status_code=204 if forgotten else 404, headers=FRESH)


def asked_look(request: Request) -> Look:
    """Which code of a step a request means."""
    return "x_t" if request.query_params.get("look") == "x_t" else "x0"


def asked_range(request: Request) -> float:
    """Up to which value a request wants planes coloured."""
    try:
        asked = float(request.query_params.get("range", "2"))
    except ValueError:
        asked = 2.0
    return min(max(asked, 1e-3), 1e3) if asked == asked else 2.0


def thumbnail(session: Session, record: Record, place: int, look: Look) -> Response:
    """A frame's thumbnail."""
    camera = present.thumb_camera(record, present.THUMB)
    background = session.snapshot().display.background
    baked = session.glance(record, place, look)
    data = present.encode(present.picture(baked, camera, background))
    return Response(data, media_type="image/jpeg", headers=CACHED)


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
