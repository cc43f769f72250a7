"""Settings of what a method is used for: frozen dataclasses that each method owns.

A field says in its type what it may hold (`Bounds`) and, where people set it, how it is shown (`Control`). The page's
controls, the command line's flags and the checks on files are all made from that.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, TypeVar

from engine.config import Bounds, from_json, to_json
from engine.errors import ConfigError, plain

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
        bounds: Of its values; `controls_of` takes them from the field's type, and the choices too.
        choices: All its values, where they are texts.
    """

    label: str
    info: str
    symbol: str = ""
    low: int | float = 0
    high: int | float = 1
    step: int | float | None = None
    branch: bool = False
    bounds: Bounds | None = None
    choices: tuple[str, ...] = ()

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
    """The settings of an options dataclass that are shown, by name, in their order; those of dataclasses within it last."""
    found, inner = {}, {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        bare, *notes = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
        if dataclasses.is_dataclass(bare):
            inner |= controls_of(bare)
        bounds = next((note for note in notes if isinstance(note, Bounds)), None)
        choices = typing.get_args(bare) if typing.get_origin(bare) is Literal else ()
        for note in notes:
            if isinstance(note, Control):
                found[name] = replace(note, bounds=bounds, choices=choices)
    own = {field.name for field in dataclasses.fields(kind)}
    return found | {name: control for name, control in inner.items() if name not in own}


def branch_controls(kind: type) -> dict[str, Control]:
    """The settings that a branch from the middle of a run may change."""
    return {name: control for name, control in controls_of(kind).items() if control.branch}


def settings_of(options: Any) -> dict[str, Any]:
    """The values of all settings, by each name that `with_settings` knows them by."""
    found, inner = {}, {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            within = settings_of(value)
            inner |= within | {f"{field.name}.{name}": held for name, held in within.items()}
        else:
            found[field.name] = value
    return found | {name: value for name, value in inner.items() if name not in found}


def with_settings(
    options: T, changes: Mapping[str, Any], known: Collection[str] | None = None
) -> T:
    """Options with some settings changed by name.

    A name reaches into a dataclass that the options hold: "renoise.mix", or "mix" where they have no `mix` of their own.
    Whole numbers, which pages and programs send as 4.0, become whole again.

    Args:
        options: An options dataclass.
        changes: Values by name.
        known: Names that may be changed; None: all there are.

    Raises:
        ConfigError: If there is no setting of a name, or a value is of another type than its setting's or out of bounds.
    """
    names = settings_of(options) if known is None else known
    if strange := [name for name in changes if name not in names]:
        raise ConfigError(
            f"Found the setting {plain(strange[0], 40)}, expected one of {', '.join(names) or 'none'}."
        )
    return from_json(type(options), _changed(options, changes), "settings")


def _changed(options: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values of options, some of them changed."""
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    changed = {}
    for name, value in fields.items():
        given = changes.get(name, value)
        if dataclasses.is_dataclass(value):
            inner = {n.removeprefix(f"{name}."): v for n, v in changes.items() if n not in fields}
            changed[name] = _changed(value, inner)
        elif isinstance(value, int) and isinstance(given, float) and given.is_integer():
            changed[name] = int(given)
        else:
            changed[name] = to_json(given)
    return changed
