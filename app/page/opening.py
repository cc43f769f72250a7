"""A page load: restores the state of its session, which may be older than the page, and follows its run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.page.stage import Page, toolbar_html
from app.session.records import PAPER
from app.tabs.generate.tab import GenerateTab
from app.tabs.reconstruct.tab import ReconstructTab

WHERE = """async (dark, token, ...modes) => [
  document.body.classList.contains('dark'), await explorer.claimed, ...modes
]"""
"""Script that sends the browser's state of a page, its theme and its token."""


def wire_opening(demo: gr.Blocks, page: Page, fitted: ReconstructTab, made: GenerateTab) -> None:
    """On load, bring a page to the state of its session and follow its run."""
    pictures = fitted.pictures

    def open_page(
        request: gr.Request, dark: bool, token: str, fitting: str, making: str
    ) -> dict[Any, Any]:
        session = page.sessions.open_page(request.session_hash, token)
        session.show(background=PAPER[bool(dark)])
        update = {
            page.toolbar: toolbar_html(session),
            **page.news(session),
        }
        if session.prior is not page.priors.first:
            name = session.prior.name
            update |= {page.prior: name, page.shown: name}
            update |= {**fitted.follow(session, fitting), **made.follow(session, making)}
        return update | pictures.put_back(session)

    def follow_run(request: gr.Request) -> Iterator[dict[Any, Any]]:
        session = page.session(request)
        if not session.busy:
            yield {page.timeline: gr.skip()}
            return
        yield from page.follow(session, pictures.problem, fitted.stop, made.stop)

    def close_page(request: gr.Request) -> None:
        page.sessions.close_page(request.session_hash)

    shown = [page.toolbar, page.timeline, page.history, page.prior, page.shown]
    tabs = [*made.outputs, *fitted.outputs, pictures.examples]
    slots = [part for slot in pictures.slots for part in (*slot.inputs, slot.framed)]
    dark, token = gr.Checkbox(visible=False), gr.Textbox(visible=False)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    demo.load(
        open_page,
        [dark, token, fitted.mode, made.mode],
        [*shown, *tabs, *slots],
        js=WHERE,
        queue=False,
        **quiet,
    ).then(
        follow_run,
        outputs=[page.timeline, page.history, pictures.problem, fitted.stop, made.stop],
        concurrency_limit=None,
        **quiet,
    )
    demo.unload(close_page)
