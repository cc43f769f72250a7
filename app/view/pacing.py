"""Pacing of viewports: the order in which they render, and the size of the next frame. Does not import viser.

Sizes and qualities follow from the measured times of frames, for rendering and for delivery to the browser; there are
no assumptions about a machine's speed.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

import numpy as np

from engine.render.frames import Quality, TimeModel

MOVING_S = 0.025
"""Time budget of rendering a frame while the camera moves, shared by all current viewers."""
DELIVERY_S = 0.05
"""Time budget of delivering a frame while the camera moves, as far as its size can affect it."""
AT_ONCE_S, SOON_S, RESTING_S = 0.2, 1.5, 6.0
"""At rest: a picture in high quality may take this long before one in standard quality is shown first, which may take
this long, and this long in all; both are given up as soon as something moves."""
TURN_S = 0.03
"""A picture at rest that takes longer to draw is drawn in bands, and others have their turns in between."""
LEAST_ROWS, MOVING_ROWS, RESTING_ROWS = 128, 512, 1200
"""Fewest rows of a frame, most while the camera moves, most at rest."""
ROW_STEP = 16
"""Frames grow and shrink by this many rows while the camera moves, lest their size flickers."""
CROWD_S = 0.5
"""A viewer that had a turn within this time counts as watching."""


@dataclass(frozen=True)
class Size:
    """Size and quality of one frame.

    Attributes:
        quality: Quality of the render.
        rows: Its height, pixels.
        bands: Number of bands that it is rendered in.
    """

    quality: Quality
    rows: int
    bands: int = 1


class FairSlot:
    """A lock that is granted in the order of requests, and counts the threads that request it."""

    def __init__(self):
        self._cv = threading.Condition()
        self._next = self._serving = 0
        self._asked: dict[int, float] = {}

    def __enter__(self) -> None:
        with self._cv:
            self._asked[threading.get_ident()] = time.monotonic()
            ticket, self._next = self._next, self._next + 1
            self._cv.wait_for(lambda: self._serving == ticket)

    def __exit__(self, *error) -> None:
        with self._cv:
            self._serving += 1
            self._cv.notify_all()

    @property
    def crowd(self) -> int:
        """Threads that requested it recently, at least one."""
        with self._cv:
            since = time.monotonic() - CROWD_S
            self._asked = {who: when for who, when in self._asked.items() if when > since}
            return max(len(self._asked), 1)


class Pace:
    """Costs of one viewer's frames, and the choice of the next."""

    def __init__(self):
        self._drawing: dict[Quality, TimeModel] = {
            "preview": TimeModel(3e-3, 3e-7),
            "standard": TimeModel(3e-3, 6e-7),
            "high": TimeModel(3e-3, 1.2e-6),
        }
        self._delivery = TimeModel(2e-2, 5e-8)

    def drew(self, size: Size, pixels: int, seconds: float) -> None:
        """Record the time of a rendered frame."""
        self._drawing[size.quality].observe(pixels, seconds)

    def delivered(self, pixels: int, seconds: float) -> None:
        """Record the time of a delivered frame."""
        self._delivery.observe(pixels, seconds)

    def drawing_s(self, size: Size, aspect: float) -> float:
        """Expected time to draw a frame."""
        return self._drawing[size.quality].seconds(_pixels(size.rows, aspect))

    def delivery_s(self, pixels: int) -> float:
        """Expected time to deliver a frame."""
        return self._delivery.seconds(pixels)

    def moving(self, aspect: float, canvas_rows: int, crowd: int) -> Size:
        """Size of the frame for a moving camera: as large as time allows, in standard quality if that costs no pixels.

        Args:
            aspect: Width by height of the canvas.
            canvas_rows: Its height, pixels.
            crowd: Number of viewers that share the machine.
        """
        most = min(MOVING_ROWS, canvas_rows, self._deliverable_rows(aspect))
        most = max(most, min(LEAST_ROWS, canvas_rows))
        seconds = MOVING_S / crowd
        if self._rows("standard", seconds, aspect) >= most:
            return Size("standard", most)
        rows = self._rows("preview", seconds, aspect) // ROW_STEP * ROW_STEP
        return Size("preview", int(np.clip(rows, min(LEAST_ROWS, most), most)))

    def resting(self, aspect: float, canvas_rows: int, shown: Size) -> list[Size]:
        """The frames that follow `shown` once the camera rests.

        The last one is in high quality at the canvas's resolution if time allows. One in standard quality precedes it
        if it is ready much earlier and better than the frame that is shown; it is the last if high quality would cost
        pixels.
        """
        last = self._resting("high", RESTING_S, aspect, canvas_rows)
        if self.drawing_s(last, aspect) <= AT_ONCE_S:
            return [last]
        first = self._resting("standard", SOON_S, aspect, canvas_rows)
        seen = shown.quality == "standard" and shown.rows >= first.rows
        return [first] * (not seen) + [last] * (last.rows >= first.rows)

    def _resting(self, quality: Quality, seconds: float, aspect: float, canvas_rows: int) -> Size:
        most = max(min(RESTING_ROWS, canvas_rows), 1)
        rows = min(max(self._rows(quality, seconds, aspect), LEAST_ROWS), most)
        expected_s = self.drawing_s(Size(quality, rows), aspect)
        return Size(quality, rows, math.ceil(expected_s / TURN_S))

    def _rows(self, quality: Quality, seconds: float, aspect: float) -> int:
        return int(math.sqrt(self._drawing[quality].rays(seconds) / aspect))

    def _deliverable_rows(self, aspect: float) -> int:
        """Rows of a frame that arrives in time; if the overhead is too long, rows that add half of it."""
        overhead, per_pixel = self._delivery.line
        spare = max(DELIVERY_S - overhead, overhead / 2)
        return int(math.sqrt(spare / max(per_pixel, 1e-12) / aspect))


def _pixels(rows: int, aspect: float) -> int:
    return round(rows * aspect) * rows
