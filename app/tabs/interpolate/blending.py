"""Interpolation between objects: corners, keyframes between them, and the object at the dragged point. No gradio."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from app.session.jobs import Job, JobRunner, State
from app.session.records import Record
from app.session.session import Session
from app.tabs.interpolate.variation import direction_names, keep
from app.tabs.interpolate.ways import WAYS, Way, ways_of
from engine.config import to_json
from engine.errors import ConfigError
from engine.events import Run, Step
from engine.explore.interpolate import (
    Corner,
    between,
    blend,
    blend_parts,
    grid_points,
    likeness,
    path,
    path_options,
    with_noise,
)
from engine.methods.base import Method, can, options_of
from engine.noise import Noise
from engine.store.timeline import on_cpu, result_step

CORNERS = 4
LINE, PAD = 9, 5
"""Keyframes of a path between two, and along each side of a pad."""
FILM_FRAMES, FILM_SIZE = 49, 320
"""Pictures of a film, and their side in pixels."""
INVERSION = 100
"""Noise levels of an inversion."""


@dataclass
class Placed:
    """A corner of the pad.

    Attributes:
        record: The object.
        corner: Its latent, and its noise once that is known.
        own: True if it was sampled from that noise.
        back: Likeness of the object to what the path shows there, dB; None while unknown.
    """

    record: Record
    corner: Corner
    own: bool
    back: float | None = None


@dataclass(frozen=True)
class Keyframes:
    """Objects that span a path or a pad.

    Attributes:
        steps: Steps of the run that sampled them.
        codes: `rows cols *latent_shape`.
        backs: Likeness of each corner's object to what they show there, dB.
    """

    steps: Sequence[Step]
    codes: Tensor
    backs: Sequence[float]


class Blend:
    """Interpolation of one session."""

    def __init__(self, session: Session):
        self.session = session
        self.placed: list[Placed] = []
        self.way: Way = "slerp"
        self.mode = "ours"
        self.point = (0.5, 0.5)
        self.codes: Tensor | None = None
        """Latents of the keyframes, `rows cols *latent_shape`, once they are complete."""
        self.record: Record | None = None
        """The object at `point`; its frames are the keyframes and then that object."""
        self.filmed: Path | None = None
        """The film of the path that was written last, until something else is asked for."""
        self._steps: list[Step] = []
        """Steps of the run that sampled that object; none if it is interpolated."""
        self._about: dict[str, Any] = {}
        self._drawn: dict[tuple[Way, str], Keyframes] = {}
        """Of these corners: people go to and fro between the ways."""
        self._moves = itertools.count(1)
        self._move = self._count = 0

    # -- corners ---------------------------------------------------------------------------------

    def add(self, record: Record) -> None:
        """Put an object into the next free corner.

        Raises:
            ConfigError: If there is no room, the object is not finished, or another model made it.
        """
        self.check_room(record.method)
        if record.state != "done" or record.latent(-1) is None:
            raise ConfigError(f"{record.title} is not finished; wait for it, or take another.")
        latent, noise = record.latent(-1).to(record.method.mean_latent.device), own_noise(record)
        corner = Corner(latent, noise, record.title)
        self.placed.append(Placed(record, corner, noise is not None))
        self._drawn = {}
        self._outdate()

    def check_room(self, method: Method) -> None:
        """Refuse one more object of a method if there is no corner for it.

        Raises:
            ConfigError: With the reason.
        """
        if len(self.placed) == CORNERS:
            raise ConfigError("All four corners are taken; remove one first.")
        if self.placed and method is not self.method:
            raise ConfigError(
                f"That is of another model than {self.placed[0].record.title}, and their latents have nothing in common; "
                "choose objects of one model."
            )
        if not (ways := ways_of(method)):
            raise ConfigError(
                f"{method.info.title} has no way between two objects; choose another model."
            )
        if self.way not in ways:
            self.way = ways[0]

    def remove(self, place: int) -> None:
        """Take an object out of its corner; those after it move up."""
        if 0 <= place < len(self.placed):
            del self.placed[place]
            self._drawn = {}
            self._outdate()

    def choose(self, way: str, mode: str) -> None:
        """Choose another way of interpolation.

        Raises:
            ConfigError: If there is no such way or mode.
        """
        ways = ways_of(self.method) if self.placed else tuple(WAYS)
        modes = modes_of(self.method if self.placed else self.session.method)
        if way not in ways or mode not in modes:
            raise ConfigError(
                f"Found way {way!r} and mode {mode!r}, expected {', '.join(ways)}, and {' or '.join(modes)}."
            )
        self.way, self.mode = way, mode
        self._outdate()

    @property
    def method(self) -> Method:
        """The method that made the corners."""
        return self.placed[0].record.method

    @property
    def options(self) -> Any:
        """Options by which each point is sampled."""
        corners = [placed.corner for placed in self.placed]
        return path_options(self.method, self._usual, corners)

    @property
    def _usual(self) -> Any:
        return (
            options_of(self.method, "generate", self.mode) if can(self.method, "generate") else None
        )

    @property
    def seed(self) -> int:
        """Seed of the draws that all points share: the first corner's, so that a sampled corner is exact."""
        return int(self.placed[0].record.provenance.get("seed", 0))

    def _outdate(self) -> None:
        self.codes = None
        for placed in self.placed:
            placed.back = None

    # -- keyframes -------------------------------------------------------------------------------

    def prepare(self, runner: JobRunner) -> Job | None:
        """Queue a job that samples the keyframes; None if there are fewer than two corners.

        Raises:
            QueueFullError: If too many runs wait already.
        """
        self.session.stop(runner)
        with self.session.cv:  # what is being drawn at a point of the old path comes too late
            self.codes, self.record, self._steps = None, None, []
            self._move = next(self._moves)
        if len(self.placed) < 2:
            return None
        placed, way, mode, seed = list(self.placed), self.way, self.mode, self.seed
        drawn, method = self._drawn, self.method
        usual, space = self._usual, WAYS[way][0]
        if space == "parts":
            placed, grid = (
                placed[:2],
                (2, 2),
            )  # straight between the two objects and their exchanges
        else:
            grid = (1, LINE) if len(placed) == 2 else (PAD, PAD)
        title = " to ".join(placed.record.title for placed in self.placed[:2])
        about = {"task": "interpolate", "way": way}
        if usual is not None:
            about |= {"settings": to_json(usual), "preset": mode}
        about |= {"checkpoint": method.checkpoint, "seed": seed}
        record = Record("blend", title, dict(about), [], method, listed=False)
        self.record, self._about = record, about

        made: list[Record] = []

        def run() -> Run[Tensor]:
            known = (way, mode) in drawn
            if space == "noise" and not known:
                for one in placed:
                    one.corner = yield from with_noise(method, one.corner, INVERSION)
            made.append(record)
            if known:
                yield from drawn[way, mode].steps
            else:
                drawn[way, mode] = yield from self._draw(placed, way, grid, usual, seed)
            for one, back in zip(placed, drawn[way, mode].backs, strict=False):
                one.back = back
            return drawn[way, mode].codes

        def on_end(job: Job, state: State) -> None:
            if state == "done" and self.record is record:
                self.codes = job.result
                self.move(*self.point)

        missing = sum(one.corner.x_T is None for one in placed)
        inverting = (("invert", INVERSION * missing), ("denoise", INVERSION * missing))
        drawing = (("path", grid[0] * grid[1]),)
        plan = (*(inverting if missing and space == "noise" else ()), *drawing)
        return self.session.start(runner, run, made, plan, on_end, on_begin=self.session.add)

    def _draw(
        self,
        all_placed: list[Placed],
        way: Way,
        grid: tuple[int, int],
        usual: Any,
        seed: int,
    ) -> Run[Keyframes]:
        """Sample the keyframes; changes meanwhile start another run."""
        method, (space, kind) = all_placed[0].record.method, WAYS[way]
        corners = [placed.corner for placed in all_placed]
        options = path_options(method, usual, corners)
        run = path(
            method, corners, grid_points(*grid), options=options, seed=seed, space=space, kind=kind
        )
        steps: list[Step] = []
        codes = (yield from _noted(run, steps)).unflatten(0, grid)
        ends = [codes[0, 0], codes[0, -1], codes[-1, 0], codes[-1, -1]]
        if space == "parts":
            ends = [codes[0, 0], codes[-1, -1]]
        backs = [
            likeness(method, end, corner.latent) for corner, end in zip(corners, ends, strict=False)
        ]
        return Keyframes(steps, codes, backs)

    # -- the object at the point -------------------------------------------------------------------

    def newest(self, count: int) -> bool:
        """True if no later message has arrived; the page numbers them."""
        late = 0 < count < self._count
        self._count = max(self._count, count)
        return not late

    def move(self, u: float, v: float) -> None:
        """Show the object between the keyframes, an approximation for dragging; nothing until there are keyframes."""
        with self.session.cv:
            if self.record is None:
                raise ValueError("there is no path")
            if self.codes is None:
                return
            self.point, self._move = (u, v), next(self._moves)
            self._show(between(self.codes, u, v))

    def settle(self, u: float, v: float) -> None:
        """Show the object there as the model samples it, unless the point moves meanwhile."""
        with self.session.cv:
            self.move(u, v)
            if self.codes is None:
                return
            mine, (space, kind) = self._move, WAYS[self.way]
            corners = [placed.corner for placed in self.placed]
            if space == "code":
                self._show(blend(torch.stack([one.latent for one in corners]), u, v, "lerp"))
                return
            if space == "parts":
                self._show(blend_parts(torch.stack([one.latent for one in corners[:2]]), u, v))
                return
            method, options, seed = self.method, self.options, self.seed
        x_T = blend(torch.stack([one.x_T for one in corners]), u, v, kind)
        run, steps = method.generate(1, options, Noise(seed), x_T=x_T[None]), []
        told = {"settings": to_json(options), "seed": seed}
        while self._move == mine:
            try:
                steps.append(on_cpu(next(run)))
            except StopIteration as end:
                with self.session.cv:
                    if self._move == mine:
                        self._show(end.value[0], steps, x_T.cpu(), told)
                return
        run.close()

    def finish(self) -> None:
        """Show the object at the point as the model samples it, if only the approximation is shown."""
        if not self._steps:
            self.settle(*self.point)

    def keep(self, title: str) -> Record:
        """Add the object at the point to the history, with all steps of the run that sampled it, if any."""
        with self.session.cv:
            return keep(self.session, self.record, title, self._steps)

    def _show(
        self,
        code: Tensor,
        steps: Sequence[Step] = (),
        noise: Tensor | None = None,
        told: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Show an object at the point, with the steps of the run that sampled it, if any."""
        record = self.record
        record.noise, record.provenance = noise, {**self._about, **told}
        self._steps = list(steps)
        keys = [step for step in record.frames if step.stage == "path"]
        self.session.change(record, frames=[*keys, result_step(code[None])])
        if self.session.record(record.id) is None:
            self.session.add(record)
        elif self.session.selection() != (record, len(keys)):
            self.session.select(record.id)

    # -- what others need ----------------------------------------------------------------------------

    def film(self, file: Path) -> Run[Path]:
        """Write the path from A to B as MP4 or GIF."""
        from engine.explore.film import even_points, path_film  # imageio is slow to import

        space, kind = WAYS[self.way]
        corners = [placed.corner for placed in self.placed[:2]]
        points = even_points(FILM_FRAMES)
        if space == "parts":
            points = [(u, u) for u, _ in points]
        codes = yield from path(
            self.method,
            corners,
            points,
            options=self.options,
            seed=self.seed,
            space=space,
            kind=kind,
        )
        fps = 20 if file.suffix == ".gif" else 24
        return (yield from path_film(self.method, codes, file, size=FILM_SIZE, fps=fps))

    def report(self) -> Mapping[str, Any]:
        """Corners and settings for the page."""
        method = self.method if self.placed else self.session.method
        ways = ways_of(method)
        return {
            "corners": [
                {
                    "record": placed.record.id,
                    "title": placed.record.title,
                    "own": placed.own,
                    "returned": _finite(placed.corner.returned),
                    "back": _finite(placed.back),
                }
                for placed in self.placed
            ],
            "way": self.way if self.way in ways or not ways else ways[0],
            "ways": ways,
            "parts": method.info.capabilities.edit,
            "draws": can(self.session.method, "generate"),
            "directions": direction_names(self.session.selection()[0].method),
            "mode": self.mode,
            "modes": modes_of(method),
            "point": self.point,
            "ready": self.codes is not None,
            "film": None if self.filmed is None else address(self.session, self.filmed),
            "record": None if self.record is None else self.record.id,
            "version": 0 if self.record is None else self.record.version,
        }


def modes_of(method: Method) -> list[str]:
    """Names of the procedures by which a method samples the points of a path."""
    return [*method.presets.get("generate", ())] or ["ours"]


def address(session: Session, file: Path) -> str:
    """The address of a film of a path; another after every time that it was written."""
    made = file.stat().st_mtime_ns if file.is_file() else 0
    return f"path/{session.token}/{file.parent.name}/{file.name}?made={made}"


def own_noise(record: Record) -> Tensor | None:
    """The noise that an object was sampled from, `*latent_shape`; None if it was not sampled from noise alone."""
    if record.trunk is not None or "trunk" in record.provenance:
        return None
    if record.noise is not None:
        return record.noise
    if record.kind != "generate" or not isinstance(record.provenance.get("seed"), int):
        return None
    return record.method.starting_noise(1, Noise(record.provenance["seed"]))[0]


def _noted(run: Run[Tensor], steps: list[Step]) -> Run[Tensor]:
    """The same run, its steps added to `steps`."""
    while True:
        try:
            step = next(run)
        except StopIteration as end:
            return end.value
        steps.append(on_cpu(step))
        yield step


def _finite(decibels: float | None) -> float | None:
    """Decibels as a JSON number: 99 for equal pictures."""
    return None if decibels is None else min(decibels, 99.0)
