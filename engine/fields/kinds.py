"""The kinds of fields that files may hold."""

from __future__ import annotations

from engine.fields.base import Field
from engine.fields.conditional import ConditionalField
from engine.fields.triplane import TriplaneField

FIELDS: dict[str, type[Field]] = {field.kind: field for field in (TriplaneField, ConditionalField)}
"""Class of a field by its kind."""
