"""Shared by the commands of launch.py: parsing and checks of arguments."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import tyro

from engine.errors import ConfigError, plain

T = TypeVar("T")
FLAT = ("recipe", "data", "loop", "cameras", "settings")
"""Settings whose own settings are options without their name before it."""
LARGEST_SEED = 2**31 - 1
MAX_SIZE = 4096
"""Most pixels of a picture's side."""


def parse(
    kind: type[T],
    prog: str,
    arguments: Sequence[str],
    *,
    default: T | None = None,
    pairs: bool = False,
) -> T:
    """Settings from the command line; anything but a mistyped name is answered by tyro, which exits.

    Args:
        kind: A dataclass.
        prog: What was called, for messages.
        arguments: What it was called with.
        default: Settings to begin with, instead of the dataclass's own.
        pairs: Whether every switch has its opposite, --no-NAME, too.

    Raises:
        ConfigError: If an option has a name that there is none of.
    """
    known = {f"--{name}" for name in (*_names(kind if default is None else default), "help")}
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        positive = re.sub(r"(--|\.)no-", r"\1", name)
        if name.startswith("--") and len(name) > 2 and not {name, positive} & known:
            raise ConfigError(unknown("option", name, known, f"{prog} --help lists all"))
    config = () if pairs else (tyro.conf.FlagCreatePairsOff,)
    given = {} if default is None else {"default": default}
    return tyro.cli(kind, prog=prog, args=list(arguments), config=config, **given)


def unknown(what: str, found: str, known: Collection[str], more: str) -> str:
    """One sentence about a mistyped name, with the nearest one that there is."""
    near = difflib.get_close_matches(found, sorted(known), 1)
    meant = f"; the nearest is {near[0]!r}" if near else ""
    return f"Found no {what} {plain(found)!r}{meant}; {more}."


def _names(settings: Any, prefix: str = "") -> Iterator[str]:
    """Names of the options of a dataclass, or of an object of one and those it holds."""
    for field in fields(settings):
        value = getattr(settings, field.name, None)
        name = field.name.rstrip("_").replace("_", "-")
        if is_dataclass(value):
            inner = "" if name in FLAT else f"{prefix}{name}."
            yield from _names(value, inner)
        yield f"{prefix}{name}"


def check_range(name: str, value: float | int, low: float | int, high: float | int) -> None:
    """Refuse a number that makes no sense, `nan` included."""
    if not low <= value <= high:
        raise ConfigError(f"Found {name} {value}, expected {low} to {high}.")


def check_seed(seed: int, count: int = 1) -> None:
    """Refuse seeds that the files and the page do not hold; of several, that count up, the last one too."""
    check_range("--seed", seed, 0, LARGEST_SEED - (count - 1))


def check_orbit(azimuth: float, elevation: float, distance: float) -> None:
    """Refuse a camera that makes no sense."""
    check_range("--azimuth", azimuth, -360, 360)
    check_range("--elevation", elevation, -90, 90)
    check_range("--distance", distance, 0.1, 100)
