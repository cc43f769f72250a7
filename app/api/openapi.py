"""The API's description in OpenAPI 3.1, generated from the table of its operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from app.api import schema
from engine import TITLE

if TYPE_CHECKING:
    from app.api.routes import Operation

VERSION = "1"
ERRORS = {
    "400": "Not as described, or not possible.",
    "404": "There is no such session, run or record.",
    "413": "Too large.",
    "429": "Too much at once; try again later.",
}


def describe(operations: Sequence[Operation], root_path: str) -> dict[str, Any]:
    """An OpenAPI document.

    Args:
        operations: The API's operations.
        root_path: Prefix under which a proxy serves the explorer.
    """
    kinds = {schema.Problem}
    kinds |= {
        kind for one in operations for kind in (one.asked, one.told) if kind not in (None, bytes)
    }
    names = sorted(kinds, key=lambda kind: kind.__name__)
    references, components = msgspec.json.schema_components(
        names, ref_template="#/components/schemas/{name}"
    )
    reference = dict(zip(names, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(f"/api{one.path}", {})[one.verb.lower()] = _operation(one, reference)
    prefix = root_path.strip("/")
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "servers": [{"url": f"/{prefix}" if prefix else "/"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(one: Operation, reference: dict[type, Any]) -> dict[str, Any]:
    told = {"description": "Done."}
    if one.told is not None:
        told["content"] = {"application/json": {"schema": reference[one.told]}}
    problem = {"application/json": {"schema": reference[schema.Problem]}}
    found = {
        "summary": one.summary,
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string" if name == "session" else "integer"},
            }
            for name in re.findall(r"{(\w+)}", one.path)
        ],
        "responses": {
            str(one.status): told,
            **{code: {"description": text, "content": problem} for code, text in ERRORS.items()},
        },
    }
    if one.asked is bytes:
        found["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    elif one.asked is not None:
        content = {"application/json": {"schema": reference[one.asked]}}
        found["requestBody"] = {"required": True, "content": content}
    return found
