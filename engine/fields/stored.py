"""The one format of files with tensors: safetensors with a JSON header that describes them.

`format` is `FORMAT`, `holds` names what the file is of, `field` the kind and config of a radiance field whose weights are
the tensors `field.NAME`. What a header claims is checked before a tensor is read. Files of format 1, whose only fields
were triplanes, still open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from safetensors.torch import save
from torch import Tensor

from engine import NAME
from engine.config import Bounds, from_json, to_json
from engine.errors import ConfigError
from engine.fields.base import StoredField
from engine.fields.kinds import FIELDS
from engine.files import replacing
from engine.reading import TensorFile, parse_json

FORMAT = "radiance-field-explorer/2"
Holds = Literal["scene", "run"]
OLD_FORMATS: Mapping[str, Holds] = {
    f"{NAME}-scene/1": "scene",
    f"{NAME}-timeline/1": "run",
}
"""Contents of files of format 1, by their format's name."""


@dataclass(frozen=True)
class _FieldHeader:
    """Kind and config of a field."""

    kind: Annotated[str, Bounds(1, 100)]
    config: Any


def write(
    path: Path | str, holds: Holds, header: Mapping[str, Any], tensors: dict[str, Tensor]
) -> Path:
    """Write a file whole or not at all; header values become JSON.

    Raises:
        WriteError: If it cannot be written.
    """
    texts = {name: json.dumps(value) for name, value in header.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"format": FORMAT, "holds": holds, **texts}))
    return Path(path)


def content(file: TensorFile) -> tuple[Holds | None, bool]:
    """Contents of an open file, "scene" or "run" (None for any other file), and True if it is of format 1."""
    told = file.header.get("format")
    if told in OLD_FORMATS:
        return OLD_FORMATS[told], True
    holds = file.header.get("holds")
    return (holds, False) if told == FORMAT and holds in ("scene", "run") else (None, False)


def field_header(field: StoredField) -> dict[str, Any]:
    """Kind and config of a field, as JSON."""
    return {"kind": field.kind, "config": to_json(field.config)}


def field_of(file: TensorFile) -> tuple[type, Any, dict[str, tuple[str, tuple[int, ...]]]]:
    """Class and config of a file's field, and its weights' names in the file and shapes, by their names in the field.

    Raises:
        ConfigError: If the header is not sound.
    """
    if content(file)[1]:
        kind, prefix = FIELDS["triplane"], "decoder"
        config = parse_json(file.header.get("decoder", ""), kind.config_type, "decoder")
    else:
        prefix, told = "field", parse_json(file.header.get("field", ""), _FieldHeader, "field")
        if told.kind not in FIELDS:
            raise ConfigError(
                f"found a field of kind {told.kind!r}, expected one of {', '.join(FIELDS)}"
            )
        kind = FIELDS[told.kind]
        config = from_json(kind.config_type, told.config, "field.config")
    shapes = kind.weight_shapes(config)
    return kind, config, {name: (f"{prefix}.{name}", shape) for name, shape in shapes.items()}
