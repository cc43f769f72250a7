"""Procedural vehicles: a scene is a pure function of its seed."""

from engine.data.vehicles.labels import PARTS as PARTS
from engine.data.vehicles.vehicle import build_vehicle as build_vehicle
