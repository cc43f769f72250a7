"""Completion: the marked part of an object, and proposals for the rest. No gradio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from app.session.jobs import Job, JobRunner
from app.session.records import Marked, Record
from app.session.session import Session
from engine.config import to_json
from engine.errors import ConfigError
from engine.events import Run
from engine.explore.completion import KeepFigures, judged
from engine.fields.base import MATTER
from engine.methods.base import options_of
from engine.noise import Noise
from engine.render.frames import bake, render
from engine.render.region import Region, surface_points
from engine.store.timeline import Kept
from engine.types import WORLD_PER_SRN

MOST = 3
"""Proposals of one run: with the original they fill the view."""
BRUSH_ROWS = 240
"""Rows of the picture that a stroke is projected with."""
LEAST_EDGE = 0.02
"""Least edge of a dragged box, SRN units."""
BRUSH_DEPTH = 0.08
"""Half the thickness of the part that a stroke marks, engine units."""
Box = tuple[float, float, float, float, float, float]
HALVES = {
    "front": (1, 0),
    "back": (1, 1),
    "top": (2, 0),
    "bottom": (2, 1),
    "left": (0, 1),
    "right": (0, 0),
}
"""Halves of an object's space: axis, and the end that is at the object's middle (0 the lower). It faces +y."""


class Keeping:
    """Marks and proposals of one session."""

    def __init__(self, session: Session):
        self.session = session
        self.original: Record | None = None
        self.box: Box | None = None
        self.region: Region | None = None
        """What is marked, with a box or without."""
        self.figures: KeepFigures | None = None
        self.proposals: list[Record] = []
        self._drawn: Counter[int] = Counter()
        """Proposals so far, by the number of their original."""

    # -- marking ---------------------------------------------------------------------------------

    def begin(self, record: Record | None = None) -> Record:
        """Take a record, or the one in view, as the object to keep a part of (for a proposal, its original).

        Raises:
            ConfigError: If its model cannot complete objects, or it is not finished.
        """
        if record is None:
            record = self.session.selection()[0]
            record = self.original if record in self.proposals else record
        if record is self.original:
            return record
        if not record.method.info.capabilities.complete:
            raise ConfigError(
                f"{record.method.info.title} cannot draw a part anew; choose another model."
            )
        if record.state != "done" or record.latent(-1) is None:
            raise ConfigError(f"{record.title} is not finished; wait for it, or take another.")
        self.original, self.proposals, self.figures = record, [], None
        self.box = self.region = None
        return record

    def half(self, name: str) -> None:
        """Mark a half of the object with a box that includes the empty space beside it, which then stays empty.

        Raises:
            ConfigError: If there is no such half.
        """
        if name not in HALVES:
            raise ConfigError(f"Found the half {name!r}, expected one of {', '.join(HALVES)}.")
        axis, end = HALVES[name]
        box = (self._field().aabb / WORLD_PER_SRN).cpu().clone()
        box[end, axis] = self._middle()[axis]
        self.mark_box(box.flatten().tolist())

    def mark_box(self, box: Sequence[float]) -> None:
        """Mark the part in a box given by two corners, SRN units.

        Raises:
            ConfigError: If they are not six numbers.
        """
        if len(box) != 6 or not all(np.isfinite(box)):
            raise ConfigError("Found no box, expected six numbers: x, y, z of two corners.")
        corners = torch.tensor(box, dtype=torch.float32).reshape(2, 3).sort(dim=0).values
        box = tuple(round(value, 4) for value in corners.flatten().tolist())
        self._mark(Region.from_box(corners * WORLD_PER_SRN, self._field().aabb.cpu()), box)

    def drag(self, corner: int, position: Sequence[float]) -> None:
        """Move one corner of the box (0 the lower one), never past the other."""
        if self.box is None:
            return
        values = list(self.box)
        for axis, value in enumerate(position):
            other = values[3 * (1 - corner) + axis]
            limit = other - LEAST_EDGE if corner == 0 else other + LEAST_EDGE
            values[3 * corner + axis] = min(value, limit) if corner == 0 else max(value, limit)
        self.mark_box(values)

    def brush(self, points: Sequence[Sequence[float]], width: float) -> None:
        """Mark the surface under a stroke over the current view.

        Args:
            points: Points of the stroke, from 0 0 at the view's upper left to 1 1.
            width: Width of the stroke, as a share of the view's height.

        Raises:
            ConfigError: If no surface is visible there.
        """
        camera = self.session.camera
        if camera is None or not points:
            raise ConfigError("There is no stroke; draw over the object in the view.")
        camera = camera.resized(BRUSH_ROWS, round(camera.width * BRUSH_ROWS / camera.height))
        field = self._field()
        seen = render(bake(field), camera)
        stroke = np.zeros((camera.height, camera.width), np.uint8)
        scaled = np.array(points, np.float64) * (camera.width, camera.height)
        thickness = max(round(width * camera.height), 1)
        line = scaled.round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(stroke, [line], False, 1, thickness)
        hit = torch.from_numpy(stroke).bool() & (seen.opacity.cpu() > 0.5)
        if not hit.any():
            raise ConfigError("The stroke misses the object; draw over the object in the view.")
        surface = surface_points(seen.depth.cpu(), camera)[hit]
        stroked = Region.from_surface(surface, BRUSH_DEPTH, field.aabb.cpu())
        brushed = self.region is not None and self.box is None
        self._mark(self.region | stroked if brushed else stroked)

    def clear(self) -> None:
        """Remove the mark."""
        self._mark(None)

    def show(self) -> None:
        """Show the mark on its object alone; another object in view starts without a mark."""
        try:
            self.begin()
        except ConfigError:
            self.original = self.box = self.region = self.figures = None
            self.proposals = []
        if self.region is not None:
            self._show()

    def face(self) -> None:
        """Show the object alone, for painting on it."""
        self._stand()
        self.session.compare([])

    def hide(self) -> None:
        """Hide the mark without removing it."""
        self.session.mark(None)

    def _mark(self, region: Region | None, box: Box | None = None) -> None:
        """Set another mark and discard measurements of the old one."""
        self.region, self.box, self.figures = region, box, None
        self._show()

    def _field(self):
        return self.session.scene(self.original).field

    def _middle(self) -> Tensor:
        """Centre of the box around the solid cells, SRN units."""
        baked = bake(self._field())
        low, high = baked.field.aabb.cpu()
        cells = (baked.cell_density.cpu() >= MATTER).nonzero()
        if not len(cells):
            raise ConfigError(f"{self.original.title} is empty; choose another object.")
        edges = (high - low) / torch.tensor(baked.cell_density.shape)
        first, last = cells.amin(0), cells.amax(0) + 1
        return (low + (first + last) / 2 * edges) / WORLD_PER_SRN

    def _show(self) -> None:
        if self.region is None:
            self.session.mark(None)
            return
        with self.session.cv:
            self.session.mark(Marked(self.region, self.box, self.drag))
            self.face()

    def _stand(self) -> None:
        """Show the original, even if the history has dropped it."""
        if self.session.record(self.original.id) is None:
            self.original.listed = False
            self.session.add(self.original)
        self.session.select(self.original.id)

    # -- proposals -------------------------------------------------------------------------------

    def propose(self, runner: JobRunner, count: int, seed: int) -> Job:
        """Queue some proposals for the rest; they appear beside the original as they form.

        Raises:
            ConfigError: If nothing is marked.
            QueueFullError: If too many runs wait already.
        """
        region = self.region
        if region is None:
            raise ConfigError(
                "Nothing is marked yet; choose a half, drag the box, or brush over what is to stay."
            )
        method, original = self.original.method, self.original
        options = options_of(method, "complete")
        kept = Kept(original.latent(-1).clone(), region)  # a view would keep its whole batch
        latent = kept.latent.to(method.mean_latent.device)
        seeds = [seed + k for k in range(min(max(count, 1), MOST))]
        self.proposals, self.figures = [], None
        made = self.proposals

        def begin(own: int) -> None:
            about = {
                "task": "regenerate",
                "seed": own,
                "settings": to_json(options),
                "preset": "ours",
            }
            about |= {"checkpoint": method.checkpoint, "of": original.title, "box": self.box}
            self._drawn[original.id] += 1
            title = f"Proposal {self._drawn[original.id]} of {original.title}"
            made.append(Record("regenerate", title, about, [], method, kept=kept))

        def run() -> Run[list[Tensor]]:
            results = []
            for own in seeds:
                begin(own)
                results.append((yield from method.complete(latent, region, options, Noise(own))))
                self.session.finish(made[-1], results[-1])
            found, *_ = judged(method, latent, region, [one[0] for one in results])
            for record, value in zip(made, found.kept_psnr, strict=False):
                record.figures["kept"] = value
            if self.proposals is made and self.region is region:
                self.figures = found
            return results

        def place(record: Record) -> None:
            """Show a new proposal beside the original and the earlier ones, unless another object has been taken."""
            self.session.add(record, select=False)
            if self.proposals is made and self.original is original:
                self._stand()
                self.session.compare([(one.id, None) for one in made])

        stages = tuple((stage, len(seeds) * n) for stage, n in options.stages())
        self.session.mark(None)
        return self.session.start(runner, run, made, stages, on_begin=place)

    def report(self) -> Mapping[str, Any]:
        """The marked part and the proposals, for the page."""
        region = self.region
        told = {
            "able": self.session.selection()[0].method.info.capabilities.complete,
            "original": None if self.original is None else self.original.title,
            "box": self.box,
            "brushed": region is not None and self.box is None,
            "share": None if region is None else float(region.cells.float().mean()),
            "proposals": [record.id for record in self.proposals],
        }
        if self.figures is not None:
            told["kept"] = self.figures.kept_psnr
            told["between"] = self.figures.between_psnr
        return told


def mark(session: Session, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Mark a part of what is shown, or show or hide the mark, as the tab's script asks; `act` says what.

    Raises:
        ConfigError: If it is not possible.
    """
    keeping, what = session.part(Keeping), wish["act"]
    if what not in ("show", "hide"):
        keeping.begin()
    if what == "half":
        keeping.half(str(wish["half"]))
    elif what == "box":
        keeping.mark_box([float(value) for value in wish["box"]])
    elif what == "stroke":
        keeping.brush(wish["points"], float(wish["width"]))
    elif what in ("show", "hide", "face", "clear"):
        getattr(keeping, what)()
    else:
        raise ConfigError(f"Found {what!r}, expected half, box, stroke, face, clear, show or hide.")
    return {}
