"""Procedural tables: a scene is a pure function of its seed."""

from engine.data.procedural.tables.labels import PARTS as PARTS
from engine.data.procedural.tables.table import build_table as build_table
