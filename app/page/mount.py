"""The page as an ASGI application, with the safety measures of Gradio's own `launch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio import route_utils, routes
from gradio.route_utils import FileUploadProgress, GradioMultiPartParser
from starlette.applications import Starlette
from starlette.formparsers import MultiPartException

from app.examples import FOLDER as EXAMPLES_FOLDER
from app.page.door import Door, taken
from app.page.layout import build_panel, theme
from app.page.parts import script
from app.session.jobs import JobRunner
from app.session.sessions import Sessions
from app.settings import AppSettings

MOST_STATES = 512
"""Page loads whose components Gradio remembers; the oldest is forgotten first."""
MOST_SENT = 64
"""Files in one request."""
MOST_FIELDS = 1 << 18
"""Bytes of a form that are no files."""
MOST_WAITING = 256
"""Calls that wait for a handler, of all pages together."""
MOST_UPLOADS = 256
"""Uploads whose progress is known."""
MOST_THREADS = 41
"""Threads for handlers, of all pages together."""


class Parser(GradioMultiPartParser):
    """Gradio's parser of forms, with a limit on parts other than files; the door removes the files."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options | {"max_files": MOST_SENT})
        self._short = 0

    def on_headers_finished(self) -> None:
        """Begin a part; a file is written to an unnamed temporary file."""
        super().on_headers_finished()
        if self._current_part.file is not None:
            taken.get([]).append(Path(self._current_part.file.file.name))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Receive data of a part."""
        if self._current_part.file is None:
            self._short += end - start
            if self._short > MOST_FIELDS:
                raise MultiPartException(
                    f"Fields exceeded maximum allowed size of {MOST_FIELDS} bytes."
                )
        super().on_part_data(data, start, end)


class Progress(FileUploadProgress):
    """Gradio's progress of uploads, of which only the newest are remembered."""

    def track(self, upload_id: str) -> None:
        """Begin to track an upload."""
        super().track(upload_id)
        self._forget()

    async def is_tracked(self, upload_id: str) -> bool:
        """Wait for an upload to begin."""
        waiting = self._signals[upload_id].wait()
        self._forget()
        return await waiting

    def stop_tracking(self, upload_id: str) -> None:
        """Stop tracking an upload."""
        super().stop_tracking(upload_id)
        self._signals.pop(upload_id, None)

    def _forget(self) -> None:
        while len(self._signals) > MOST_UPLOADS:
            self.stop_tracking(next(iter(self._signals)))


route_utils.GradioMultiPartParser = routes.GradioMultiPartParser = Parser
routes.file_upload_statuses = Progress()


def mount_panel(sessions: Sessions, runner: JobRunner, settings: AppSettings) -> Starlette:
    """The page as an application of its own; its start-up and shutdown events are the caller's to run."""
    panel = build_panel(sessions, runner)
    # also its number of handlers at a time; with another than 40 Gradio's threads are its own, not those of all routes
    panel.max_threads = MOST_THREADS
    panel.queue(max_size=MOST_WAITING)
    panel.state_session_capacity = MOST_STATES
    app = gr.mount_gradio_app(
        Starlette(),
        panel,
        path="/",
        theme=theme(),
        css=script("page.css"),
        root_path=settings.prefix or None,
        allowed_paths=[str(EXAMPLES_FOLDER)],
        max_file_size=f"{settings.max_upload_mb}mb",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
    )
    # without them Gradio takes the page for one that is still being built, whose files are all allowed
    panel.has_launched = panel.is_running = True
    app.add_middleware(Door, panel=panel, ledger=sessions.ledger, most_mb=settings.max_upload_mb)
    return app
