"""One browser tab's state: pictures, runs, what is shown. No gradio and no viser.

`Showing` is what is shown of it. Everything here returns in milliseconds except `baked`, which prepares a scene for
rendering, and `prepared`, which waits for that as long as it is told to.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from app.session import room
from app.session.bakes import Bakes
from app.session.jobs import Job, JobRunner, Owner, Plan, State
from app.session.notices import Notices
from app.session.presence import Presence
from app.session.priors import Prior
from app.session.records import Display, Look, Pane, Record
from app.session.showing import Showing
from app.settings import AppSettings
from engine import NAME
from engine.events import Run, Step
from engine.fields.base import Field
from engine.fields.scene import Scene
from engine.kernels import compiled
from engine.methods.base import Method
from engine.ops.metrics import psnr
from engine.render.frames import Baked, bake, render_views
from engine.render.live import SMALL, live
from engine.store.timeline import on_cpu, result_step, step_bytes
from engine.types import Camera

T = TypeVar("T")


class Session(Showing, Presence):
    """The state of one tab."""

    def __init__(
        self,
        prior: Prior,
        settings: AppSettings,
        token: str = "",
        display: Display | None = None,
        address: str = "",
        folder: Path | None = None,
    ):
        """`token` opens the session's view; `address` is its client's; its own files lie in a folder below `folder`."""
        super().__init__(display or Display())
        self.token = token
        self.address = address
        self.prior = prior
        self.settings = settings
        self._starting = threading.RLock()
        self.notices = Notices(self.stir)
        self.job: Job | None = None
        self.history: list[Record] = []
        self.closed = False
        self.unkept = ""
        """One sentence if results would not survive a restart."""
        self.brushes: dict[int, np.ndarray] = {}
        """Painted masks by slot, `height width` bool at the picture's size."""
        self.camera: Camera | None = None
        """From where the view was drawn last."""
        self._bakes = Bakes(self.refresh)
        self._folder = tempfile.TemporaryDirectory(prefix=f"{NAME}-session-", dir=folder)
        self._parts: dict[Any, Any] = {}
        self._greet()

    @property
    def method(self) -> Method:
        """The method that runs begin with."""
        return self.prior.method

    def use(self, prior: Prior) -> None:
        """Use another model and show one of its objects; results of the others stay."""
        with self.cv:
            if prior is not self.prior:
                self.prior, self._marked = prior, None
                self._greet()
                self._forget()
                self._changed()

    def _greet(self) -> None:
        """Show the prior's first object."""
        frames = [result_step(self.prior.first_latent[None])]
        record = Record("prior", "From the training set", {}, frames, self.method, state="done")
        record.listed = False
        self._records[record.id] = record
        self._bakes.adopt(Pane(record, 0).key, self.prior.greeting)
        self._selected, self._beside = (record.id, None), ()

    def part(self, kind: Callable[[Session], T]) -> T:
        """The one `kind` of this session (what a tab of the panel keeps for it); made when first asked for."""
        with self.cv:
            if kind not in self._parts:
                self._parts[kind] = kind(self)
            return self._parts[kind]

    @property
    def busy(self) -> bool:
        """True if a run of it goes on or waits."""
        return self.job is not None and not self.job.ended

    def scene(self, record: Record, index: int = -1, look: Look = "x0") -> Scene:
        """A frame as a scene with the record's provenance."""
        latent = record.latent(index, look)
        if latent is None:
            latent = record.latent(-1)
        latent = latent.to(record.method.mean_latent.device)
        return record.method.scene(latent, **record.provenance)

    def baked(self, record: Record, index: int, look: Look = "x0") -> Baked:
        """A frame made ready for fast rendering; the latest few are kept."""
        pane = Pane(record, index, look)
        return self._bakes.get(pane.key, lambda: live(self._field(pane))).result()

    def glance(self, record: Record, index: int, look: Look = "x0") -> Baked:
        """The same for one small picture."""
        pane = Pane(record, index, look)
        return self._bakes.glance(pane.key, lambda: live(self._field(pane), SMALL))

    def prepared(self, pane: Pane, patience_s: float) -> Baked | None:
        """The same without waiting long for it: None if it is not there by then, and a change when it is."""
        return self._bakes.prepared(pane.key, lambda: live(self._field(pane)), patience_s)

    def exact(self, record: Record) -> Baked:
        """The newest frame as it is, for pictures that are measured or kept."""
        baked, field = self.baked(record, len(record.frames) - 1), self.scene(record).field
        return baked if baked.field.kind == field.kind else bake(field)

    def _field(self, pane: Pane) -> Field:
        return self.scene(pane.record, pane.index, pane.look).field

    def folder(self, record: Record) -> Path:
        """Folder of a record's exported files, made if need be."""
        folder = self.folder_of(record.id)
        folder.mkdir(exist_ok=True)
        return folder

    def folder_of(self, number: int) -> Path:
        """The same by the record's number, also when it is not kept any more; it may not exist."""
        return Path(self._folder.name) / str(number)

    def exported(self) -> list[Path]:
        """Exported files of all records."""
        folders = [path for path in Path(self._folder.name).glob("*") if path.name.isdigit()]
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    # -- records ---------------------------------------------------------------------------------

    def add(self, *records: Record, select: bool = True) -> None:
        """Keep records, the first one shown; those that are listed come first in the history."""
        with self.cv:
            self._records.update({record.id: record for record in records})
            self.history = [*(r for r in records if r.listed), *self.history]
            if select:
                self.select(records[0].id)
            self._forget()
            self._changed()

    def restore(self, records: Sequence[Record], shown: int, frame: int | None) -> None:
        """Take records of an earlier life, newest first, and show one of them; the newest if it is none of them."""
        self.add(*records, select=False)
        with self.cv:
            numbers = [record.id for record in self.history]
            if numbers:
                self.select(*((shown, frame) if shown in numbers else (numbers[0],)))

    def remove(self, record: Record) -> None:
        """Drop a record from the history."""
        with self.cv:
            self.history = [other for other in self.history if other is not record]
            record.listed = record.pinned = False
            shutil.rmtree(self.folder_of(record.id), ignore_errors=True)
            self._forget()
            self._changed()

    def change(self, record: Record, **changes) -> None:
        """Change a record: its title, whether it is pinned, the frames of one that is steered."""
        with self.cv:
            for name, value in changes.items():
                setattr(record, name, value)
            if "frames" in changes:
                record.version += 1
                record.extents = {}
            self._changed()

    def bytes(self) -> int:
        """Memory of all latents that are kept, bytes."""
        with self.cv:
            frames = {id(step): step for r in self._records.values() for step in r.frames}
        return step_bytes(list(frames.values()))

    # -- runs ------------------------------------------------------------------------------------

    def start(
        self,
        runner: JobRunner,
        make_run: Callable[[], Run[Any]],
        records: list[Record],
        plan: Plan,
        on_end: Callable[[Job, State], object] = lambda job, state: None,
        *,
        on_begin: Callable[[Record], object] | None = None,
        kernels: Collection[compiled.Kind] = compiled.KINDS,
    ) -> Job:
        """Queue a run; a run of this session that still goes on is cancelled first.

        Args:
            runner: The worker.
            make_run: The run.
            records: Its batch, listed from now on, with shared frames (in a branch after those of its trunk) and its result
                as the last one. Empty for a run that appends each record here when it begins it, or makes none.
            plan: Stages and their numbers of steps.
            on_end: Called when all else has been done.
            on_begin: Shows a record that has its first step; None selects it.
            kernels: Those that the run waits for while they are still being compiled.

        Raises:
            QueueFullError: If too many runs wait already.
        """
        batch, begun, tab = tuple(records), set[Record](), self.notices.asked_in

        def add_frame(step: Step) -> None:
            if not records:
                return
            lead, frame = batch[0] if batch else records[-1], on_cpu(step)
            with self.cv:
                lead.frames.append(frame)
                for record in batch or (lead,):
                    record.state, record.job = "running", job.id
                if lead not in begun:
                    begun.add(lead)
                    self._choose(lead.id) if on_begin is None else on_begin(lead)
                self._changed()

        def ended(job: Job, state: State) -> None:
            if batch and state == "done":
                add_frame(result_step(job.result))
            if batch and batch[0].views is not None and batch[0].frames:
                self._judge(batch[0])
                self.fitted = batch[0]
            with self.cv:
                for record in records:
                    whole = bool(record.frames) and record.frames[-1].stage == "result"
                    record.state, record.error = "done" if whole else state, job.error
                for record in batch:
                    record.provenance["seconds"] = {k: round(v, 2) for k, v in job.seconds.items()}
                if batch:
                    self.history = [r for r in self.history if r not in batch or r.frames]
                    self._forget()
                self._changed()
            if job.error:
                self.notices.say(tab, job.error)
            on_end(job, state)

        job = Job(make_run, plan=plan, on_step=add_frame, on_end=ended, kernels=kernels)
        with self._starting:  # or of two that start at once neither is cancelled
            self.stop(runner)
            with self.cv:
                self.job = runner.submit(job, Owner(self.token, self.address))
                for record in batch:
                    record.job = job.id
                if batch:
                    self.add(*batch, select=False)
        return job

    def stop(self, runner: JobRunner) -> None:
        """Cancel the run that goes on, if there is one."""
        if self.busy:
            runner.cancel(self.job)

    def close(self) -> None:
        """Let go of everything; the session draws nothing any more."""
        with self.cv:
            self.closed = True
            self._changed()
            self.job, self.history, self._beside = None, [], ()
            self._parts.clear()
            self._forget()  # all but what is shown, for whoever is still looking
        self._bakes.close()
        self._folder.cleanup()

    def finish(self, record: Record, latents: Tensor) -> None:
        """End one of the records of a run that makes several with its result, and compare it with its inputs."""
        with self.cv:
            record.frames.append(result_step(latents))
            record.state = "done"
        if record.views is not None:
            self._judge(record)
        self.refresh()

    def _judge(self, record: Record) -> None:
        """Compare the newest frame with the inputs."""
        rendered = render_views(self.exact(record), record.views.camera).cpu()
        record.psnrs = tuple(psnr(rendered, record.views.images.cpu()).tolist())

    def _forget(self) -> None:
        """Drop the oldest results beyond the limit, and the steps of old runs beyond the memory limit; never pinned ones."""
        self.history = room.kept(self.history, self.settings.max_history)
        keep = {self._selected[0], *(number for number, _ in self._beside)}
        keep |= {record.id for record in self.history}
        for number in [n for n in self._records if n not in keep]:
            if self._records.pop(number).listed:  # others may be looked at by what made them
                shutil.rmtree(self.folder_of(number), ignore_errors=True)
            self._forgotten.add(number)
        room.thin_out(self.history, self.settings.max_latent_mb * 2**20)
