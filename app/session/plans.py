"""Runs by the kind of the record that they make: the task of a method, and where its settings stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.methods import METHODS
from engine.methods.base import Method, Task, can, options_of

TASKS: Mapping[str, Task] = {
    "generate": "generate",
    "reconstruct": "reconstruct",
    "regenerate": "complete",
    "blend": "generate",
}
"""The task behind each kind of record that can be gone on with."""


def options_type(method: Method, kind: str) -> type | None:
    """The options dataclass that a method makes records of a kind with; None where it makes none."""
    task = TASKS.get(kind)
    return type(options_of(method, task)) if task and can(method, task) else None


def known_type(method: str, kind: str) -> type[Any] | None:
    """The options dataclass of a kind of record, by the method's name in METHODS; None where either is unknown."""
    known = METHODS.get(method)
    return None if known is None else known[0].OPTIONS.get(TASKS.get(kind, ""))
