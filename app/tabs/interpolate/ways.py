"""Ways between two objects, and which of them a method has. No gradio."""

from __future__ import annotations

from typing import Literal

from engine.explore.interpolate import Kind, Space
from engine.methods.base import Method

Way = Literal["slerp", "lerp", "code", "parts"]
WAYS: dict[str, tuple[Space, Kind]] = {
    "slerp": ("noise", "slerp"),
    "lerp": ("noise", "lerp"),
    "code": ("code", "lerp"),
    "parts": ("parts", "lerp"),
}
"""From noise to noise along the great circle or straight, each point then drawn by the prior; from code to code; or from two
parts of a code to those of another, each along a side of the pad."""


def ways_of(method: Method) -> tuple[Way, ...]:
    """The ways that lead between a method's objects, the best first."""
    told = method.info.capabilities
    noise: tuple[Way, ...] = ("slerp", "lerp") if "noise" in told.interpolate else ()
    parts: tuple[Way, ...] = ("parts",) if len(told.edit) == 2 else ()
    return (*noise, *parts, *(("code",) if "latent" in told.interpolate else ()))
