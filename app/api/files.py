"""Files that a program has sent to its session: pictures, masks, runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterable
from pathlib import Path

from app.session.exports import kept_here
from app.session.session import Session
from engine.errors import ConfigError

MOST_FILES = 16
"""Files of one session; older ones go when more come."""
LONGEST_ENDING = 12


class TooLargeError(ConfigError):
    """A file is larger than the server takes."""


class Files:
    """Uploaded files of one session by name; they are deleted with the session's folder."""

    def __init__(self, session: Session):
        self._folder = session.folder_of("files")
        self._numbers = itertools.count(1)
        self._paths: dict[str, Path] = {}

    async def receive(self, name: str, chunks: AsyncIterable[bytes], most_mb: int) -> str:
        """Write a file as it arrives.

        Args:
            name: The sender's file name, of which only the ending is kept.
            chunks: Its bytes.
            most_mb: Most megabytes.

        Returns:
            The name that requests call it by.

        Raises:
            TooLargeError: If it is larger.
            ConfigError: If it is empty.
            StorageError: If the server cannot write it.
        """
        ending = re.sub(r"[^a-z0-9.]", "", Path(name).suffix.lower())[:LONGEST_ENDING]
        given = f"file-{next(self._numbers)}{ending}"
        path, size = self._folder / given, 0
        try:
            with kept_here(path):
                self._folder.mkdir(mode=0o700, exist_ok=True)
                with path.open("wb") as file:
                    async for chunk in chunks:
                        size += len(chunk)
                        if size > most_mb * 2**20:
                            raise TooLargeError(
                                f"The file is larger than {most_mb} MB; make it smaller, or start the server with a "
                                "larger --max-upload-mb."
                            )
                        file.write(chunk)
            if not size:
                raise ConfigError("The file is empty; send its bytes as the body of the request.")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._paths[given] = path
        while len(self._paths) > MOST_FILES:
            self._paths.pop(next(iter(self._paths))).unlink(missing_ok=True)
        return given

    def path(self, name: str) -> Path:
        """The path of an uploaded file.

        Raises:
            ConfigError: If there is none of that name.
        """
        if name not in self._paths:
            raise ConfigError(
                f"Found no file {name!r} in this session; send it to its files first and use the name in the answer."
            )
        return self._paths[name]
