"""Structured files from outside, read strictly: what they claim is checked before anything is allocated for it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.config import DEEPEST, from_json
from engine.errors import ConfigError, EngineError, one_line, plain, shown
from engine.files import MEGABYTE, regular

MOST_JSON_BYTES = 4 * MEGABYTE
"""Of a file that is JSON."""
MOST_HEADER_BYTES = 8 * MEGABYTE
"""Of a safetensors file's header: names, shapes and texts."""
MOST_TENSORS = 50_000
MOST_AXES = 8
MOST_DIGITS = 18
FLOATS = frozenset({"F16", "BF16", "F32"})
"""Kinds of numbers, as safetensors calls them, that weights and planes may have."""


# ---------------------------------------------------------------------------------------- JSON


def parse_json(text: str | bytes, kind: Any, where: str) -> Any:
    """A value of type `kind` (see `engine.config.from_json`) from JSON text; `where` is its name in messages.

    Halves of characters, as which file names of broken bytes are written, become question marks: they could not be sent.

    Raises:
        ConfigError: If the text is no JSON or says something twice, endlessly deep or infinitely large, or the value is
            of another kind.
    """
    try:
        value = _loads(text)
        told = json.dumps(value, ensure_ascii=False)
        whole = told.encode(errors="replace").decode()
        if whole != told:
            value = _loads(whole)
    except RecursionError:
        raise ConfigError(f"{where}: found too many levels, expected at most {DEEPEST}.") from None
    except ValueError as error:
        raise ConfigError(f"{where}: not readable as JSON ({one_line(error)}).") from error
    return from_json(kind, value, where)


def read_json(
    path: Path | str,
    kind: Any,
    error: type[EngineError],
    expected: str,
    *,
    most_bytes: int = MOST_JSON_BYTES,
    name: str | None = None,
) -> Any:
    """A value of type `kind` from a JSON file.

    Args:
        path: The file.
        kind: A dataclass, or anything that its fields may hold.
        error: What to raise.
        expected: What should be there, as a message says it.
        most_bytes: Largest size of the file.
        name: Name of the file in messages; default: its path.

    Raises:
        EngineError: Of the given kind, if the file is missing, too large, no JSON or of another shape.
    """
    path = regular(path, error, expected, most_bytes, name=name)
    called = plain(path if name is None else name)
    try:
        return parse_json(path.read_bytes(), kind, path.stem)
    except OSError as problem:
        raise error(
            f"{called}: the file cannot be read ({problem.strerror}); expected {expected}."
        ) from problem
    except ConfigError as problem:
        raise error(f"{called}: {problem}") from problem


def _loads(text: str | bytes) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_without_repetition,
        parse_constant=_no_constant,
        parse_int=_whole,
        parse_float=_finite,
    )


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {shown(twice)} stands there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS + 1:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{plain(digits, 30)} is too large a number")
    return value


# --------------------------------------------------------------------------------- safetensors


@dataclass(frozen=True)
class Entry:
    """A tensor's entry in a file's header: kind of numbers, as safetensors calls it, and shape."""

    kind: str
    shape: tuple[int, ...]


class TensorFile:
    """An open safetensors file of which nothing but the header was read.

    Attributes:
        called: Its name in messages.
        header: Its texts by key.
        entries: Its tensors by name.
    """

    def __init__(self, file: Any, called: str, error: type[EngineError]):
        self._file, self._error, self.called = file, error, called
        names = file.keys()
        if len(names) > MOST_TENSORS:
            raise error(f"{called}: found {len(names)} tensors, expected at most {MOST_TENSORS}.")
        self.header: Mapping[str, str] = file.metadata() or {}
        self.entries = {}
        for name in names:
            part = file.get_slice(name)
            self.entries[name] = Entry(part.get_dtype(), tuple(part.get_shape()))

    def problem(
        self, wanted: Mapping[str, tuple[int, ...]], kinds: Iterable[str] = FLOATS
    ) -> str | None:
        """First difference between its tensors and the wanted ones, in words; None if they are exactly those."""
        found = {name: entry.shape for name, entry in self.entries.items()}
        if problem := misfit(found, wanted):
            return problem
        odd = (name for name, entry in self.entries.items() if entry.kind not in kinds)
        name = next(odd, None)
        return None if name is None else f"{plain(name)} holds {self.entries[name].kind}"

    def read(self, name: str) -> Tensor:
        """One of its tensors.

        Raises:
            EngineError: If it holds numbers that are not finite, or cannot be read.
        """
        try:
            tensor = self._file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise self._error(
                f"{self.called}: {plain(name)} cannot be read ({one_line(error)})."
            ) from error
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise self._error(
                f"{self.called}: {plain(name)} holds numbers that are not finite; save it again."
            )
        return tensor


@contextmanager
def open_tensors(
    path: Path | str,
    error: type[EngineError],
    expected: str,
    most_bytes: int,
    *,
    name: str | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[TensorFile]:
    """A safetensors file whose header is sound; its tensors are read one by one, when they are asked for.

    Args:
        path: The file.
        error: What to raise.
        expected: What should be there, as a message says it.
        most_bytes: Largest size of the file, which is the most memory that reading it takes.
        name: Name of the file in messages; default: its path.
        device: Where its tensors go.

    Raises:
        EngineError: Of the given kind, if it is missing, too large, damaged or of another format.
    """
    path = regular(path, error, expected, most_bytes, name=name)
    called = plain(path if name is None else name)
    try:
        with open(path, "rb") as start:
            (size,) = struct.unpack("<Q", start.read(8).ljust(8, b"\xff"))
        if size > MOST_HEADER_BYTES:
            raise error(
                f"{called}: not a readable safetensors file (its header is too large); expected {expected}."
            )
        file = safe_open(path, framework="pt", device=str(device))
    except (SafetensorError, OSError) as problem:
        raise error(
            f"{called}: not a readable safetensors file ({one_line(problem)}); expected {expected}."
        ) from problem
    with file as opened:
        yield TensorFile(opened, called, error)


def misfit(
    found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> str | None:
    """The first difference between tensors' names and shapes as found and as wanted; None where there is none."""
    for name, shape in wanted.items():
        if name not in found:
            return f"found no {plain(name)}"
        if tuple(found[name]) != tuple(shape):
            return (
                f"found {plain(name)} of shape {shown(tuple(found[name]))}, expected {tuple(shape)}"
            )
    strange = next((name for name in found if name not in wanted), None)
    return None if strange is None else f"found an unknown tensor {shown(strange)}"
