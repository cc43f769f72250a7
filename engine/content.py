"""Content keys: short names of everything that a stored result depends on.

A stored result is used again only under an equal key, so a key takes in whatever the result was made from: file
contents, settings, and the version of the code that made it. Times and sizes of files never stand in for their contents,
except in a `stamp`, which spares reading files again that nobody can have written to since.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SETTLED_NS = 2 * 10**9
"""A file that was changed less than this ago may be changed again without another time: clocks of file systems are coarse."""


def key_of(*parts: Any) -> str:
    """A short name of JSON values."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_key(path: Path | str) -> str:
    """A short name of what a file holds."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:16]


def files_key(root: Path, paths: Iterable[Path]) -> str:
    """A short name of what several files hold and of what they are called below `root`, in their order."""
    state = hashlib.blake2b(digest_size=8)
    for path in paths:
        data = path.read_bytes()
        state.update(f"{path.relative_to(root)}\0{len(data)}\0".encode(errors="surrogateescape"))
        state.update(data)
    return state.hexdigest()


def stamp(folders: Iterable[Path]) -> str | None:
    """A name that stays the same only while no file in some folders is written, replaced, added or removed.

    Made of names, sizes, inodes and times; the time of the last change (`ctime`) cannot be set by programs, so a file
    that was rewritten in place with its old size and time is found too. An equal stamp means equal contents; another stamp
    may mean the same (a copied folder).

    Returns:
        None where a file was changed in the last two seconds, too short ago to tell a further change, or where a folder
        cannot be listed.
    """
    state = hashlib.blake2b(digest_size=16)
    newest = 0
    for folder in folders:
        try:
            entries = sorted((entry.name, entry.stat()) for entry in os.scandir(folder))
        except OSError:
            return None
        for name, status in entries:
            numbers = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            state.update(f"{folder}/{name}\0{numbers}\0".encode(errors="surrogateescape"))
            newest = max(newest, status.st_ctime_ns)
    return state.hexdigest() if time.time_ns() - newest > SETTLED_NS else None
