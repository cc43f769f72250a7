"""Files that are written whole or not at all, and the door for those that come from outside.

Whatever keeps a file from being written, a full disk above all, ends as one `WriteError`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import EngineError, WriteError, plain

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MEGABYTE = 2**20
TURN_S = 0.2
"""Seconds between two checks for whether other processes have finished."""
LFS = b"version https://git-lfs"
"""First bytes of a Git LFS pointer, the file that stands in for a large one."""


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A name beside `path` to write to, which takes its place when the block ends well and is gone when it does not.

    The folder is created if need be; the name keeps the ending, by which writers know the format. Nobody else writes to
    that name meanwhile, and what a killed process left there is overwritten. Write to it with `open` or
    `Path.write_bytes`, so that the file has ordinary permissions (safetensors' `save_file` makes it private).

    Raises:
        WriteError: If it cannot be written: a full disk, a read-only folder, a folder of that name.
    """
    path = Path(path)
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, held = _claim(path)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        finally:
            if held is not None:
                os.close(held)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn what the system says against writing `path` into one sentence; errors about other files pass.

    Raises:
        WriteError: With the reason and what to do.
    """
    path = Path(path)
    try:
        yield
    except OSError as error:
        if _concerns(path, error):
            raise write_error(path, error) from error
        raise


def write_error(path: Path, error: OSError) -> WriteError:
    """Reason why a file or folder cannot be written, for people."""
    folder = _nearest(path.parent)
    number = errno.ENOSPC if error.errno is None else error.errno
    if number == errno.ENOSPC:
        room = f" ({_size(_free(folder))} free in {plain(folder)})"
        return WriteError(path, REASONS[number], f"{room}; free some or choose another --out")
    if number in (errno.ENOTDIR, errno.EEXIST) and error.filename is not None:
        found = plain(os.fsdecode(error.filename))
        return WriteError(path, REASONS[number], f" ({found}); choose another --out")
    why = REASONS.get(number) or f"cannot be written ({error.strerror or plain(error)})"
    return WriteError(path, why, "; choose another --out")


REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "your share of the disk is used up",
    errno.EFBIG: "larger than the disk or your limits allow",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.ENOTDIR: "part of its path is a file, expected a folder",
    errno.EEXIST: "part of its path is a file, expected a folder",
    errno.EISDIR: "found a folder, expected a file",
    errno.ENAMETOOLONG: "the name is too long",
}
"""Reasons for a failed write, by the system's error number."""


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written, before minutes are spent on what it is to hold.

    Raises:
        WriteError: If it is a folder, or its folder cannot be written to.
    """
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _check_room(path.parent)


def check_folder(path: Path) -> None:
    """Refuse a folder that cannot be made or written to, before minutes are spent on what it is to hold.

    Raises:
        WriteError: If it cannot be, or is a file.
    """
    with writing(path):
        _check_room(path)


def _check_room(folder: Path) -> None:
    found = _nearest(folder)
    if not found.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(found))
    if not os.access(found, os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(found).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number))


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            return place
    return Path()


def _free(folder: Path) -> int:
    """Bytes that may still be written there."""
    return shutil.disk_usage(folder if folder.is_dir() else folder.parent).free


def _concerns(path: Path, error: OSError) -> bool:
    """True if an error came from writing `path`: it names that file or folder, or names none."""
    if error.filename is None:  # numpy counts what it wrote to a full disk, and says no more
        return error.errno is not None or _free(_nearest(path.parent)) < MEGABYTE
    named = Path(os.fsdecode(error.filename))
    ours = named.parent == path.parent and named.name.startswith(".tmp-")
    return ours or named == path or named in path.parents or path in named.parents


def _claim(path: Path) -> tuple[Path, int | None]:
    """A file beside `path` that no other writer has, and the descriptor by which it is held until that is closed.

    The lock on it ends with the process, so that the file of a killed one is free again.
    """
    if fcntl is None:
        return path.with_name(f".tmp-{os.getpid()}-{path.name}"), None
    for number in itertools.count():
        temporary = path.with_name(f".tmp-{number or ''}{path.name}")
        held = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        if lock(held) and _is_still(temporary, held):
            break
        os.close(held)
    return temporary, held


def _is_still(path: Path, held: int) -> bool:
    """True if a path still names the open file; its writer may have renamed it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(held))
    return False


