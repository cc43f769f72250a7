"""The Inspect tab's figures: what plotly accepts, with the numbers that were measured; and plotly's script itself."""

import gzip
import json
import urllib.request

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from plotly.offline import get_plotlyjs

from app.tabs.inspect import inspector
from app.tabs.inspect.figures import CHARTS, curves, histogram, note
from engine.explore.curves import NAMES
from engine.explore.curves import curves as measured
from tests.app.test_routes import get
from tests.app.test_session import generate
from tests.waiting import until


def numbers(steps: int) -> dict[str, list[float | None]]:
    return {name: [None, *(k + 0.5 for k in range(1, steps))] for name in NAMES}


def test_a_runs_figure_holds_what_is_measured_of_every_step(session, runner):
    (record,) = generate(session, runner)
    until(lambda: not inspector.report(session, record)["pending"], "the measurements")
    told = json.loads(json.dumps(inspector.report(session, record)))
    steps = [record.step(place) for place in range(len(record.frames))]
    method = record.method
    found = measured(steps, lambda latent: method.scene(latent).field)
    traces = go.Figure(told["figure"]).data
    assert [trace.name for trace in traces] == [chart["key"] for chart in told["charts"]]
    assert {trace.name for trace in traces} == set(NAMES)
    for trace in traces:
        assert trace.x == (1, 2, 3, 4)
        assert trace.y == tuple(pytest.approx(value) for value in found[trace.name])


def test_every_curve_has_axes_of_its_own_and_all_show_the_same_steps():
    figure = go.Figure(curves(numbers(6), ["denoise"] * 6))
    pairs = [(trace.xaxis, trace.yaxis) for trace in figure.data]
    assert len(set(pairs)) == len(CHARTS)
    for (x, y), chart in zip(pairs, CHARTS, strict=True):
        across, up = figure.layout["xaxis" + x[1:]], figure.layout["yaxis" + y[1:]]
        assert (across.anchor, up.anchor) == (y, x)
        assert up.type == ("log" if chart.log else "linear")
        assert across.matches == (None if x == "x" else "x")


def test_a_line_stands_where_a_stage_ends_but_not_around_corrections():
    stages = ["denoise", "langevin", "denoise", "renoise", "result"]
    figure = go.Figure(curves(numbers(5), stages))
    assert figure.layout.xaxis2.tickvals == (3.5, 4.5)


@pytest.mark.parametrize(
    ("key", "values", "pending", "whole", "said"),
    [
        ("psnr", [None, 20.0], False, True, ""),
        ("psnr", [None, None], False, True, "needs pictures"),
        ("opacity", [None, None], True, True, "measuring"),
        ("opacity", [None], False, True, "nothing to show: one step"),
        ("change", [0.0, 0.0], False, True, "nothing to show"),
        ("change", [None, None], False, False, "latents were dropped"),
    ],
)
def test_an_empty_chart_says_why(key, values, pending, whole, said):
    chart = next(chart for chart in CHARTS if chart.key == key)
    assert note(chart, values, pending, whole) == said


def test_a_histogram_counts_every_texel_at_its_value_and_those_beyond_at_the_ends():
    plane = torch.tensor([[-9.0, 0.1, 0.1, 0.3], [1.9, 2.0, 7.0, -0.6]])
    (bars,) = go.Figure(histogram(plane, 2.0)).data
    found = {round(x, 4): y for x, y in zip(bars.x, bars.y, strict=True) if y}
    assert found == {-1.9375: 1, -0.5625: 1, 0.0625: 2, 0.3125: 1, 1.9375: 3}
    assert np.allclose(np.diff(bars.x), bars.width)


def test_plotlys_script_is_the_packages_own_packed_for_those_who_take_it(served):
    url = f"{served.url}/plotly.min.js"
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as response:
        packed, headers = response.read(), response.headers
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"].startswith("text/javascript")
    assert "max-age" in headers["Cache-Control"]
    assert gzip.decompress(packed) == get(url) == get_plotlyjs().encode()


def test_logarithmic_axes_have_at_most_four_labels():
    values = numbers(4) | {"change": [None, 1.0, 1e-3, 3e-7], "guidance_norm": [2.0, 3.0, 4.0, 9.0]}
    layout = go.Figure(curves(values, ["denoise"] * 4)).layout
    by_key = {chart.key: layout[f"yaxis{k + 1 if k else ''}"] for k, chart in enumerate(CHARTS)}
    assert by_key["change"].type == by_key["guidance_norm"].type == "log"
    assert 6.5 / by_key["change"].dtick < 4, "labels at powers of 10"
    assert by_key["guidance_norm"].tickvals == (2.0, 9.0), "less than a decade"
    assert by_key["psnr"].type == "linear"
