"""Routes that need the engine and not Gradio: viewports' sockets, thumbnails, downloads, health."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket
from torch import Tensor

from app.page import figures, present
from app.page.news import News
from app.page.steer import UNREAD, read, steer
from app.session.exports import StorageError, export, file_name
from app.session.jobs import JobRunner
from app.session.records import Look, Record
from app.session.session import Session
from app.session.sessions import Sessions
from app.tabs.inspect import inspector, sheet
from app.tabs.interpolate.blending import Blend
from app.tabs.interpolate.exchange import exact, exchanged
from app.view.pump import pump
from app.view.viewports import CrowdedError, Viewports
from engine.errors import EngineError
from engine.render.frames import Baked, to_uint8
from engine.types import Camera

EXPIRED, CROWDED = 4404, 4429
"""Socket close codes: for a token nobody knows, and where too many look."""
FILM = ("path.mp4", "path.gif")
FRESH = {"Cache-Control": "no-store"}
CACHED = {"Cache-Control": "private, max-age=3600"}
PACKED = {"Content-Encoding": "gzip"}
WRITERS, MOST_WAITING_EACH, MOST_WAITING = 2, 4, 32
"""Threads that write downloads; downloads of one session that may wait for them, and of all."""

STEERS, MOST_STEERS_EACH = 32, 8
"""Threads that carry out messages of pages; messages of one page that may be under way."""

T = TypeVar("T")


def make_routes(sessions: Sessions, viewports: Viewports, runner: JobRunner) -> list[BaseRoute]:
    """The routes of one explorer."""
    return Routes(sessions, viewports, runner).all()


class Routes:
    """The routes of one explorer. Missing sessions, records and files are answered with 404 and a sentence."""

    def __init__(self, sessions: Sessions, viewports: Viewports, runner: JobRunner):
        self._sessions, self._viewports, self._runner = sessions, viewports, runner
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="write")
        self._waiting: Counter[str] = Counter()
        self._news = News(sessions, runner)
        self._steering = ThreadPoolExecutor(STEERS, thread_name_prefix="steer")
        self._steers: Counter[str] = Counter()

    def all(self) -> list[BaseRoute]:
        """Every route by its path."""
        film = "/film/{token}/{number:int}"
        tile = "/planes/{token}/{number:int}/{place:int}/{row:int}/{col:int}.json"
        return [
            WebSocketRoute("/viewport/{token}", self._viewport),
            WebSocketRoute("/viewport/{token}/", self._viewport),
            Route(film + "/input/{view:int}.png", self._input_picture),
            Route(film + "/render/{view:int}.png", self._render_picture),
            Route(film + "/last.jpg", self._last_thumbnail),
            Route(film + "/{place:int}.jpg", self._frame_thumbnail),
            WebSocketRoute("/news/{token}", self._news_of),
            Route("/steer/{token}", self._steer, methods=["POST"]),
            Route("/swap/{token}/{row:int}/{col:int}.jpg", self._exchanged),
            Route("/inspect/{token}/{number:int}.json", self._inspect),
            Route("/planes/{token}/{number:int}/{place:int}.png", self._planes),
            Route(tile, self._histogram),
            Route("/path/{token}/{number:int}/{name}", self._path_film),
            Route("/download/{token}/{number:int}/{name}", self._download),
            Route("/plotly.min.js", self._plotly),
            Route("/healthz", self._health),
        ]

    # -- what a path names ------------------------------------------------------------------------

    def _session(self, request: Request) -> Session:
        session = self._sessions.of_token(request.path_params["token"])
        return there(session, "This page's session has ended; reload the page.")

    def _record(self, request: Request) -> tuple[Session, Record]:
        session = self._session(request)
        record = session.record(request.path_params["number"])
        return session, there(record, "There is no such result any more.")

    def _view(self, request: Request) -> tuple[Session, Record, int]:
        session, record = self._record(request)
        view = request.path_params["view"]
        found = record.views is not None and view < len(record.views) and record.frames
        return session, record, there(view if found else None, "There is no such picture.")

    def _code(self, request: Request) -> Tensor:
        _, record = self._record(request)
        code = inspector.code(record, request.path_params["place"], asked_look(request))
        return there(code, "This step's latent is not kept.")

    # -- pictures ---------------------------------------------------------------------------------

    def _input_picture(self, request: Request) -> Response:
        _, record, view = self._view(request)
        return png(to_uint8(record.views.images[view]).numpy())

    def _render_picture(self, request: Request) -> Response:
        session, record, view = self._view(request)
        baked = session.exact(record)
        return png(present.picture(baked, record.views.camera[view]))

    def _last_thumbnail(self, request: Request) -> Response:
        session = self._session(request)
        record = session.record(request.path_params["number"])
        if record is None or not record.frames:
            return no_picture(session, request)
        return thumbnail(session, record, len(record.frames) - 1, "x0")

    def _frame_thumbnail(self, request: Request) -> Response:
        session, place = self._session(request), request.path_params["place"]
        record = session.record(request.path_params["number"])
        if record is None or place >= len(record.frames):
            return no_picture(session, request)
        if record.latent(place) is None:
            return Response(status_code=204, headers=FRESH)
        return thumbnail(session, record, place, asked_look(request))

    def _planes(self, request: Request) -> Response:
        return png(sheet.picture(self._code(request), asked_range(request)))

    def _exchanged(self, request: Request) -> Response:
        session = self._session(request)
        blend, places = session.part(Blend), request.path_params
        code = there(exchanged(blend, places["row"], places["col"]), "There is no such exchange.")
        camera = present.usual_camera(blend.method.data.distance, present.THUMB)
        return small_picture(session, exact(blend.method, code), camera)

    # -- files ------------------------------------------------------------------------------------

    def _path_film(self, request: Request) -> Response:
        session, name = self._session(request), request.path_params["name"]
        path = session.folder_of(request.path_params["number"]) / name
        there(path if name in FILM and path.is_file() else None, "There is no such film.")
        return FileResponse(path)

    async def _download(self, request: Request) -> Response:
        session, record = self._record(request)
        name = request.path_params["name"]
        there((record.frames and name in present.DOWNLOADS) or None, "There is no such file.")
        token = session.token
        if self._waiting[token] >= MOST_WAITING_EACH or self._waiting.total() >= MOST_WAITING:
            raise HTTPException(
                429, "Other downloads are still being written; try again.", {"Retry-After": "5"}
            )
        self._waiting[token] += 1
        loop = asyncio.get_running_loop()
        try:
            path = await loop.run_in_executor(self._writers, export, session, record, name)
        except EngineError as error:
            status = 507 if isinstance(error, StorageError) else 409
            return PlainTextResponse(str(error), status_code=status)
        finally:
            self._waiting[token] -= 1
            self._waiting += Counter()  # forget those who do not wait
        return FileResponse(path, filename=file_name(record, name))

    # -- messages ---------------------------------------------------------------------------------

    async def _steer(self, request: Request) -> Response:
        session = self._session(request)
        token, loop = session.token, asyncio.get_running_loop()
        session.touch()
        if self._steers[token] >= MOST_STEERS_EACH:
            raise HTTPException(429, "Earlier messages of this page are still being worked on.")
        self._steers[token] += 1
        try:
            wish = read(await request.body())
            answer = await loop.run_in_executor(self._steering, steer, session, self._runner, wish)
        except ClientDisconnect:
            return Response(status_code=400)
        except EngineError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except UNREAD as error:
            return JSONResponse({"error": f"Not understood: {error}."}, status_code=400)
        finally:
            self._steers[token] -= 1
            self._steers += Counter()  # forget those who do not wait
        return JSONResponse(answer)

    def _inspect(self, request: Request) -> Response:
        session, record = self._record(request)
        there(record.frames or None, "There is nothing to inspect yet.")
        return JSONResponse(inspector.report(session, record), headers=FRESH)

    def _histogram(self, request: Request) -> Response:
        code = self._code(request)
        tiles, unit = sheet.tiles(code), sheet.layout(code.shape).unit
        row, col = request.path_params["row"], request.path_params["col"]
        found = row < tiles.shape[0] and col < tiles.shape[1]
        there(found or None, "There is no such part of the latent.")
        return JSONResponse(inspector.histogram(tiles[row, col], asked_range(request), unit))

    async def _news_of(self, socket: WebSocket) -> None:
        session = self._sessions.of_token(socket.path_params["token"])
        await (socket.close(EXPIRED) if session is None else self._news.tell(socket, session))

    # -- the view, and health ---------------------------------------------------------------------

    async def _viewport(self, socket: WebSocket) -> None:
        session = self._sessions.of_token(socket.path_params["token"])
        if session is None:
            await socket.close(EXPIRED)
            return
        try:
            viewport = await asyncio.to_thread(self._viewports.acquire, session)
        except CrowdedError:
            await socket.close(CROWDED)
            return
        try:
            await pump(socket, viewport)
        finally:
            self._viewports.release(session)

    def _plotly(self, request: Request) -> Response:
        packed = "gzip" in request.headers.get("accept-encoding", "")
        headers = CACHED | {"Vary": "Accept-Encoding"} | (PACKED if packed else {})
        return Response(figures.script(packed), media_type="text/javascript", headers=headers)

    async def _health(self, request: Request) -> Response:
        return JSONResponse(
            {
                "sessions": len(self._sessions.all()),
                "viewports": len(self._viewports),
                "queued": self._runner.waiting,
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )


def there(found: T | None, sentence: str) -> T:
    """`found` itself, or a 404 with a sentence.

    Raises:
        HTTPException: If it is None.
    """
    if found is None:
        raise HTTPException(404, sentence)
    return found


def no_picture(session: Session, request: Request) -> Response:
    """An empty answer: 204 for a record that was dropped while the page still showed it, 404 for one that never was."""
    forgotten = session.forgot(request.path_params["number"])
    return Response(status_code=204 if forgotten else 404, headers=FRESH)


def asked_look(request: Request) -> Look:
    """The latent of a step that a request asks for: "x0" (default) or "x_t"."""
    return "x_t" if request.query_params.get("look") == "x_t" else "x0"


def asked_range(request: Request) -> float:
    """Largest value of the colour range that a request asks for."""
    try:
        asked = float(request.query_params.get("range", "2"))
    except ValueError:
        asked = 2.0
    return min(max(asked, 1e-3), 1e3) if asked == asked else 2.0


def thumbnail(session: Session, record: Record, place: int, look: Look) -> Response:
    """A frame's thumbnail."""
    camera = present.thumb_camera(record, present.THUMB)
    return small_picture(session, session.glance(record, place, look), camera)


def small_picture(session: Session, baked: Baked, camera: Camera) -> Response:
    """A render over the session's background."""
    background = session.snapshot().display.background
    data = present.encode(present.picture(baked, camera, background))
    return Response(data, media_type="image/jpeg", headers=CACHED)


def png(pixels) -> Response:
    """A response with pixels as PNG."""
    return Response(present.encode(pixels, ".png"), media_type="image/png", headers=CACHED)
