"""A page load: brings the controls to the state of the page's session, which may be older than the page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.page.stage import Page
from app.session.records import PAPER
from app.tabs.generate.tab import GenerateTab
from app.tabs.reconstruct.tab import ReconstructTab

WHERE = """async (dark, token, ...modes) => [
  document.body.classList.contains('dark'), await explorer.claimed, ...modes
]"""
"""Script that sends the browser's state of a page, its theme and its token."""


def wire_opening(demo: gr.Blocks, page: Page, fitted: ReconstructTab, made: GenerateTab) -> None:
    """On load, bring a page's controls to the state of its session."""
    pictures = fitted.pictures

    def open_page(
        request: gr.Request, dark: bool, token: str, fitting: str, making: str
    ) -> dict[Any, Any]:
        session = page.sessions.open_page(request.session_hash, token)
        session.show(background=PAPER[bool(dark)])
        name = session.prior.name
        update = {page.prior: name, page.shown: name}
        if session.prior is not page.priors.first:
            update |= {**fitted.follow(session, fitting), **made.follow(session, making)}
        return update | pictures.put_back(session)

    def close_page(request: gr.Request) -> None:
        page.sessions.close_page(request.session_hash)

    tabs = [*made.outputs, *fitted.outputs, pictures.examples]
    slots = [part for slot in pictures.slots for part in (slot.image, *slot.shown)]
    dark, token = gr.Checkbox(visible=False), gr.Textbox(visible=False)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    demo.load(
        open_page,
        [dark, token, fitted.mode, made.mode],
        [page.prior, page.shown, *tabs, *slots],
        js=WHERE,
        queue=False,
        **quiet,
    ).then(None, js="() => explorer.tell('opened')", **quiet)
    demo.unload(close_page)
