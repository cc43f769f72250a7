"""Proportions of every body type, drawn from a source of randomness."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from engine.data.procedural.vehicles.body import Body
from engine.data.procedural.vehicles.cabin import Cabin

KINDS: tuple[tuple[str, float], ...] = (
    ("sedan", 24),
    ("hatchback", 12),
    ("estate", 7),
    ("coupe", 11),
    ("SUV", 14),
    ("off-roader", 5),
    ("van", 8),
    ("pickup", 8),
    ("bus", 4),
    ("box truck", 4),
    ("tanker", 3),
)
"""Body types and their weights."""


def car_shape(kind: str, noise: np.random.Generator) -> tuple[Body, Cabin]:
    """Body and greenhouse of a passenger car of one of the first six kinds."""
    return {
        "sedan": _sedan,
        "hatchback": _hatchback,
        "estate": _estate,
        "coupe": _coupe,
        "SUV": _suv,
        "off-roader": _offroader,
    }[kind](noise)


def _car(
    noise: np.random.Generator,
    *,
    length: float,
    width: float,
    height: float,
    belt: float,
    nose: float,
    tail: float,
    cowl: float,
    back: float,
    roof: tuple[float, float],
    wheel: float,
    sill: float,
    overhang: tuple[float, float],
    windows: tuple[tuple[float, float], ...],
    body: dict,
    cabin: dict,
) -> tuple[Body, Cabin]:
    """Body and cabin; `cowl`, `back` and `roof` are shares of the length from the nose."""

    def at(share: float) -> float:
        return length * (0.5 - share)

    lower = Body(
        length=length,
        width=width,
        sill=sill,
        wheel=wheel,
        axles=(length / 2 - overhang[0], -length / 2 + overhang[1]),
        corner_front=noise.uniform(0.16, 0.26),
        corner_rear=noise.uniform(0.12, 0.2),
        nose=nose,
        cowl=(at(cowl), belt),
        back=(at(back), belt + noise.uniform(0.0, 0.08)),
        tail=tail,
        **body,
    )
    upper = Cabin(
        front=at(cowl),
        roof_front=at(roof[0]),
        roof_rear=at(roof[1]),
        rear=at(back),
        height=height - cabin.get("crown", 0.06),
        windows=windows,
        **cabin,
    )
    return lower, upper


def _sedan(noise: np.random.Generator) -> tuple[Body, Cabin]:
    u = noise.uniform
    length, fast = u(4.35, 5.05), u(0, 1)
    belt = u(0.93, 1.0)
    return _car(
        noise,
        length=length,
        width=u(1.78, 1.92),
        height=u(1.40, 1.50),
        belt=belt,
        nose=belt - u(0.12, 0.2),
        tail=belt + u(0.02, 0.1),
        cowl=u(0.25, 0.30),
        back=0.83 + 0.09 * fast + u(-0.01, 0.02),
        roof=(u(0.40, 0.44), u(0.68, 0.72) + 0.02 * fast),
        wheel=u(0.32, 0.36),
        sill=u(0.19, 0.24),
        overhang=(u(0.84, 0.94), u(0.95, 1.08)),
        windows=((0.05, u(0.41, 0.45)), (0.475, u(0.78, 0.88))),
        body={"nose_drop": (u(0.25, 0.5), u(0.07, 0.13)), "tail_drop": (0.16, u(0.04, 0.1))}
        | {"barrel": u(0.05, 0.09), "bow_front": u(0.14, 0.26), "rake_front": u(0.05, 0.12)}
        | {"shoulder": u(0.09, 0.15), "bow_rear": u(0.08, 0.16)},
        cabin={"fall_rear": u(0.05, 0.12), "tumble": u(0.2, 0.28), "crown": u(0.05, 0.08)}
        | {"sunroof": (0.12, 0.9) if u() < 0.15 else (0.3, 0.62) if u() < 0.2 else None},
    )


def _hatchback(noise: np.random.Generator) -> tuple[Body, Cabin]:
    u = noise.uniform
    length, belt = u(3.65, 4.35), u(0.92, 1.02)
    doors = u() < 0.65
    rear = u(0.88, 0.94)
    windows = ((0.05, u(0.38, 0.42)), (0.45, rear)) if doors else ((0.05, 0.5), (0.54, rear))
    return _car(
        noise,
        length=length,
        width=u(1.68, 1.84),
        height=u(1.42, 1.58),
        belt=belt,
        nose=belt - u(0.1, 0.18),
        tail=belt + u(-0.02, 0.04),
        cowl=u(0.22, 0.28),
        back=u(0.955, 0.975),
        roof=(u(0.37, 0.42), u(0.82, 0.89)),
        wheel=u(0.30, 0.34),
        sill=u(0.19, 0.24),
        overhang=(u(0.74, 0.84), u(0.62, 0.72)),
        windows=windows,
        body={"nose_drop": (u(0.25, 0.45), u(0.07, 0.14)), "tail_drop": (0.1, 0.03)}
        | {"barrel": u(0.05, 0.09), "bow_front": u(0.16, 0.28), "rake_front": u(0.05, 0.12)}
        | {"shoulder": u(0.09, 0.14), "bow_rear": u(0.08, 0.14)},
        cabin={"fall_rear": u(0.08, 0.16), "tumble": u(0.17, 0.24), "rear_glass": (0.12, 0.88)},
    )


def _estate(noise: np.random.Generator) -> tuple[Body, Cabin]:
    u = noise.uniform
    length, belt = u(4.45, 4.95), u(0.93, 1.0)
    return _car(
        noise,
        length=length,
        width=u(1.76, 1.88),
        height=u(1.44, 1.54),
        belt=belt,
        nose=belt - u(0.11, 0.18),
        tail=belt + u(0.0, 0.05),
        cowl=u(0.24, 0.28),
        back=u(0.96, 0.98),
        roof=(u(0.39, 0.42), u(0.87, 0.92)),
        wheel=u(0.31, 0.35),
        sill=u(0.20, 0.24),
        overhang=(u(0.84, 0.92), u(0.92, 1.02)),
        windows=((0.04, 0.33), (0.36, 0.63), (0.67, u(0.92, 0.95))),
        body={"nose_drop": (u(0.25, 0.45), u(0.07, 0.13)), "tail_drop": (0.1, 0.03)}
        | {"barrel": u(0.05, 0.08), "bow_front": u(0.14, 0.22), "rake_front": u(0.05, 0.12)},
        cabin={"fall_rear": u(0.06, 0.12), "tumble": u(0.18, 0.24), "rear_glass": (0.12, 0.86)},
    )


def _coupe(noise: np.random.Generator) -> tuple[Body, Cabin]:
    u = noise.uniform
    length, belt = u(4.1, 4.65), u(0.82, 0.92)
    cowl = u(0.27, 0.36)
    return _car(
        noise,
        length=length,
        width=u(1.82, 2.0),
        height=u(1.18, 1.36),
        belt=belt,
        nose=belt - u(0.12, 0.22),
        tail=belt + u(0.0, 0.12),
        cowl=cowl,
        back=u(0.87, 0.94),
        roof=(cowl + u(0.15, 0.18), u(0.62, 0.68)),
        wheel=u(0.33, 0.36),
        sill=u(0.14, 0.19),
        overhang=(u(0.86, 0.96), u(0.82, 0.95)),
        windows=((0.06, u(0.46, 0.5)), (0.53, u(0.68, 0.78))),
        body={"nose_drop": (u(0.4, 0.8), u(0.08, 0.14)), "tail_drop": (0.2, u(0.05, 0.12))}
        | {"barrel": u(0.08, 0.13), "bow_front": u(0.2, 0.34), "rake_front": u(0.08, 0.16)}
        | {"shoulder": u(0.13, 0.2), "bow_rear": u(0.12, 0.22), "rake_rear": u(0.08, 0.14)},
        cabin={"fall_rear": u(0.05, 0.1), "tumble": u(0.24, 0.32), "inset": u(0.07, 0.11)},
    )


def _suv(noise: np.random.Generator) -> tuple[Body, Cabin]:
    u = noise.uniform
    length, belt = u(4.2, 5.0), u(1.08, 1.2)
    long = length > 4.6
    windows = ((0.04, 0.35), (0.38, 0.68), (0.71, 0.93)) if long else ((0.04, 0.43), (0.46, 0.9))
    return _car(
        noise,
        length=length,
        width=u(1.84, 2.02),
        height=u(1.60, 1.80),
        belt=belt,
        nose=belt - u(0.12, 0.2),
        tail=belt + u(-0.02, 0.04),
        cowl=u(0.24, 0.28),
        back=u(0.955, 0.975),
        roof=(u(0.37, 0.40), u(0.82, 0.90)),
        wheel=u(0.36, 0.41),
        sill=u(0.28, 0.36),
        overhang=(u(0.84, 0.92), u(0.84, 0.95)),
        windows=windows,
        body={"nose_drop": (u(0.2, 0.4), u(0.08, 0.16)), "tail_drop": (0.1, 0.03)}
        | {"barrel": u(0.04, 0.08), "bow_front": u(0.12, 0.22), "rake_front": u(0.05, 0.12)}
        | {"shoulder": u(0.1, 0.16)},
        cabin={"fall_rear": u(0.06, 0.14), "tumble": u(0.17, 0.23), "rear_glass": (0.14, 0.86)},
    )


def _offroader(noise: np.random.Generator) -> tuple[Body, Cabin]:
    u = noise.uniform
    length, belt = u(3.7, 4.6), u(1.15, 1.28)
    windows = (
        ((0.05, 0.45), (0.5, 0.93)) if length < 4.2 else ((0.05, 0.34), (0.38, 0.64), (0.69, 0.94))
    )
    return _car(
        noise,
        length=length,
        width=u(1.74, 1.94),
        height=u(1.78, 1.98),
        belt=belt,
        nose=belt - u(0.03, 0.09),
        tail=belt,
        cowl=u(0.28, 0.34),
        back=u(0.975, 0.985),
        roof=(u(0.34, 0.38), u(0.955, 0.97)),
        wheel=u(0.38, 0.44),
        sill=u(0.38, 0.48),
        overhang=(u(0.66, 0.76), u(0.72, 0.82)),
        windows=windows,
        body={"nose_drop": (0.12, 0.06), "tail_drop": (0.08, 0.02), "barrel": 0.02}
        | {"bow_front": u(0.03, 0.08), "bow_rear": 0.03, "rake_front": 0.03, "rake_rear": 0.02}
        | {"shoulder": u(0.05, 0.08)},
        cabin={"fall_front": 0.02, "fall_rear": 0.02, "tumble": u(0.07, 0.12), "bow_front": 0.06}
        | {"bow_rear": 0.03, "bulge": 0.015, "crown": 0.05, "rear_glass": (0.15, 0.85)},
    )


def van_shape(noise: np.random.Generator, cargo: bool) -> tuple[Body, Cabin]:
    """A people carrier, or a panel van with windows in front only."""
    u = noise.uniform
    length, belt = u(4.6, 5.8), u(1.12, 1.28)
    height = u(1.85, 2.1) if not cargo else u(1.95, 2.5)
    cowl = u(0.14, 0.2)
    windows = ((0.05, u(0.22, 0.28)),)
    if not cargo:
        windows = ((0.04, 0.27), (0.30, 0.60), (0.63, 0.94))
    return _car(
        noise,
        length=length,
        width=u(1.88, 2.04),
        height=height,
        belt=belt,
        nose=belt - u(0.14, 0.26),
        tail=belt,
        cowl=cowl,
        back=0.98,
        roof=(cowl + u(0.10, 0.16), u(0.955, 0.97)),
        wheel=u(0.33, 0.37),
        sill=u(0.24, 0.32),
        overhang=(u(0.82, 0.95), u(0.9, 1.1)),
        windows=windows,
        body={"nose_drop": (u(0.2, 0.4), u(0.10, 0.2)), "tail_drop": (0.08, 0.02), "barrel": 0.04}
        | {"bow_front": u(0.14, 0.24), "bow_rear": 0.05, "rake_rear": 0.02},
        cabin={"fall_front": 0.08, "fall_rear": 0.04, "tumble": u(0.09, 0.15), "bow_rear": 0.05}
        | {"inset": 0.035, "bulge": 0.04, "sill": 0.1}
        | {"rear_glass": None if cargo and u() < 0.5 else (0.14, 0.75)},
    )


def pickup_shape(noise: np.random.Generator) -> tuple[Body, Cabin]:
    """A pickup with a single or a double cab and an open bed."""
    u = noise.uniform
    length, belt = u(5.0, 5.8), u(1.08, 1.2)
    double = u() < 0.5
    cowl, end = u(0.25, 0.28), u(0.62, 0.66) if double else u(0.50, 0.55)

    def at(share: float) -> float:
        return length * (0.5 - share)

    windows = ((0.05, 0.5), (0.55, 0.94)) if double else ((0.06, 0.9),)
    bed = (at(end + 0.035), at(0.965), u(0.42, 0.5))
    return _car(
        noise,
        length=length,
        width=u(1.86, 2.04),
        height=u(1.68, 1.86),
        belt=belt,
        nose=belt - u(0.06, 0.14),
        tail=belt,
        cowl=cowl,
        back=end,
        roof=(cowl + u(0.10, 0.13), end - u(0.015, 0.035)),
        wheel=u(0.37, 0.42),
        sill=u(0.34, 0.44),
        overhang=(u(0.88, 0.98), u(1.1, 1.25)),
        windows=windows,
        body={"nose_drop": (u(0.15, 0.3), u(0.06, 0.12)), "tail_drop": (0.05, 0.01), "barrel": 0.04}
        | {"bow_front": u(0.08, 0.16), "bow_rear": 0.03, "rake_rear": 0.02, "bed": bed}
        | {"shoulder": 0.07, "rake_front": 0.06},
        cabin={"fall_rear": 0.05, "tumble": u(0.16, 0.22), "bow_rear": 0.05},
    )


def bus_shape(noise: np.random.Generator) -> tuple[Body, Cabin]:
    """A city bus or a coach."""
    u = noise.uniform
    length, belt = u(7.5, 10.5), u(1.15, 1.45)
    count = int(noise.integers(5, 8))
    edges = np.linspace(0.015, 0.985, count + 1)
    windows = tuple((float(a + 0.008), float(b - 0.008)) for a, b in pairwise(edges))
    return _car(
        noise,
        length=length,
        width=u(2.35, 2.55),
        height=u(2.75, 3.2),
        belt=belt,
        nose=belt,
        tail=belt,
        cowl=0.006,
        back=0.994,
        roof=(u(0.012, 0.035), 0.985),
        wheel=u(0.46, 0.52),
        sill=u(0.3, 0.38),
        overhang=(length * u(0.2, 0.26), length * u(0.22, 0.28)),
        windows=windows,
        body={"nose_drop": (0.05, 0.01), "tail_drop": (0.05, 0.01), "barrel": 0.01, "crown": 0.02}
        | {"bow_front": u(0.1, 0.22), "bow_rear": 0.06, "rake_front": 0.03, "rake_rear": 0.01}
        | {"shoulder": 0.03},
        cabin={"fall_front": 0.04, "fall_rear": 0.04, "tumble": u(0.04, 0.08), "bow_rear": 0.06}
        | {"inset": 0.025, "bulge": 0.02, "sill": 0.06, "crown": 0.1, "bow_front": u(0.1, 0.22)},
    )


def truck_cab_shape(noise: np.random.Generator) -> tuple[Body, Cabin]:
    """The cab of a lorry; it stands at its own origin, its tail at -length / 2."""
    u = noise.uniform
    bonnet = u() < 0.35
    length, belt = (u(2.5, 2.9), u(1.35, 1.5)) if bonnet else (u(1.75, 2.05), u(1.3, 1.55))
    cowl = u(0.34, 0.4) if bonnet else u(0.02, 0.05)
    return _car(
        noise,
        length=length,
        width=u(2.1, 2.35),
        height=u(2.25, 2.6),
        belt=belt,
        nose=belt - (u(0.1, 0.2) if bonnet else 0.03),
        tail=belt,
        cowl=cowl,
        back=0.97,
        roof=(cowl + u(0.10, 0.18), 0.95),
        wheel=u(0.44, 0.5),
        sill=u(0.36, 0.46),
        overhang=(u(0.8, 0.95), -9.0),
        windows=((0.07, u(0.62, 0.75)),),
        body={
            "nose_drop": (0.15, 0.05),
            "tail_drop": (0.05, 0.01),
            "barrel": 0.02,
            "shoulder": 0.05,
        }
        | {"bow_front": u(0.08, 0.18), "bow_rear": 0.0, "rake_front": 0.03, "rake_rear": 0.0},
        cabin={"fall_front": 0.05, "fall_rear": 0.02, "tumble": u(0.07, 0.13), "bow_rear": 0.0}
        | {"inset": 0.03, "bulge": 0.02, "bow_front": 0.12, "rear_glass": None},
    )
