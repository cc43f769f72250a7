"""The folder that browsers' files are written to: one for each process, for its owner alone."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from engine import NAME
from engine.errors import EngineError

PREFIX = f"{NAME}-uploads-"
KEPT_S = 900.0
"""A file that was sent is kept for so long, whoever else needs room."""
MOST_FILES = 4096
"""Files that are kept, of all addresses together."""
LEAST_BYTES = 8192
"""Least size that a file is charged with: it also takes a directory entry and a folder."""
ABANDONED_S = 1800.0
"""A file that has not grown for so long is not coming any more."""


@lru_cache(maxsize=1)
def folder() -> Path:
    """This process's folder, made when first asked for and removed at the end; those of dead processes go too."""
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(f"{PREFIX}*"):
        if not _owned_by_a_living_process(old):
            shutil.rmtree(old, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)).resolve()
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def holds(path: str) -> bool:
    """True if `path` is a regular file in this process's folder, and no link out of it."""
    with contextlib.suppress(OSError, ValueError):
        found = Path(path)
        return found.is_absolute() and found.resolve().is_relative_to(folder()) and found.is_file()
    return False


def _owned_by_a_living_process(path: Path) -> bool:
    try:
        owner = int(path.name.removeprefix(PREFIX).partition("-")[0])
        if owner == os.getpid():
            return False  # in a container every server has the same number
        os.kill(owner, 0)
    except ValueError:
        return True  # another program's name
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's process
    return True


class StorageFullError(EngineError):
    """There is no room for another file."""


class Ledger:
    """Uploaded files by sender, and the room for more.

    One address has a quarter of the room, in bytes and in files. Files that nobody has sent for a while make room for new ones of the same address,
    or of anybody where there is none left.
    """

    def __init__(self, most_mb: int):
        """`most_mb` megabytes in all."""
        self._most = most_mb << 20
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[str, float]] = {}
        self._coming: Counter[str] = Counter()

    @contextlib.contextmanager
    def expect(self, address: str, size: int) -> Iterator[None]:
        """Keep room for `size` bytes of an address while they come.

        Raises:
            StorageFullError: If there is none.
        """
        size = max(size, LEAST_BYTES)
        with self._lock:
            for whose, share in ((address, 4), (None, 1)):
                self._make_room(whose, self._most // share - size, MOST_FILES // share - 1)
            self._coming[address] += size
        try:
            yield
        finally:
            with self._lock:
                self._coming[address] -= size
                self._coming += Counter()  # forget those of whom nothing comes

    def note(self, path: Path, address: str) -> None:
        """A file of an address is there."""
        with self._lock:
            self._files[path] = (address, time.monotonic())

    def _make_room(self, whose: str | None, most: int, count: int) -> None:
        """Remove old files until what is there and what comes, of one address or of all, is at most `most` bytes.

        At most `count` files stay.
        """
        sizes = {path: size for path in list(self._files) if (size := self._size(path)) is not None}
        mine = [path for path in sizes if whose in (None, self._files[path][0])]
        used = sum(sizes[path] for path in mine)
        used += self._coming.total() if whose is None else self._coming[whose]
        now = time.monotonic()
        left = len(mine)
        for path in sorted(mine, key=lambda one: self._files[one][1]):
            if (used <= most and left <= count) or now - self._files[path][1] < KEPT_S:
                break
            _remove(path)
            del self._files[path]
            used, left = used - sizes[path], left - 1
        if used > most or left > count:
            raise StorageFullError(
                "There is no room for another file now; wait some minutes and send it again."
            )

    def _size(self, path: Path) -> int | None:
        """Bytes that a file is charged with; None for one that is gone, which is forgotten."""
        try:
            return max(path.stat().st_size, LEAST_BYTES)
        except OSError:
            del self._files[path]
            return None


def _remove(path: Path) -> None:
    """Remove a file, and the folder that Gradio made for it alone."""
    path.unlink(missing_ok=True)
    if path.parent.parent == folder():
        with contextlib.suppress(OSError):  # another file of the same content lies there
            path.parent.rmdir()


def sweep(now: float) -> None:
    """Remove what was left behind by senders who went away; `now` is the time of day, seconds."""
    for path in folder().glob("tmp*"):
        with contextlib.suppress(OSError):
            if path.is_file() and now - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
