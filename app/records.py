"""What a session keeps and shows: frames of runs, records of objects, how they are displayed. Plain data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from app.jobs import State
from engine.methods.base import Method
from engine.ops.cameras import orbit_camera
from engine.types import Camera, Views

Channel = Literal["colour", "depth", "normals", "opacity"]
PAPER = {False: (1.0, 1.0, 1.0), True: (0.071, 0.082, 0.106)}
"""Behind the object in the light and the dark theme."""


@dataclass(frozen=True)
class Frame:
    """One step of a run: enough to render it from any angle.

    Attributes:
        stage: Stage of the step, or "result".
        index: Steps of the stage finished.
        total: Steps of the stage.
        latent: Predicted scenes, half precision on the CPU, `scenes *latent_shape`; None once it was dropped.
        scalars: The step's numbers.
    """

    stage: str
    index: int
    total: int
    latent: Tensor | None
    scalars: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Record:
    """One object of the session: the frames of its run and what came out.

    Attributes:
        id: Number within the process.
        kind: How it was made.
        title: Name for people.
        provenance: Seed, settings, camera: what a scene file keeps.
        scene: Its place in the run's batch.
        frames: Steps so far, shared by all records of one run.
        method: What made it, and turns its latents into scenes.
        views: Input pictures, or None.
        state: Where its run stands.
        error: One sentence, if it failed.
        psnrs: PSNR of the end on each input, dB.
        job: Number of its job; 0 for what no job made.
    """

    kind: Literal["generate", "reconstruct", "prior"]
    title: str
    provenance: dict[str, Any]
    frames: list[Frame]
    method: Method
    scene: int = 0
    views: Views | None = None
    state: State = "queued"
    error: str | None = None
    psnrs: tuple[float, ...] = ()
    job: int = 0
    id: int = field(default_factory=itertools.count(1).__next__)

    def latent(self, index: int) -> Tensor | None:
        """Frame `index`'s latent of this scene, float32; None if it was dropped."""
        batch = self.frames[index].latent
        return None if batch is None else batch[self.scene].float()

    @property
    def psnr(self) -> float | None:
        """Mean PSNR on the inputs: of the end, or of the last step that knew it."""
        if self.psnrs:
            return sum(self.psnrs) / len(self.psnrs)
        known = (
            frame.scalars["psnr"] for frame in reversed(self.frames) if "psnr" in frame.scalars
        )
        return next(known, None)


@dataclass(frozen=True)
class Display:
    """How the viewport shows things."""

    channel: Channel = "colour"
    cameras: bool = True
    """Whether the inputs' frusta are shown."""
    ground: bool = True
    overlay: bool = False
    """Whether an input picture is laid over the render when one stands at its camera."""
    background: tuple[float, float, float] = PAPER[False]


@dataclass(frozen=True)
class Flight:
    """A wish to move the viewport's camera; `number` tells wishes apart."""

    number: int
    camera: Camera


@dataclass(frozen=True)
class Snapshot:
    """What the viewport should draw now."""

    revision: int
    record: Record
    index: int
    slots: Mapping[int, Views]
    display: Display
    flight: Flight


def home(azimuth_deg: float = 56.0) -> Camera:
    """Where a visitor stands: beside somebody at `azimuth_deg`, so that their frustum does not hide the object."""
    camera = orbit_camera(azimuth_deg - 24.0, 18.0, 2.6)
    focal = camera.height / 2 / math.tan(math.radians(27.5) / 2)
    return replace(camera, intrinsics=torch.tensor([focal, focal, 64.0, 64.0]))


def half(latent: Tensor) -> Tensor:
    """A latent as frames keep it: half precision, on the CPU."""
    return latent.detach().to("cpu", torch.float16)


def final_frame(latents: Tensor) -> Frame:
    """The frame of what a run returned, in full precision."""
    return Frame("result", 1, 1, latents.detach().cpu().float())
