"""Rows of scoreboard.json from the scores of single scenes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.evaluation.intervals import DIGITS, interval, paired
from engine.evaluation.measure import Task
from engine.evaluation.protocol import FEW, MANY, BoardOptions

Parts = Mapping[Task, Mapping[str, float]]
Row = dict[str, Any]

SPREAD = ("psnr", "ssim", "iou", "chamfer", "lpips")
"""Metrics with an interval."""
PLAIN = ("input_psnr", "seconds")
"""Metrics whose mean is enough."""
BASELINES = (
    "paper",
    "rendering_only",
    "guidance_only",
    "no_prior",
    "nearest_training_scene",
    "mean_image",
    "mean_code",
)
"""Baselines in the order of the table, from variants of the model to those that ignore the scene."""
EQUAL = ("A0_equal", "A1_equal")
"""The paper's one and two stages at equal compute."""
ABLATION = ("A0", "A2", "A3", *EQUAL)
ABLATION_ENTRY = {"A0": "paper"}
"""Rows of the ablation that equal another entry."""
WITHOUT_TWO_STAGES = (
    "A0_equal and A1_equal are left out: they take two small priors, of one stage and of two, that were trained in "
    "the same time; name their checkpoints with --one-stage and --two-stage."
)


class Table:
    """Scores of all tasks, ready to be averaged."""

    def __init__(self, parts: Parts, titles: Mapping[str, str]):
        self.parts, self.titles = parts, titles

    def scores(self, entry: str, num_views: int, scenes: int) -> list[Mapping[str, float]]:
        """An entry's scores on the first scenes."""
        return [self.parts[Task(entry, num_views, scene)] for scene in range(scenes)]

    def row(self, entry: str, num_views: int, scenes: int, against: str | None = None) -> Row:
        """Means with intervals; `against` names the entry whose margin over this one is added."""
        found = self.scores(entry, num_views, scenes)
        row: Row = {"title": self.titles[entry], "scenes": scenes}
        for name in SPREAD:
            if known := [part[name] for part in found if name in part]:
                row[name] = interval(known).json()
        for name in PLAIN:
            row[name] = round(interval([part[name] for part in found]).mean, DIGITS)
        row["scene_psnr"] = [part["psnr"] for part in found]
        if against is not None:
            other = self.scores(against, num_views, scenes)
            row["margin"] = {name: _difference(other, found, name) for name in ("psnr", "ssim")}
        return row


def _difference(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], name: str
) -> dict[str, float]:
    return paired([part[name] for part in ours], [part[name] for part in theirs]).json()


def planned(options: BoardOptions, equal: bool, own: Collection[str]) -> list[Task]:
    """Every task, scene by scene.

    Args:
        options: Numbers of scenes.
        equal: True if there are models of one and two stages at equal compute.
        own: Entries that the method has of its own; see `engine.evaluation.entries.own_entries`.
    """
    tasks: dict[Task, None] = {}
    baselines, ablation, dense = told_rows(own)
    for scene in range(max(options.scenes, options.dense_scenes, options.ablation_scenes)):
        if scene < options.scenes:
            tasks |= {Task(name, n, scene): None for n in FEW for name in ("ours", *baselines)}
        if scene < options.ablation_scenes:
            rows = [row for row in ablation if equal or row not in EQUAL]
            tasks |= {Task(ABLATION_ENTRY.get(row, row), 1, scene): None for row in rows}
        if scene < options.dense_scenes:
            tasks |= {Task(name, n, scene): None for n in (*FEW, *MANY) for name in dense}
    return list(tasks)


def told_rows(own: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of the baselines, ablation rows and entries for 1 to 32 views that a method has."""
    has = {*own, *BASELINES[-3:]}
    baselines = tuple(name for name in BASELINES if name in has)
    ablation = ABLATION if "A2" in has else ()
    return baselines, ablation, tuple(name for name in ("ours", "no_prior") if name in own)


def board(table: Table, options: BoardOptions, equal: bool, own: Collection[str]) -> dict[str, Any]:
    """`ours`, `baselines`, `ablation` and `views` of scoreboard.json."""
    baselines, ablation, dense = told_rows(own)
    few = [(str(n), n) for n in FEW if options.scenes]
    return {
        "ours": {key: table.row("ours", n, options.scenes) for key, n in few},
        "baselines": {
            name: {key: table.row(name, n, options.scenes, "ours") for key, n in few}
            for name in baselines
        },
        "ablation": _ablation(table, options.ablation_scenes if ablation else 0, equal),
        "views": _curve(table, options.dense_scenes, dense),
    }


def _ablation(table: Table, scenes: int, equal: bool) -> dict[str, Any]:
    """Rows of the paper's ablation: all against A0, and two stages against one at equal compute."""
    if not scenes:
        return {}
    rows: dict[str, Any] = {}
    for name in ABLATION:
        if equal or name not in EQUAL:
            against = {"A0": None, "A0_equal": None, "A1_equal": "A0_equal"}.get(name, "paper")
            rows[name] = table.row(ABLATION_ENTRY.get(name, name), 1, scenes, against)
    return rows if equal else {**rows, "note": WITHOUT_TWO_STAGES}


def _curve(table: Table, scenes: int, entries: Sequence[str]) -> dict[str, Any]:
    """Rows for 1 to 32 views on the same scenes, beside the fit without prior."""
    if not scenes:
        return {}
    counts = (*FEW, *MANY)
    curve: dict[str, Any] = {}
    for before, count in zip((None, *counts), counts, strict=False):
        row = table.row("ours", count, scenes)
        if before is not None:
            ours, less = (table.scores("ours", n, scenes) for n in (count, before))
            row["gain"] = _difference(ours, less, "psnr")
        curve[str(count)] = row
    if "no_prior" in entries:
        curve["no_prior"] = {
            str(count): table.row("no_prior", count, scenes, "ours") for count in counts
        }
    return curve
