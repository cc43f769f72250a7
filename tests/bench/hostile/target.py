"""A live explorer to be attacked, and an honest visitor beside the attacker who waits for his answers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 20.0
PROBE_S = 0.1
CANARY = "canary-7b3e1f-outside"
"""Stands in a file that nobody was given; also /etc/passwd begins with the name of root."""
READ = re.compile(rf"{CANARY}|root:[x*]:0:0".encode())
FAULTS = re.compile(rb"Traceback \(most recent call last\)|Internal Server Error")


@dataclass(frozen=True)
class Answer:
    """What came back: status 0 where the connection was closed without one, -1 where nothing came in time."""

    status: int
    body: bytes
    seconds: float

    @property
    def sentence(self) -> str:
        """The error in it, or its beginning."""
        try:
            return str(json.loads(self.body)["error"])[:200]
        except (ValueError, KeyError, TypeError):
            return self.body[:80].decode(errors="replace")


class Target:
    """A server with the toy method in a process of its own."""

    def __init__(self, *arguments: str):
        self._folder = tempfile.TemporaryDirectory(prefix="hostile-")
        self.outside = Path(self._folder.name) / "outside.safetensors"
        self.outside.write_text(CANARY)
        self._log = Path(self._folder.name) / "log"
        command = [
            sys.executable,
            "launch.py",
            "--checkpoint",
            "toy",
            "--device",
            "cpu",
            "--port",
            "0",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        self._read = 0
        self._over = threading.Event()
        self._probes: list[tuple[float, float, float]] = []
        until(lambda: b"http://" in self._log.read_bytes(), "the server")
        self.port = int(re.search(rb"http://[\d.]+:(\d+)", self._log.read_bytes())[1])
        until(lambda: self.get("/config").status == 200, "the panel", 180)
        self._prober = threading.Thread(target=self._probe, daemon=True)
        self._prober.start()

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._prober.join(PATIENCE_S)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._folder.cleanup()

    def get(self, path: str) -> Answer:
        """An honest request."""
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
        return self.ask(head.encode())

    def post(self, path: str, body: object) -> Answer:
        """An honest JSON body."""
        return self.ask(request("POST", path, json.dumps(body).encode()))

    def ask(self, *parts: bytes, patience_s: float = PATIENCE_S) -> Answer:
        """Send bytes as they are; read until the server closes."""
        began = time.monotonic()
        text = b""
        try:
            with socket.create_connection(
                ("127.0.0.1", self.port), timeout=patience_s
            ) as connection:
                try:
                    for part in parts:
                        connection.sendall(part)
                except (ConnectionError, TimeoutError):
                    pass  # it would not hear the rest; what it says counts
                while time.monotonic() < began + patience_s:
                    chunk = connection.recv(65536)
                    if not chunk:
                        break
                    text += chunk
        except TimeoutError:
            return Answer(-1, text, time.monotonic() - began)
        except ConnectionError:
            pass
        seconds = time.monotonic() - began
        head, _, body = text.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1\.1 (\d+)", head)
        return Answer(int(found[1]) if found else 0, body, seconds)

    def faults(self) -> str:
        """What the server has complained about since it was last asked, as far as it is an error of its own."""
        log = self._log.read_bytes()
        said, self._read = log[self._read :], len(log)
        return said.decode(errors="replace")[-600:] if FAULTS.search(said) else ""

    @property
    def memory_mb(self) -> float:
        """Resident memory of the server."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def since(self, moment: float) -> tuple[float, float]:
        """Longest wait of the honest visitor and most memory since a moment."""
        time.sleep(PROBE_S / 4)
        seen = [probe for probe in list(self._probes) if probe[0] + probe[1] >= moment]
        return (
            max((seconds for _, seconds, _ in seen), default=0.0),
            max((memory for *_, memory in seen), default=self.memory_mb),
        )

    def _probe(self) -> None:
        while not self._over.wait(PROBE_S):
            began = time.monotonic()
            answer = self.get("/healthz")
            waited = answer.seconds if answer.status == 200 else PATIENCE_S
            self._probes.append((began, waited, self.memory_mb))
            del self._probes[:-400]


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as bytes; underscores in the names of headers are hyphens."""
    lines = {"Host": "127.0.0.1", "Connection": "close"}
    if body or method == "POST":
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogatepass") + body
