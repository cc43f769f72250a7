"""Files beside a mesh: found by the names in the mesh's file, read once, and recorded with their digests."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

from engine.errors import DataError, plain
from engine.files import MEGABYTE, regular

MOST_BYTES = 1024 * MEGABYTE
"""Largest mesh file, or file beside one."""
MOST_TEXT_BYTES = 256 * MEGABYTE
"""Largest mesh file written as text."""
MOST_PICTURE_BYTES = 128 * MEGABYTE
MOST_FILES = 4096
"""Files beside one mesh."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif")
"""Endings of textures that are read, and may lie above the mesh's folder."""
SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]+:")
DRIVE = re.compile(r"^[a-zA-Z]:[/\\]?")


class Folder:
    """The folder that a mesh file lies in.

    Attributes:
        path: The mesh file, as the user typed it.
        digests: SHA-256 of every file that was read, by its place relative to the folder; None where none was found.
    """

    def __init__(self, path: Path):
        """Remembers the mesh file; reads nothing yet."""
        self.path = path
        self.digests: dict[str, str | None] = {}

    def mesh(self, most_bytes: int = MOST_BYTES) -> bytes:
        """The mesh file itself.

        Raises:
            DataError: If it is no ordinary file.
        """
        regular(self.path, DataError, "a mesh (GLB, glTF, OBJ, PLY or STL)", most_bytes)
        return self._read(self.path.name, self.path)

    def beside(self, name: str, expected: str) -> bytes | None:
        """A file in the mesh's folder or below it, by its name in the mesh's file; None if there is none.

        Raises:
            DataError: If the name leads out of the folder, or to something that is no ordinary file.
        """
        parts = _parts(name)
        if parts is None or ".." in parts:
            raise DataError(
                f"{plain(self.path)}: asks for {plain(name)!r} outside its own folder, expected {expected} beside it; "
                "put the file there."
            )
        return self._find(parts, expected, MOST_BYTES)

    def picture(self, name: str) -> bytes | None:
        """A picture, by its name in the mesh's file; None if there is none.

        Backslashes, differing case and `..` are followed. For an absolute path of another machine, its last parts are
        looked for beside the mesh.

        Raises:
            DataError: If it has no picture's ending, or the file found is not an ordinary one.
        """
        if not name.strip().lower().endswith(PICTURES):
            raise DataError(f"{plain(name)} is no picture of a kind that is read")
        parts = _parts(name)
        if parts is not None:
            candidates = [parts]
        else:
            absolute = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
            candidates = [absolute[-2:], absolute[-1:]]
        for candidate in candidates:
            data = self._find(candidate, "a picture", MOST_PICTURE_BYTES)
            if data is not None:
                return data
        return None

    def _find(self, parts: list[str], expected: str, most_bytes: int) -> bytes | None:
        place = "/".join(parts)
        found = _walk(self.path.parent, parts)
        if found is None:
            self._remember(place, None)
            return None
        regular(found, DataError, expected, most_bytes, name=place)
        return self._read(place, found)

    def _read(self, place: str, path: Path) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{plain(path)}: cannot be read ({error.strerror}).") from None
        self._remember(place, hashlib.sha256(data).hexdigest())
        return data

    def _remember(self, place: str, digest: str | None) -> None:
        if len(self.digests) >= MOST_FILES:
            raise DataError(f"{plain(self.path)}: asks for more than {MOST_FILES} files.")
        self.digests[place] = digest


def unchanged(path: Path, digests: dict[str, str | None]) -> bool:
    """True if a mesh file and the files read with it still have the digests of `Folder.digests`."""
    folder = Folder(path)
    for number, (place, digest) in enumerate(digests.items()):
        parts = [path.name] if number == 0 else place.split("/")
        try:
            folder._find(parts, "a file", MOST_BYTES)
        except DataError:
            return False
        if folder.digests["/".join(parts)] != digest:
            return False
    return True


def decode_uri(uri: str, most_bytes: int = MOST_BYTES) -> tuple[str, bytes | None]:
    """File name of a glTF URI, or the bytes embedded in it.

    Raises:
        DataError: If it is an address, or its data is damaged.
    """
    if uri.startswith("data:"):
        head, _, body = uri.partition(",")
        if len(body) > most_bytes * 4 // 3 + 4:
            raise DataError("a data URI is too long")
        try:
            raw = unquote_to_bytes(body)
            return "", base64.b64decode(raw, validate=True) if ";base64" in head else raw
        except (binascii.Error, ValueError):
            raise DataError("a data URI is damaged") from None
    if SCHEME.match(uri) or uri.startswith("//"):
        raise DataError(f"it asks for the address {plain(uri[:80])!r}; nothing is fetched")
    return unquote_to_bytes(uri).decode("utf-8", "surrogateescape"), None


def is_absolute(name: str) -> bool:
    """True if a file's name is an absolute path: it begins with a slash, a backslash or a drive."""
    return name.startswith(("/", "\\")) or DRIVE.match(name) is not None


def _parts(name: str) -> list[str] | None:
    """A relative name's parts, "." left out; None for an absolute one."""
    if is_absolute(name) or "\0" in name:
        return None
    name = name.replace("\\", "/")
    return [part for part in PurePosixPath(name).parts if part != "."]


def _walk(folder: Path, parts: list[str]) -> Path | None:
    """The file at a relative path; case is ignored if there is no exact match."""
    for part in parts:
        exact = folder / part
        if part == ".." or os.path.exists(exact):
            folder = exact
            continue
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError:
            return None
        match = next((name for name in names if name.casefold() == part.casefold()), None)
        if match is None:
            return None
        folder = folder / match
    return folder if parts else None
