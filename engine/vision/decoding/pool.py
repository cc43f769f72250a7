"""The processes that decode pictures: started when first needed, used again, replaced when they were ended."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from engine.errors import ImageError
from engine.vision.decoding.limits import MOST_SECONDS, REQUEST, SMALLEST, WAITING

ROOT = Path(__file__).resolve().parents[3]
START_S = 60.0
"""Time that a process may take to start."""
PATIENCE_S = 20.0
"""Time that a picture may wait for its turn."""
MOST_WORKERS = max(4, os.cpu_count() or 1)
KEPT_WORKERS = 2
"""Processes that wait for the next picture; a burst's others end."""


class Decoders:
    """Up to `most` processes that decode pictures; thread-safe."""

    def __init__(self, most: int = MOST_WORKERS, seconds: float = MOST_SECONDS):
        self._turns = threading.BoundedSemaphore(most)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._closed = False

    def decode(self, data: bytes, name: str, smallest: int = SMALLEST) -> np.ndarray:
        """A picture's pixels; arguments and errors are `decode_sized`'s."""
        return self.decode_sized(data, name, smallest)[0]

    def decode_sized(
        self, data: bytes, name: str, smallest: int = SMALLEST
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """A picture's pixels, `height width channels` (1, 3 or 4): uint8, uint16, or float32 of any range.

        The picture's original height and width come with them.

        Args:
            data: Its file.
            name: Its name in messages.
            smallest: Pixels that it needs along each side.

        Raises:
            ImageError: If it is not a usable picture, or takes too much time or memory.
        """
        if not self._turns.acquire(timeout=PATIENCE_S):
            raise ImageError(f"{name} had to wait behind too many other pictures; try again.")
        try:
            worker = self._take()
            try:
                return worker.decode(data, name, smallest)
            finally:
                self._put_back(worker)
        finally:
            self._turns.release()

    def processes(self) -> list[int]:
        """Ids of the processes that wait for a picture."""
        with self._lock:
            return [worker.process.pid for worker in self._idle]

    def forget(self) -> None:
        """Drop the processes without ending them (after a fork)."""
        self._lock = threading.Lock()
        self._idle = []

    def close(self) -> None:
        """End the processes that wait; others end with their picture."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for worker in idle:
            worker.end()

    def _take(self) -> Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.end()
        return Worker(self._seconds)

    def _put_back(self, worker: Worker) -> None:
        with self._lock:
            if worker.usable and len(self._idle) < KEPT_WORKERS and not self._closed:
                self._idle.append(worker)
                return
            refill = not worker.usable and not self._closed
        worker.end()
        if refill:  # the next picture does not wait for a process to start
            threading.Thread(target=self._refill, daemon=True).start()

    def _refill(self) -> None:
        self._put_back(Worker(self._seconds))


class Worker:
    """One process; `usable` until a decoding was broken off."""

    def __init__(self, seconds: float):
        self.usable = False
        self._seconds = seconds
        self._late = False
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.vision.decoding", str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **one_thread, "PYTHONPATH": path},
        )
        with self._limit(START_S):
            self.usable = self.process.stdout.readline() == b"\n"
        if not self.usable:
            self.end()
            raise RuntimeError("the process that decodes pictures did not start")

    def decode(self, data: bytes, name: str, smallest: int) -> tuple[np.ndarray, tuple[int, int]]:
        """See `Decoders.decode_sized`."""
        called = name.encode(errors="replace")
        head, self.usable = b"", False
        with self._limit(WAITING * self._seconds):
            try:
                self.process.stdin.write(REQUEST.pack(smallest, len(called), len(data)) + called)
                self.process.stdin.write(data)
                self.process.stdin.flush()
            except OSError:
                raise ImageError(self._broke_off(name)) from None
            head = self.process.stdout.readline()
            about = json.loads(head) if head else {}
            if "shape" in about:
                pixels = np.empty(about["shape"], about["type"])
                read = self.process.stdout.readinto(memoryview(pixels).cast("B"))
                self.usable = read == pixels.nbytes
            else:
                self.usable = bool(about)
        if not self.usable:
            raise ImageError(self._broke_off(name))
        if "error" in about:
            raise ImageError(about["error"])
        if "fault" in about:
            raise RuntimeError(f"{name} could not be decoded:\n{about['fault']}")
        return pixels, tuple(about["size"])

    def _limit(self, seconds: float) -> threading.Timer:
        return _Limit(seconds, self._end_late)

    def _end_late(self) -> None:
        self._late = True
        self.process.kill()

    def _broke_off(self, name: str) -> str:
        self.process.kill()
        code = self.process.wait()
        if self._late or code == -getattr(signal, "SIGXCPU", 0):
            return f"{name} takes more than {self._seconds:g} s to open; save it again as an ordinary PNG or JPEG."
        return (
            f"{name} is damaged or needs too much memory; save it again as an ordinary PNG or JPEG."
        )

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except OSError:  # what it was sent last was never read
            return


class _Limit(threading.Timer):
    """Calls a function unless the block ends in time."""

    def __init__(self, seconds: float, late):
        super().__init__(seconds, late)
        self.daemon = True

    def __enter__(self) -> _Limit:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


decoders = Decoders()
"""Decoders of this process."""
atexit.register(decoders.close)
if hasattr(os, "register_at_fork"):  # a child has no use for its parent's
    os.register_at_fork(after_in_child=decoders.forget)


def decode(data: bytes, name: str, smallest: int = SMALLEST) -> np.ndarray:
    """See `Decoders.decode`."""
    return decoders.decode(data, name, smallest)


def decode_sized(data: bytes, name: str) -> tuple[np.ndarray, tuple[int, int]]:
    """See `Decoders.decode_sized`."""
    return decoders.decode_sized(data, name)
