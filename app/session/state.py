"""The state folder: what outlives a process, private to its user, and cleared of what killed servers left there.

    sessions/NAME/   results of one tab (see `app.session.archive`)
    servers/NAME/    one server's own files, gone with it

A folder is locked (flock) by the server that uses it; the system gives up a lock when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine import NAME
from engine.errors import ConfigError

log = logging.getLogger(__name__)

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


class Locked:
    """A folder that nobody else uses while this lives."""

    def __init__(self, path: Path, handle: int):
        self.path = path
        self._handle: int | None = handle

    @classmethod
    def take(cls, path: Path) -> Locked | None:
        """Lock a folder; None if another has it, or it is not there."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(handle), os.stat(path)):  # removed meanwhile
                raise OSError
        except OSError:
            os.close(handle)
            return None
        return cls(path, handle)

    def release(self) -> None:
        """Let others have it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


class StateFolder:
    """A private folder for what outlives this process.

    Attributes:
        path: The folder.
        sessions: Where results of sessions are kept.
        own: This server's own folder.
    """

    def __init__(self, path: Path):
        """Open a folder; it is created, and cleared of what dead servers left.

        Raises:
            OSError: If it cannot be written, or belongs to somebody else.
        """
        self.path = private(path)
        self.sessions = private(path / "sessions")
        servers = private(path / "servers")
        with self._starting():
            for left in servers.iterdir():
                if dead := Locked.take(left):
                    log.info("removed what a server that is gone had left")
                    dead.remove()
            own = private(servers / f"{os.getpid()}-{secrets.token_hex(4)}")
            lock = Locked.take(own)
        if lock is None:
            raise OSError(f"{own} cannot be locked")
        self._own = lock

    @classmethod
    def open(cls, wanted: str) -> StateFolder:
        """The folder that settings name.

        Args:
            wanted: The folder around it; `auto` takes the first of the usual places that can be written.

        Raises:
            ConfigError: If the named folder cannot be used.
        """
        if wanted != "auto":
            try:
                return cls(Path(wanted).expanduser() / NAME)
            except OSError as error:
                raise ConfigError(
                    f"{wanted}: found no folder that can be used ({error.strerror or error}), expected one that is yours "
                    "and can be written; choose another with --state-dir, or `none`."
                ) from error
        for path in usual_places():
            with contextlib.suppress(OSError):
                return cls(path)
        return cls(Path(tempfile.mkdtemp(prefix=f"{NAME}-")))

    @property
    def own(self) -> Path:
        """This server's own folder; whoever finds it unlocked removes it."""
        return self._own.path

    def close(self) -> None:
        """Remove this server's own folder."""
        self._own.remove()

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Alone among the servers of this folder that start now: a new folder is locked before another looks at it."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def usual_places() -> list[Path]:
    """Candidates for the folder, best first."""
    places = []
    if base := os.environ.get("XDG_STATE_HOME"):
        places.append(Path(base) / NAME)
    with contextlib.suppress(RuntimeError):
        places.append(Path.home() / ".local" / "state" / NAME)
    places.append(Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}")
    return [place for place in places if place.is_absolute()]


def private(path: Path) -> Path:
    """A folder of ours that nobody else may look into; it is created if need be.

    Raises:
        OSError: If it is no folder, or somebody else's.
    """
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(1, "not a folder of this user", str(path))
    path.chmod(PRIVATE_FOLDER)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(path))
    return path
