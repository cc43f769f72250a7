"""Sentences that a page shows beside the controls of its tabs: why something was refused or has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from engine.errors import EngineError

Kind = Literal["error", "status"]

_asked_in: ContextVar[str | None] = ContextVar("asked_in", default=None)


class Notices:
    """The sentences of one session, at most one per tab."""

    def __init__(self, changed: Callable[[], object]):
        """`changed` is called after every change."""
        self._changed = changed
        self._told: dict[str, tuple[Kind, str]] = {}

    def say(self, tab: str | None, sentence: str, kind: Kind = "error") -> None:
        """Show a sentence in a tab instead of its last one, or none if it is empty; nobody reads what has no tab."""
        if tab is None:
            return
        told = {name: one for name, one in self._told.items() if name != tab}
        self._told = told | ({tab: (kind, sentence)} if sentence else {})
        self._changed()

    @contextmanager
    def during(self, tab: str) -> Iterator[None]:
        """For what somebody asks for in a tab: its last sentence goes, and an `EngineError` becomes the next one."""
        mark = _asked_in.set(tab)
        self.say(tab, "")
        try:
            yield
        except EngineError as error:
            self.say(tab, str(error))
        finally:
            _asked_in.reset(mark)

    @property
    def asked_in(self) -> str | None:
        """The tab in which the caller's work was asked for, if it was in one."""
        return _asked_in.get()

    def told(self) -> Mapping[str, tuple[Kind, str]]:
        """Kind and sentence by tab."""
        return self._told
