"""Assembly of one explorer: sessions, worker, viewports, routes and the panel."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from starlette.applications import Starlette
from starlette.routing import Router
from starlette.types import ASGIApp

from app.api.routes import Api
from app.page.recovery import recovery_routes
from app.page.routes import make_routes
from app.session.jobs import JobRunner
from app.session.priors import Priors
from app.session.sessions import Sessions
from app.settings import AppSettings
from app.view.viewports import Viewports
from engine.kernels import compiled


@dataclass(frozen=True)
class Explorer:
    """Parts of one explorer process."""

    priors: Priors
    settings: AppSettings
    sessions: Sessions
    runner: JobRunner
    viewports: Viewports

    @classmethod
    def open(cls, sessions: Sessions) -> Explorer:
        """An explorer without its panel.

        One core stays with the view and the browser. The threads of a network's layer wait for each other, and one that
        is not scheduled stops them all: with a browser on the same two cores a fit took 1.4 s on one thread, 40 s on two.
        """
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
        settings = sessions.settings
        runner = JobRunner(settings.max_queue)
        viewports = Viewports(sessions, runner, settings)
        return cls(sessions.priors, settings, sessions, runner, viewports)

    def routes(self, rest: ASGIApp) -> ASGIApp:
        """Routes of the API, recovery, viewports and files; `rest` answers everything else."""
        api = Api(self.sessions, self.runner, self.settings)
        found = recovery_routes(self.sessions)
        routes = [*api.routes(), *found, *make_routes(self.sessions, self.viewports, self.runner)]
        return Router(routes, default=rest)

    def panel(self) -> Starlette:
        """The panel as an application. Its start-up and shutdown events are the caller's to run."""
        from app.page.mount import mount_panel  # gradio costs a second to import

        return mount_panel(self.sessions, self.runner, self.settings)

    def prepare_frames(self) -> None:
        """Compile the kernels of frames; frames already shown are rendered again."""
        with compiled.preparing("frames"):
            self.priors.first.prepare_frames()
        for session in self.sessions.all():
            session.refresh()

    def prepare_samples(self) -> None:
        """Compile what generates."""
        with compiled.preparing("samples"):
            self.priors.first.prepare_samples()

    def prepare_fits(self) -> None:
        """Compile the kernels of reconstruction."""
        with compiled.preparing("fits"):
            self.priors.first.prepare_fits()

    def warm_up(self) -> None:
        """Compile and compute in advance what a visitor would otherwise wait for."""
        self.prepare_samples()
        self.prepare_frames()
        self.prepare_fits()
        self.priors.first.outlines()

    def close(self) -> None:
        """Cancel running jobs, close every viewport and session."""
        self.priors.close()
        self.runner.close()
        self.viewports.close()
        if self.sessions.archive is not None:
            self.sessions.archive.close()
