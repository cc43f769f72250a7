"""Compiled kernels on disk.

Numba keeps them beside the sources, and notices when the file of a kernel changes, but not when a file does whose
functions were compiled into it. Where the sources cannot be written to (a read-only checkout, a container of another
user) they are kept in a private folder instead, of the user's cache or of temporary files; else they are compiled anew
by every process.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine import NAME

ENGINE = Path(__file__).parents[1]
SOURCES = ("*_fast.py", "lanes.py", "light.py", "raster.py", "surface.py")
"""Files whose functions are compiled."""
STAMP = "kernels.digest"
FOLDER = f"{NAME}-kernels"
ROOM = 64 * 2**20
"""Bytes that must be free: Numba takes a full disk for an error of the kernel."""


def drop_stale(root: Path = ENGINE) -> bool:
    """Delete all cached kernels below `root` if any of their sources changed since the last call.

    Returns True if anything had changed. A folder that cannot be written to has no cache beside its sources either.
    """
    digest = sources_digest(root)
    stamp = root / "__pycache__" / STAMP
    try:
        if stamp.is_file() and stamp.read_text() == digest:
            return False
        for compiled in root.rglob("__pycache__/*.nb[ic]"):
            compiled.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest)
    except OSError:
        return True
    return True


def sources_digest(root: Path) -> str:
    """Digest of the sources of all kernels below `root`."""
    digest = hashlib.blake2b(digest_size=16)
    for path in _sources(root):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources(root: Path) -> list[Path]:
    return sorted(path for pattern in SOURCES for path in root.rglob(pattern))


def find_place(root: Path = ENGINE) -> bool:
    """Set Numba's cache folder if the sources' own cannot be written to; False if no folder can."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return True
    folders = {path.parent / "__pycache__" for path in _sources(root)}
    if all(map(_has_room, folders)):
        return True
    for folder in _private_folders():
        place = folder / sources_digest(root)
        if _has_room(place):
            os.environ["NUMBA_CACHE_DIR"] = str(place)
            from numba import config

            config.CACHE_DIR = str(place)
            return True
    return False


def _private_folders() -> Iterator[Path]:
    """Cache folders that no other user can write to, created if need be, since their contents are executed."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    with contextlib.suppress(OSError):
        for folder in (Path(home) / FOLDER, Path(tempfile.gettempdir()) / f"{FOLDER}-{user}"):
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if _is_private(folder):
                    yield folder
        folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def _is_private(folder: Path) -> bool:
    """True if a folder is not a link and only this user can write to it."""
    found = os.lstat(folder)
    ours = not hasattr(os, "getuid") or (
        found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
    )
    return stat.S_ISDIR(found.st_mode) and ours


def _has_room(folder: Path) -> bool:
    """True if kernels can be written to a folder, which is created if need be."""
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return shutil.disk_usage(folder).free >= ROOM
    except OSError:
        return False


drop_stale()
CACHED = find_place()
"""True if compiled kernels are cached on disk; every kernel's decorator reads it, so it is set before them."""
