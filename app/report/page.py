"""The scoreboard as a self-contained HTML page, with its pictures, figures, styles and scripts; it downloads nothing.

`engine.evaluation` describes `scoreboard.json`; parts that a run left out are left out here. Jinja escapes everything
that comes from data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from app.report import charts
from app.report.charts import Difference, Series
from app.report.gallery import Gallery, read_gallery
from engine.evaluation.intervals import Interval
from engine.files import replacing

ASSETS = Path(__file__).parent / "assets"
PAGE = "scoreboard.html"
MINUS, RANGE, ABSENT = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{EN DASH}"
ABOUT = {
    "ours": "guided sampling, guided renoising, finetuning with the prior",
    "paper": "guidance and finetuning as published, the same weights",
    "no_prior": "from the mean latent; the best of several rates",
    "nearest_training_scene": "the one that looks most like the given pictures",
    "rendering_only": "ours, but the prior plays no part in finetuning",
    "guidance_only": "ours up to the finetuning",
    "mean_image": "the mean of the training scenes, place by place",
    "mean_code": "the mean of the training latents",
}
"""One line on each entry, in the order of the pictures' columns."""
TITLES = {
    "paper": "Paper's way",
    "nearest_training_scene": "Nearest",
    "mean_image": "Mean picture",
    "mean_code": "Mean latent",
    "A0_equal": "A0 equal",
    "A1_equal": "A1 equal",
}
"""Titles of columns, which are narrow; the default is the key."""
SHOWN_FIRST = ("ours", "paper", "no_prior", "nearest_training_scene")
"""Columns of pictures that are open at first."""
METRICS = (("ssim", "SSIM", 3), ("lpips", "LPIPS", 3), ("iou", "IoU", 3), ("chamfer", "Chamfer", 4))
"""Columns of the tables beside PSNR, with their digits."""
PARTS = {
    "A1": ("one stage, not two", "A1_equal"),
    "A2": ("prior in finetuning", "A2"),
    "A3": ("finetuning", "A3"),
}
"""Part that each row of the paper's ablation removes, and the row here whose margin is that part's gain."""
SETS = ("ours", "training", "one_stage", "two_stage")
"""Sets of objects whose pictures are compared with held-out ones."""


