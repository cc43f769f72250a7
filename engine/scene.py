"""A scene: one field and where it came from; the only thing saved, sent to the viewer and exported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from engine.config import from_json, to_json
from engine.errors import ConfigError, SceneError, one_line
from engine.fields.triplane import DecoderConfig, TriplaneDecoder, TriplaneField
from engine.files import MEGABYTE, regular, replacing

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
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> Scene:
        """Read what `save` wrote.

        Raises:
            SceneError: If the file is missing, damaged or something else.
        """
        path = regular(path, SceneError, "a scene saved as .safetensors", MOST_BYTES)
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise SceneError(
                f"{path}: not a readable safetensors file ({error}); expected a saved scene."
            ) from error
        if header.get("format") != FORMAT:
            raise SceneError(
                f"{path}: found format {header.get('format')!r}, expected {FORMAT!r}; "
                "a checkpoint is opened with --checkpoint, a scene file with render or export."
            )
        try:
            decoder = TriplaneDecoder(
                from_json(DecoderConfig, json.loads(header["decoder"]), "decoder")
            )
            weights = {
                k.removeprefix("decoder."): v
                for k, v in tensors.items()
                if k.startswith("decoder.")
            }
            decoder.load_state_dict(weights)
            provenance = json.loads(header["provenance"])
            triplane = tensors["triplane"]
        except (KeyError, TypeError, RuntimeError, ValueError, ConfigError) as error:
            raise SceneError(
                f"{path}: the scene file is damaged ({one_line(error)}); save it again."
            ) from error
        if triplane.ndim != 4 or triplane.shape[:2] != (3, decoder.config.channels):
            raise SceneError(
                f"{path}: found planes of shape {tuple(triplane.shape)}, expected 3 planes of "
                f"{decoder.config.channels} channels; save it again."
            )
        decoder = decoder.to(device).eval().requires_grad_(False)
        return cls(TriplaneField(decoder, triplane), provenance)
