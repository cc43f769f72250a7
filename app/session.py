"""One browser tab's state: pictures, runs, what is shown. No gradio and no viser.

Whoever changes something does so under `cv`, raises `revision` and wakes the others; the viewport draws from
immutable snapshots. Everything here returns in milliseconds except `baked`, which prepares a scene for rendering, and
`prepared`, which waits for that as long as it is told to.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from app.jobs import Job, JobRunner, Plan, State
from app.priors import Prior, Priors
from app.records import PAPER, Display, Flight, Frame, Record, Snapshot, final_frame, half, home
from app.settings import AppSettings
from app.tokens import Tokens
from engine.events import Run, Step
from engine.methods.base import Method
from engine.ops.metrics import psnr
from engine.render import Baked, bake, render_views
from engine.scene import Scene
from engine.types import Camera, Views

BAKES = 4
"""Scenes kept ready for rendering, per session."""


class Session:
    """The state of one tab."""

    def __init__(
        self,
        prior: Prior,
        settings: AppSettings,
        token: str = "",
        display: Display | None = None,
    ):
        """`token` opens the session's view."""
        self.token = token
        self.prior = prior
        self.settings = settings
        self.cv = threading.Condition()
        self.revision = 0
        self.last_seen = time.monotonic()
        self.job: Job | None = None
        self.history: list[Record] = []
        self.closed = False
        self.brushes: dict[int, np.ndarray] = {}
        """Painted masks by slot, `height width` bool at the picture's size."""
        self._records: OrderedDict[int, Record] = OrderedDict()
        self._slots: dict[int, Views] = {}
        self._display = display or Display()
        self._flight = Flight(0, home())
        self._bakes: OrderedDict[tuple[int, int], Future[Baked]] = OrderedDict()
        self._bake_lock = threading.RLock()
        self._baker = ThreadPoolExecutor(1, thread_name_prefix="bake")
        self._asked: Future[Baked] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="ssdnerf-session-")
        self._selected: tuple[int, int | None]
        self._greet()

    @property
    def method(self) -> Method:
        """What generates and reconstructs now."""
        return self.prior.method

    def use(self, prior: Prior) -> None:
        """Go on with another prior and show one of its objects; what the others made stays."""
        with self.cv:
            if prior is not self.prior:
                self.prior = prior
                self._greet()
                self._forget()
                self._changed()

    def _greet(self) -> None:
        """Show the prior's first object."""
        frames = [final_frame(self.prior.first_latent[None])]
        record = Record("prior", "From the training set", {}, frames, self.method, state="done")
        self._records[record.id] = record
        with self._bake_lock:
            self._bakes[record.id, 0] = self.prior.greeting
        self._selected = (record.id, None)

    # -- what is shown ---------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What the viewport should draw now."""
        with self.cv:
            record, index = self.selection()
            return Snapshot(
                self.revision, record, index, dict(self._slots), self._display, self._flight
            )

    def selection(self) -> tuple[Record, int]:
        """The record and the frame that are shown (the newest frame while nobody chose one)."""
        with self.cv:
            number, index = self._selected
            record = self._records[number]
            last = len(record.frames) - 1
            return record, last if index is None else min(index, last)

    def record(self, number: int) -> Record | None:
        """A record by its number, if it is still kept."""
        with self.cv:
            return self._records.get(number)

    def select(self, number: int, index: int | None = None) -> None:
        """Show frame `index` of a record; None, or the last frame, follows the newest."""
        with self.cv:
            record = self._records.get(number)
            if record is None or not record.frames:
                return
            if index is not None and index >= len(record.frames) - 1:
                index = None
            self._selected = (number, index)
            self._changed()

    def show(self, **changes) -> None:
        """Change the display, e.g. `show(channel="depth")`."""
        with self.cv:
            display = replace(self._display, **changes)
            if display != self._display:
                self._display = display
                self._changed()

    def fly(self, camera: Camera) -> None:
        """Ask the viewport's camera to go to `camera`."""
        with self.cv:
            self._flight = Flight(self._flight.number + 1, camera)
            self._changed()

    def set_slot(self, slot: int, views: Views | None) -> None:
        """Put a framed input picture into a slot, or empty it."""
        with self.cv:
            if views is None:
                self._slots.pop(slot, None)
            else:
                self._slots[slot] = views
            self._changed()

    def slots(self) -> dict[int, Views]:
        """The framed input pictures by slot, in order."""
        with self.cv:
            return dict(sorted(self._slots.items()))

    def refresh(self) -> None:
        """Let what is shown be drawn again."""
        with self.cv:
            self._changed()

    def touch(self) -> None:
        """Note a sign of life."""
        self.last_seen = time.monotonic()

    def leave(self) -> None:
        """Note that the page was closed: the session goes as soon as nothing holds it."""
        self.last_seen = -math.inf

    def scene(self, record: Record, index: int = -1) -> Scene:
        """A frame as a scene with the record's provenance."""
        latent = record.latent(index)
        if latent is None:
            latent = record.latent(-1)
        latent = latent.to(record.method.mean_latent.device)
        return record.method.scene(latent, **record.provenance)

    def baked(self, record: Record, index: int) -> Baked:
        """A frame made ready for rendering; the latest few are kept."""
        return self._bake(record, index).result()

    def prepared(self, record: Record, index: int, patience_s: float) -> Baked | None:
        """The same without waiting long for it.

        Returns None if it takes longer than `patience_s`; the session counts as changed once it is ready. One is
        prepared at a time: of the frames that come meanwhile, only the last will be asked for again.
        """
        with self._bake_lock:
            known, busy = self._bakes.get((record.id, index)), self._asked
        ready = known is not None and known.done()
        if not ready and busy is not None and wait([busy], patience_s).not_done:
            return None
        baking = self._bake(record, index)
        self._asked = self._asked if ready else baking
        try:
            return baking.result(patience_s)
        except TimeoutError:
            baking.add_done_callback(lambda _: self._baking_ended())
            return None

    def _bake(self, record: Record, index: int) -> Future[Baked]:
        key = (record.id, index)
        with self._bake_lock:
            known = self._bakes.get(key)
            if known is None or (known.done() and (known.exception() or known.result().outdated)):
                self._bakes[key] = self._baker.submit(lambda: bake(self.scene(record, index).field))
                while len(self._bakes) > BAKES:
                    self._bakes.popitem(last=False)
            self._bakes.move_to_end(key)
            return self._bakes[key]

    def _baking_ended(self) -> None:
        with self.cv:
            self._changed()

    def folder(self, record: Record) -> Path:
        """Where a record's exported files are kept."""
        folder = Path(self._folder.name) / str(record.id)
        folder.mkdir(exist_ok=True)
        return folder

    # -- runs ------------------------------------------------------------------------------------

    def start(
        self,
        runner: JobRunner,
        make_run: Callable[[], Run[Tensor]],
        records: list[Record],
        plan: Plan,
    ) -> Job:
        """Queue a run whose batch is `records`; a run of this session that still goes on is cancelled first.

        Raises:
            QueueFullError: If too many runs wait already.
        """
        if self.job is not None and not self.job.ended:
            runner.cancel(self.job)
        follow = threading.Event()

        def on_step(step: Step) -> None:
            frame = Frame(step.stage, step.index, step.total, half(step.latent), dict(step.scalars))
            self._add_frame(records, frame, follow)

        def on_end(job: Job, state: State) -> None:
            if state == "done":
                self._add_frame(records, final_frame(job.result), follow)
            if records[0].views is not None and records[0].frames:
                self._judge(records[0])
            with self.cv:
                for record in records:
                    record.state, record.error = state, job.error
                    record.provenance["seconds"] = {k: round(v, 2) for k, v in job.seconds.items()}
                if not records[0].frames:
                    self.history = [r for r in self.history if r not in records]
                self._changed()

        job = Job(make_run, plan=plan, on_step=on_step, on_end=on_end)
        with self.cv:
            self.job = runner.submit(job)
            for record in records:
                record.job = job.id
            self.history = [*records, *self.history]
            self._records.update({record.id: record for record in records})
            self._forget()
            self._changed()
        return job

    def close(self) -> None:
        """Let go of everything; the session draws nothing any more."""
        with self.cv:
            self.closed = True
            self._changed()
        self._folder.cleanup()

    def _judge(self, record: Record) -> None:
        """Compare the newest frame with the inputs."""
        baked = self.baked(record, len(record.frames) - 1)
        rendered = render_views(baked, record.views.camera).cpu()
        record.psnrs = tuple(psnr(rendered, record.views.images.cpu()).tolist())

    def _add_frame(self, records: list[Record], frame: Frame, follow: threading.Event) -> None:
        with self.cv:
            records[0].frames.append(frame)
            for record in records:
                record.state = "running"
            if not follow.is_set():
                self._selected = (records[0].id, None)
                follow.set()
            self._changed()

    def _changed(self) -> None:
        self.revision += 1
        self.cv.notify_all()

    def _forget(self) -> None:
        """Drop the oldest results beyond the limit, and the steps of old runs beyond the memory limit."""
        keep = {
            self._selected[0],
            *(record.id for record in self.history[: self.settings.max_history]),
        }
        self.history = self.history[: self.settings.max_history]
        for number in [n for n in self._records if n not in keep]:
            del self._records[number]
        room = self.settings.max_latent_mb * 2**20
        seen: set[int] = set()
        for record in self.history:
            if id(record.frames) in seen:
                continue
            seen.add(id(record.frames))
            room -= sum(f.latent.nbytes for f in record.frames if f.latent is not None)
            if room < 0:
                record.frames[:-1] = [replace(frame, latent=None) for frame in record.frames[:-1]]


