"""Bodies of a bounded length that arrive in a bounded time."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import Message, Receive

PLAIN_BYTES = 1 << 20
"""Longest body where no file is meant."""
PAUSE_S = 15.0
"""Longest wait for the next part of a body."""
PLAIN_S, FILE_S = 30.0, 900.0
"""Longest time that a whole body takes, without and with files in it."""
DRAINED, DRAIN_S, DRAIN_PAUSE_S = 32 << 20, 5.0, 0.5
"""Bytes and time for which a body that is refused is read on, and thrown away."""


class Body:
    """A request's body on its way, cut off where it grows too long or comes too slowly.

    Attributes:
        refused: Status and sentence, once it was cut off; the reader then gets a disconnect message.
    """

    def __init__(self, receive: Receive, most: int, seconds: float):
        """At most `most` bytes within `seconds` from the first read."""
        self.refused: tuple[int, str] | None = None
        self._receive = receive
        self._most = most
        self._length = 0
        self._complete = False
        self._seconds = seconds
        self._deadline: float | None = None

    def expect(self, announced: str | None) -> None:
        """Refuse the body if the announced length is too large."""
        if announced is None:
            return
        if not (announced.isascii() and announced.isdecimal()) or len(announced) > 18:
            self.refused = (400, "The length of this request is no number.")
        elif int(announced) > self._most:
            self._too_long()

    async def __call__(self) -> Message:
        """The next part; after the last one, whatever follows."""
        if self.refused:
            return {"type": "http.disconnect"}
        if self._complete:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._seconds
        left = self._deadline - now
        try:
            async with asyncio.timeout(min(PAUSE_S, left)):
                message = await self._receive()
        except TimeoutError:
            left = 0.0
        if left <= 0:
            self.refused = (408, "This request came too slowly; send it again.")
            return {"type": "http.disconnect"}
        self._complete = not message.get("more_body", False)
        self._length += len(message.get("body", b""))
        if self._length > self._most:
            self._too_long()
            return {"type": "http.disconnect"}
        return message

    async def drain(self) -> None:
        """Read and discard for a while: a client that is still sending does not read the refusal before it is done."""
        left, ended = DRAINED, asyncio.get_running_loop().time() + DRAIN_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ended):
                while left > 0 and not self._complete:
                    async with asyncio.timeout(DRAIN_PAUSE_S):
                        message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._complete = not message.get("more_body", False)

    def _too_long(self) -> None:
        most = self._most / (1 << 20)
        self.refused = (413, f"This request is too large; expected at most {most:g} MB.")
