"""The choice of the prior, at the top of the panel: everything that depends on it follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr

from app.page import present, watch
from app.page.stage import Page
from app.session.priors import Priors, title
from app.session.session import Session
from engine.errors import EngineError

Follower = Callable[[Session], Mapping[Any, Any]]
"""What a part of the panel shows for a session's prior, by component."""


def choice(priors: Priors) -> tuple[gr.Dropdown, gr.State, gr.HTML]:
    """The dropdown, the name of the prior that is shown, and the line that tells how the opening of another goes."""
    dropdown = gr.Dropdown(
        priors.choices,
        value=priors.first.name,
        label="Prior",
        container=False,
        filterable=False,
        elem_id="prior",
    )
    note = gr.HTML("", elem_id="prior-note", apply_default_css=False)
    return dropdown, gr.State(priors.first.name), note


def wire(
    page: Page,
    note: gr.HTML,
    history: gr.HTML,
    outputs: list[Any],
    follow: Follower,
    modes: list[gr.Radio],
) -> gr.events.Dependency:
    """Open what is chosen in the background; the page goes on with the old prior until it is there.

    Args:
        page: The page.
        note: Line under the choice.
        history: The gallery.
        outputs: Components that `follow` may change.
        follow: What the tabs show for the session's prior and the procedures chosen in them.
        modes: Those procedures.
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
            page.timeline: watch.timeline(session, page.runner),
            history: watch.history(session),
            **follow(session, *modes),
        }

    return page.prior.input(
        choose,
        [page.prior, *modes],
        [note, page.prior, page.shown, page.timeline, history, *outputs],
        trigger_mode="always_last",
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