class Sessions:
    """All sessions by token and by the page load they belong to."""

    def __init__(self, priors: Priors, settings: AppSettings, tokens: Tokens | None = None):
        self.priors = priors
        self.settings = settings
        self._tokens = tokens or Tokens()
        self._lock = threading.RLock()
        self._by_page: dict[str, Session] = {}
        self._by_token: dict[str, Session] = {}
        _ = priors.first.greeting  # whoever comes first need not wait for it

    def of_page(self, page: str) -> Session:
        """The session of one page load (or API client); made on its first call."""
        with self._lock:
            session = self._by_page.get(page)
            if session is None:
                session = self.open_page(page, self._tokens.issue())
            session.touch()
            return session

    def open_page(self, page: str, token: str) -> Session:
        """The session of a page that came with `token`; one of its own if nobody knows the token (any more).

        Nothing else of the page may come before: the view has the token's session.
        """
        with self._lock:
            session = self.of_token(token) or self.of_token(self._tokens.issue())
            self._by_page[page] = session
            return session

    def of_token(self, token: str) -> Session | None:
        """The session with this token: one that lives, or a new one if the token was given out and never used."""
        with self._lock:
            session = self._by_token.get(token)
            if session is None and (dark := self._tokens.claim(token)) is not None:
                display = Display(background=PAPER[dark])
                session = Session(self.priors.first, self.settings, token, display)
                self._by_token[token] = session
            return session

    def drop(self, session: Session) -> None:
        """Forget and close a session."""
        with self._lock:
            self._tokens.revoke(session.token)
            self._by_token.pop(session.token, None)
            self._by_page = {page: s for page, s in self._by_page.items() if s is not session}
        session.close()

    def page_closed(self, page: str) -> Session | None:
        """The session whose page was closed, if there is one."""
        with self._lock:
            return self._by_page.get(page)

    def all(self) -> list[Session]:
        """Every session that lives."""
        with self._lock:
            return list(self._by_token.values())
