"""The command that films a path between two objects: `launch.py interpolate`."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from app.commands.settings import USUAL, Settings
from engine.errors import UnsupportedTaskError
from train.arguments import MAX_SIZE, check_range, check_seed

if TYPE_CHECKING:
    from torch import Tensor

    from engine.events import Run
    from engine.explore.interpolate import Corner
    from engine.methods.base import Invertible, Method
    from train.progress import Progress

MAX_FRAMES = 1000
INVERSION_STEPS = 100
"""Noise levels of an inversion, where the path's own settings undo none."""
Space = Literal["noise", "code"]


@dataclass(frozen=True)
class Interpolate:
    """Film the way from one object to another, through the model's noise or straight through latents."""

    from_: Annotated[str, tyro.conf.arg(name="from")]
    """Start of the path: a seed, or a scene.safetensors file."""
    to: str
    """End of the path, likewise."""
    out: Path
    """Film to write, .mp4 or .gif."""
    frames: int = 60
    """Pictures, both ends included."""
    keyframes: int = 17
    """Objects that the model samples, evenly along the way, both ends included; pictures between two of them blend their
    latents (0: sample every picture's object, which takes as many times as long as there are more pictures)."""
    space: Space | None = None
    """`noise`: blend the noises that the objects come from and let the model sample from each; a scene without
    known noise is inverted. `code`: blend the latents, which fades one object into the other (default: `noise` where the
    model has one)."""
    kind: Literal["slerp", "lerp"] = "slerp"
    """Way between two noises: `slerp` along the great circle, as published; `lerp` straight, through duller objects."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = USUAL
    """Settings of the sampling."""
    seed: int | None = None
    """Of the draws that all pictures share (default: the seed of the first object where it has one, else 0)."""
    turn: float = 0.0
    """Degrees that the camera goes round meanwhile."""
    size: int = 256
    """Side of the film, pixels."""
    fps: int = 30
    """Pictures per second."""
    strip: Path | None = None
    """PNG of nine pictures of the film side by side."""
    checkpoint: str = "vehicles"
    """Name under checkpoints/, or a folder."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Draw and write."""
        from engine.events import finish
        from engine.explore.film import even_points, path_film, path_strip
        from engine.explore.interpolate import filled, path, path_options
        from engine.methods.base import can
        from engine.output.video import save_picture
        from engine.store.checkpoint import open_method

        self._check()
        method = open_method(self.checkpoint, self.device)
        space = self._space(method)
        options = self.settings.of(method, "generate") if can(method, "generate") else None
        progress.restart()
        ends = [
            finish(corner_of(method, end, options, space), progress)
            for end in (self.from_, self.to)
        ]
        seed = self.seed if self.seed is not None else (seed_of(self.from_) or 0)
        options, points = path_options(method, options, ends), even_points(self._drawn(space))
        way = {"options": options, "seed": seed, "space": space, "kind": self.kind}
        codes = filled(finish(path(method, ends, points, **way), progress), self.frames)
        look = {"size": self.size, "turn_deg": self.turn}
        finish(path_film(method, codes, self.out, fps=self.fps, **look), progress)
        if self.strip is not None:
            save_picture(self.strip, path_strip(method, codes, **look))
        progress.close()
        told = (told_end(method, *pair) for pair in zip(ends, codes[[0, -1]], strict=True))
        drawn = f" ({len(points)} drawn)" if len(points) < self.frames else ""
        print(
            f"{self.out}: {self.frames} pictures{drawn}, from {' to '.join(told)}", file=sys.stderr
        )

    def _drawn(self, space: Space) -> int:
        """Number of objects on the path that are sampled; blending latents costs nothing."""
        every = space == "code" or not self.keyframes
        return self.frames if every else min(self.frames, self.keyframes)

    def _check(self) -> None:
        from engine.files import check_file
        from engine.output.video import check_film, check_picture

        for seed in (self.seed, seed_of(self.from_), seed_of(self.to)):
            if seed is not None:
                check_seed(seed)
        check_range("--frames", self.frames, 2, MAX_FRAMES)
        if self.keyframes:
            check_range("--keyframes", self.keyframes, 2, MAX_FRAMES)
        check_range("--size", self.size, 16, MAX_SIZE)
        check_range("--fps", self.fps, 1, 120)
        check_range("--turn", self.turn, -3600, 3600)
        check_film(self.out, self.fps)
        check_file(self.out)
        if self.strip is not None:
            check_picture(self.strip)
            check_file(self.strip)

    def _space(self, method: Method) -> Space:
        """Space to blend in: the chosen one, or the first that the method has.

        Raises:
            UnsupportedTaskError: If the method does not interpolate there.
        """
        told = method.info.capabilities.interpolate
        spaces = [name for name, space in (("noise", "noise"), ("code", "latent")) if space in told]
        if not spaces or self.space not in (None, *spaces):
            raise UnsupportedTaskError(
                f"Found a model of {method.info.title}, which interpolates in {' or '.join(spaces) or 'no space'}"
                f"{'' if self.space is None else f' and not in {self.space}'}; choose another --space or --checkpoint."
            )
        return self.space or spaces[0]


def corner_of(method: Method, end: str, options: Any, space: Space) -> Run[Corner]:
    """An end of the path, with its noise where that is wanted."""
    from engine.explore.interpolate import scene_corner, seed_corner, with_noise
    from engine.fields.scene import Scene

    seed = seed_of(end)
    if seed is not None:
        return (yield from seed_corner(method, seed, options))
    corner = yield from scene_corner(method, Scene.load(end), end)
    if space == "noise":
        corner = yield from with_noise(method, corner, inversion_steps(method, options))
    return corner


def inversion_steps(method: Invertible, options: Any) -> int:
    """Noise levels of an inversion: as many as the options themselves walk back, where they undo one."""
    steps = options.stages()[0][1]
    return steps if method.inverse_options(steps, options) == options else INVERSION_STEPS


def seed_of(end: str) -> int | None:
    """The seed that an end names; None for a file."""
    return int(end) if re.fullmatch(r"\d+", end) else None


def told_end(method: Method, corner: Corner, shown: Tensor) -> str:
    """Likeness of an end to what the film shows of it, in words."""
    from engine.explore.interpolate import likeness

    decibels = likeness(method, shown, corner.latent)
    told = "exact" if math.isinf(decibels) else f"shown at {decibels:.1f} dB"
    if corner.returned is None:
        return f"{corner.title} ({told})"
    return f"{corner.title} (inverted, returns at {corner.returned:.1f} dB, {told})"
