"""Procedural chairs: a scene is a pure function of its seed."""

from engine.data.procedural.chairs.chair import build_chair as build_chair
from engine.data.procedural.chairs.labels import PARTS as PARTS
