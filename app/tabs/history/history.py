"""Actions on the cards of the history: rename, pin, drop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.session.jobs import ENDED
from app.session.records import Record
from app.session.runs import LONGEST_TITLE
from app.session.session import Session
from engine.errors import ConfigError

Wish = Mapping[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Shelf:
    """Fill level of a session's history.

    Attributes:
        kept: Results in it.
        most: Largest number of results.
        pinned: Results that are never dropped.
        mb: Memory of the kept latents.
        most_mb: Memory limit, beyond which old runs keep only their results.
    """

    kept: int
    most: int
    pinned: int
    mb: float
    most_mb: int

    @classmethod
    def of(cls, session: Session) -> Shelf:
        """The fill level of a session's history."""
        settings, records = session.settings, list(session.history)
        pinned = sum(record.pinned for record in records)
        size = session.bytes() / 2**20
        return cls(len(records), settings.max_history, pinned, size, settings.max_latent_mb)


def rename(session: Session, wish: Wish) -> Answer:
    """Give a record another title."""
    title = " ".join(str(wish["title"]).split())[:LONGEST_TITLE]
    if title:
        session.change(_record(session, wish), title=title)
    return {}


def pin(session: Session, wish: Wish) -> Answer:
    """Pin or unpin a record; one place always stays unpinned for new results.

    Raises:
        ConfigError: If it would be the last place.
    """
    record = _record(session, wish)
    shelf = Shelf.of(session)
    if not record.pinned and shelf.pinned >= shelf.most - 1:
        raise ConfigError(
            f"Found {shelf.pinned} of {shelf.most} places pinned already, and one must stay free; unpin another first."
        )
    session.change(record, pinned=not record.pinned)
    return {}


def remove(session: Session, wish: Wish) -> Answer:
    """Remove a record; if it was shown, its neighbour is shown instead.

    Raises:
        ConfigError: If it is still being made.
    """
    record = _record(session, wish)
    if record.state not in ENDED:
        raise ConfigError(f"{record.title} is still being made; cancel it first.")
    with session.cv:
        place = session.history.index(record)
        shown = session.selection()[0] is record
        others = [one for one in session.history if one is not record and one.frames]
        if shown and others:
            session.select(others[min(place, len(others) - 1)].id)
        beside = [(one.id, index) for one, index in session.beside() if one is not record]
        session.compare(beside)
        session.remove(record)
    return {}


DEEDS: dict[str, Callable[[Session, Wish], Answer]] = {
    "rename": rename,
    "pin": pin,
    "remove": remove,
}


def whole(record: Record) -> bool:
    """True if all its steps still have their latents."""
    return all(frame.latent is not None for frame in record.frames)


def _record(session: Session, wish: Wish) -> Record:
    number = int(wish["record"])
    found = next((record for record in session.history if record.id == number), None)
    if found is None:
        raise ValueError(f"found no result {number} in this tab's history")
    return found
