"""The parts of one explorer put together: sessions, worker, viewports, routes and the panel."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch
from starlette.applications import Starlette
from starlette.routing import Router
from starlette.types import ASGIApp

from app.jobs import JobRunner
from app.outlines import Outlines
from app.routes import make_routes
from app.session import Sessions, first_latent
from app.settings import AppSettings
from app.viewports import Viewports
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
    def open(cls, sessions: Sessions) -> Explorer:
        """Everything but the panel.

        One core stays with the view and the browser. The threads of a network's layer wait for each other, and one that
        is not scheduled stops them all: with a browser on the same two cores a fit took 1.4 s on one thread, 40 s on two.
        """
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
        method, settings = sessions.method, sessions.settings
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

    def prepare_frames(self) -> None:
        """Compile what draws; what is shown by then is drawn again."""
        with compiled.preparing("frames"):
            warm_up(self.method.scene(first_latent(self.method)).field)
        for session in self.sessions.all():
            session.refresh()

    def prepare_fits(self) -> None:
        """Compile what reconstructs."""
        with compiled.preparing("fits"):
            self._fit_once()

    def warm_up(self) -> None:
        """Compile and find out all that somebody would otherwise wait for."""
        self.prepare_frames()
        self.prepare_fits()
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
