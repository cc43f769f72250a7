"""Pictures into a film, by the ffmpeg program: its end is waited for, and what it wrote is looked at."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType

import imageio_ffmpeg
import numpy as np

from engine.errors import ExportError, plain

FORMATS: dict[str, tuple[str, ...]] = {
    ".mp4": (
        *("-vcodec", "libx264", "-pix_fmt", "yuv420p"),
        *("-crf", "18", "-preset", "veryfast", "-movflags", "+faststart"),
    ),
    ".gif": (
        *("-vcodec", "gif", "-pix_fmt", "pal8", "-loop", "0"),
        *("-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse"),
    ),
}
"""Formats of a film by their ending, and what ffmpeg is told; a GIF's palette is that of all its pictures."""
LONGEST_TOLD = 2**16
"""Bytes of ffmpeg's messages that are kept."""


class Encoder:
    """An ffmpeg process that turns square RGB pictures into a film; leaving the block early ends it.

    Raises:
        ExportError: If ffmpeg fails, or the film it wrote is not whole.
        OSError: If the file cannot be written.
    """

    def __init__(self, file: Path, shown: Path, size: int, fps: int):
        """Start it.

        Args:
            file: Where to write.
            shown: What messages call it; its ending is the format.
            size: Rows and columns.
            fps: Pictures per second.
        """
        self.shown = shown
        self._file = file
        self._told = b""
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size}x{size}", "-r", str(fps))
        target = (*FORMATS[shown.suffix.lower()], f"file:{file.absolute()}")
        # in a process group of its own, Ctrl-C does not reach it
        self._process = subprocess.Popen(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *source, "-i", "-", *target],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **({"process_group": 0} if os.name == "posix" else {}),
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Encoder:
        return self

    def add(self, frame: np.ndarray) -> None:
        """Add a picture, `size size 3` bytes."""
        try:
            self._process.stdin.write(frame)
        except BrokenPipeError:
            self.finish()
            raise self._failed() from None

    def finish(self) -> None:
        """End the film, and look at what is there."""
        with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code says why
            self._process.stdin.close()
        code = self._process.wait()
        self._listener.join()
        if code == -getattr(signal, "SIGXFSZ", 0):
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if code > 128 and 256 - code in errno.errorcode and b"rror" in self._told:
            raise OSError(256 - code, os.strerror(256 - code))
        if code or not whole(self._file):
            raise self._failed()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._listener.join()
        self._process.stderr.close()

    def _listen(self) -> None:
        """Keep what it says; a full pipe would stop it."""
        while part := self._process.stderr.read1(4096):
            self._told = (self._told + part)[-LONGEST_TOLD:]

    def _failed(self) -> ExportError:
        told = self._told.decode("utf-8", "replace").strip().splitlines()
        code = f"exit code {self._process.returncode}"
        reason = plain(told[-1]) if told else code
        return ExportError(f"{plain(self.shown)}: ffmpeg wrote no whole film ({reason}).")


def whole(file: Path) -> bool:
    """Whether a film is complete: all boxes of an MP4 with its index, or a GIF up to its last byte."""
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
