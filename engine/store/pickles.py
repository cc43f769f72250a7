"""The only reader of pickled tensors: `.pth` and `.pt` files of torch."""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import EngineError, plain
from engine.files import MEGABYTE, regular

MOST_PICKLE_BYTES = 8192 * MEGABYTE
"""A training state of the largest recipe is far smaller."""
MOST_OPERATIONS = 200_000
"""Steps that a file may take to be unpickled, and values that it may hold: the paper's networks with their optimisers take 100,000."""
MOST_TEXT_BYTES = 16 * MEGABYTE
"""Longest text in a pickle."""
ZIP = b"PK\x03\x04"
OLD_PICKLES = 4
"""Pickles before the numbers of a file as torch wrote them until version 1.5."""
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Exceptions that torch raises on damaged or hostile files."""
PLAIN = (str, bytes, int, float, complex, type(None), torch.dtype, torch.device, torch.Size)
_CODE = re.compile(r"GLOBAL ([\w.]+)")


def load_pickle(path: Path | str, kind: type[EngineError]) -> Any:
    """Tensors, names and numbers of a `.pth` or `.pt` file; nothing else is ever unpickled.

    Sizes are checked before anything is allocated: compressed archives, tensors larger than their data in the file and
    endless pickles are refused.

    Raises:
        EngineError: Of the given kind, if the file is missing, unsafe or damaged.
    """
    path = regular(path, kind, "a .pth or .pt file", MOST_PICKLE_BYTES)
    try:
        _check_claims(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check_content(content, path.stat().st_size)
    except DAMAGE as error:
        raise kind(
            f"{plain(path)}: not a file that can be read safely ({_reason(error)}); expected tensors, names and numbers "
            "only."
        ) from error
    return content


class _ClaimError(ValueError):
    """A file claims something impossible, or exceeds a limit."""


def _reason(error: Exception) -> str:
    """Reason why a file cannot be read, in our words: torch's own message advises unsafe unpickling."""
    if isinstance(error, _ClaimError):
        return str(error)
    if code := _CODE.search(str(error)):
        return f"it holds {plain(code[1], 60)}, which is code"
    if "TorchScript" in str(error):
        return "it is a TorchScript program"
    return "it is damaged, or of another format"


def _check_claims(path: Path) -> None:
    """Refuse compressed archives and pickles that take too long, before torch reads anything."""
    with open(path, "rb") as file:
        if file.read(4) == ZIP:
            _check_archive(path)
            return
        file.seek(0)
        _count_operations(file, OLD_PICKLES)


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        if packed or sum(part.file_size for part in parts) > path.stat().st_size:
            raise _ClaimError("its parts are packed, or larger than the file")
        for part in parts:
            if part.filename.endswith("/data.pkl"):
                with archive.open(part) as pickled:
                    _count_operations(pickled, 1)


class _Bounded:
    """A file that refuses to read a long text at once."""

    def __init__(self, file: Any):
        self._file = file

    def read(self, count: int) -> bytes:
        if not 0 <= count <= MOST_TEXT_BYTES:
            raise _ClaimError(f"it holds a text of {count} bytes")
        return self._file.read(count)

    def readline(self) -> bytes:
        return self._file.readline(MOST_TEXT_BYTES)

    def tell(self) -> int:
        return self._file.tell()


def _count_operations(file: Any, pickles: int) -> None:
    """Refuse pickles with too many operations; data that is not a pickle is left to torch."""
    bounded, count = _Bounded(file), 0
    for _ in range(pickles):
        for _ in pickletools.genops(bounded):
            count += 1
            if count > MOST_OPERATIONS:
                raise _ClaimError(f"it takes more than {MOST_OPERATIONS:,} steps to unpickle")


def _check_content(content: Any, size: int) -> None:
    """Refuse values other than numbers, texts and tensors, and tensors whose data is not in the file."""
    todo, seen, storages = [content], set(), {}
    while todo:
        value = todo.pop()
        if isinstance(value, PLAIN):
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if len(seen) > MOST_OPERATIONS:
            raise _ClaimError("it holds too many values")
        if isinstance(value, Tensor):
            storages |= _storage(value)
        elif isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            todo += value
        else:
            raise _ClaimError(f"it holds a {type(value).__name__}")
    if sum(storages.values()) > size:
        raise _ClaimError("its tensors are larger than the file")


def _storage(tensor: Tensor) -> dict[int, int]:
    """Address and bytes of a tensor's numbers."""
    good = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
    if not good or tensor.device.type != "cpu" or tensor.is_quantized:
        raise _ClaimError("it holds a tensor that is not an ordinary one")
    storage = tensor.untyped_storage()
    if tensor.nbytes > storage.nbytes():
        raise _ClaimError("it holds a tensor that repeats its numbers")
    return {storage.data_ptr(): storage.nbytes()}
