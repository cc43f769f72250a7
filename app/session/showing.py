"""What a session shows: which records, in what way, and which input pictures lie in the slots.

Whoever changes something does so under `cv`, raises `revision` and wakes the others; the viewport draws from immutable
snapshots. `version` counts these changes and all others that the page is told.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.session.records import Display, Flight, Marked, Pane, Record, Snapshot, home
from engine.types import Camera, Views

Choice = tuple[int, int | None]
"""A record's number and a frame; None follows the newest."""
MOST_PANES = 4


class Showing:
    """Records by their numbers, and what is shown of them.

    Attributes:
        fitted: The latest reconstruction, while its pictures lie in the slots.
        pictures: Files in the slots with their cameras' azimuths, elevations and distances, for a page that is loaded again.
    """

    def __init__(self, display: Display):
        super().__init__()
        self.cv = threading.Condition()
        self.revision = self.version = 0
        self.fitted: Record | None = None
        self.pictures: dict[int, tuple[str, float, float, float]] = {}
        self._records: OrderedDict[int, Record] = OrderedDict()
        self._forgotten: set[int] = set()
        self._slots: dict[int, Views] = {}
        self._waiting = False
        """Whether pictures were framed after the shown object was chosen."""
        self._display = display
        self._flight = Flight(0, home())
        self._marked: Marked | None = None
        self._selected: Choice
        self._beside: tuple[Choice, ...] = ()

    def snapshot(self) -> Snapshot:
        """Content of the viewport."""
        with self.cv:
            panes, difference = self._panes()
            slots = dict(sorted((self._slots if self._waiting else self._inputs()).items()))
            state = (self._display, self._flight, self._marked)
            return Snapshot(self.revision, panes, difference, slots, *state)

    def _inputs(self) -> Mapping[int, Views]:
        shown = self._resolve(self._selected)
        return {} if shown is None else shown[0].inputs

    def _panes(self) -> tuple[tuple[Pane, ...], bool]:
        look, chosen = self._display.look, [self._selected, *self._beside]
        shown = [found for choice in chosen if (found := self._resolve(choice)) is not None]
        if look != "difference":
            return tuple(Pane(record, index, look) for record, index in shown), False
        if len(shown) > 1:  # two objects differ from each other
            return tuple(Pane(record, index) for record, index in shown[:2]), True
        return (Pane(*shown[0], "x0"), Pane(*shown[0], "x_t")), True

    def _resolve(self, choice: Choice) -> tuple[Record, int] | None:
        number, index = choice
        record = self._records.get(number)
        if record is None or not record.frames:
            return None
        last = len(record.frames) - 1
        return record, last if index is None else min(index, last)

    def selection(self) -> tuple[Record, int]:
        """The record and the frame that are shown (the newest frame while nobody chose one)."""
        with self.cv:
            return self._resolve(self._selected)

    def beside(self) -> list[tuple[Record, int]]:
        """Records and frames that are shown beside the selection."""
        with self.cv:
            found = (self._resolve(choice) for choice in self._beside)
            return [pair for pair in found if pair is not None]

    def record(self, number: int) -> Record | None:
        """A record by its number, if it is still kept."""
        with self.cv:
            return self._records.get(number)

    def forgot(self, number: int) -> bool:
        """True if there was a record with that number that is not kept any more."""
        with self.cv:
            return number in self._forgotten and number not in self._records

    def select(self, number: int, index: int | None = None) -> None:
        """Show frame `index` of a record, and what stands beside it; None, or the last frame, follows the newest."""
        with self.cv:
            record = self._records.get(number)
            if record is None or not record.frames:
                return
            if index is not None and index >= len(record.frames) - 1:
                index = None
            self._choose(number, None if index is None else max(index, 0))
            self._beside = tuple(choice for choice in self._beside if choice[0] != number)
            self._changed()

    def compare(self, others: Sequence[Choice]) -> None:
        """Show up to three others beside the selection; none ends the comparison."""
        with self.cv:
            known = [choice for choice in others if self._resolve(choice) is not None]
            self._beside = tuple(known[: MOST_PANES - 1])
            self._changed()

    def show(self, **changes) -> None:
        """Change the display, e.g. `show(channel="depth")`."""
        with self.cv:
            display = replace(self._display, **changes)
            if display != self._display:
                self._display = display
                self._changed()

    def fly(self, camera: Camera) -> None:
        """Ask the viewport's camera to go to `camera`."""
        with self.cv:
            self._flight = Flight(self._flight.number + 1, camera)
            self._changed()

    def mark(self, marked: Marked | None) -> None:
        """Tint a part of what is shown, or nothing."""
        with self.cv:
            self._marked = marked
            self._changed()

    def set_slot(self, slot: int, views: Views | None) -> None:
        """Put a framed input picture into a slot, or empty it."""
        with self.cv:
            if views is None:
                self._slots.pop(slot, None)
                self.pictures.pop(slot, None)
            else:
                self._slots[slot], self._waiting = views, True
            self.fitted = None
            self._changed()

    def slots(self) -> dict[int, Views]:
        """The framed input pictures by slot, in order."""
        with self.cv:
            return dict(sorted(self._slots.items()))

    def refresh(self) -> None:
        """Let what is shown be drawn again."""
        with self.cv:
            self._changed()

    def _choose(self, number: int, index: int | None = None) -> None:
        self._waiting = self._waiting and number == self._selected[0]
        self._selected = (number, index)

    def stir(self) -> None:
        """Let the page be told what has changed beside the view."""
        self.version += 1

    def _changed(self) -> None:
        self.revision += 1
        self.stir()
        self.cv.notify_all()
