"""The right side of the page, toolbar, viewport and filmstrip; and what the tabs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.page import toolbar
from app.page.fields import Settings
from app.page.parts import scripted
from app.session.jobs import JobRunner
from app.session.priors import Priors
from app.session.session import Session
from app.session.sessions import Sessions
from engine.methods.base import Method

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """Shared by the tabs: the explorer's parts and the choice of the model.

    `shown` is the name of the model whose usual values the tabs show: the chosen one, once it is ready; for a program,
    which gets the tabs' first values for fields that it leaves out, the first one.
    """

    sessions: Sessions
    runner: JobRunner
    prior: gr.Dropdown
    shown: gr.State

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
        self, shown: str, controls: Settings, told: Sequence[Any], session: Session, mode: str
    ) -> Values:
        """Settings from a tab for the session's method; usual ones of the shown model are replaced by its own.

        Args:
            shown: The model for which they were shown.
            controls: Their controls.
            told: Their values, in the order of `controls.inputs`.
            session: The session whose model is used.
            mode: Name of the preset.
        """
        before, after = self.priors.open(shown).result().method, session.method
        given, usual = controls.values(before, told), controls.usual(mode, before)
        changed = {name: value for name, value in given.items() if value != usual.get(name)}
        return controls.usual(mode, after) | changed

    def session(self, request: gr.Request) -> Session:
        """The session of a request.

        Raises:
            SessionGoneError: If the page has not sent its token.
        """
        return self.sessions.of_page(request.session_hash)

    def use(self, session: Session, checkpoint: str) -> None:
        """Use the model of that name from now on.

        Raises:
            CheckpointError: If it cannot be opened.
        """
        session.use(self.priors.open(checkpoint).result())


def build_stage() -> None:
    """Toolbar and filmstrip, around the view, which the page has already."""
    scripted("toolbar", toolbar.HTML, "toolbar.js")
    gr.HTML("", elem_id="viewport", apply_default_css=False, js_on_load=None)
    scripted("timeline", '<div class="strip"></div>', "filmstrip.js")
