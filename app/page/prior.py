"""The choice of the model, at the top of the panel, and updates of everything that depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr

from app.page import present
from app.page.stage import Page
from app.session.priors import Priors, title
from app.session.session import Session
from engine.errors import EngineError

Follower = Callable[[Session], Mapping[Any, Any]]
"""Updates of a part of the panel for a session's model, by component."""


def choice(priors: Priors) -> tuple[gr.Dropdown, gr.State, gr.HTML]:
    """The dropdown, the name of the model that is shown, and a status line for the opening of another."""
    dropdown = gr.Dropdown(
        priors.choices,
        value=priors.first.name,
        label="Model",
        container=False,
        filterable=False,
        elem_id="prior",
    )
    note = gr.HTML("", elem_id="prior-note", apply_default_css=False)
    return dropdown, gr.State(priors.first.name), note


def wire(
    page: Page,
    note: gr.HTML,
    outputs: list[Any],
    follow: Follower,
    modes: list[gr.Radio],
) -> gr.events.Dependency:
    """Open the chosen model in the background; the page goes on with the old one until it is ready.

    Args:
        page: The page.
        note: Line under the choice.
        outputs: Components that `follow` updates.
        follow: Updates of the tabs for the session's model and the procedures chosen in them.
        modes: Components with those procedures.
    """

    def choose(request: gr.Request, name: str, *modes: str) -> Iterator[dict[Any, Any]]:
        session = page.session(request)
        opening = page.priors.open(name)
        if not opening.done():
            yield {note: f'<p class="hint" role="status">Opening {title(name)}&hellip;</p>'}
        try:
            session.use(opening.result())
        except EngineError as error:
            yield {note: present.error_html(str(error)), page.prior: session.prior.name}
            return
        yield {
            note: "",
            page.shown: session.prior.name,
            **follow(session, *modes),
        }

    return page.prior.input(
        choose,
        [page.prior, *modes],
        [note, page.prior, page.shown, *outputs],
        trigger_mode="always_last",
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
