"""The scoreboard page's figures in plotly's format.

A trace's `meta` is the kind of its data, "ours", "other" or "published"; the page's script gives every kind its colour,
so that one figure serves both themes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from engine.evaluation.intervals import Interval


@dataclass(frozen=True)
class Series:
    """One line of the sparse-to-dense chart.

    Attributes:
        name: Name in the legend.
        kind: "ours", "other" or "published".
        points: Number of given views and measured value, in growing order.
    """

    name: str
    kind: str
    points: tuple[tuple[int, Interval], ...]


@dataclass(frozen=True)
class Difference:
    """One row of the difference chart: the value measured here, and the published one."""

    name: str
    measured: Interval | None
    published: float | None


def curve_chart(series: Sequence[Series]) -> go.Figure:
    """PSNR over the number of given views (a logarithmic axis), with intervals."""
    figure = go.Figure()
    for line in series:
        if len(line.points) > 1 and any(value.low < value.high for _, value in line.points):
            figure.add_trace(_band(line))
        figure.add_trace(_line(line))
    counts = sorted({count for line in series for count, _ in line.points})
    figure.update_xaxes(type="log", tickvals=counts, ticktext=list(map(str, counts)))
    figure.update_xaxes(title_text="given views", showgrid=False, fixedrange=True)
    figure.update_yaxes(title_text="PSNR, dB", fixedrange=True)
    figure.update_layout(height=320, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return figure


def difference_chart(rows: Sequence[Difference]) -> go.Figure:
    """Value of each row: a dot with its interval, and a ring for the published value."""
    here = [(row.name, row.measured) for row in rows if row.measured is not None]
    there = [(row.name, row.published) for row in rows if row.published is not None]
    figure = go.Figure()
    figure.add_scatter(
        name="here",
        meta="ours",
        mode="markers",
        x=[value.mean for _, value in here],
        y=[name for name, _ in here],
        error_x=_bars([value for _, value in here]),
        marker={"size": 10},
        hovertemplate="%{x:+.2f} dB<extra></extra>",
    )
    figure.add_scatter(
        name="published",
        meta="published",
        mode="markers",
        x=[value for _, value in there],
        y=[name for name, _ in there],
        marker={"size": 10, "symbol": "circle-open", "line": {"width": 2}},
        hovertemplate="published: %{x:+.2f} dB<extra></extra>",
    )
    figure.update_xaxes(title_text="difference of PSNR, dB", tickformat="~g", fixedrange=True)
    figure.update_xaxes(zeroline=True, autorangeoptions={"include": 0})
    names = [row.name for row in rows]
    figure.update_yaxes(categoryarray=names, autorange="reversed", showgrid=False, fixedrange=True)
    figure.update_layout(
        height=140 + 40 * len(rows), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    return figure


def source(figure: go.Figure) -> str:
    """A figure as JSON that may stand in an HTML script element, without plotly's own colours."""
    figure.layout.template = None
    return figure.to_json().replace("<", "\\u003c")


def _line(line: Series) -> go.Scatter:
    values = [value for _, value in line.points]
    return go.Scatter(
        name=line.name,
        meta=line.kind,
        mode="lines+markers",
        x=[count for count, _ in line.points],
        y=[value.mean for value in values],
        error_y=_bars(values),
        line={"width": 2.2, "dash": "dot" if line.kind == "published" else "solid"},
        marker={
            "size": 8,
            "symbol": "circle-open" if line.kind == "published" else "circle",
            "line": {"width": 2},
        },
        hovertemplate="%{y:.2f} dB from %{x} views",
    )


def _band(line: Series) -> go.Scatter:
    """The area between the ends of a line's intervals."""
    counts = [count for count, _ in line.points]
    return go.Scatter(
        meta=line.kind,
        mode="lines",
        x=[*counts, *reversed(counts)],
        y=[*(v.high for _, v in line.points), *(v.low for _, v in reversed(line.points))],
        fill="toself",
        opacity=0.13,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def _bars(values: Sequence[Interval]) -> dict[str, object]:
    return {
        "symmetric": False,
        "array": [value.high - value.mean for value in values],
        "arrayminus": [value.mean - value.low for value in values],
        "thickness": 1.6,
        "width": 0,
    }
