"""Limits on connections: their number, the time for a request's head, and the time without reading."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from app.guard.keys import network

HEAD_S = 10.0
"""Longest time from a connection, or from the first byte of another request on it, to the end of the request's head."""
UNREAD_S = 60.0
"""Longest time for which a full connection is not read from."""
MOST_OF_ONE, MOST = 256, 2048
"""Connections of one address, and of all; a trusted proxy's count among all only."""

_open: dict[str, list[PatientProtocol]] = {}


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP protocol with time limits.

    Websockets begin as requests and continue under another protocol; they are counted until they are closed.
    """

    proxies: frozenset[str] = frozenset()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        address = network(self.client[0]) if self.client else ""
        if not _admit(address, self, address in self.proxies):
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that has begun has to end soon."""
        requests = self.scope
        super().data_received(data)
        if self.scope is not requests:
            self._stop_waiting()
        elif self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._stop_waiting()  # uvicorn's own keep-alive waits for the next head to begin

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the timeout of a client that does not read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timeout: the client reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    @property
    def waits(self) -> bool:
        """True while the head of a request is awaited."""
        return self._head is not None

    def _await_head(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


def _admit(address: str, connection: PatientProtocol, proxy: bool) -> bool:
    """Count a connection; False if there is no room, even after closing one that has not sent a request."""
    for known in list(_open):
        held = [one for one in _open[known] if not one.transport.is_closing()]
        if held:
            _open[known] = held
        else:
            del _open[known]
    held = _open.setdefault(address, [])
    if len(held) >= MOST_OF_ONE and not proxy:
        idle = next((one for one in held if one.waits), None)
        if idle is None:
            return False
        held.remove(idle)
        idle.transport.abort()
    if sum(len(held) for held in _open.values()) >= MOST:
        return False
    held.append(connection)
    return True
