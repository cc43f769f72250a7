"""One process, one port: a server that listens at once while the explorer loads."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from app.guard.connections import PatientProtocol
from app.guard.hosts import WILDCARDS, is_loopback, split
from app.guard.keys import network
from app.settings import AppSettings
from app.startup.front import Front
from app.startup.preload import limit_arenas, settle
from engine import TITLE
from engine.errors import ConfigError
from engine.kernels import compiled

if TYPE_CHECKING:
    from app.explorer import Explorer
    from app.session.archive import Archive
    from engine.methods.base import Method

log = logging.getLogger(__name__)

FIRST_FRAME_S = 2.0
"""Longest time for which Gradio's import waits for the first frame of an open page, which it would delay."""

MOST_MESSAGE = 64 << 10
"""Longest websocket message from a browser, bytes; the view's are a few hundred."""


def create_app(settings: AppSettings, method: Method | None = None) -> Starlette:
    """The explorer as an ASGI application, fully loaded.

    Args:
        settings: Settings of the explorer.
        method: Used instead of opening `settings.checkpoint`.
    """
    loading = Loading(locked(settings), method)
    loading.open_engine()
    loading.open_panel()
    loading.front.app.state.explorer = loading.explorer
    return loading.front.app


def serve(settings: AppSettings) -> None:
    """Open the explorer and serve it until interrupted.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
        ConfigError: If the address cannot be listened on, or there is no such device.
    """
    logging.getLogger("websockets").setLevel(logging.WARNING)
    logging.captureWarnings(True)  # what packages tell programmers is not for visitors
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    listening = listen(settings.host, settings.port)
    settings = locked(settings)
    loading = Loading(settings)
    server = Server(configured(loading.front.app, settings), loading)
    log.info("%s: %s", TITLE, address(settings, listening.getsockname()[1]))
    try:
        server.run(sockets=[listening])
    finally:
        if server.loader.is_alive():
            server.loader.join()
    if loading.failure is not None:
        raise loading.failure


def locked(settings: AppSettings) -> AppSettings:
    """Settings with a key: the given one, or a new one if others can reach the server."""
    given = settings.password or os.environ.get("SSDNERF_PASSWORD", "")
    if not given and not is_loopback(settings.host):
        given = secrets.token_urlsafe(16)
    return replace(settings, password=given)


def address(settings: AppSettings, port: int) -> str:
    """Address for a browser on this machine, with the key if one is needed."""
    host = "127.0.0.1" if settings.host in WILDCARDS else settings.host
    place = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    place += settings.path
    if settings.password:
        return f"{place}/?key={quote(settings.password, safe='')}"
    return f"{place}/" if settings.path else place


def configured(app: ASGIApp, settings: AppSettings, **more: Any) -> uvicorn.Config:
    """Settings of uvicorn: short timeouts and small messages; files come as requests."""
    proxies = frozenset(network(split(name)[0]) for name in settings.trust_proxy)
    options = {
        "http": type("Protocol", (PatientProtocol,), {"proxies": proxies}),
        "log_level": "warning",
        "proxy_headers": False,
        "server_header": False,
        "ws_per_message_deflate": False,
        "ws_max_size": MOST_MESSAGE,
        "timeout_graceful_shutdown": 3,
    }
    return uvicorn.Config(app, **(options | more))


class Loading:
    """Loading of an explorer, in the order in which visitors need its parts.

    Attributes:
        front: The application that listens.
        explorer: The explorer, once it is loaded.
        failure: Error of a failed loading.
        stopped: Set when the remaining parts are no longer needed.
    """

    def __init__(self, settings: AppSettings, method: Method | None = None):
        limit_arenas()
        self.front = Front(self._close, settings)
        self.explorer: Explorer | None = None
        self.failure: Exception | None = None
        self.stopped = threading.Event()
        self._settings = settings
        self._method = method

    def open_engine(self) -> None:
        """Load the parts that render."""
        from app.session.priors import Priors
        from app.session.sessions import Sessions

        priors = Priors(self._settings, self._method)
        archive = self._archive()
        sessions = Sessions(priors, self._settings, self.front.tokens, archive)
        if archive is not None:
            archive.follow(sessions.all)
        from app.explorer import Explorer  # its imports run while the first object is baked

        self.explorer = Explorer.open(sessions)
        self.front.engine.set(self.explorer.routes(self.front.panel))

    def _archive(self) -> Archive | None:
        from app.session.archive import Archive
        from app.session.state import StateFolder

        settings = self._settings
        if settings.state_dir == "none":
            return None
        return Archive(StateFolder.open(settings.state_dir), settings)

    def open_panel(self) -> None:
        """Load the panel around the view."""
        self.front.open_panel(self.explorer.panel())

    def run(self) -> None:
        """Load everything, and prepare the kernels; until then torch draws the frames, and runs wait."""
        compiled.postpone()
        for part in (self.open_engine, self._await_frame):
            if self.stopped.is_set():
                return
            part()
        explorer, first = self.explorer, self.explorer.priors.first
        needed = (explorer.prepare_samples, explorer.prepare_frames)
        preparing = threading.Thread(target=self._try, args=needed)
        preparing.start()
        try:
            self.open_panel()
        finally:
            preparing.join()
            settle()
        self._try(explorer.prepare_fits, first.outlines, first.showcase.prepare)

    def _await_frame(self) -> None:
        deadline = time.monotonic() + FIRST_FRAME_S
        explorer = self.explorer
        while self.front.opened and not explorer.viewports.drawn and time.monotonic() < deadline:
            if self.stopped.wait(0.01):
                return

    def _try(self, *prepare: Callable[[], object]) -> None:
        for one in prepare:
            if self.stopped.is_set():
                return
            try:
                one()
            except Exception:
                log.exception("something could not be prepared; it will be slower, or tried again")

    def _close(self) -> None:
        self.stopped.set()
        if self.explorer is not None:
            self.explorer.close()


class Server(uvicorn.Server):
    """Uvicorn around an explorer that is still loading.

    It stops when the loading fails, and ends without tracebacks about the pages whose streams end then.
    """

    def __init__(self, config: uvicorn.Config, loading: Loading):
        super().__init__(config)
        self._loading = loading
        self.loader = threading.Thread(target=self._load, name="load", daemon=True)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and only then load, so that the first page does not wait for imports."""
        await super().startup(sockets)
        self.loader.start()

    def _load(self) -> None:
        """Load the explorer."""
        try:
            self._loading.run()
        except Exception as error:
            self._loading.failure = error
            self.should_exit = True
            self._loading.front.give_up()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle Ctrl-C or SIGTERM."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._loading.stopped.set()
        self._loading.front.give_up()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: If the port is taken, or the host is not this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(
            (host, port), family=family, backlog=2048, dualstack_ipv6=host == "::"
        )
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another with --port or --host."
        ) from error
