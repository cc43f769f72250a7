"""The History tab: everything made in this tab as cards, and runs opened from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from app.page.blocks import picked_number
from app.page.parts import notice, scripted
from app.page.stage import Page
from app.session import runs
from app.session.cameras import Cameras, floats
from app.session.exports import kept_here
from app.session.records import Record
from app.session.session import Session
from app.tabs.generate.tab import GenerateTab
from app.tabs.history.again import made_with, take_picture
from app.tabs.reconstruct.tab import ReconstructTab

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def build(page: Page, made: GenerateTab, fitted: ReconstructTab) -> None:
    """Lay the tab out and wire it."""
    HistoryTab(page, made, fitted).wire()


class HistoryTab:
    """The tab's components and handlers."""

    def __init__(self, page: Page, made: GenerateTab, fitted: ReconstructTab):
        self.page, self.made, self.fitted = page, made, fitted
        self.cards = scripted("cards", '<div class="hist"></div>', "history.js")
        notice("history")
        with gr.Row(elem_classes="actions"):
            self.file = gr.File(
                label="Open a run or scene file",
                show_label=False,
                height=42,
                elem_id="open-run",
                buttons=[],
            )

    def wire(self) -> None:
        """Connect the components to their handlers."""
        first = self.fitted.pictures.slots[0]
        self.cards.submit(self.reuse, outputs=self._reused(), **QUIET).then(
            self.fitted.pictures.reframe, *self._framed(), **QUIET
        )
        self.cards.edit(
            self.picture,
            [self.fitted.mode, self.made.mode],
            [*self._followed(), *first.inputs[:3]],
            **QUIET,
        ).then(self.fitted.pictures.reframe, *self._framed(), **QUIET)
        self.file.upload(
            self.open_run,
            self.file,
            self.file,
            api_visibility="private",
            concurrency_limit=None,
            show_progress="hidden",
        )

    # -- the page's -------------------------------------------------------------------------------

    def reuse(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Set the tab that made a record to the record's model, seed and settings."""
        session = self.page.session(request)
        record = session.record(picked_number(event))
        if record is None:
            return self._nothing()
        mode = record.preset or "ours"
        return self._with_prior(session, record, mode, mode) | self._controls(record, mode)

    def _with_prior(
        self, session: Session, record: Record, fitting: str, making: str
    ) -> dict[Any, Any]:
        """Use the model that made a record, if it is available; the tabs follow."""
        update = self._nothing()
        prior = self.page.priors.of(record.method)
        if prior is None or prior is session.prior:
            return update
        session.use(prior)
        session.select(record.id)
        update |= {self.page.prior: prior.name, self.page.shown: prior.name}
        return update | self.fitted.follow(session, fitting) | self.made.follow(session, making)

    def _nothing(self) -> dict[Any, Any]:
        """Updates that change nothing; Gradio takes an empty dict for a value."""
        return {self.page.shown: gr.skip()}

    def _controls(self, record: Record, mode: str) -> dict[Any, Any]:
        """A record's seed and settings for the controls of the tab that made it."""
        seed = record.provenance.get("seed", 0)
        if record.kind == "reconstruct":
            controls = self.fitted.settings.shown(record.method, made_with(record))
            return {self.fitted.mode: mode, self.fitted.seed: seed, **controls}
        controls = self.made.settings.shown(record.method, made_with(record))
        return {self.made.mode: mode, self.made.seed: seed, **controls}

    def _reused(self) -> list[Any]:
        made, fitted = self.made, self.fitted
        return [*self._followed(), made.mode, made.seed, fitted.mode, fitted.seed]

    def _followed(self) -> list[Any]:
        """Components that depend on the model."""
        page, made, fitted = self.page, self.made, self.fitted
        shared = [page.prior, page.shown]
        distances = [slot.distance for slot in fitted.pictures.slots]
        tabs = [*made.settings.outputs, made.examples, *fitted.settings.outputs]
        tabs.append(fitted.pictures.examples)
        return [*shared, *tabs, *distances]

    def _framed(self) -> tuple[list[Any], list[Any]]:
        """Inputs and outputs of standing all pictures anew."""
        pictures = self.fitted.pictures
        return pictures.inputs, [part for slot in pictures.slots for part in slot.shown]

    def picture(
        self, event: gr.EventData, request: gr.Request, fitting: str, making: str
    ) -> dict[Any, Any]:
        """Put a picture of a record, from the view's direction, into Reconstruct's first slot, for the same model."""
        session = self.page.session(request)
        record = session.record(picked_number(event))
        if record is None or not record.frames:
            return self._nothing()
        update = self._with_prior(session, record, fitting, making)
        session.brushes.pop(0, None)
        first = self.fitted.pictures.slots[0]
        with session.notices.during("history"):
            path, *angles = take_picture(session, record)
            with kept_here(Path(first.image.GRADIO_CACHE) / path.name):
                # Gradio shows no file from elsewhere
                shown = save_file_to_cache(path, first.image.GRADIO_CACHE)
            session.part(Cameras).tell(0, shown, floats(angles))
            update |= dict(zip(first.inputs, [shown, *angles], strict=True))
        return update

    def open_run(self, request: gr.Request, file: str | None = None) -> None:
        """Open a saved run or scene; the box is empty again afterwards."""
        session = self.page.session(request)
        if file is None:
            return
        with session.notices.during("history"):
            timeline, note = runs.load(file)
            prior = runs.maker(timeline, self.page.priors)
            if prior is not None and not prior.done():
                session.notices.say("history", "Opening its model\u2026", "status")
            record = runs.opened(timeline, note, prior, session.method.mean_latent.device)
            session.compare([])
            session.add(record)
            foreign = not record.method.presets and record.kind != "file"
            session.notices.say("history", runs.missing(record.method) if foreign else "", "status")
