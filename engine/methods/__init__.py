"""The methods of the engine, by name. A method never imports another."""

from engine.methods.codenerf.method import CodeNeRF
from engine.methods.codenerf.model import CodeNeRFConfig
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.methods.toy import ToyConfig, ToyMethod

METHODS = {
    "ssdnerf": (SSDNeRF, SSDNeRFConfig),
    "codenerf": (CodeNeRF, CodeNeRFConfig),
    "toy": (ToyMethod, ToyConfig),
}
"""Method class and config class by name."""


def method_of(config: object) -> type:
    """The class of the method that a config belongs to."""
    return {kind: method for method, kind in METHODS.values()}[type(config)]