def write_page(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write `scoreboard.html`.

    Args:
        folder: Holds the pictures in `pictures/`; the page is written here.
        results: Contents of `scoreboard.json`; any part may be missing.

    Returns:
        The page's path.

    Raises:
        DataError: If a picture cannot be read, or has another size than its truth.
    """
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(number=number, plain=plain, absent=ABSENT, range_sign=RANGE)
    measured = _measured(results)
    drawn = measured["curve"] or measured["ablation"]
    text = environment.get_template("page.html").render(
        style=_asset("page.css"),
        script=_asset("page.js"),
        plotly=get_plotlyjs() if drawn else "",
        **measured,
        **_pictured(read_gallery(folder / "pictures")),
    )
    page = folder / PAGE
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def interval_of(value: Any) -> Interval | None:
    """An interval from the JSON's value, or from a plain number; None if nothing was measured."""
    if isinstance(value, Mapping) and value.get("mean") is not None:
        mean = float(value["mean"])
        return Interval(mean, float(value.get("low", mean)), float(value.get("high", mean)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Interval(float(value), float(value), float(value))
    return None


def number(value: float, digits: int, signed: bool = False) -> str:
    """A number as text."""
    sign = "+" if signed else ""
    return f"{value:{sign}.{digits}f}".replace("-", MINUS)


def plain(value: float | int | None) -> str:
    """A number as short text, with digits that depend on its size."""
    return ABSENT if value is None else f"{value:.3g}"


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _part(results: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A nested object of the results; empty if it or one above it is missing."""
    found: Any = results
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _counts(rows: Mapping[str, Any]) -> list[str]:
    """Numbers of views among the keys, in growing order."""
    return sorted((key for key in rows if key.isdecimal()), key=int)


def _views(count: str) -> str:
    return "one view" if count == "1" else f"{count} views"


def _scenes(count: int) -> str:
    return "one scene" if count == 1 else f"{count} scenes"


def _title(name: str) -> str:
    return TITLES.get(name) or _capital(name.replace("_", " "))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _measured(results: Mapping[str, Any]) -> dict[str, Any]:
    """Figures for the template."""
    return {
        "category": str(results.get("category", "objects")),
        "size": _part(results, "settings").get("size", 128),
        "chips": _chips(results),
        "tiles": list(_tiles(results)),
        "tables": list(_tables(results)),
        "curve": _curve(results),
        "ablation": _ablation(results),
        "distances": _distances(results),
        "samples": _part(results, "samples"),
        "settings": [
            (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in _part(results, "settings").items()
        ],
    }


def _pictured(gallery: Gallery) -> dict[str, Any]:
    """Pictures for the template."""
    places = [place for scene in gallery.reconstructions for place in scene.places]
    found = {entry for place in places for entry in place.entries}
    order = [*ABOUT, *sorted(found)]
    return {
        "gallery": gallery,
        "counts": sorted({scene.views for scene in gallery.reconstructions}),
        "entries": [
            {"name": name, "title": _title(name), "shown": name in SHOWN_FIRST}
            for name in sorted(found, key=order.index)
        ],
    }


def _chips(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    ours = _part(results, "ours")
    chips = {
        "prior": results.get("checkpoint"),
        "unseen scenes": max((_part(ours, n).get("scenes", 0) for n in _counts(ours)), default=0),
        "weights": _part(results, "settings").get("weights"),
    }
    return [(name, str(value)) for name, value in chips.items() if value]


def _tiles(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The most important numbers, in dB, with their descriptions."""
    if psnr := interval_of(_part(results, "ours", "1").get("psnr")):
        between = f", {number(psnr.low, 1)} to {number(psnr.high, 1)}"
        yield number(psnr.mean, 1), "from one view" + (between if psnr.low < psnr.high else "")
    for name, title in (
        ("nearest_training_scene", "the nearest training scene"),
        ("no_prior", "the fit without prior"),
    ):
        margin = interval_of(_part(results, "baselines", name, "1", "margin").get("psnr"))
        if margin is not None:
            yield number(margin.mean, 1, signed=True), f"above {title}, from one view"
    views = _part(results, "views")
    for count in _counts(views)[1:][-1:]:
        if psnr := interval_of(_part(views, count).get("psnr")):
            yield number(psnr.mean, 1), f"from {_views(count)}"


def _tables(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One table for each number of views: ours, then the baselines from the best to the worst."""
    ours, baselines = _part(results, "ours"), _part(results, "baselines")
    for count in sorted(
        {*_counts(ours), *(n for b in baselines for n in _counts(_part(baselines, b)))}, key=int
    ):
        found = {"ours": _part(ours, count)}
        found |= {name: _part(baselines, name, count) for name in baselines}
        rows = [_row(name, row) for name, row in found.items() if interval_of(row.get("psnr"))]
        if not rows:
            continue
        rows.sort(key=lambda row: (row["kind"] != "ours", -row["psnr"].mean))
        low, high = (
            min(row["psnr"].low for row in rows),
            max(row["psnr"].high for row in rows),
        )
        for row in rows:
            psnr, span = row["psnr"], max(high - low, 1e-6)
            row["strip"] = [(end - low) / span for end in (psnr.low, psnr.mean, psnr.high)]
        scenes = next((row.get("scenes") for row in found.values() if row), None)
        yield {
            "title": f"From {_views(count)}" + (f", {_scenes(scenes)}" if scenes else ""),
            "rows": rows,
            "scale": (number(low, 1), number(high, 1)),
            "metrics": [m for m in METRICS if any(row["metrics"][m[0]] for row in rows)],
        }


def _row(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "ours" if name == "ours" else "baseline",
        "title": _capital(str(row.get("title", _title(name)))),
        "about": ABOUT.get(name, ""),
        "psnr": interval_of(row.get("psnr")),
        "margin": interval_of(_part(row, "margin").get("psnr")),
        "metrics": {metric: interval_of(row.get(metric)) for metric, _, _ in METRICS},
        "seconds": row.get("seconds"),
    }


def _curve(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """From sparse to dense: figure and table."""
    views = _part(results, "views")
    rows = {
        ("Ours", "ours"): views,
        ("No prior", "other"): _part(views, "no_prior"),
        ("Published", "published"): _part(results, "published", "views"),
    }
    series = [Series(*name, points=_points(row)) for name, row in rows.items()]
    if not series[0].points:
        return None
    series = [line for line in series if line.points]
    counts = sorted({count for line in series for count, _ in line.points})
    known = [dict(line.points) for line in series]
    return {
        "figure": charts.source(charts.curve_chart(series)),
        "names": [line.name for line in series],
        "rows": [(count, [points.get(count) for points in known]) for count in counts],
        "scenes": _part(views, _counts(views)[0]).get("scenes"),
        "published": _part(results, "published").get("source", "")
        if series[-1].kind == "published"
        else "",
    }


def _points(rows: Mapping[str, Any]) -> tuple[tuple[int, Interval], ...]:
    found = ((int(count), interval_of(_part(rows, count).get("psnr"))) for count in _counts(rows))
    return tuple((count, value) for count, value in found if value is not None)


def _ablation(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The paper's ablation: figure and table."""
    here, there = _part(results, "ablation"), _part(results, "published", "ablation")
    rows = {name: _part(here, name) for name in here}
    rows = {name: row for name, row in rows.items() if interval_of(row.get("psnr"))}
    if not rows:
        return None
    worth = [
        Difference(
            f"{name}: {part}",
            interval_of(_part(rows, key, "margin").get("psnr")),
            _published_worth(there, name),
        )
        for name, (part, key) in PARTS.items()
    ]
    return {
        "figure": charts.source(charts.difference_chart(worth)),
        "rows": [
            {
                "title": f"{_title(name)}: {row.get('title', '')}".removesuffix(": "),
                "here": interval_of(row.get("psnr")),
                "ssim": interval_of(row.get("ssim")),
                "published": interval_of(_part(there, name[:2]).get("psnr")),
                "published_ssim": interval_of(_part(there, name[:2]).get("ssim")),
            }
            for name, row in rows.items()
        ],
        "note": str(here.get("note", "")),
    }


def _published_worth(there: Mapping[str, Any], name: str) -> float | None:
    full, less = (interval_of(_part(there, key).get("psnr")) for key in ("A0", name))
    return full.mean - less.mean if full and less else None


def _distances(results: Mapping[str, Any]) -> list[tuple[str, list[float | int | None]]]:
    """Distances of sets of pictures to held-out ones: a row for each distance, a column for each of `SETS`."""
    found = [_part(results, "samples", name) for name in SETS]
    names = dict.fromkeys(name for row in found for name in row)
    return [(name, [row.get(name) for row in found]) for name in names]
