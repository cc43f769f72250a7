"""One process, one port: sessions, worker, viewports and the page put together."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import FrameType

import gradio as gr
import uvicorn
from fastapi import FastAPI

from app.examples import FOLDER as EXAMPLES_FOLDER
from app.jobs import JobRunner
from app.outlines import Outlines
from app.panel.layout import HEAD, build_panel, stylesheet, theme
from app.routes import make_router
from app.session import Sessions
from app.settings import AppSettings
from app.viewports import Viewports
from engine.checkpoint import open_checkpoint
from engine.device import pick_device
from engine.errors import ConfigError
from engine.methods.base import Method
from engine.methods.toy import ToyMethod
from engine.render import warm_up

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Explorer:
    """The parts of one explorer, as `create_app` leaves them in `app.state.explorer`."""

    method: Method
    settings: AppSettings
    sessions: Sessions
    runner: JobRunner
    viewports: Viewports
    outlines: Outlines

    def warm_up(self) -> None:
        """Compile and find out what the first picture would otherwise wait for."""
        warm_up()
        self.outlines()

    def close(self) -> None:
        """Cancel what runs, close every viewport and session."""
        self.runner.close()
        self.viewports.close()


def open_method(settings: AppSettings) -> Method:
    """The method that the settings ask for.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
        ConfigError: If there is no such device.
    """
    if settings.checkpoint == "toy":
        return ToyMethod()
    return open_checkpoint(settings.checkpoint, pick_device(settings.device))


def create_app(settings: AppSettings, method: Method | None = None) -> FastAPI:
    """The explorer as an ASGI application.

    Args:
        settings: What to serve.
        method: Used instead of opening `settings.checkpoint`.
    """
    method = method or open_method(settings)
    sessions = Sessions(method, settings)
    runner = JobRunner(settings.max_queue)
    viewports = Viewports(sessions, runner, settings)
    explorer = Explorer(method, settings, sessions, runner, viewports, Outlines(method))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        explorer.close()

    app = FastAPI(title="SSDNeRF Explorer", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.explorer = explorer
    app.include_router(make_router(sessions, viewports, runner))
    return gr.mount_gradio_app(
        app,
        build_panel(method, sessions, runner, explorer.outlines),
        path="/",
        theme=theme(),
        css=stylesheet(),
        head=HEAD,
        root_path=settings.root_path or None,
        allowed_paths=[str(EXAMPLES_FOLDER)],
        max_file_size=f"{settings.max_upload_mb}mb",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=True,
    )


def serve(settings: AppSettings) -> None:
    """Open the explorer and stay until it is interrupted.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
        ConfigError: If the address cannot be listened on.
    """
    logging.getLogger("websockets").setLevel(logging.WARNING)
    listening = listen(settings.host, settings.port)
    app = create_app(settings)
    threading.Thread(target=app.state.explorer.warm_up, name="warm-up", daemon=True).start()
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws_per_message_deflate=False,
        ws_max_size=64 << 20,
        timeout_graceful_shutdown=3,
    )
    port = listening.getsockname()[1]
    log.info("SSDNeRF Explorer: http://%s:%d", settings.host, port)
    Server(config).run(sockets=[listening])


class Server(uvicorn.Server):
    """Uvicorn, but without tracebacks about the pages whose streams end when it is told to stop."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C or a kill."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: If somebody else listens there, or the host is not this machine.
    """
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another with --port or --host."
        ) from error
