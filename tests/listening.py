"""What an explorer tells a page: a listener on its stream of news."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import connect


class Listener:
    """A page that only listens.

    Attributes:
        parts: The newest of every part that it was told.
    """

    def __init__(self, socket: Any):
        self._socket = socket
        self.parts: dict[str, Any] = {}

    def want(self, *names: str) -> None:
        """Ask for parts that are only told while they are shown."""
        self._socket.send(json.dumps(names))

    def until(self, holds: Callable[[dict[str, Any]], Any], patience_s: float = 30.0) -> Any:
        """Listen until something that is true of the parts has been told; returns it."""
        while not (found := len(self.parts) and holds(self.parts)):
            self.parts |= json.loads(self._socket.recv(timeout=patience_s))
        return found


@contextmanager
def listening(url: str, token: str) -> Iterator[Listener]:
    """A listener to the session with a token, of the explorer at `url`."""
    address = f"{url.rstrip('/').replace('http', 'ws', 1)}/news/{token}"
    with connect(address, proxy=None, max_size=None, compression=None) as socket:
        yield Listener(socket)
