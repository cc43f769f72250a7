"""One chair's choices, shared by the makers of all types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from engine.data.procedural.builder import Builder, Number
from engine.data.procedural.chairs.forms import rounded_off
from engine.data.procedural.chairs.materials import HIDDEN, Cover, pick, pick_cover, pick_frame
from engine.data.procedural.paint import Colour


class Design:
    """A chair's choices (materials, covers, sizes) and the geometry built so far."""

    def __init__(self, kind: str, mesh: Builder, noise: np.random.Generator, seed: int):
        self.kind = kind
        self.mesh = mesh
        self.noise = noise
        self.hidden, self.hidden_rgb = pick(np.random.default_rng([seed, 0x41DE]), HIDDEN)
        self.cover = pick_cover(noise)
        self.back, self.legs, self.arms = "none", "none", False
        self.extras: list[str] = []
        self.use_frame(0.1)

    def use_frame(self, metal: Number) -> None:
        """Samples the frame's material again."""
        self.frame_material, self.frame_name, self.frame = pick_frame(self.noise, metal)

    def use_frame_for_seat(self) -> None:
        """A seat of the frame's material."""
        cover = self.cover
        self.cover = Cover(
            self.frame_material,
            self.frame_name,
            self.frame,
            cover.second,
            cover.second_rgb,
        )

    def u(self, low: Number, high: Number) -> float:
        """A number between two."""
        return float(self.noise.uniform(low, high))

    def chance(self, probability: Number) -> bool:
        """True with a probability."""
        return bool(self.noise.uniform() < probability)

    def choose(self, names: dict[str, Number]) -> str:
        """A name, by weight."""
        weights = np.array(list(names.values()), float)
        return list(names)[self.noise.choice(len(weights), p=weights / weights.sum())]

    @property
    def back_cover(self) -> Cover:
        """Cover of the backrest."""
        return self.cover.plain(self.cover.pattern == "two-tone")

    @property
    def trim(self) -> Colour:
        """Colour of piping and buttons."""
        return self.cover.second_rgb

    def attributes(self) -> dict[str, Any]:
        """Everything that was chosen, as plain JSON."""
        cover = self.cover
        return {
            "chair_type": self.kind,
            "colour": cover.colour,
            "rgb": [round(float(value), 4) for value in cover.rgb],
            "material": cover.material,
            "pattern": cover.pattern,
            "second_colour": cover.second,
            "frame_material": self.frame_material,
            "frame_colour": self.frame_name,
            "back": self.back,
            "legs": self.legs,
            "arms": self.arms,
            "extras": self.extras,
            "hidden": self.hidden,
        }


@dataclass(frozen=True)
class Sheet:
    """Surface of a backrest: a sheet that leans, narrows and bends.

    Attributes:
        low: Lower edge, metres above the floor.
        high: Upper edge.
        y: Position of the lower edge's ends.
        bottom: Width below.
        top: Width above.
        lean: Metres backwards per metre upwards.
        bow: Distance by which the middle lies behind the ends.
        curl: How much further back the upper edge lies than leaning alone explains.
    """

    low: Number
    high: Number
    y: Number
    bottom: Number
    top: Number
    lean: Number = 0.15
    bow: Number = 0.0
    curl: Number = 0.0

    def point(self, u: np.ndarray | Number, v: np.ndarray | Number) -> Float[np.ndarray, "*n 3"]:
        """Points at shares `u` across, from -1 to 1, and `v` up, from 0 to 1."""
        u, v = np.broadcast_arrays(np.asarray(u, float), np.asarray(v, float))
        x = u * (self.bottom + (self.top - self.bottom) * v) / 2
        rise = (self.high - self.low) * v
        y = self.y - self.lean * rise - self.curl * v**2 - self.bow * (1 - u**2)
        return np.stack([x, y, self.low + rise], -1)

    def patch(
        self,
        u: tuple[Number, Number],
        v: tuple[Number, Number],
        shares: tuple[np.ndarray, np.ndarray],
        round_off: Number = 0.0,
    ) -> Float[np.ndarray, "r c 3"]:
        """A grid of points over a rectangle, rows upwards; `shares` are its nodes across and up."""
        across = u[0] + (u[1] - u[0]) * shares[0][None] * np.ones((len(shares[1]), 1))
        across = across * rounded_off(shares[1], round_off)[:, None]
        up = v[0] + (v[1] - v[0]) * shares[1][:, None]
        return self.point(across, up)
