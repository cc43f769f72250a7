"""The settings of a model: what `--mode` and `--set` of other commands choose, and `launch.py settings`, which lists them."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from engine.errors import ConfigError, plain

if TYPE_CHECKING:
    from engine.methods.base import Method, Task
    from train.progress import Progress

USED_BY: dict[Task, str] = {
    "generate": "generate, denoise, interpolate",
    "reconstruct": "reconstruct, evaluate",
    "complete": "regenerate",
}
"""Commands by the task whose settings they take."""


@dataclass(frozen=True)
class Settings:
    """A preset, and what is changed of it."""

    mode: str = "ours"
    """Preset of the settings: `ours`; `paper` is the published procedure."""
    set_: Annotated[
        tuple[str, ...],
        tyro.conf.arg(name="set", metavar="NAME=VALUE"),
        tyro.conf.UseAppendAction,
    ] = ()
    """Change a setting of the preset; `launch.py settings MODEL` lists them."""

    def of(self, method: Method, task: Task) -> Any:
        """The method's options of a task, for one view.

        Raises:
            UnsupportedTaskError: If the method does not have the task.
            ConfigError: If there is no such preset or setting, or a value is none of its setting's.
        """
        from engine.methods.base import chosen_options

        return chosen_options(method, task, self.mode, dict(map(read, self.set_)))


USUAL = Settings()


def read(change: str) -> tuple[str, int | float | bool | str]:
    """Name and value of `NAME=VALUE`.

    Raises:
        ConfigError: If it is nothing of that kind.
    """
    name, equals, text = change.partition("=")
    if not (name and equals and text):
        raise ConfigError(f"Found --set {plain(change)}, expected NAME=VALUE, as in steps=12.")
    for kind in (int, float):
        try:
            return name, kind(text)
        except ValueError:
            continue
    return name, {"true": True, "false": False}.get(text, text)


@dataclass(frozen=True)
class ListSettings:
    """List what --set changes of a model: values in each preset, bounds, and a sentence for each setting."""

    model: tyro.conf.Positional[str] = "vehicles"
    """Name under checkpoints/, or a folder."""

    def run(self, progress: Progress) -> None:
        """Print."""
        from engine.store.checkpoint import open_method

        method = open_method(self.model, "cpu")
        print(
            f"{plain(self.model)} ({method.info.title}): what --set NAME=VALUE changes, by --mode"
        )
        for task, presets in method.presets.items():
            print("", *table(USED_BY[task], presets), sep="\n")


def table(title: str, presets: dict[str, Any]) -> list[str]:
    """Lines of the settings of a task: name, value in every preset, bounds and sentence, as wide as the terminal."""
    from engine.methods.options import controls_of, settings_of

    values = [settings_of(options) for options in presets.values()]
    cells = [(title, *presets, "may be", "")]
    for name, control in controls_of(type(next(iter(presets.values())))).items():
        held = [shown(settings[name]) for settings in values]
        bounds = control.bounds
        limits = f"{shown(bounds.low)} to {shown(bounds.high)}" if bounds else ""
        allowed = ", ".join(control.choices) or limits
        cells.append((f"  {name}", *held, allowed, f"{control.title}. {control.info}"))
    widths = [max(map(len, column)) + 2 for column in list(zip(*cells, strict=True))[:-1]]
    wide = max(shutil.get_terminal_size((120, 24)).columns, sum(widths) + 24)
    lines = []
    for *row, told in cells:
        start = "".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        wrapped = textwrap.wrap(told, wide - sum(widths), break_on_hyphens=False) or [""]
        lines += [
            f"{start}{wrapped[0]}".rstrip(),
            *(" " * sum(widths) + line for line in wrapped[1:]),
        ]
    return lines


def shown(value: Any) -> str:
    """A setting's value, in few characters."""
    return f"{value:g}" if isinstance(value, float) else str(value)
