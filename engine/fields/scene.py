"""A scene: one field and where it came from; the only thing saved, sent to the viewer and exported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from engine.config import from_json, to_json
from engine.errors import ConfigError, SceneError, sentence_part, shown
from engine.fields.triplane import (
    DecoderConfig,
    Side,
    TriplaneDecoder,
    TriplaneField,
    decoder_shapes,
)
from engine.files import MEGABYTE, replacing
from engine.reading import TensorFile, open_tensors, parse_json

FORMAT = "ssdnerf-explorer-scene/1"
MOST_BYTES = 256 * MEGABYTE
"""Size of a scene's file."""


@dataclass(frozen=True)
class Scene:
    """One object.

    Attributes:
        field: What to render.
        provenance: Where it came from, as JSON values: method, checkpoint, seed, settings, camera (SRN units).
    """

    field: TriplaneField
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str) -> Path:
        """Write a self-contained `.safetensors` file (planes, decoder, provenance), whole or not at all."""
        path = Path(path)
        decoder = self.field.decoder
        tensors = {"triplane": self.field.triplane.detach().float().contiguous().cpu()}
        for name, value in decoder.state_dict().items():
            tensors[f"decoder.{name}"] = value.detach().contiguous().cpu()
        header = {
            "format": FORMAT,
            "decoder": json.dumps(to_json(decoder.config)),
            "provenance": json.dumps(dict(self.provenance)),
        }
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors, metadata=header))
        return path

    @classmethod
    def load(
        cls, path: Path | str, device: torch.device | str = "cpu", *, name: str | None = None
    ) -> Scene:
        """Read what `save` wrote.

        Args:
            path: The file.
            device: Where to put it.
            name: What messages call the file, if not by its path.

        Raises:
            SceneError: If the file is missing, damaged or something else.
        """
        expected = "a scene saved as .safetensors"
        with open_tensors(path, SceneError, expected, MOST_BYTES, name=name, device=device) as file:
            if file.header.get("format") != FORMAT:
                raise SceneError(
                    f"{file.called}: found format {shown(file.header.get('format'))}, expected {FORMAT!r}; "
                    "a checkpoint is opened with --checkpoint, a scene file with render or export."
                )
            try:
                return _unpacked(file, device)
            except ConfigError as error:
                raise SceneError(
                    f"{file.called}: the scene file is damaged ({sentence_part(error)}); save it again."
                ) from error


def _unpacked(file: TensorFile, device: torch.device | str) -> Scene:
    """A scene from an open file, once all that it says of itself is sound."""
    config = parse_json(file.header.get("decoder", ""), DecoderConfig, "decoder")
    provenance = parse_json(file.header.get("provenance", ""), dict[str, Any], "provenance")
    planes = file.entries["triplane"].shape if "triplane" in file.entries else ()
    sides = planes[2:] if len(planes) == 4 else (2, 2)  # any will do where it is refused below
    rows, cols = from_json(tuple[Side, Side], sides, "planes")
    wanted = {f"decoder.{name}": shape for name, shape in decoder_shapes(config).items()}
    wanted["triplane"] = (3, config.channels, rows, cols)
    if problem := file.problem(wanted):
        raise ConfigError(problem)
    decoder = TriplaneDecoder(config)
    weights = (name for name in wanted if name != "triplane")
    decoder.load_state_dict({n.removeprefix("decoder."): file.read(n) for n in weights})
    decoder = decoder.to(device).eval().requires_grad_(False)
    return Scene(TriplaneField(decoder, file.read("triplane").float()), provenance)
