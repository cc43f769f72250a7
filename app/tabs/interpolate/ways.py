"""Ways of interpolating between two objects, and the selection that a method has. No gradio."""

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
"""Between noises along the great circle or straight, each point then sampled by the model; between latents; or between
the two parts of latents, each along a side of the pad."""


def ways_of(method: Method) -> tuple[Way, ...]:
    """Ways available for a method's objects, the best first."""
    told = method.info.capabilities
    noise: tuple[Way, ...] = ("slerp", "lerp") if "noise" in told.interpolate else ()
    parts: tuple[Way, ...] = ("parts",) if len(told.edit) == 2 else ()
    return (*noise, *parts, *(("code",) if "latent" in told.interpolate else ()))
