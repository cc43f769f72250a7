"""A program that talks to the explorer's API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class RefusedError(Exception):
    """An answer that is no success: its status and what it says."""

    def __init__(self, status: int, said: Any):
        super().__init__(f"{status}: {said}")
        self.status, self.said = status, said


class Program:
    """One session of a program."""

    def __init__(self, url: str, **opening: Any):
        self.url = url
        self.told = self.ask("POST", "/api/sessions", opening)
        self.address = f"/api/sessions/{self.told['session']}"

    def ask(self, verb: str, path: str, body: Any = None, *, data: bytes | None = None) -> Any:
        """Send a request to an address below the explorer's and read the JSON of its answer."""
        headers = {}
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            raise RefusedError(error.code, json.loads(text)) from None
        return json.loads(text) if text else None

    def get(self, path: str) -> Any:
        """Something of the session."""
        return self.ask("GET", self.address + path)

    def post(self, path: str, **body: Any) -> Any:
        """Ask for something in the session."""
        return self.ask("POST", self.address + path, body)

    def send(self, path: Path) -> str:
        """Send a file; the name that requests call it by."""
        address = f"{self.address}/files?name={path.name}"
        return self.ask("POST", address, data=path.read_bytes())["file"]

    def finish(self, run: dict[str, Any]) -> dict[str, Any]:
        """A run at its end."""
        while run["state"] in ("queued", "running"):
            run = self.get(f"/runs/{run['run']}?wait=20")
        return run

    def made(self, path: str, **body: Any) -> dict[str, Any]:
        """The first record of a run, at its end."""
        run = self.finish(self.post(path, **body))
        assert run["state"] == "done", run
        return run["records"][0]

    def download(self, record: dict[str, Any], name: str) -> bytes:
        """A file of a record."""
        with urllib.request.urlopen(self.url + record["downloads"][name], timeout=60) as answer:
            return answer.read()
