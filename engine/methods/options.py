"""Settings of what a method is used for: frozen dataclasses that each method owns.

A field says in its type what it may hold (`Bounds`) and, where people set it, how it is shown (`Control`). The page's
controls, the command line's flags and the checks on files are all made from that.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar

from engine.config import from_json, to_json

Mode = Literal["ours", "paper"]
"""Names of presets: `paper` is the published procedure, `ours` what was found to be better on validation scenes."""
Plan = tuple[tuple[str, int], ...]
"""Stages of a run with their numbers of steps, in their order in time."""
Candidates = tuple[tuple[str, tuple[Any, ...]], ...]
"""Settings in the order in which they are tuned, each with the values to try; a dot reaches into one that has its own."""
T = TypeVar("T")


@dataclass(frozen=True)
class Control:
    """Presentation of a setting to people.

    Attributes:
        label: Its name.
        info: One sentence.
        symbol: The paper's, if it has one.
        low: Least value that is offered; bounds may allow less.
        high: Largest value that is offered.
        step: Grain of a slider; None for a number that is typed.
        branch: Whether a branch from the middle of a run may change it.
    """

    label: str
    info: str
    symbol: str = ""
    low: int | float = 0
    high: int | float = 1
    step: int | float | None = None
    branch: bool = False

    @property
    def title(self) -> str:
        """Label and symbol."""
        return f"{self.label} {self.symbol}".strip()


class Options(Protocol):
    """Members of every options dataclass."""

    def stages(self) -> Plan:
        """The stages of a run with these settings."""
        ...

    def least(self) -> Options:
        """The same procedure with as few steps as run all of its code once."""
        ...


def controls_of(kind: type) -> dict[str, Control]:
    """The settings of an options dataclass that are shown, by field name, in their order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {}
    for field in dataclasses.fields(kind):
        if typing.get_origin(hints[field.name]) is Annotated:
            for note in hints[field.name].__metadata__:
                if isinstance(note, Control):
                    found[field.name] = note
    return found


def branch_controls(kind: type) -> dict[str, Control]:
    """The settings that a branch from the middle of a run may change, those of dataclasses within it too."""
    found = {name: control for name, control in controls_of(kind).items() if control.branch}
    for field in dataclasses.fields(kind):
        hint = typing.get_type_hints(kind)[field.name]
        if dataclasses.is_dataclass(hint):
            found |= branch_controls(hint)
    return found


def with_settings(options: T, changes: Mapping[str, Any]) -> T:
    """The same options with settings changed by name; those it holds in a dataclass of its own too. Others are left out.

    Whole numbers, which pages and programs send as 4.0, become whole again.

    Raises:
        ConfigError: If a value is of another type than its setting's, or out of bounds.
    """
    changed = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in changes:
            given = changes[field.name]
            whole = isinstance(value, int) and isinstance(given, float) and given.is_integer()
            changed[field.name] = int(given) if whole else given
        elif dataclasses.is_dataclass(value):
            changed[field.name] = to_json(with_settings(value, changes))
    return from_json(type(options), to_json(options) | changed, "settings")
