"""Errors a user can cause. Each message is one plain sentence: what was found, what was expected, what to do."""

from __future__ import annotations

import logging
import re
import reprlib
import sys
import unicodedata
from pathlib import PurePath
from typing import Any

LONGEST_QUOTE = 200
"""Characters of somebody else's text that a message repeats."""
MOST_LOGGED = 2000
"""Characters of a message in the log."""
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)|\x1b[ -/]*[0-~]?|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
"""Invisible characters that scripts and pictographs need."""


class EngineError(Exception):
    """Something outside the engine is not as it should be."""


class ImageError(EngineError):
    """A picture cannot be used."""


class CutoutError(ImageError):
    """The object cannot be told from its background with certainty.

    Attributes:
        finding: Half a sentence about why.
    """

    def __init__(self, finding: str):
        self.finding = finding
        super().__init__(f"{finding}; paint the object with the brush.")


class DataError(EngineError):
    """A data set folder cannot be used."""


class CheckpointError(EngineError):
    """A checkpoint cannot be used."""


class SceneError(EngineError):
    """A scene file cannot be used."""


class TimelineError(EngineError):
    """A saved run cannot be used."""


class ConfigError(EngineError):
    """A configuration is not understood."""


class UnsupportedTaskError(EngineError):
    """A method was asked for what it cannot do."""


class RegionError(EngineError):
    """A part of an object cannot be kept."""


class ExportError(EngineError):
    """Something cannot be written as a mesh, picture or video, or such a file cannot be read."""


class WriteError(EngineError):
    """A file or folder cannot be written: what it was to be called, why not, and what to do.

    Attributes:
        path: The file or folder, as it was named.
        why: What stands in the way; names no folder.
    """

    def __init__(self, path: PurePath | str, why: str, advice: str):
        super().__init__(f"{plain(path)}: {why}{advice}.")
        self.path, self.why = PurePath(path), why

    @property
    def remote(self) -> str:
        """The sentence for somebody at another machine, who neither knows the folder nor can choose one."""
        return f"{plain(self.path.name)}: the server cannot write it, {self.why}; tell whoever runs it."


def plain(text: object, most: int = LONGEST_QUOTE) -> str:
    """Text from outside as one short line that is safe to print.

    Terminal escapes, control characters and those that reorder or hide text are left out; what no character set knows
    becomes a question mark; a longer text loses its middle.

    Args:
        text: A name, a title, a key, a message of somebody else's code.
        most: Characters that the line may have.
    """
    words = str(text)
    if len(words) > 64 * most:
        words = words[: 32 * most] + words[-32 * most :]
    words = " ".join(_ESCAPES.sub("", words).split())
    line = "".join(_seen(character) for character in words)
    if len(line) <= most:
        return line
    start = (most - 3) // 3
    return f"{line[:start]}...{line[start + 3 - most :]}"


class PlainFormatter(logging.Formatter):
    """Messages as lines that are safe to print (see `plain`), whatever files and names they tell of."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message in one line, of any length; a traceback follows it as it is."""
        return plain(super().formatMessage(record), MOST_LOGGED)


def log_to_terminal() -> None:
    """Let the log's messages stand on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _seen(character: str) -> str:
    category = unicodedata.category(character)
    if category not in _UNSEEN or character in _JOINERS:
        return character
    return "?" if category in ("Cs", "Cn") else ""


def shown(value: Any) -> str:
    """A value from a file as a message shows it: short, and safe to print."""
    return plain(_SHORT.repr(value))


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlong = 30


def one_line(error: Exception) -> str:
    """Message of another library's error in one line that is safe to print; the error's class name if it has none."""
    return plain(error) or type(error).__name__


def sentence_part(error: EngineError) -> str:
    """A message of ours without its full stop, to stand within another."""
    return str(error).removesuffix(".")
