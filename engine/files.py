"""Files that are written whole or not at all, and the one way in which pickled tensors are read."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from engine.errors import EngineError


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


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def load_pickle(path: Path | str, kind: type[EngineError]) -> Any:
    """Tensors, names and numbers of a `.pth` or `.pt` file; nothing else is ever unpickled.

    Raises:
        EngineError: Of the given kind, if the file is missing, unsafe or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise kind(f"{path}: there is no such file; expected a .pth or .pt file.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise kind(
            f"{path}: not a file that can be read safely ({first[0]}); expected tensors, names and numbers only."
        ) from error
