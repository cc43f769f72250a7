"""A scene: one field and where it came from; the only thing saved, sent to the viewer and exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from engine.errors import ConfigError, SceneError, sentence_part, shown
from engine.fields import stored
from engine.fields.base import StoredField
from engine.files import MEGABYTE
from engine.reading import TensorFile, open_tensors, parse_json

MOST_BYTES = 256 * MEGABYTE
"""Size of a scene's file."""


@dataclass(frozen=True)
class Scene:
    """One object.

    Attributes:
        field: The field to render.
        provenance: Its origin, as JSON values: method, checkpoint, seed, settings, camera (SRN units).
    """

    field: StoredField
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str) -> Path:
        """Write a self-contained `.safetensors` file (latent, weights, provenance), whole or not at all."""
        parts = {f"field.{name}": value for name, value in self.field.weights().items()}
        parts["latent"] = self.field.latent.float()
        header = {
            "field": stored.field_header(self.field),
            "provenance": dict(self.provenance),
        }
        ready = {name: value.detach().contiguous().cpu() for name, value in parts.items()}
        return stored.write(path, "scene", header, ready)

    @classmethod
    def load(
        cls, path: Path | str, device: torch.device | str = "cpu", *, name: str | None = None
    ) -> Scene:
        """Read a file written by `save`.

        Args:
            path: The file.
            device: Device of its tensors.
            name: Name of the file in messages; default: its path.

        Raises:
            SceneError: If the file is missing, damaged or something else.
        """
        expected = "a scene saved as .safetensors"
        with open_tensors(path, SceneError, expected, MOST_BYTES, name=name, device=device) as file:
            if stored.content(file)[0] != "scene":
                raise SceneError(
                    f"{file.called}: found format {shown(file.header.get('format'))}, expected {stored.FORMAT!r} of a "
                    "scene; a checkpoint is opened with --checkpoint, a scene file with render or export."
                )
            try:
                return _unpacked(file)
            except ConfigError as error:
                raise SceneError(
                    f"{file.called}: the scene file is damaged ({sentence_part(error)}); save it again."
                ) from error


def _unpacked(file: TensorFile) -> Scene:
    """A scene from an open file, after checking its header."""
    kind, config, weights = stored.field_of(file)
    provenance = parse_json(file.header.get("provenance", ""), dict[str, Any], "provenance")
    latent = "triplane" if stored.content(file)[1] else "latent"
    entry = file.entries.get(latent)
    if entry is None:
        raise ConfigError(f"found no {latent}")
    kind.check_latent(config, entry.shape)
    if problem := file.problem({latent: entry.shape, **dict(weights.values())}):
        raise ConfigError(problem)
    values = {name: file.read(stored) for name, (stored, _) in weights.items()}
    return Scene(kind.build(config, values, file.read(latent).float()), provenance)
