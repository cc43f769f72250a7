"""Configs as JSON: nothing is guessed."""

import json
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from engine.config import from_json, to_json
from engine.diffusion.schedule import Schedule
from engine.errors import ConfigError
from engine.fields.triplane import DecoderConfig
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.methods.ssdnerf.options import FitOptions, RenoiseOptions
from engine.nets.unet2d import UNetConfig


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"]
    size: int = 3


@dataclass(frozen=True)
class Outer:
    inner: Inner
    rate: float = 0.5
    on: bool = False
    name: str | None = None
    steps: tuple[tuple[int, int], ...] = ((0, 1),)
    corner: tuple[float, float, float] = (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "config",
    [
        SSDNeRFConfig(),
        SSDNeRFConfig(
            decoder=DecoderConfig(scene_base=(4, 5), direction="concat"),
            unet=UNetConfig(channels=6, multipliers=(1, 2, 4)),
            schedule=Schedule(timesteps=10),
            tiled=True,
        ),
        FitOptions(renoise=RenoiseOptions(steps=3), rate_decay="linear"),
    ],
)
def test_configs_survive_json(config):
    assert from_json(type(config), json.loads(json.dumps(to_json(config)))) == config


def test_missing_keys_take_their_defaults_and_whole_numbers_count_as_floats():
    read = from_json(Outer, {"inner": {"kind": "a"}, "rate": 2, "corner": [1, 2, 3]})
    assert read == Outer(Inner("a"), rate=2.0, corner=(1.0, 2.0, 3.0))
    assert isinstance(read.rate, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inner": {"kind": "a", "sise": 1}},
            "config.inner: unknown key 'sise'; Inner has kind, size",
        ),
        ({"inner": {"kind": "c"}}, "config.inner.kind: found 'c', expected one of 'a', 'b'"),
        ({"inner": {"kind": "a", "size": 1.5}}, "config.inner.size: found 1.5, .* type int"),
        ({"inner": {"kind": "a", "size": True}}, "config.inner.size: found True, .* type int"),
        ({"inner": {}}, "config.inner: .*kind"),
        ({"inner": 3}, "config.inner: found 3, expected an object with the keys of Inner"),
        ({"rate": "fast"}, "config.rate: found 'fast', expected a value of type float"),
        ({"rate": True}, "config.rate: found True, expected a value of type float"),
        ({"on": 1}, "config.on: found 1, expected a value of type bool"),
        ({"name": 3}, "config.name: found 3, expected a value of type str"),
        ({"steps": [[0, 1, 2]]}, r"config.steps\[0\]: found 3 values, expected 2"),
        ({"steps": 5}, "config.steps: found 5, expected a list"),
        ({"corner": [1.0, 2.0]}, "config.corner: found 2 values, expected 3"),
    ],
)
def test_what_is_not_understood_is_named_with_its_place(change, message):
    with pytest.raises(ConfigError, match=message):
        from_json(Outer, {"inner": {"kind": "a"}} | change)


def test_an_optional_value_may_be_null_or_its_type():
    base = {"inner": {"kind": "a"}}
    assert from_json(Outer, base | {"name": None}).name is None
    assert from_json(Outer, base | {"name": "x"}) == replace(Outer(Inner("a")), name="x")
