"""The right side of the page: toolbar, viewport, filmstrip, and operations on them that all tabs use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.page import present, watch
from app.page.blocks import picked, picked_number
from app.page.fields import Settings
from app.page.parts import clickable
from app.session.jobs import JobRunner
from app.session.priors import Priors
from app.session.records import home
from app.session.session import Session
from app.session.sessions import Sessions
from engine.methods.base import Method, Mode

CHANNELS = ("colour", "depth", "normals", "opacity")
TOGGLES = {
    "cameras": ("Cameras", "Show where your pictures were taken"),
    "overlay": (
        "Overlay",
        "Stand at the first picture's camera and lay the picture over the render",
    ),
    "ground": ("Ground", "Show the ground grid; a cell is a tenth of the object's diagonal"),
}

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """Shared by the tabs: the explorer's parts, the choice of the model, and the components on the right.

    `shown` is the name of the model whose usual values the tabs show: the chosen one, once it is ready; for a program,
    which gets the tabs' first values for fields that it leaves out, the first one.
    """

    sessions: Sessions
    runner: JobRunner
    prior: gr.Dropdown
    shown: gr.State
    toolbar: gr.HTML
    timeline: gr.HTML
    history: gr.HTML

    @property
    def priors(self) -> Priors:
        """Models to choose from."""
        return self.sessions.priors

    def usual(
        self, shown: str, values: Values, session: Session, of: Callable[[Method], Values]
    ) -> Values:
        """Values from the tabs; usual values of the shown model are replaced by usual ones of the session's.

        Args:
            shown: The model for which they were shown.
            values: Values of the tabs.
            session: The session whose model is used.
            of: Function from a method to its usual values.
        """
        before, after = of(self.priors.open(shown).result().method), of(session.method)
        return {key: after[key] if value == before[key] else value for key, value in values.items()}

    def settings(
        self, shown: str, controls: Settings, told: Sequence[Any], session: Session, mode: Mode
    ) -> Values:
        """Settings from a tab for the session's method; usual ones of the shown model are replaced by its own.

        Args:
            shown: The model for which they were shown.
            controls: Their controls.
            told: Their values, in the order of `controls.inputs`.
            session: The session whose model is used.
            mode: The procedure.
        """
        before, after = self.priors.open(shown).result().method, session.method
        given, usual = controls.values(before, told), controls.usual(mode, before)
        changed = {name: value for name, value in given.items() if value != usual.get(name)}
        return controls.usual(mode, after) | changed

    def session(self, request: gr.Request, checkpoint: str | None = None) -> Session:
        """The session of a request, with the model that the request names, if it names one.

        Raises:
            CheckpointError: If that cannot be opened.
            SessionGoneError: If the page has not sent its token.
        """
        session = self.sessions.of_page(request.session_hash)
        if checkpoint is not None:
            session.use(self.priors.open(checkpoint).result())
        return session

    def news(self, session: Session) -> dict[Any, Any]:
        """Filmstrip and gallery as they should be now."""
        return {
            self.timeline: watch.timeline(session, self.runner),
            self.history: watch.history(session),
        }

    def follow(
        self, session: Session, problem: gr.HTML, *stops: gr.Button
    ) -> Iterator[dict[Any, Any]]:
        """Updates until the session's run has ended: its error appears in `problem`, and `stops` can be pressed."""
        for job in watch.follow(session):
            buttons = {stop: gr.Button(interactive=not job.ended) for stop in stops}
            yield {**self.news(session), problem: present.error_html(job.error or ""), **buttons}

    def cancel(self, request: gr.Request) -> str:
        """Stop the session's run within a step."""
        session = self.session(request)
        session.stop(self.runner)
        return watch.timeline(session, self.runner)


def build_stage() -> tuple[gr.HTML, gr.HTML, gr.HTML]:
    """Toolbar and filmstrip, around the view, which the page has already; and the gallery, which a tab lays out."""
    toolbar = clickable("toolbar")
    gr.HTML("", elem_id="viewport", apply_default_css=False, js_on_load=None)
    timeline = clickable("timeline", name="filmstrip.js")
    return toolbar, timeline, clickable("history", render=False)


def wire_stage(page: Page) -> None:
    """Toolbar and filmstrip, and the gallery's clicks."""

    def press(event: gr.EventData, request: gr.Request) -> str:
        session = page.session(request)
        press_tool(session, picked(event))
        return toolbar_html(session)

    def bring_back(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        session = page.session(request)
        session.select(picked_number(event))
        return page.news(session)

    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    page.toolbar.select(press, outputs=page.toolbar, **quiet)
    page.history.select(bring_back, outputs=[page.timeline, page.history], **quiet)


def press_tool(session: Session, tool: str) -> None:
    """One press of a toolbar button: a channel, a toggle, or `home`."""
    display = session.snapshot().display
    if tool in CHANNELS:
        session.show(channel=tool)
    elif tool in TOGGLES:
        session.show(**{tool: not getattr(display, tool)})
        slots = session.snapshot().slots
        if tool == "overlay" and not display.overlay and slots:
            session.fly(next(iter(slots.values())).camera[0])
    elif tool == "home":
        session.show(overlay=False)
        session.fly(home())


def toolbar_html(session: Session) -> str:
    """The buttons above the viewport in the session's state."""
    display = session.snapshot().display
    channels = "".join(
        _button(name, name.capitalize(), f"Show {name}", display.channel == name)
        for name in CHANNELS
    )
    toggles = "".join(
        _button(name, label, hint, getattr(display, name))
        for name, (label, hint) in TOGGLES.items()
    )
    home = _button("home", "Reset view", "Return to the first view", False)
    return f'<div class="tools"><div class="seg">{channels}</div><div class="togs">{toggles}{home}</div></div>'


def _button(value: str, label: str, hint: str, pressed: bool) -> str:
    return (
        f'<button type="button" data-pick="{value}" title="{hint}" '
        f'aria-pressed="{str(pressed).lower()}">{label}</button>'
    )
