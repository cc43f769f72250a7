"""Procedural vehicles: a scene is a pure function of its seed."""

from engine.data.procedural.vehicles.labels import PARTS as PARTS
from engine.data.procedural.vehicles.vehicle import build_vehicle as build_vehicle
