"""Procedural vehicles: a scene is a pure function of its seed."""

from engine.data.vehicles.mesh import PARTS as PARTS
from engine.data.vehicles.vehicle import SPLITS as SPLITS
from engine.data.vehicles.vehicle import Vehicle as Vehicle
from engine.data.vehicles.vehicle import build_vehicle as build_vehicle
from engine.data.vehicles.vehicle import render_vehicle as render_vehicle
from engine.data.vehicles.vehicle import scene_seed as scene_seed
