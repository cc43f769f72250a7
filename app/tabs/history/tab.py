"""The History tab: everything made in this tab as cards, and runs opened from files."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from app.page import present
from app.page.blocks import picked_number
from app.page.parts import script
from app.page.stage import Page
from app.session import runs
from app.session.exports import kept_here
from app.session.records import Record
from app.session.session import Session
from app.tabs.generate.tab import GenerateTab
from app.tabs.history.again import fit_settings, take_picture
from app.tabs.reconstruct.tab import ReconstructTab
from engine.errors import EngineError

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
SKELETON = '<div class="hproblem"></div><div class="hist"></div>'


def build(page: Page, made: GenerateTab, fitted: ReconstructTab) -> None:
    """Lay the tab out and wire it."""
    HistoryTab(page, made, fitted).wire()


class HistoryTab:
    """The tab's components and handlers."""

    def __init__(self, page: Page, made: GenerateTab, fitted: ReconstructTab):
        self.page, self.made, self.fitted = page, made, fitted
        self.cards = gr.HTML(
            SKELETON, elem_id="cards", js_on_load=script("history.js"), apply_default_css=False
        )
        self.problem = gr.HTML("", elem_id="open-problem")
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
        page, first = self.page, self.fitted.pictures.slots[0]
        self.cards.select(self.choose, outputs=[page.timeline, page.history], **QUIET)
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
            [self.file, self.problem, page.timeline, page.history],
            api_visibility="private",
            concurrency_limit=None,
            show_progress="hidden",
        )

    # -- the page's -------------------------------------------------------------------------------

    def choose(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Show a card's record, if there is one with that number, and bring the page up to date."""
        session = self.page.session(request)
        session.select(picked_number(event))
        return self.page.news(session)

    def reuse(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Set the tab that made a record to the record's model, seed and settings."""
        session = self.page.session(request)
        record = session.record(picked_number(event))
        if record is None:
            return {self.problem: ""}
        mode = dict(record.provenance.get("settings", {})).get("mode", "ours")
        return self._with_prior(session, record, mode, mode) | self._controls(record, mode)

    def _with_prior(
        self, session: Session, record: Record, fitting: str, making: str
    ) -> dict[Any, Any]:
        """Use the model that made a record, if it is available; the tabs follow."""
        update: dict[Any, Any] = {self.problem: ""}
        prior = self.page.priors.of(record.method)
        if prior is None or prior is session.prior:
            return update
        session.use(prior)
        session.select(record.id)
        update |= {self.page.prior: prior.name, self.page.shown: prior.name}
        update |= self.fitted.follow(session, fitting) | self.made.follow(session, making)
        return update | self.page.news(session)

    def _controls(self, record: Record, mode: str) -> dict[Any, Any]:
        """A record's seed and settings for the controls of the tab that made it."""
        seed = record.provenance.get("seed", 0)
        if record.kind == "reconstruct":
            controls = self.fitted.settings.shown(record.method, fit_settings(record))
            return {self.fitted.mode: mode, self.fitted.seed: seed, **controls}
        settings = dict(record.provenance.get("settings", {}))
        controls = self.made.settings.shown(record.method, settings)
        return {self.made.mode: mode, self.made.seed: seed, **controls}

    def _reused(self) -> list[Any]:
        made, fitted = self.made, self.fitted
        return [*self._followed(), made.mode, made.seed, fitted.mode, fitted.seed]

    def _followed(self) -> list[Any]:
        """Components that depend on the model."""
        page, made, fitted = self.page, self.made, self.fitted
        shared = [page.prior, page.shown, page.timeline, page.history, self.problem]
        distances = [slot.distance for slot in fitted.pictures.slots]
        tabs = [*made.settings.outputs, made.examples, *fitted.settings.outputs]
        tabs.append(fitted.pictures.examples)
        return [*shared, *tabs, *distances]

    def _framed(self) -> tuple[list[Any], list[Any]]:
        """Inputs and outputs of framing all pictures anew."""
        pictures = self.fitted.pictures
        return pictures.inputs, [pictures.problem, *(slot.framed for slot in pictures.slots)]

    def picture(
        self, event: gr.EventData, request: gr.Request, fitting: str, making: str
    ) -> dict[Any, Any]:
        """Put a picture of a record, from the view's direction, into Reconstruct's first slot, for the same model."""
        session = self.page.session(request)
        record = session.record(picked_number(event))
        if record is None or not record.frames:
            return {self.problem: ""}
        update = self._with_prior(session, record, fitting, making)
        session.brushes.pop(0, None)
        first = self.fitted.pictures.slots[0]
        try:
            path, *angles = take_picture(session, record)
            with kept_here(Path(first.image.GRADIO_CACHE) / path.name):
                # Gradio shows no file from elsewhere
                shown = save_file_to_cache(path, first.image.GRADIO_CACHE)
        except EngineError as error:
            return {self.problem: present.error_html(str(error))}
        return update | dict(zip(first.inputs, [shown, *angles], strict=True))

    def open_run(self, request: gr.Request, file: str | None = None) -> Iterator[dict[Any, Any]]:
        """Open a saved run or scene."""
        session = self.page.session(request)
        if file is None:
            return
        try:
            timeline, note = runs.load(file)
            prior = runs.maker(timeline, self.page.priors)
            if prior is not None and not prior.done():
                yield {self.problem: '<p class="hint" role="status">Opening its model&hellip;</p>'}
            device = session.method.mean_latent.device
            record = runs.opened(timeline, note, prior, device)
        except EngineError as error:
            yield {self.file: None, self.problem: present.error_html(str(error))}
            return
        session.compare([])
        session.add(record)
        note = ""
        if not record.method.presets and record.kind != "file":
            note = f'<p class="hint" role="status">{html.escape(runs.missing(record.method))}</p>'
        yield {
            self.file: None,
            self.problem: note,
            **self.page.news(session),
        }
