"""The scoreboard as Markdown: its tables read back cell by cell."""

import pytest

from app.report.markdown import markdown, table
from engine.methods.ssdnerf.published import PUBLISHED


def interval(mean, half=0.0):
    return {"mean": mean, "low": mean - half, "high": mean + half}


def row(title, psnr, margin=None, **more):
    found = {"title": title, "scenes": 50, "psnr": interval(psnr, 0.5), "ssim": interval(0.9, 0.01)}
    found |= {"seconds": 1.25, **more}
    return found if margin is None else {**found, "margin": {"psnr": interval(margin, 0.2)}}


@pytest.fixture
def results():
    return {
        "category": "vehicles",
        "ours": {"1": row("ours", 29.17, iou=interval(0.873, 0.02))},
        "baselines": {"nearest": {"1": row("nearest", 21.81, 7.36)}},
        "ablation": {"A0": row("paper", 29.0), "A1_equal": row("two stages", 24.5, -0.25)},
        "views": {
            "1": row("1", 29.0),
            "32": row("32", 36.34, gain=interval(7.34, 0.1)),
            "no_prior": {"1": row("1", 20.61), "32": row("32", 36.0)},
        },
        "samples": {
            "count": 64, "held_out": 256, "ours": {"fd_small": 1.25}, "training": {"fd_small": 0.5},
            "coverage": 0.4, "mmd": 0.0123,
        },
        "published": PUBLISHED["vehicles"],
    }  # fmt: skip


def cells(text):
    """Tables as lists of stripped cells, by the heading above them."""
    found, heading = {}, None
    for line in text.splitlines():
        if line.startswith("**"):
            heading = line
        elif line.startswith("| ") and not set(line) <= set("|-: "):
            found.setdefault(heading, []).append([c.strip() for c in line.strip("|").split("|")])
    return list(found.values())


def test_every_number_stands_in_its_row(results):
    reached, ablation, curve, samples = cells(markdown(results))
    assert reached[0] == ["", "PSNR, dB", "SSIM", "IoU", "ours is above it by, dB", "CPU s"]
    assert reached[1] == ["ours", "29.17 ± 0.50", "0.900 ± 0.010", "0.873 ± 0.020", "", "1.2"]
    assert reached[2][3:] == ["", "+7.36 (+7.16 to +7.56)", "1.2"]
    assert ablation[1][4:] == ["23.52", ""]
    assert ablation[2] == ["A1_equal two stages", "24.50 ± 0.50", "0.900 ± 0.010",
                           "-0.25 (-0.45 to -0.05)", "22.83", "+0.69"]  # fmt: skip
    assert curve[0] == ["views", "1", "32"]
    assert curve[2] == ["step", "", "+7.34 (+7.24 to +7.44)"]
    assert curve[4] == ["published", "23.52", ""]
    assert samples[1:] == [["samples", "1.25"], ["training renders (the floor)", "0.5"]]
    assert "COV 0.40, MMD 0.0123" in markdown(results)


def test_a_part_that_was_not_measured_has_no_heading(results):
    results |= {"ablation": {}, "views": {}, "samples": {}}
    assert len(cells(markdown(results))) == 1
    results["ablation"] = {"A0": row("paper", 29.0), "note": "left out."}
    assert markdown(results).rstrip().endswith("left out.")


def test_columns_line_up():
    lines = table(["", "a long head"], [["name", "1"], ["n", "22"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert {line.count("|") for line in lines} == {3}
    assert lines[1] == "| ---- | ----------: |"
