"""Settings of a task on the page: a control for each field of a method's options that has a `Control`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from engine.methods import METHODS
from engine.methods.base import Method, Task, can, options_of
from engine.methods.options import Control, controls_of, settings_of


class Settings:
    """Controls of one task for every method that the page may show; those of the session's method are visible.

    Attributes:
        groups: Containers of a method's controls, by its options dataclass.
        controls: The controls by options dataclass and field.
    """

    def __init__(self, task: Task, first: Method):
        """Controls of all methods; `first` is the method shown when the page opens."""
        self.task = task
        self._kinds = {
            kind: name
            for name, (method, _) in METHODS.items()
            if (kind := method.OPTIONS.get(task))
        }
        if can(first, task):
            self._kinds.setdefault(type(options_of(first, task)), first.info.name)
        self._first = first
        self.groups: dict[type, gr.Column] = {}
        self.controls: dict[type, dict[str, gr.components.Component]] = {}

    def layout(self) -> None:
        """Place all groups, one of them visible."""
        shown = self._kind(self._first)
        for kind, name in self._kinds.items():
            with gr.Column(visible=kind is shown) as self.groups[kind]:
                options = options_of(self._first, self.task) if kind is shown else kind()
                values = settings_of(options)
                self.controls[kind] = {
                    field: _control(f"{name}-{self.task}-{field}", control, values[field])
                    for field, control in controls_of(kind).items()
                }

    @property
    def inputs(self) -> list[gr.components.Component]:
        """All controls of all methods."""
        return [control for fields in self.controls.values() for control in fields.values()]

    @property
    def outputs(self) -> list[Any]:
        """Components that `follow` updates."""
        return [*self.groups.values(), *self.inputs]

    def values(self, method: Method, told: Sequence[Any]) -> dict[str, Any]:
        """A method's settings by field, from the values of `inputs`; empty boxes are left out."""
        names = [(kind, field) for kind, fields in self.controls.items() for field in fields]
        wanted = self._kind(method)
        pairs = zip(names, told, strict=True)
        return {field: v for (kind, field), v in pairs if kind is wanted and v is not None}

    def usual(self, mode: str, method: Method) -> dict[str, Any]:
        """A method's settings by field, from its checkpoint."""
        if not can(method, self.task):
            return {}
        options = options_of(method, self.task, mode)
        values = settings_of(options)
        return {field: values[field] for field in controls_of(type(options))}

    def shown(self, method: Method, values: Mapping[str, Any]) -> dict[Any, Any]:
        """Updates that set a method's controls; fields without a value stay as they are."""
        return {
            c: values[f]
            for f, c in self.controls.get(self._kind(method), {}).items()
            if f in values
        }

    def follow(self, method: Method, mode: str) -> dict[Any, Any]:
        """Updates for the session's method: its own controls, with its checkpoint's values."""
        kind = self._kind(method)
        groups = {group: gr.Column(visible=of is kind) for of, group in self.groups.items()}
        return {**groups, **self.shown(method, self.usual(mode, method))}

    def _kind(self, method: Method) -> type | None:
        return type(options_of(method, self.task)) if can(method, self.task) else None


def _control(name: str, control: Control, value: Any) -> gr.components.Component:
    common = {"label": control.title, "info": control.info, "elem_id": name, "value": value}
    if control.choices:
        return gr.Dropdown(list(control.choices), filterable=False, **common)
    if control.step is None:
        return gr.Number(minimum=control.low, maximum=control.high, **common)
    return gr.Slider(control.low, control.high, step=control.step, buttons=[], **common)
