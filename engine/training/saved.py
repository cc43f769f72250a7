"""A training state's file, read strictly: everything is checked before any of it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from engine.config import Bounds, from_json
from engine.errors import CheckpointError, ConfigError, plain, sentence_part
from engine.reading import misfit, parse_json
from engine.store.pickles import load_pickle

ADAM = ("exp_avg", "exp_avg_sq")
"""Tensors that Adam keeps for each parameter, shaped like it; its `step` is one number."""


@dataclass(frozen=True)
class _Numbers:
    step: Annotated[int, Bounds(0, 10**9)]
    cpu_seconds: Annotated[float, Bounds(0.0, 1e12)]
    recipe: str
    data: Annotated[str, Bounds(0, 1000)] | None = None
    window: Annotated[str, Bounds(0, 2**24)] = "[]"


@dataclass(frozen=True)
class SavedState:
    """Contents of a training state's file.

    Attributes:
        step: Iterations done.
        cpu_seconds: Time they took.
        recipe: Settings that it was made with, as JSON values.
        data: Key of the scenes that it was trained on; None if not recorded.
        window: Reported numbers of the iterations since the last line of the log.
        tensors: State dicts by name: `method`, `average`, `bank`.
        adam: State of each optimiser, by its name, then by the number of a parameter.
    """

    step: int
    cpu_seconds: float
    recipe: dict[str, Any]
    data: str | None
    window: list[dict[str, float]]
    tensors: dict[str, dict[str, Tensor]]
    adam: dict[str, dict[int, dict[str, Tensor]]]


def read_state(
    path: Path | str,
    wanted: Mapping[str, Mapping[str, Tensor]],
    parameters: Mapping[str, Sequence[Tensor]],
) -> SavedState:
    """A training state's file.

    Args:
        path: The file.
        wanted: State dicts of the run to resume, by name: the file must have the same names and shapes.
        parameters: Parameters of each optimiser, by its name.

    Raises:
        CheckpointError: If the file is missing, unsafe, damaged or of another run.
    """
    content = load_pickle(path, CheckpointError)
    try:
        if not isinstance(content, Mapping):
            raise ConfigError(f"found a {type(content).__name__}, expected a training state")
        told = {name: content[name] for name in _Numbers.__dataclass_fields__ if name in content}
        numbers = from_json(_Numbers, told, "state")
        recipe = parse_json(numbers.recipe, dict[str, Any], "recipe")
        window = list(parse_json(numbers.window, tuple[dict[str, float], ...], "window"))
        tensors = {name: _tensors(name, content.get(name), like) for name, like in wanted.items()}
        kept = content.get("optimizers")
        adam = {name: _adam(name, kept, trained) for name, trained in parameters.items()}
    except ConfigError as error:
        raise CheckpointError(
            f"{plain(path)}: does not fit this recipe ({sentence_part(error)}); train into another folder or remove it."
        ) from error
    return SavedState(
        numbers.step, numbers.cpu_seconds, recipe, numbers.data, window, tensors, adam
    )


def _tensors(part: str, found: Any, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A part of the file, if it has the wanted names, shapes and kinds of numbers, and these are finite."""
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ConfigError(f"{part}: found a {type(found).__name__}, expected tensors by name")
    shapes = {name: tuple(value.shape) for name, value in wanted.items()}
    if problem := misfit({str(name): tuple(v.shape) for name, v in found.items()}, shapes):
        raise ConfigError(f"{part}: {problem}")
    for name, value in found.items():
        if value.dtype != wanted[name].dtype:
            raise ConfigError(f"{part}: {name} holds {value.dtype}, expected {wanted[name].dtype}")
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ConfigError(f"{part}: {name} holds numbers that are not finite")
    return dict(found)


def _adam(part: str, found: Any, parameters: Sequence[Tensor]) -> dict[int, dict[str, Tensor]]:
    """An optimiser's Adam state; empty before its first step."""
    state = found.get(part) if isinstance(found, Mapping) else None
    state = state.get("state") if isinstance(state, Mapping) else None
    if not isinstance(state, Mapping):
        raise ConfigError(f"found no optimiser of the {part}")
    if state and set(state) != set(range(len(parameters))):
        raise ConfigError(f"{part}: found {len(state)} parameters, expected {len(parameters)}")
    return {
        index: _tensors(f"{part} {index}", entry, _kept_for(parameters[index]))
        for index, entry in state.items()
    }


def _kept_for(parameter: Tensor) -> dict[str, Tensor]:
    return {"step": parameter.new_zeros(()), **dict.fromkeys(ADAM, parameter)}
