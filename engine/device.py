"""Which device a name means on this machine."""

from __future__ import annotations

import torch

from engine.errors import ConfigError


def pick_device(name: str) -> str:
    """`cpu` or `cuda`.

    Args:
        name: `cpu`, `cuda`, or `auto`: a GPU where there is one.

    Raises:
        ConfigError: If it is none of these, or there is no GPU.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name != "cpu" and not (name == "cuda" and available):
        raise ConfigError(
            f"Found --device {name}, expected auto, cpu, or cuda where torch finds a GPU; use --device cpu."
        )
    return name
