"""The page of a scoreboard: whole, self-contained, and true to the numbers and pictures it is made from."""

import html.parser
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs

from app.report import page
from app.report.charts import Difference, Series, curve_chart, difference_chart, source
from app.report.gallery import read_gallery
from app.report.page import write_page
from engine.errors import DataError
from engine.evaluation.intervals import Interval
from engine.methods.ssdnerf.published import PUBLISHED

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checked(html.parser.HTMLParser):
    """Reads a page: every element must be closed by its own name; remembers what it would fetch and what it says."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.words: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def interval(mean: float, half: float = 0.5) -> dict[str, float]:
    return {"mean": mean, "low": round(mean - half, 4), "high": round(mean + half, 4)}


def row(title: str, psnr: float, **more: object) -> dict[str, object]:
    return {
        "title": title,
        "scenes": 50,
        "psnr": interval(psnr),
        "ssim": interval(0.9173, 0.01),
        "seconds": 4.25,
        **more,
    }


@pytest.fixture
def results() -> dict[str, object]:
    margin = {"margin": {"psnr": interval(7.36, 0.2), "ssim": interval(0.05, 0.01)}}
    return {
        "category": "vehicles",
        "checkpoint": "vehicles",
        "settings": {"weights": "9f31c2aa", "size": 16, "fit": {"1": {"steps": 16}}},
        "ours": {"1": row("Ours", 29.17, iou=interval(0.873, 0.02))},
        "baselines": {"nearest_training_scene": {"1": row("Nearest of 300", 21.81, **margin)}},
        "ablation": {"A0": row("one stage", 28.98), "A2": row("rendering alone", 28.43, **margin)},
        "views": {
            "1": row("1 view", 29.02),
            "32": row("32 views", 36.34),
            "no_prior": {"1": row("1 view", 20.61)},
        },
        "samples": {"count": 64, "ours": {"fd_small": 11.23}, "training": {"fd_small": 3.91}},
        "published": PUBLISHED["vehicles"],
    }


def save(folder: Path, name: str, level: int, size: int = 16) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(folder / name)


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    save(folder, "003-01-input.png", 90)
    for place in (8, 40):
        save(folder, f"003-01-{place:03d}-truth.png", 100)
        save(folder, f"003-01-{place:03d}-ours.png", 151)
        save(folder, f"003-01-{place:03d}-no_prior.png", 202)
    for side in range(4):
        save(folder, f"sample-000-{side}.png", 20 * side)
    save(folder, "nearest-000.png", 77)
    return tmp_path


def read(path: Path) -> Checked:
    return Checked(path.read_text(encoding="utf-8"))


def test_page_is_one_file_that_fetches_nothing(pictured, results):
    path = write_page(pictured, results)
    found = read(path)
    assert path == pictured / "scoreboard.html"
    assert len(found.sources) == 1 + 2 * 3 + 4 + 1  # input, places, sides, nearest
    assert all(source.startswith("data:image/webp;base64,") for source in found.sources)
    assert not found.attributes & {"srcset", "poster", "data", "background", "style-src"}
    text = path.read_text(encoding="utf-8").replace(get_plotlyjs(), "")
    assert "@import" not in text
    assert "url(" not in text
    assert "<link" not in text


def test_numbers_and_names_stand_on_the_page(pictured, results):
    text = read(write_page(pictured, results)).text
    for shown in (
        "29.17", "28.67\N{EN DASH}29.67",  # ours and its interval
        "Nearest of 300", "21.81", "+7.36", "+7.16 to +7.56",
        "0.917", "0.873", "4.25",
        "36.34", "20.61", "23.52",  # sparse to dense, beside published
        "28.43", "rendering alone", "23.13",  # ablation, beside published
        "11.2", "3.91",
        "9f31c2aa", '{"1": {"steps": 16}}',
    ):  # fmt: skip
        assert shown in text, shown


def test_negative_numbers_have_a_minus(tmp_path, results):
    results["baselines"]["nearest_training_scene"]["1"]["margin"] = {"psnr": interval(-0.42, 0.1)}
    assert "\N{MINUS SIGN}0.42" in read(write_page(tmp_path, results)).text


def test_every_picture_is_told_how_close_it_comes(pictured, results):
    """Levels 51 and 102 of 255 apart are 0.2 and 0.4: 14.0 and 8.0 dB."""
    text = read(write_page(pictured, results)).text
    assert "14.0 dB" in text
    assert "8.0 dB" in text


def test_text_from_data_is_escaped(tmp_path, results):
    wicked = "<script>alert('x')</script>"
    results["category"] = results["checkpoint"] = wicked
    results["settings"] = {wicked: {wicked: wicked}}
    results["ours"]["1"]["title"] = wicked
    results["ablation"]["A2"]["title"] = wicked
    path = write_page(tmp_path, results)
    assert wicked not in path.read_text(encoding="utf-8")
    assert wicked in read(path).text


@pytest.mark.parametrize(
    "missing",
    ["settings", "ours", "baselines", "ablation", "views", "samples", "published", "checkpoint"],
)
def test_a_part_that_was_not_measured_is_left_out(pictured, results, missing):
    del results[missing]
    text = read(write_page(pictured, results)).text
    assert ("36.34" in text) == (missing != "views")
    assert ("rendering alone" in text) == (missing != "ablation")


def test_nothing_measured_is_a_page_all_the_same(tmp_path):
    assert "PSNR" in read(write_page(tmp_path, {})).text


def test_note_of_an_ablation_without_rows_needs_no_drawing(tmp_path, results):
    results["ablation"] = {"A0": row("one stage", 28.98), "note": "A1 is left out: train it."}
    assert "A1 is left out: train it." in read(write_page(tmp_path, results)).text


def test_gallery_holds_the_same_pixels(pictured):
    import base64
    import io

    (scene,) = read_gallery(pictured / "pictures").reconstructions
    shot = scene.places[1].entries["no_prior"]
    data = base64.b64decode(shot.source.partition(",")[2])
    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), np.full((16, 16, 3), 202))
    assert (scene.scene, scene.views, [place.number for place in scene.places]) == (3, 1, [8, 40])


def test_gallery_stops_where_the_page_would_grow_too_large(pictured):
    folder = pictured / "pictures"
    for place in (8, 40):
        save(folder, f"004-01-{place:03d}-truth.png", 100)
        save(folder, f"004-01-{place:03d}-ours.png", 140)
    whole = read_gallery(folder)
    first, second = whole.reconstructions
    part = read_gallery(folder, budget=first.size + second.size - 1)
    assert part.reconstructions == (first,)
    assert part.omitted == 1


def test_page_tells_how_many_pictures_found_no_room(pictured, monkeypatch):
    monkeypatch.setattr(page, "read_gallery", partial(read_gallery, budget=10))
    text = read(write_page(pictured, {})).text
    assert "Scene 3" not in text
    assert "1 more reconstruction" in text


def test_picture_of_another_size_than_its_truth_is_refused(pictured):
    save(pictured / "pictures", "003-01-008-ours.png", 10, size=8)
    with pytest.raises(DataError, match=r"found 8 x 8 pixels, expected its truth's 16 x 16"):
        read_gallery(pictured / "pictures")


def test_damaged_picture_is_named(pictured):
    (pictured / "pictures" / "003-01-008-ours.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"003-01-008-ours\.png: not readable"):
        read_gallery(pictured / "pictures")


def figures(path: Path) -> list[go.Figure]:
    """The figures that a page carries, checked by plotly."""
    found = re.findall(
        r'<script type="application/json">(.*?)</script>', path.read_text(encoding="utf-8")
    )
    return [go.Figure(json.loads(text)) for text in found]


def test_the_figures_of_the_page_hold_the_numbers_of_the_results(tmp_path, results):
    curve, ablation = figures(write_page(tmp_path, results))
    lines = {trace.name: trace for trace in curve.data if trace.name}
    assert lines["Ours"].x == (1, 32)
    assert lines["Ours"].y == (29.02, 36.34)
    assert lines["Ours"].error_y.array == pytest.approx((0.5, 0.5))
    assert lines["Published"].y[0] == 23.52
    here, there = ablation.data
    assert dict(zip(here.y, here.x, strict=True)) == {"A2: prior in finetuning": 7.36}
    assert there.x[list(there.y).index("A2: prior in finetuning")] == pytest.approx(
        PUBLISHED["vehicles"]["ablation"]["A0"]["psnr"]
        - PUBLISHED["vehicles"]["ablation"]["A2"]["psnr"]
    )


def test_plotlys_script_is_on_the_page_once_and_only_with_figures(tmp_path, results):
    text = write_page(tmp_path, results).read_text(encoding="utf-8")
    assert text.count(get_plotlyjs()) == 1
    assert len(write_page(tmp_path, {}).read_bytes()) < 100_000


def test_curves_have_the_ends_of_their_intervals():
    points = tuple((n, Interval(p, p - 1, p + 2)) for n, p in ((1, 20.0), (2, 24.0), (8, 30.0)))
    band, line = curve_chart([Series("Ours", "ours", points)]).data
    assert line.error_y.array == (2, 2, 2)
    assert line.error_y.arrayminus == (1, 1, 1)
    assert list(zip(band.x, band.y, strict=True)) == [
        *((1, 22), (2, 26), (8, 32)),
        *((8, 29), (2, 23), (1, 19)),
    ]
    assert (band.meta, line.meta) == ("ours", "ours")


def test_differences_stand_beside_what_was_published_and_hold_no_tag():
    rows = [
        Difference("A2 & </script>", Interval(0.5, 0.25, 0.8), 1.0),
        Difference("A3", None, 0.2),
    ]
    figure = difference_chart(rows)
    here, there = figure.data
    assert (here.x, here.y) == ((0.5,), ("A2 & </script>",))
    assert (here.error_x.array[0], here.error_x.arrayminus[0]) == pytest.approx((0.3, 0.25))
    assert (there.x, there.y) == ((1.0, 0.2), ("A2 & </script>", "A3"))
    assert "<" not in source(figure)
    assert json.loads(source(figure))["data"][0]["y"] == ["A2 & </script>"]
