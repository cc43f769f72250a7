"""Plain data of a session: records of objects with the steps of their runs, and how they are displayed."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from app.session.jobs import State
from engine.config import to_json
from engine.events import Step
from engine.explore.curves import Extent
from engine.methods.base import Method
from engine.ops.cameras import orbit_camera
from engine.render.region import Region
from engine.store.timeline import Kept, of_scene
from engine.types import Camera, Views

Channel = Literal["colour", "depth", "normals", "opacity"]
Look = Literal["x0", "x_t", "difference"]
"""View of a step: the prediction, the noisy state, or the difference of the two."""
Kind = Literal["generate", "reconstruct", "regenerate", "blend", "file", "prior"]
PAPER = {False: (1.0, 1.0, 1.0), True: (0.071, 0.082, 0.106)}
"""Behind the object in the light and the dark theme."""


@dataclass(eq=False)
class Record:
    """One object of the session: the steps of its run and what came out.

    Attributes:
        id: Number within the process.
        kind: Task or action that made it.
        title: Name for people.
        provenance: Seed, settings, camera: what a scene file keeps.
        frames: Steps so far, on the CPU, shared by all records of one run; the last one of a finished run is its result.
            A step whose codes were dropped has no latent.
        method: Method that made it and turns its latents into scenes.
        scene: Its place in the run's batch.
        views: Input pictures, or None.
        state: State of its run.
        error: One sentence, if it failed.
        psnrs: PSNR of the end on each input, dB.
        job: Number of its job; 0 for what no job made.
        trunk: Of a branch: the record that it left, and after which of its steps.
        made: When, seconds since 1970.
        pinned: Whether it is kept whatever comes.
        listed: Whether it belongs to the history.
        version: Raised when its frames are replaced instead of added to.
        extents: How much there is of its steps, by place and as far as somebody asked.
        noise: What it starts from where that is not its seed's, `*latent_shape`.
        figures: Numbers about it, by name.
        kept: Of a proposal: what it was to keep of which object.
    """

    kind: Kind
    title: str
    provenance: dict[str, Any]
    frames: list[Step]
    method: Method
    scene: int = 0
    views: Views | None = None
    state: State = "queued"
    error: str | None = None
    psnrs: tuple[float, ...] = ()
    job: int = 0
    trunk: tuple[int, int] | None = None
    made: float = field(default_factory=time.time)
    pinned: bool = False
    listed: bool = True
    version: int = 0
    extents: dict[int, Extent] = field(default_factory=dict)
    noise: Tensor | None = None
    figures: dict[str, float] = field(default_factory=dict)
    kept: Kept | None = None
    id: int = field(default_factory=itertools.count(1).__next__)

    @cached_property
    def inputs(self) -> dict[int, Views]:
        """The pictures that it was made from, one by one."""
        return {} if self.views is None else {k: self.views[[k]] for k in range(len(self.views))}

    def step(self, index: int) -> Step | None:
        """Frame `index` of this scene alone; None if its latent was dropped."""
        frame = self.frames[index]
        return None if frame.latent is None else of_scene(frame, self.scene)

    def steps(self) -> list[Step]:
        """Frames of this scene that still have their latents."""
        found = (self.step(place) for place in range(len(self.frames)))
        return [step for step in found if step is not None]

    def latent(self, index: int, look: Look = "x0") -> Tensor | None:
        """A code of frame `index`, `*latent_shape`; None if it was dropped. What has no noisy state is clean."""
        frame = self.frames[index]
        batch = (
            frame.noisy_latent if look == "x_t" and frame.noisy_latent is not None else frame.latent
        )
        return None if batch is None else batch[self.scene].float()

    @property
    def sampling(self) -> Mapping[str, Any]:
        """Its settings by name, those within others too; of equal names the outer one counts."""
        return _flat(self.provenance.get("settings", {}))

    @property
    def preset(self) -> str:
        """Name of the preset that its settings began as; empty if they are of none. Older runs have it among them."""
        told = self.provenance
        return str(told.get("preset") or told.get("settings", {}).get("mode", ""))

    @property
    def psnr(self) -> float | None:
        """Mean PSNR on the inputs, or on what was to be kept: of the end, or of the last step that knew it."""
        if "kept" in self.figures:
            return self.figures["kept"]
        if self.psnrs:
            return sum(self.psnrs) / len(self.psnrs)
        known = (
            frame.scalars["psnr"] for frame in reversed(self.frames) if "psnr" in frame.scalars
        )
        return next(known, None)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for value in settings.values():
        found |= _flat(value) if isinstance(value, Mapping) else {}
    return found | {n: value for n, value in settings.items() if not isinstance(value, Mapping)}


@dataclass(frozen=True)
class Pane:
    """One object in the view.

    Attributes:
        record: The record.
        index: Index of its frame.
        look: `x0` or `x_t`.
    """

    record: Record
    index: int
    look: Look = "x0"

    @property
    def key(self) -> tuple[int, int, str, int]:
        """Unique key of the latent that it shows."""
        return self.record.id, self.index, self.look, self.record.version


@dataclass(frozen=True)
class Display:
    """Display settings of the viewport."""

    channel: Channel = "colour"
    look: Look = "x0"
    cameras: bool = True
    """Show the inputs' frusta."""
    ground: bool = True
    overlay: bool = False
    """Lay an input picture over the render when the view is at its camera."""
    background: tuple[float, float, float] = PAPER[False]


@dataclass(frozen=True, eq=False)
class Marked:
    """Marked part of the object that is shown.

    Attributes:
        region: The tinted part.
        box: Its lower and upper corner, SRN units, if it is a box.
        drag: Called with the number of a corner (0 the lower one) and where somebody has dragged it, SRN units.
    """

    region: Region
    box: tuple[float, ...] | None
    drag: Callable[[int, Sequence[float]], None]


@dataclass(frozen=True)
class Flight:
    """A wish to move the viewport's camera; `number` tells wishes apart."""

    number: int
    camera: Camera


@dataclass(frozen=True)
class Snapshot:
    """Content of the viewport: panes side by side, or with `difference` the difference of two."""

    revision: int
    panes: tuple[Pane, ...]
    difference: bool
    slots: Mapping[int, Views]
    """Pictures whose cameras stand in the view: those that wait for a run, or those of what is shown."""
    display: Display
    flight: Flight
    marked: Marked | None = None


def generated(method: Method, options: Any, preset: str, seed: int, count: int) -> list[Record]:
    """Records of a run that draws objects from consecutive seeds, one for each."""
    frames: list = []
    common = {
        "task": "generate",
        "settings": to_json(options),
        "preset": preset,
        "checkpoint": method.checkpoint,
    }
    return [
        Record(
            "generate",
            f"Seed {seed + place}",
            {**common, "seed": seed + place},
            frames,
            method,
            scene=place,
        )
        for place in range(count)
    ]


def home(azimuth_deg: float = 56.0) -> Camera:
    """Camera of a newcomer, beside a view at `azimuth_deg` whose frustum would otherwise hide the object."""
    camera = orbit_camera(azimuth_deg - 24.0, 18.0, 2.6)
    focal = camera.height / 2 / math.tan(math.radians(27.5) / 2)
    return replace(camera, intrinsics=torch.tensor([focal, focal, 64.0, 64.0]))
