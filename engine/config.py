"""Frozen dataclasses to JSON and back, strictly: an unknown key or a wrong type is an error, never a default."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from engine.errors import ConfigError

C = TypeVar("C")


def to_json(config: Any) -> Any:
    """Plain JSON values of a (nested) dataclass."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    return config


def from_json(kind: type[C], values: Any, where: str = "config") -> C:
    """A dataclass of type `kind` from JSON values.

    Missing keys take the dataclass's default.

    Raises:
        ConfigError: On an unknown key, a missing required key or a value of the wrong type.
    """
    return _read(kind, values, where)


def _read(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _read_union(kind, value, where)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise ConfigError(
                f"{where}: found {value!r}, expected one of {', '.join(map(repr, typing.get_args(kind)))}."
            )
        return value
    if origin is tuple:
        return _read_tuple(kind, value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Any:
        return value
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        name = getattr(kind, "__name__", str(kind))
        raise ConfigError(f"{where}: found {value!r}, expected a value of type {name}.")
    return value


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{where}: found {value!r}, expected an object with the keys of {kind.__name__}."
        )
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    for key in value:
        if key not in names:
            raise ConfigError(
                f"{where}: unknown key {key!r}; {kind.__name__} has {', '.join(names)}."
            )
    read = {key: _read(hints[key], item, f"{where}.{key}") for key, item in value.items()}
    try:
        return kind(**read)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}.") from error


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


def _read_tuple(kind: Any, value: Any, where: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: found {value!r}, expected a list.")
    items = typing.get_args(kind)
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_read(items[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(items) != len(value):
        raise ConfigError(f"{where}: found {len(value)} values, expected {len(items)}.")
    return tuple(
        _read(item_kind, item, f"{where}[{i}]")
        for i, (item_kind, item) in enumerate(zip(items, value, strict=True))
    )
