"""The scoreboard page's drawings, as inline SVG.

Colours come from the page's style sheet through classes, so that one drawing serves light and dark; texts are escaped
by ElementTree. Lengths are pixels of the drawing's own box, which the page scales to its column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from engine.evaluation.intervals import Interval

Number = float | int

WIDTH, HEIGHT = 540, 320
LEFT, RIGHT, TOP, BOTTOM = 34, 84, 22, 44
"""Room for the tick labels, and at the right for the lines' names."""
LABEL_GAP = 17
"""Least distance between the names of two lines."""
ROW = 40
"""Height of a row of the difference chart."""
NAMES = 196
"""Room for the names of its rows."""
STRIP_WIDTH, STRIP_HEIGHT = 132, 16


@dataclass(frozen=True)
class Series:
    """One line of the sparse-to-dense chart.

    Attributes:
        name: Written at its end.
        kind: Class of its colour: "ours", "other" or "published".
        points: Number of given views and what was measured, in growing order.
    """

    name: str
    kind: str
    points: tuple[tuple[int, Interval], ...]


@dataclass(frozen=True)
class Difference:
    """One row of the difference chart: what was measured here, and what was published."""

    name: str
    measured: Interval | None
    published: float | None


@dataclass(frozen=True)
class Axis:
    """A linear map from values to pixels, with round ticks."""

    low: Number
    high: Number
    start: Number
    end: Number
    ticks: tuple[float, ...]

    def __call__(self, value: Number) -> float:
        """Where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def axis(values: Sequence[float], start: Number, end: Number, most_ticks: int = 7) -> Axis:
    """An axis that holds all values and ends at round ones."""
    low, high = min(values), max(values)
    span = max(high - low, 1e-3)
    power = 10.0 ** math.floor(math.log10(span / most_ticks))
    step = next(k * power for k in (1, 2, 5, 10, 20) if span / (k * power) <= most_ticks)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    ticks = tuple(round(k * step, 6) for k in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def curve_chart(series: Sequence[Series]) -> str:
    """PSNR over the number of given views, doubling from tick to tick, with intervals."""
    counts = sorted({count for line in series for count, _ in line.points})
    bounds = [v for line in series for _, value in line.points for v in (value.low, value.high)]
    y = axis(bounds, HEIGHT - BOTTOM, TOP)
    logs = [math.log2(count) for count in counts]
    spread = (logs[0] - 0.15, max(logs[-1], logs[0] + 1) + 0.15)
    x = Axis(*spread, LEFT, WIDTH - RIGHT, tuple(logs))
    root = _svg(WIDTH, HEIGHT, "PSNR by the number of given views")
    for tick in y.ticks:
        _line(root, x.start, y(tick), x.end, y(tick), "grid")
        _text(root, x.start - 8, y(tick) + 4, f"{tick:g}", "tick end")
    for count, log in zip(counts, logs, strict=True):
        _text(root, x(log), y.start + 20, str(count), "tick middle")
    _text(root, (x.start + x.end) / 2, HEIGHT - 4, "given views", "axis middle")
    _text(root, 2, 12, "PSNR, dB", "axis")
    for line in series:
        _draw_line(root, line, x, y)
    _name_lines(root, series, x, y)
    return _source(root)


def difference_chart(rows: Sequence[Difference]) -> str:
    """How far each row lies from zero: a dot with its interval, and a ring where it was published."""
    top = TOP + 16
    height = top + ROW * len(rows) + BOTTOM
    bounds = [0.0]
    for row in rows:
        bounds += [row.measured.low, row.measured.high] if row.measured else []
        bounds += [row.published] if row.published is not None else []
    x = axis(bounds, NAMES, WIDTH - 24)
    root = _svg(WIDTH, height, "Differences of PSNR")
    bottom = height - BOTTOM
    for tick in x.ticks:
        _line(root, x(tick), top - 6, x(tick), bottom, "zero" if tick == 0 else "grid")
        _text(root, x(tick), bottom + 18, f"{tick:+g}" if tick else "0", "tick middle")
    _text(root, (x.start + x.end) / 2, height - 6, "difference of PSNR, dB", "axis middle")
    for place, kind, name in (
        (NAMES, "dot ours", "here"),
        (NAMES + 70, "ring published", "published"),
    ):
        _dot(root, place + 5, 12, 5, kind)
        _text(root, place + 16, 16, name, "label")
    for index, row in enumerate(rows):
        middle = top + ROW * (index + 0.5) - 4
        _text(root, NAMES - 16, middle + 4, row.name, "label end")
        if row.measured is not None:
            _line(root, x(row.measured.low), middle, x(row.measured.high), middle, "whisker ours")
            _dot(root, x(row.measured.mean), middle, 5, "dot ours")
        if row.published is not None:
            _dot(root, x(row.published), middle, 5, "ring published")
    return _source(root)


def strip(value: Interval, low: Number, high: Number, kind: str) -> str:
    """A mean and its interval on a scale that all rows of a table share."""
    x = Axis(low, max(high, low + 1e-6), 6, STRIP_WIDTH - 6, ())
    root = _svg(STRIP_WIDTH, STRIP_HEIGHT, f"{value.mean:.2f}")
    middle = STRIP_HEIGHT / 2
    _line(root, 0, middle, STRIP_WIDTH, middle, "grid")
    _line(root, x(value.low), middle, x(value.high), middle, f"whisker {kind}")
    _dot(root, x(value.mean), middle, 4, f"dot {kind}")
    return _source(root)


def _draw_line(root: ET.Element, line: Series, x: Axis, y: Axis) -> None:
    places = [(x(math.log2(count)), value) for count, value in line.points]
    above = [f"{place},{y(value.high)}" for place, value in places]
    below = [f"{place},{y(value.low)}" for place, value in reversed(places)]
    if any(_spread(value) for _, value in places) and len(places) > 1:
        points = " ".join(above + below)
        ET.SubElement(root, "polygon", {"class": f"band {line.kind}", "points": points})
    path = " ".join(f"{place},{y(value.mean)}" for place, value in places)
    ET.SubElement(root, "polyline", {"class": f"line {line.kind}", "points": path})
    for place, value in places:
        if _spread(value):
            _line(root, place, y(value.low), place, y(value.high), f"whisker thin {line.kind}")
        shape = "ring" if line.kind == "published" else "dot"
        dot = _dot(root, place, y(value.mean), 4, f"{shape} {line.kind}")
        ET.SubElement(dot, "title").text = f"{line.name}: {value.mean:.2f} dB"
        if line.kind == "ours":
            _text(root, place, y(value.high) - 8, f"{value.mean:.1f}", "value middle")


def _name_lines(root: ET.Element, series: Sequence[Series], x: Axis, y: Axis) -> None:
    """Each line's name at its end, moved apart where they would overlap."""
    last = -math.inf
    for line in sorted(series, key=lambda line: -line.points[-1][1].mean):
        last = max(y(line.points[-1][1].mean) + 4, last + LABEL_GAP)
        place = x(math.log2(line.points[-1][0])) + 12
        _text(root, place, last, line.name, f"name {line.kind}")


def _spread(value: Interval) -> bool:
    return value.high > value.low


def _svg(width: Number, height: Number, title: str) -> ET.Element:
    box = f"0 0 {width:g} {height:g}"
    root = ET.Element(
        "svg", {"viewBox": box, "width": f"{width:g}", "height": f"{height:g}", "role": "img"}
    )
    ET.SubElement(root, "title").text = title
    return root


def _line(root: ET.Element, x1: Number, y1: Number, x2: Number, y2: Number, kind: str) -> None:
    ends = {"x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"}
    ET.SubElement(root, "line", {"class": kind, **ends})


def _dot(root: ET.Element, x: Number, y: Number, radius: Number, kind: str) -> ET.Element:
    place = {"cx": f"{x:g}", "cy": f"{y:g}", "r": f"{radius:g}"}
    return ET.SubElement(root, "circle", {"class": kind, **place})


def _text(root: ET.Element, x: Number, y: Number, text: str, kind: str) -> None:
    element = ET.SubElement(root, "text", {"class": kind, "x": f"{x:g}", "y": f"{y:g}"})
    element.text = text


def _source(root: ET.Element) -> str:
    return ET.tostring(root, encoding="unicode")
