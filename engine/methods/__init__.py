"""The methods of the engine, by name. A method never imports another."""

from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.model import SSDNeRFConfig

METHODS = {"ssdnerf": (SSDNeRF, SSDNeRFConfig)}
"""Method class and config class by name."""
