"""Shapes of networks, without allocating their weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from engine.errors import ConfigError, one_line


def unbuilt(build: Callable[[], nn.Module]) -> nn.Module:
    """The module that `build` makes, on the meta device: nothing is allocated for its weights.

    Raises:
        ConfigError: If there is no such network, e.g. because its groups do not divide its channels.
    """
    try:
        with torch.device("meta"):
            return build()
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"there is no such network ({one_line(error)}).") from error


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of its state dict."""
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}
