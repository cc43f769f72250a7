"""Limits of a session's memory: which results stay in the history, and which steps keep their latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.session.records import Record
from engine.store.timeline import step_bytes


def kept(history: Sequence[Record], most: int) -> list[Record]:
    """The newest results, at most so many and at least one, and every pinned one; in the history's order."""
    pinned = sum(record.pinned for record in history)
    spare = max(most - pinned, 1)  # what is newest is kept in any case
    found: list[Record] = []
    for record in history:
        if not record.pinned:
            spare -= 1
        if record.pinned or spare >= 0:
            found.append(record)
    return found


def thin_out(history: Sequence[Record], room: int) -> None:
    """Drop the latents of old runs' steps, but for their ends, where all together take more than `room` bytes.

    Pinned runs come first and lose nothing.
    """
    seen: set[int] = set()
    pinned = {id(step) for record in history if record.pinned for step in record.frames}
    for record in sorted(history, key=lambda record: not record.pinned):
        fresh = [step for step in record.frames if id(step) not in seen]
        seen |= {id(step) for step in fresh}
        room -= step_bytes(fresh)
        if room < 0 and not record.pinned:
            record.frames[:-1] = [
                step
                if id(step) in pinned
                else replace(step, latent=None, noisy_latent=None, state={})
                for step in record.frames[:-1]
            ]
