"""Frozen dataclasses to JSON and back, strictly: an unknown key, a wrong type or a number out of bounds is an error.

A field says what it may hold in its type: `steps: Annotated[int, Bounds(1, 1000)] = 20`. What a field says beside that
(other objects in `Annotated`) is for those who show it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from engine.errors import ConfigError, plain, shown

DEEPEST = 32
"""Levels of lists and tables within each other that a value of type `Any` may have."""
LARGEST_WHOLE = 2**63 - 1


@dataclass(frozen=True)
class Bounds:
    """Least and largest value of a number; of a list, a table or a text how long it may be. Both are allowed."""

    low: int | float
    high: int | float

    def problem(self, value: Any) -> str | None:
        """Description of a value's fault, as "found ..., expected ..."; None if nothing is."""
        if isinstance(value, int | float):
            good = self.low <= value <= self.high
            return None if good else f"found {shown(value)}, expected {self.low} to {self.high}"
        if isinstance(value, str | Sequence | Mapping) and not self.low <= len(value) <= self.high:
            kind = "characters" if isinstance(value, str) else "values"
            return f"found {len(value)} {kind}, expected {self.low} to {self.high}"
        return None


def to_json(config: Any) -> Any:
    """Plain JSON values of a (nested) dataclass."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    if isinstance(config, Mapping):
        return {key: to_json(value) for key, value in config.items()}
    return config


def from_json(kind: Any, values: Any, where: str = "config") -> Any:
    """A value of type `kind` from JSON values: a dataclass, or anything that its fields may hold.

    Missing keys take the dataclass's default. Numbers must be finite, and within their bounds.

    Raises:
        ConfigError: On an unknown key, a missing required key, a value of the wrong type or out of its bounds, and what
            the dataclass itself refuses, when it is made or in its method `check` if it has one.
    """
    return _read(kind, values, where)


def check_bounds(config: Any) -> None:
    """Refuse a dataclass that somebody has made with a number out of its field's bounds.

    Raises:
        ConfigError: If there is one.
    """
    for name, bounds in _bounds(type(config)):
        if problem := bounds.problem(getattr(config, name)):
            found, _, rest = problem.partition(" ")
            raise ConfigError(f"{found.capitalize()} {name.replace('_', ' ')} {rest}.")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


@functools.cache
def _bounds(kind: Any) -> tuple[tuple[str, Bounds], ...]:
    """Bounded fields of a dataclass."""
    return tuple(
        (name, note)
        for name, hint in _hints(kind).items()
        if typing.get_origin(hint) is Annotated
        for note in hint.__metadata__
        if isinstance(note, Bounds)
    )


def _read(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _read_annotated(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _read_union(kind, value, where)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            options = ", ".join(map(repr, typing.get_args(kind)))
            raise ConfigError(f"{where}: found {shown(value)}, expected one of {options}.")
        return value
    if origin is tuple:
        return _read_tuple(kind, value, where)
    if origin is dict:
        return _read_table(kind, value, where)
    if kind is Any:
        return _read_any(value, where)
    return _read_simple(kind, value, where)


def _read_annotated(kind: Any, value: Any, where: str) -> Any:
    inner, *notes = typing.get_args(kind)
    read = _read(inner, value, where)
    for note in notes:
        if isinstance(note, Bounds) and (problem := note.problem(read)):
            raise ConfigError(f"{where}: {problem}.")
    return read


def _read_simple(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(_whole(value, where))
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        name = getattr(kind, "__name__", str(kind))
        raise ConfigError(f"{where}: found {shown(value)}, expected a value of type {name}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: found {value}, expected a finite number.")
    if kind is int:
        _whole(value, where)
    return value


def _whole(value: int, where: str) -> int:
    if abs(value) > LARGEST_WHOLE:
        raise ConfigError(f"{where}: found a number of more than 18 digits, expected fewer.")
    return value


def _read_any(value: Any, where: str, depth: int = 0) -> Any:
    """Whatever JSON can say, if it is finite and not too deep."""
    if depth > DEEPEST:
        raise ConfigError(f"{where}: found more than {DEEPEST} levels, expected fewer.")
    if isinstance(value, dict):
        for key, item in value.items():
            _read_any(item, f"{where}.{plain(key, 40)}" if depth < 3 else where, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _read_any(item, where, depth + 1)
    elif value is not None and not isinstance(value, str | bool):
        _read_simple(int if isinstance(value, int) else float, value, where)
    return value


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{where}: found {shown(value)}, expected an object with the keys of {_name(kind)}."
        )
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            raise ConfigError(
                f"{where}: unknown key {shown(key)}; {_name(kind)} has {', '.join(fields)}."
            )
    for name, field in fields.items():
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and name not in value:
            raise ConfigError(f"{where}: found no key {name!r}, expected one.")
    hints = _hints(kind)
    read = {key: _read(hints[key], item, f"{where}.{key}") for key, item in value.items()}
    try:
        made = kind(**read)
        if hasattr(made, "check"):
            made.check()
        return made
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _name(kind: Any) -> str:
    return kind.__name__.removeprefix("_")


def _read_union(kind: Any, value: Any, where: str) -> Any:
    options = typing.get_args(kind)
    if value is None and type(None) in options:
        return None
    problems = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _read(option, value, where)
        except ConfigError as error:
            problems.append(str(error))
    raise ConfigError(problems[0])


def _read_table(kind: Any, value: Any, where: str) -> dict:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: found {shown(value)}, expected an object.")
    key_kind, item_kind = typing.get_args(kind)
    return {
        _read(key_kind, key, f"{where}: a key"): _read(item_kind, item, f"{where}.{plain(key, 40)}")
        for key, item in value.items()
    }


def _read_tuple(kind: Any, value: Any, where: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: found {shown(value)}, expected a list.")
    items = typing.get_args(kind)
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_read(items[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(items) != len(value):
        raise ConfigError(f"{where}: found {len(value)} values, expected {len(items)}.")
    return tuple(
        _read(item_kind, item, f"{where}[{i}]")
        for i, (item_kind, item) in enumerate(zip(items, value, strict=True))
    )
