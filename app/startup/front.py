"""The server while the explorer loads: it answers with the page and its live view, and lets other requests wait.

Importing torch, viser and Gradio takes seconds, and a browser needs half a one to start viser's client. So the page is
sent in two parts: the first, which holds the view, at once; the second, which is Gradio's, when there is one. Every
other request waits until what answers it is there. Nothing here imports torch, viser or Gradio.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, InvalidStateError
from functools import lru_cache
from pathlib import Path
from string import Template

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from app.guard.guard import Guard
from app.session.tokens import Tokens
from app.settings import AppSettings

log = logging.getLogger(__name__)

PRIVATE = {"Cache-Control": "no-store"}
"""A page holds its own token."""
SCRIPTS = ("front.js", "news.js", "recover.js", "drops.js", "downloads.js", "figures.js")
ADOPT = "<script>document.head.append(document.getElementById('head').content)</script>"


class Later:
    """An ASGI application that is not ready yet; requests to it wait."""

    def __init__(self):
        self._app: Future[ASGIApp | None] = Future()
        self._app.set_running_or_notify_cancel()  # a visitor who leaves must not cancel it for the others

    def set(self, app: ASGIApp | None) -> None:
        """Set the application that answers; None if there will be none."""
        with contextlib.suppress(InvalidStateError):  # whoever comes second is too late
            self._app.set_result(app)

    async def wait(self) -> ASGIApp | None:
        """Wait for the application; None if there will be none."""
        return await asyncio.wrap_future(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = await self.wait()
        if app is None:
            gone = PlainTextResponse("The explorer is closing.", status_code=503)
            app = WebSocketClose() if scope["type"] == "websocket" else gone
        await app(scope, receive, send)


class Front:
    """The application that listens.

    Attributes:
        tokens: Tokens of the pages.
        engine: Application for routes that need the engine: the views' sockets, pictures, downloads.
        panel: Application for the rest, Gradio's. Its start-up and shutdown events run inside those of `app`.
        app: The complete application.
        opened: True once a page has been requested.
    """

    def __init__(self, close: Callable[[], None], settings: AppSettings | None = None):
        """`close` is called when the server has stopped."""
        self.tokens = Tokens()
        self.engine = Later()
        self.panel = Later()
        self._built = Later()
        self.opened = False
        self._close = close
        routes = [Route("/", self._page), Route("/viewport/{token}/", self._view)]
        guard = Middleware(Guard, settings=settings or AppSettings())
        self.app = Starlette(routes=routes, middleware=[guard], lifespan=self._lifespan)
        self.app.router.default = self.engine

    def open_panel(self, panel: Starlette) -> None:
        """Let Gradio's application answer once its start-up events have run."""
        self._built.set(panel)

    def give_up(self) -> None:
        """End the wait of all requests: there will be no application."""
        for part in (self.engine, self.panel, self._built):
            part.set(None)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        ending = asyncio.Event()
        running = asyncio.create_task(self._run_panel(ending))
        yield
        self.give_up()
        ending.set()
        await running
        await asyncio.to_thread(self._close)

    async def _run_panel(self, ending: asyncio.Event) -> None:
        panel = await self._built.wait()
        if panel is not None:
            try:
                async with panel.router.lifespan_context(panel):
                    self.panel.set(panel)
                    await ending.wait()
            except Exception:
                log.exception("the panel could not be opened")
                self.give_up()

    async def _page(self, request: Request) -> StreamingResponse:
        return StreamingResponse(
            self._parts(request.scope), media_type="text/html", headers=PRIVATE
        )

    async def _parts(self, scope: Scope) -> AsyncIterator[str]:
        self.opened = True
        opening, closing = asset("front.html").split("<!-- panel -->")
        yield Template(opening).substitute(
            token=self.tokens.issue(address(scope)),
            style=asset("front.css"),
            script="".join(map(asset, SCRIPTS)),
        )
        panel = await self.panel.wait()
        if panel is not None:
            yield inside(await body_of(panel, scope))
        yield closing

    def _view(self, request: Request) -> HTMLResponse:
        token = request.path_params["token"]
        if token not in self.tokens:
            return HTMLResponse(asset("expired.html"), status_code=404)
        if "darkMode" in request.query_params:
            self.tokens.darken(token)
        return HTMLResponse(viewport_html())


def address(scope: Scope) -> str:
    """The address that a request came from."""
    client = scope.get("client")
    return client[0] if client else ""


async def body_of(app: ASGIApp, scope: Scope) -> str:
    """The text that an application answers to a request without a body."""
    plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    chunks: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        chunks.append(message.get("body", b""))

    await app({**scope, "headers": plain}, receive, send)
    return b"".join(chunks).decode()


def inside(page: str) -> str:
    """A page's content for insertion into another body; its head is in a template, which a script moves."""
    _, _, rest = page.partition("<head>")
    head, _, rest = rest.partition("</head>")
    _, _, rest = rest.partition("<body")
    _, _, body = rest.partition(">")
    return f"<template id='head'>{head}</template>{ADOPT}{body.rpartition('</body>')[0]}"


@lru_cache
def asset(name: str) -> str:
    """A text file of app/page/assets."""
    return (Path(__file__).parents[1] / "page" / "assets" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def viewport_html() -> str:
    """Viser's client, a single file, with our style sheet and script."""
    viser = importlib.util.find_spec("viser")
    if viser is None:
        raise ModuleNotFoundError("viser is not installed", name="viser")
    client = Path(viser.origin).parent / "client" / "build" / "index.html"
    page = client.read_text(encoding="utf-8")
    ours = f"<style>{asset('viewport.css')}</style><script>{asset('viewport.js')}{asset('drops.js')}</script>"
    return page.replace("</head>", f"{ours}</head>", 1)
