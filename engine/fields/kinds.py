"""The kinds of fields that files may hold."""

from __future__ import annotations

from engine.fields.base import StoredField
from engine.fields.blobs import BlobField
from engine.fields.conditional import ConditionalField
from engine.fields.triplane import TriplaneField
from engine.fields.voxel import VoxelField

FIELDS: dict[str, type[StoredField]] = {
    field.kind: field for field in (TriplaneField, ConditionalField, VoxelField, BlobField)
}
"""Class of a field by its kind."""
