"""The Inspect tab's figures in plotly's format, `data` and `layout`; the page adds colours, places and the cursor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from engine.explore.curves import Curve

Figure = dict[str, Any]
"""`data`, a list of traces, and `layout`, in plotly's own terms."""
BINS = 32
"""Bars of a histogram."""
CORRECTION = "langevin"
"""Stage of steps that stand between those of another; no line is drawn where it begins or ends."""


@dataclass(frozen=True)
class Chart:
    """One curve over the steps.

    Attributes:
        key: Name among `engine.explore.curves.NAMES`.
        title: Title above it.
        symbol: Symbol of the quantity in papers, HTML.
        unit: Label below it.
        info: One sentence about its meaning.
        log: Whether its axis is logarithmic.
    """

    key: str
    title: str
    symbol: str
    unit: str
    info: str
    log: bool = False


CHARTS = (
    Chart(
        "log_snr", "log SNR", "ln ᾱ<sub>t</sub>/(1&minus;ᾱ<sub>t</sub>)", "nats",
        "How much signal the noisy state x_t holds: below 0 noise rules, above 0 the object.",
    ),
    Chart(
        "change", "Change", "‖x̂<sub>0</sub>&minus;x̂<sub>0</sub>&prime;‖", "RMS, log scale",
        "How far the prediction x0 moved since the step before (root mean square over the latent).",
        log=True,
    ),
    Chart(
        "guidance_norm", "Guidance", "‖λ∇<sub>x</sub>L<sub>rend</sub>‖", "norm, log scale",
        "How hard the pictures pulled at this step; none without pictures.", log=True,
    ),
    Chart("psnr", "Fit", "PSNR", "dB", "Photometric error on your pictures: higher is closer."),
    Chart(
        "opacity", "Opacity", "", "share of the picture",
        "How much of a picture the object covers: fog is large, a solid car is not.",
    ),
    Chart(
        "extent", "Extent", "", "diagonal, scene units",
        "Size of the box around solid matter; training objects have diagonal 1.",
    ),
)  # fmt: skip
"""From the first step to the last, in the order they are shown."""


def curves(numbers: Mapping[str, Curve], stages: Sequence[str]) -> Figure:
    """All curves of a run over its steps, one subplot each; a line stands where a stage ends.

    Args:
        numbers: One list per chart, None where a step has no value.
        stages: Stage of every step.
    """
    steps = list(range(1, len(stages) + 1))
    borders = [k + 0.5 for k in range(1, len(stages)) if _parts(stages[k - 1], stages[k])]
    traces, layout = [], {}
    for place, chart in enumerate(CHARTS):
        number = str(place + 1) if place else ""
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": chart.key,
                "x": steps,
                "y": list(numbers[chart.key]),
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "hovertemplate": "%{y:.3~g}<extra></extra>",
            }
        )
        layout[f"xaxis{number}"] = {
            "anchor": f"y{number}",
            "tickvals": borders,
            "showticklabels": False,
            "tickprefix": "step ",
            "autorangeoptions": {"include": [0.5, len(stages) + 0.5]},
            **({"matches": "x"} if place else {}),
        }
        layout[f"yaxis{number}"] = {
            "anchor": f"x{number}",
            **(_decades(numbers[chart.key]) if chart.log else {"type": "linear", "nticks": 4}),
            "tickformat": ".0e" if chart.log else ".3~g",
            "fixedrange": True,
        }
    return {"data": traces, "layout": layout}


def _decades(values: Curve) -> dict[str, Any]:
    """A logarithmic axis with at most four labels: at decades, or at both ends of values that span less than one."""
    positive = [value for value in values if value is not None and value > 0] or [1.0]
    ends = [min(positive), max(positive)]
    spanned = math.log10(ends[1] / ends[0])
    return {
        "type": "log",
        **({"dtick": math.ceil(spanned / 3)} if spanned >= 1 else {"tickvals": ends}),
    }


def _parts(before: str, after: str) -> bool:
    return before != after and CORRECTION not in (before, after)


def note(chart: Chart, values: Curve, pending: bool, whole: bool) -> str:
    """Reason why a chart is empty; an empty text if it is not.

    Args:
        chart: The chart.
        values: Its curve.
        pending: True while some steps are still being measured.
        whole: True if all steps still have their latents.
    """
    if any(value is not None and (value > 0 or not chart.log) for value in values):
        return ""
    if chart.key in ("opacity", "extent") and pending:
        return "measuring"
    if len(values) == 1:
        return "nothing to show: one step"
    if chart.key == "guidance_norm":
        return "guided runs only"
    if chart.key == "psnr":
        return "needs pictures"
    return "nothing to show" if whole else "latents were dropped"


def histogram(values: Tensor, largest: float, unit: str = "texels") -> Figure:
    """Histogram of values over [-largest, largest]; values beyond are counted in the outermost bars.

    Args:
        values: Any shape.
        largest: End of the axis.
        unit: Name of the counted items, for people.
    """
    numbers = values.numpy().ravel()
    counts, edges = np.histogram(numbers.clip(-largest, largest), BINS, (-largest, largest))
    bars = {
        "type": "bar",
        "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
        "y": counts.tolist(),
        "width": 2 * largest / BINS,
        "hovertemplate": f"%{{y}} {unit} about %{{x:.2f}}<extra></extra>",
    }
    layout = {
        "xaxis": {"range": [-largest, largest], "nticks": 5, "fixedrange": True},
        "yaxis": {"nticks": 4, "fixedrange": True},
        "bargap": 0.1,
    }
    return {"data": [bars], "layout": layout}
