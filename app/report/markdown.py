"""The scoreboard as Markdown tables, for the command's output and for model cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

NO_VALUE = ""
SETS = {
    "ours": "samples",
    "training": "training renders (the floor)",
    "one_stage": "small prior of one stage, equal compute",
    "two_stage": "small prior of two stages, equal compute",
}
"""Sets of pictures that are compared with held-out renders, and their names for people."""


def markdown(results: Mapping[str, Any]) -> str:
    """A scoreboard's figures as Markdown tables under bold headings.

    Args:
        results: Contents of `scoreboard.json`.
    """
    published = results["published"]
    blocks = []
    for count, ours in results["ours"].items():
        rows = [ours, *(rows[count] for rows in results["baselines"].values())]
        known = published.get("views", {}).get(count)
        level = (
            f"; the paper, on other data: {known['psnr']:.2f} dB, {known['ssim']:.3f}"
            if known
            else ""
        )
        views = "view" if count == "1" else "views"
        blocks.append(
            _heading(
                f"{results['category']}, {ours['scenes']} unseen scenes, {count} {views}{level}"
            )
        )
        blocks.append(_reached(rows))
    if results["ablation"]:
        blocks += _ablation(results["ablation"], published.get("ablation", {}))
    if results["views"]:
        blocks += _curve(results["views"], published.get("views", {}))
    if results["samples"]:
        blocks += _samples(results["samples"])
    return "\n\n".join(blocks) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns are as wide as their widest cell; all but the first are aligned right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in (lines[0], rule, *lines[1:])
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _heading(text: str) -> str:
    return f"**{text}**"


def _spread(value: Mapping[str, float] | None, digits: int) -> str:
    """A mean and its 95 % interval, as text."""
    if value is None:
        return NO_VALUE
    half = (value["high"] - value["low"]) / 2
    return f"{value['mean']:.{digits}f} ± {half:.{digits}f}"


def _between(value: Mapping[str, float] | None) -> str:
    """A difference in dB and its 95 % interval."""
    if value is None:
        return NO_VALUE
    return f"{value['mean']:+.2f} ({value['low']:+.2f} to {value['high']:+.2f})"


def _margin(row: Row) -> Mapping[str, float] | None:
    return row.get("margin", {}).get("psnr")


def _reached(rows: list[Row]) -> str:
    """Table of all entries for the same given views."""
    optional = {"iou": ("IoU", 3), "chamfer": ("Chamfer", 4), "lpips": ("LPIPS", 3)}
    found = [name for name in optional if any(name in row for row in rows)]
    head = [
        "",
        "PSNR, dB",
        "SSIM",
        *(optional[name][0] for name in found),
        "ours is above it by, dB",
        "CPU s",
    ]
    return table(
        head,
        (
            [
                row["title"],
                _spread(row["psnr"], 2),
                _spread(row["ssim"], 3),
                *(_spread(row.get(name), optional[name][1]) for name in found),
                _between(_margin(row)),
                f"{row['seconds']:.1f}",
            ]
            for row in rows
        ),
    )


def _ablation(rows: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """The paper's ablation beside its own figures."""
    found = {name: row for name, row in rows.items() if name != "note"}
    whole = published.get("A0", {}).get("psnr")

    def there(name: str) -> tuple[str, str]:
        psnr = published.get(name[:2], {}).get("psnr")
        if psnr is None or whole is None:
            return NO_VALUE, NO_VALUE
        return f"{psnr:.2f}", NO_VALUE if name[:2] == "A0" else f"{whole - psnr:+.2f}"

    lines = [
        [
            f"{name} {row['title']}",
            _spread(row["psnr"], 2),
            _spread(row["ssim"], 3),
            _between(_margin(row)),
            *there(name),
        ]
        for name, row in found.items()
    ]
    head = ["", "PSNR, dB", "SSIM", "costs, dB", "published", "costs there"]
    title = f"the paper's ablation, mode paper, {found['A0']['scenes']} scenes, one view"
    return [_heading(title), table(head, lines), *([rows["note"]] if "note" in rows else [])]


def _curve(views: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """PSNR over the number of views."""
    counts = [count for count in views if count != "no_prior"]
    rows = [
        ["ours, dB", *(_spread(views[n]["psnr"], 2) for n in counts)],
        ["step", *(_between(views[n].get("gain")) for n in counts)],
    ]
    if "no_prior" in views:
        alone = [_spread(views["no_prior"][n]["psnr"], 2) for n in counts]
        rows.append(["fit without prior, dB", *alone])
    if published:
        known = [f"{published[n]['psnr']:.2f}" if n in published else NO_VALUE for n in counts]
        rows.append(["published", *known])
    return [
        _heading(f"from sparse to dense, {views[counts[0]]['scenes']} scenes"),
        table(["views", *counts], rows),
    ]


def _samples(samples: Mapping[str, Any]) -> list[str]:
    """Distances of sets of pictures to held-out renders, and coverage of held-out shapes."""
    sets = [name for name in SETS if name in samples]
    metrics = list(dict.fromkeys(metric for name in sets for metric in samples[name]))
    rows = [[SETS[name], *(f"{samples[name][metric]:.4g}" for metric in metrics)] for name in sets]
    title = f"{samples['count']} unconditional samples against renders of {samples['held_out']} unseen scenes"
    blocks = [_heading(title), table(["", *metrics], rows)]
    if "coverage" in samples:
        blocks.append(
            f"COV {samples['coverage']:.2f}, MMD {samples['mmd']:.4f} SRN units (Chamfer)."
        )
    return blocks
