"""Encoding of films with imageio's ffmpeg plugin, which waits for the program's end and checks its output."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import imageio.v3 as iio
import numpy as np

from engine.errors import ExportError, plain

FORMATS: dict[str, dict[str, Any]] = {
    ".mp4": {
        "codec": "libx264",
        "pixelformat": "yuv420p",
        "output_params": ["-crf", "18", "-preset", "veryfast", "-movflags", "+faststart"],
    },
    ".gif": {
        "codec": "gif",
        "pixelformat": "pal8",
        "output_params": [
            *("-loop", "0"),
            *("-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse"),
        ],
    },
}
"""Formats of a film by their ending, as the plugin takes them; a GIF's palette is that of all its pictures."""
SPARE = 2**20
"""Bytes that a disk must still take after a film that failed; one that does not is why it failed."""

# Otherwise the program starts through a Python function between fork and exec, which can hang in a process of many threads.
os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")


class Encoder:
    """A film that grows by one RGB picture at a time; leaving the block early ends the program.

    Raises:
        ExportError: If ffmpeg fails, or the film it wrote is not whole.
        OSError: If the file cannot be written.
    """

    def __init__(self, file: Path, shown: Path, fps: int):
        """Prepare to encode; nothing is written yet.

        Args:
            file: Output file.
            shown: Its name in messages; the ending selects the format.
            fps: Pictures per second.
        """
        self.shown = shown
        self._file = file
        self._process: subprocess.Popen | None = None
        # the plugin leaves .gif to others unless told that it is a film; ffmpeg itself goes by the file's name
        resource = iio.imopen(file.absolute(), "w", plugin="FFMPEG", extension=".mp4")
        self._film = resource.legacy_get_writer(
            fps=fps,
            quality=None,
            macro_block_size=1,
            ffmpeg_log_level="fatal",
            **FORMATS[shown.suffix.lower()],
        )

    def __enter__(self) -> Encoder:
        return self

    def add(self, frame: np.ndarray) -> None:
        """Add a picture, `height width 3` bytes; all have one size."""
        try:
            self._film.append_data(frame)
        except OSError:
            self._end()
            raise self._failed() from None
        if self._process is None:  # imageio keeps the process, and with it the exit code, to itself
            self._process = self._film._write_gen.gi_frame.f_locals["p"]

    def finish(self) -> None:
        """End the film and check the file."""
        self._end()
        if self._process is None or self._process.returncode or not whole(self._file):
            raise self._failed()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        """Close the program's input and wait until it is gone."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code says how
                self._process.stdin.close()
            self._process.wait()
        self._film.close()

    def _failed(self) -> ExportError:
        """The program's failure.

        Raises:
            OSError: If the disk is the reason.
        """
        with open(self._file, "ab") as file:
            file.write(bytes(SPARE))
            file.flush()
            os.fsync(file.fileno())
        code = "" if self._process is None else f" (exit code {self._process.returncode})"
        return ExportError(f"{plain(self.shown)}: ffmpeg wrote no whole film{code}.")


def whole(file: Path) -> bool:
    """True if a film is complete: all boxes of an MP4 with its index, or a GIF up to its last byte."""
    with open(file, "rb") as film:
        size = os.fstat(film.fileno()).st_size
        start = film.read(12)
        if start[:4] == b"GIF8":
            film.seek(-1, os.SEEK_END)
            return film.read() == b";"
        found, place = set(), 0
        while place + 8 <= size:
            film.seek(place)
            header = film.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:], "big")
            if length < 8:
                return False
            found.add(header[4:8])
            place += length
    return place == size and {b"ftyp", b"moov", b"mdat"} <= found
