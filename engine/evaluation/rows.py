"""From scores of single scenes to the rows of scoreboard.json."""

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
"""In the order of the table; the first belong to the prior, the last know nothing of the scene."""
EQUAL = ("A0_equal", "A1_equal")
"""The paper's one and two stages at equal compute."""
ABLATION = ("A0", "A2", "A3", *EQUAL)
ABLATION_ENTRY = {"A0": "paper"}
"""A row of the ablation that is another entry's work."""
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
        """Means with intervals; `against` names the entry whose margin over this one is told."""
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
        options: How many scenes.
        equal: Whether there are priors of one and two stages at equal compute.
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
    """Baselines, rows of the ablation and entries from 1 to 32 views, as far as a method has them."""
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
    """The paper's ablation: everything against A0, two stages against one at equal compute."""
    if not scenes:
        return {}
    rows: dict[str, Any] = {}
    for name in ABLATION:
        if equal or name not in EQUAL:
            against = {"A0": None, "A0_equal": None, "A1_equal": "A0_equal"}.get(name, "paper")
            rows[name] = table.row(ABLATION_ENTRY.get(name, name), 1, scenes, against)
    return rows if equal else {**rows, "note": WITHOUT_TWO_STAGES}


def _curve(table: Table, scenes: int, entries: Sequence[str]) -> dict[str, Any]:
    """From one view to 32 on the same scenes, beside the fit without prior."""
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
