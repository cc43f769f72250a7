"""Results: rows of the goals' table, JSON, markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

ROOT = Path(__file__).resolve().parents[2]
KEYS = (
    "speedup_equal_psnr",
    "frame_128_ms",
    "frame_256_ms",
    "frame_512_ms",
    "frame_psnr",
    "fma_share",
    "bake_ms",
    "train_step_speedup",
    "train_render_speedup",
    "reconstruct_s",
    "reconstruct_first_3d_s",
    "inversion_db",
    "inversion_s",
    "first_frame_cold_s",
    "first_frame_warm_s",
    "first_run_cold_s",
    "first_run_warm_s",
    "first_object_s",
    "scrub_ms",
    "slide_shown_fps",
)
"""At the top of every JSON; None where a run left the group out."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        goal: What is measured.
        measured: The figure.
        must: What the issue asks for; None where it asks nothing.
        reach: What it would like.
        unit: Behind the numbers.
        better: Whether more or less of it is wanted.
        how: PSNR and conditions.
        scaled: The figure as the goal counts it, where this machine or these fields are not what the goal supposes.
        loaded: The figure beside processes that keep the cores busy; None where it was not measured.
    """

    goal: str
    measured: float
    must: float | None = None
    reach: float | None = None
    unit: str = ""
    better: Literal["more", "less"] = "less"
    how: str = ""
    scaled: float | None = None
    loaded: float | None = None

    @property
    def verdict(self) -> str:
        """Reached, met or missed; empty where there is no goal."""
        if self.must is None or self.reach is None:
            return ""
        sign = 1 if self.better == "more" else -1
        figure = self.measured if self.scaled is None else self.scaled
        if sign * figure >= sign * self.reach:
            return "reached"
        return "met" if sign * figure >= sign * self.must else "MISSED"


@dataclass
class Results:
    """What groups find out.

    Attributes:
        top: Keys of the JSON's top level.
        rows: Lines of the table.
        details: Everything else, group by group.
    """

    top: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Results) -> None:
        """Take over another's."""
        self.top |= other.top
        self.rows += other.rows
        self.details |= other.details

    def json(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Plain values for a file."""
        rows = [{**asdict(row), "verdict": row.verdict} for row in self.rows]
        missing = dict.fromkeys(KEYS)
        return {**missing, **self.top, **about, "table": rows, "details": self.details}


def on(device: str) -> str:
    """What rows of a device other than the CPU say after their goal."""
    return "" if device == "cpu" else f" ({torch.cuda.get_device_name()})"


def key(name: str, device: str) -> str:
    """A key of a device's figures."""
    return name if device == "cpu" else f"{device}_{name}"


def markdown(rows: list[Row]) -> str:
    """The table."""
    lines = [
        "| goal | must | reach for | measured | loaded | | PSNR / how |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        must, reach, measured, loaded = (
            "" if value is None else f"{value:.3g}{row.unit}"
            for value in (row.must, row.reach, row.measured, row.loaded)
        )
        scaled = "" if row.scaled is None else f" (scaled {row.scaled:.3g}{row.unit})"
        lines.append(
            f"| {row.goal} | {must} | {reach} | **{measured}**{scaled} | {loaded} | {row.verdict} | {row.how} |"
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Where and what was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = facts.get("flags", "").split()
    return {
        "cpu": f"{facts.get('model name')}, family {facts.get('cpu family')} model {facts.get('model')}",
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "avx512": "avx512f" in flags,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit() -> str | None:
    """The checked-out commit, with + where tracked files differ from it; None outside git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
