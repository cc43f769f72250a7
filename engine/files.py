"""Files that are written whole or not at all, and the one way in which pickled tensors are read."""

from __future__ import annotations

import json
import os
import pickle
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from engine.errors import EngineError, plain

MEGABYTE = 2**20
MOST_PICKLE_BYTES = 8192 * MEGABYTE
"""A training state of the largest recipe is far smaller."""


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A name beside `path` to write to, which takes its place when the block ends well and is gone when it does not.

    The folder is created if need be; the name keeps the ending, by which writers know the format. Write to it with
    `open` or `Path.write_bytes`, so that the file has ordinary permissions (safetensors' `save_file` makes it private).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def regular(
    path: Path | str,
    kind: type[EngineError],
    expected: str,
    most_bytes: int,
    *,
    name: str | None = None,
) -> Path:
    """The path, if it is an ordinary file that can be read, is not empty and has at most `most_bytes`.

    Args:
        path: A file, or a link to one.
        kind: Error to raise.
        expected: What should be there, as a message says it: "a scene saved as .safetensors".
        most_bytes: Largest size.
        name: What messages call the file, if not by its path.

    Raises:
        EngineError: Of the given kind, if it is missing, a folder, a pipe, socket or device, empty, too large or not
            readable.
    """
    called = plain(path if name is None else name)
    try:
        found = os.stat(path)
    except (
        FileNotFoundError,
        NotADirectoryError,
        ValueError,
    ):  # ValueError: a zero character in the name
        raise kind(f"{called}: there is no such file; expected {expected}.") from None
    except OSError as error:
        raise kind(
            f"{called}: the file cannot be read ({error.strerror}); expected {expected}."
        ) from None
    if stat.S_ISDIR(found.st_mode):
        raise kind(f"{called}: found a folder, expected {expected}.")
    if not stat.S_ISREG(found.st_mode):
        raise kind(
            f"{called}: not an ordinary file (a pipe, a socket or a device); expected {expected}."
        )
    if found.st_size == 0:
        raise kind(f"{called}: the file is empty; expected {expected}.")
    if found.st_size > most_bytes:
        raise kind(
            f"{called}: found {_size(found.st_size)}, expected {expected} of at most {_size(most_bytes)}."
        )
    if not os.access(path, os.R_OK):
        raise kind(f"{called}: the file cannot be read (Permission denied); expected {expected}.")
    return Path(path)


def _size(count: int) -> str:
    return (
        f"{count / MEGABYTE:,.1f} MB" if count < 100 * MEGABYTE else f"{count / MEGABYTE:,.0f} MB"
    )


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def load_pickle(path: Path | str, kind: type[EngineError]) -> Any:
    """Tensors, names and numbers of a `.pth` or `.pt` file; nothing else is ever unpickled.

    Raises:
        EngineError: Of the given kind, if the file is missing, unsafe or damaged.
    """
    path = regular(path, kind, "a .pth or .pt file", MOST_PICKLE_BYTES)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise kind(
            f"{path}: not a file that can be read safely ({first[0]}); expected tensors, names and numbers only."
        ) from error