def lock(held: int) -> bool:
    """Lock an open file until it is closed or the process ends; False where another has it.

    Where the file system knows no locks there are none, and nobody is kept out.
    """
    try:
        if fcntl is not None:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(held, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


@contextmanager
def alone(folder: Path, doing: str) -> Iterator[None]:
    """Lock a folder against other processes while the block lasts; a killed process releases it.

    Args:
        folder: Created if need be; holds a file `.lock` with the process's number.
        doing: What happens there, as the message says it: "is training there".

    Raises:
        WriteError: If another process is at work there, or the folder cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not lock(held):
            number = os.pread(held, 20, 0).decode("ascii", "replace") if fcntl else ""
            other = f"another process ({number})" if number.isdigit() else "another process"
            raise WriteError(folder, f"{other} {doing}", "; wait for it or choose another --out")
        if fcntl is not None:
            os.ftruncate(held, 0)
            os.pwrite(held, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(held)


@contextmanager
def in_turn(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep others from building the same thing while the block lasts; whoever is late waits until it is their turn.

    A file `.tmp-NAME.lock` lies beside it meanwhile. What a killed process left there keeps nobody waiting.

    Args:
        path: What is built, a file or a folder.
        waiting: Called once where another is at work.

    Raises:
        WriteError: If nothing can be written there.
    """
    place = path.with_name(f".tmp-{path.name}.lock")
    told = False
    while True:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            held = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        mine = lock(held)
        if mine and _is_still(place, held):
            break
        os.close(held)
        if not mine:
            if not told:
                waiting()
            told = True
            time.sleep(TURN_S)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            place.unlink()
        os.close(held)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, on the disk when this returns; what does not fit is not there at all.

    Raises:
        WriteError: If it cannot be written.
    """
    data = (line + "\n").encode()
    with writing(path):
        held = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            before, left = os.fstat(held).st_size, memoryview(data)
            try:
                while left:
                    left = left[os.write(held, left) :]
                os.fsync(held)
            except OSError:
                os.ftruncate(held, before)
                raise
        finally:
            os.close(held)


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
        name: Name of the file in messages; default: its path.

    Raises:
        EngineError: Of the given kind, if it is missing, a folder, a pipe, socket or device, empty, too large, not
            readable or a Git LFS pointer.
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
    if found.st_size < 1024 and _begins_with(path, LFS):
        raise kind(
            f"{called}: found a Git LFS pointer instead of the file itself, expected {expected}; fetch it with "
            "git lfs pull."
        )
    return Path(path)


def _begins_with(path: Path | str, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start


def _size(count: int) -> str:
    return (
        f"{count / MEGABYTE:,.1f} MB" if count < 100 * MEGABYTE else f"{count / MEGABYTE:,.0f} MB"
    )


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def save_pickle(path: Path | str, content: Any) -> None:
    """Write what `engine.store.pickles.load_pickle` reads, whole or not at all; each part has a checksum.

    Raises:
        WriteError: If it cannot be written.
    """
    import torch

    with replacing(path) as temporary, open(temporary, "wb", buffering=0) as file:
        told = _Told(file)
        try:
            torch.save(content, told)
        except (OSError, RuntimeError):
            if told.error is not None:
                raise told.error from None
            raise


class _Told:
    """A file that remembers the first error of a write, since torch replaces it by errors of its own."""

    def __init__(self, file: io.FileIO):
        self.error: OSError | None = None
        self._file = file

    def write(self, data: bytes | memoryview) -> int:
        """Write all of it."""
        left = memoryview(data).cast("B")
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self.error = self.error or error
            raise
        return len(data)

    def flush(self) -> None:
        """Do nothing: writes are not buffered."""
