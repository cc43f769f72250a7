"""Procedural chairs: a scene is a pure function of its seed."""

from engine.data.chairs.chair import build_chair as build_chair
from engine.data.chairs.labels import PARTS as PARTS
