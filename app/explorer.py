"""The parts of one explorer put together: sessions, worker, viewports, routes and the panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from starlette.applications import Starlette
from starlette.routing import Router
from starlette.types import ASGIApp

from app.jobs import JobRunner
from app.outlines import Outlines
from app.routes import make_routes
from app.session import Sessions
from app.settings import AppSettings
from app.tokens import Tokens
from app.viewports import Viewports
from engine.checkpoint import open_checkpoint
from engine.device import pick_device
from engine.events import finish
from engine.methods.base import Method
from engine.noise import Noise
from engine.ops import compiled
from engine.ops.cameras import orbit_camera
from engine.render import warm_up
from engine.types import Views


@dataclass(frozen=True)
class Explorer:
    """What one process serves."""

    method: Method
    settings: AppSettings
    sessions: Sessions
    runner: JobRunner
    viewports: Viewports
    outlines: Outlines

    @classmethod
    def open(cls, method: Method, settings: AppSettings, tokens: Tokens) -> Explorer:
        """Everything but the panel; `tokens` are the pages' that may already wait."""
        sessions = Sessions(method, settings, tokens)
        runner = JobRunner(settings.max_queue)
        viewports = Viewports(sessions, runner, settings)
        return cls(method, settings, sessions, runner, viewports, Outlines(method))

    def routes(self, rest: ASGIApp) -> ASGIApp:
        """What answers pages that have their first part; `rest` answers all that is not the engine's."""
        return Router(make_routes(self.sessions, self.viewports, self.runner), default=rest)

    def panel(self) -> Starlette:
        """The panel as an application. Its start-up and shutdown events are the caller's to run."""
        from app.panel.layout import mount_panel  # gradio costs a second to import

        return mount_panel(self.method, self.sessions, self.runner, self.outlines, self.settings)

    def warm_up(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Compile and find out what somebody would otherwise wait for; `stopped` is asked now and then."""
        with compiled.preparing():
            for prepare in (warm_up, self._fit_once):
                if stopped():
                    return
                prepare()
        if not stopped():
            self.outlines()

    def _fit_once(self) -> None:
        """A reconstruction of nothing, which needs every kernel of a real one."""
        camera = orbit_camera(torch.zeros(1), 0.0, 1.3, 8)
        views = Views(torch.ones(1, 8, 8, 3), camera)
        once = {"mode": "paper", "steps": 1, "finetune_steps": 1, "inner_steps": 1}
        options = replace(self.method.fit_options, **once)
        finish(self.method.reconstruct(views, options, Noise(0)))

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
        from engine.methods.toy import ToyMethod

        return ToyMethod()
    return open_checkpoint(settings.checkpoint, pick_device(settings.device))
