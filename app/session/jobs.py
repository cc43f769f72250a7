"""Runs on one worker thread: sessions take turns, a run is cancelled within a step, errors are kept.

Only the worker pulls and closes an engine `Run`; everybody else watches the job.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import EngineError, WriteError
from engine.events import Run, Step
from engine.kernels import compiled

log = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "cancelled", "failed"]
ENDED = frozenset({"done", "cancelled", "failed"})
Plan = tuple[tuple[str, int], ...]
"""Stages of a run in their order, with their numbers of steps."""
MOST_WAITING = 2
"""Jobs of one session that may wait."""
KERNELS_LOOK_S = 0.1
"""Longest time before a job that waits for kernels notices that it was cancelled."""


class QueueFullError(EngineError):
    """Too many runs wait already."""


class Job:
    """One run: its state, its latest step and how to stop it.

    Attributes:
        plan: Stages expected, for the time left.
        state: Where it stands.
        step: The latest step, or None before the first.
        result: What the run returned, once `done`.
        error: One sentence for the user, once `failed`.
        preparing: Whether it is its turn but for kernels that are still being compiled.
        version: Raised by every change.
    """

    _ids = itertools.count(1)

    def __init__(
        self,
        make_run: Callable[[], Run[Any]],
        *,
        plan: Plan = (),
        on_step: Callable[[Step], object] = lambda step: None,
        on_end: Callable[[Job, State], object] = lambda job, state: None,
        kernels: Collection[compiled.Kind] = compiled.KINDS,
    ):
        """A job that nobody has queued yet; it waits for `kernels` before it begins."""
        self.id = next(Job._ids)
        self.plan = plan
        self.state: State = "queued"
        self.step: Step | None = None
        self.result: Any = None
        self.error: str | None = None
        self.preparing = False
        self.version = 0
        self.seconds: dict[str, float] = {}
        """Time spent in each stage so far."""
        self._counts: dict[str, int] = {}
        self._kernels = kernels
        self._make_run = make_run
        self._on_step = on_step
        self._on_end = on_end
        self._cancel = threading.Event()
        self._lock = threading.Lock()
        self._started: float | None = None
        self._ended: float | None = None

    def cancel(self) -> None:
        """Ask the job to stop; a running step is finished first."""
        self._cancel.set()
        self._publish()

    @property
    def cancelling(self) -> bool:
        """True if somebody asked it to stop and it has not stopped yet."""
        return self._cancel.is_set() and self.state not in ENDED

    @property
    def ended(self) -> bool:
        """True if nothing more will happen."""
        return self.state in ENDED

    @property
    def elapsed(self) -> float:
        """Seconds since the job began to run; 0 while it waits."""
        if self._started is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._started

    def rates(self) -> dict[str, float]:
        """Seconds per step of each stage seen so far."""
        return {stage: self.seconds[stage] / count for stage, count in self._counts.items()}

    def taken(self, stage: str) -> int:
        """Steps of a stage seen so far."""
        return self._counts.get(stage, 0)

    def run(self) -> None:
        """Wait for the kernels and pull the run to its end; when it is cancelled before that, it never begins."""
        while not (self._cancel.is_set() or compiled.wait(self._kernels, 0.0)):
            self._publish(preparing=True)
            compiled.wait(self._kernels, KERNELS_LOOK_S)
        if self._cancel.is_set():
            self._end("cancelled")
            return
        self._started = time.monotonic()
        self._publish(state="running", preparing=False)
        try:
            self._pull()
        except WriteError as error:
            self._end("failed", error=error.remote)
        except EngineError as error:
            self._end("failed", error=str(error))
        except BaseException as error:  # even what ends a thread must not end the worker
            log.exception("a run failed")
            kind = type(error).__name__
            self._end(
                "failed",
                error=f"The run stopped on an internal error ({kind}); the log has the details.",
            )

    def _pull(self) -> None:
        run = self._make_run()
        before = time.monotonic()
        while True:
            try:
                step = next(run)
            except StopIteration as stop:
                self.result = stop.value
                self._end("done")
                return
            if self._ended is not None:  # it was left behind meanwhile
                run.close()
                return
            now = time.monotonic()
            self.seconds[step.stage] = self.seconds.get(step.stage, 0.0) + now - before
            self._counts[step.stage] = self._counts.get(step.stage, 0) + 1
            self._on_step(step)
            self._publish(step=step)
            if self._cancel.is_set():
                run.close()
                self._end("cancelled")
                return
            before = time.monotonic()

    def _publish(self, **changes) -> None:
        with self._lock:
            for name, value in changes.items():
                setattr(self, name, value)
            self.version += 1

    def abandon(self) -> None:
        """End as cancelled although a step still goes on; what comes of that is let go of."""
        self._end("cancelled")

    def _end(self, state: State, error: str | None = None) -> None:
        with self._lock:
            if self._ended is not None:
                return
            self._ended = time.monotonic()
        self.error = error
        try:
            self._on_end(self, state)
        except Exception:  # the worker and everybody who waits for this job must live on
            log.exception("what follows the end of a run failed")
        self._publish(state=state)


@dataclass(frozen=True)
class Owner:
    """Whose job one is: a session, and the address that it came from."""

    session: str = ""
    address: str = ""


NOBODY = Owner()
"""Owns what the explorer itself does; only the limit of all jobs holds for it."""


@dataclass(eq=False)
class _Waiting:
    job: Job
    owner: Owner


class JobRunner:
    """The worker thread and its queue: addresses take turns, and so do the sessions of one address.

    A run whose step does not end although it was cancelled is left behind after `patience_s`, with its thread.
    """

    def __init__(self, max_queue: int = 8, patience_s: float = 30.0):
        self.max_queue = max_queue
        self.rates: dict[str, float] = {}
        """Seconds per step of each stage, from the latest runs."""
        self._patience_s = patience_s
        self._queue: list[_Waiting] = []
        self._order: list[Job] | None = None
        """In which they will run; None when that must be found out anew."""
        self._turns = _Turns()
        self._wake = threading.Condition()
        self._patience: threading.Timer | None = None
        """Runs out for the current job, once that is cancelled."""
        self._closed = False
        self.current: Job | None = None
        self._thread = self._worker()

    def submit(self, job: Job, owner: Owner = NOBODY) -> Job:
        """Queue a job.

        Raises:
            QueueFullError: If too many wait already, of its session, of its address, or in all.
        """
        with self._wake:
            self._refuse(owner)
            self._queue.append(_Waiting(job, owner))
            self._order = None
            self._wake.notify_all()
        return job

    def _refuse(self, owner: Owner) -> None:
        """Raise a `QueueFullError` if one more job of an owner would be too many."""
        waiting = [one.owner for one in self._queue]
        limits = [("in all", len(waiting), self.max_queue)]
        if owner is not NOBODY:
            same_address = sum(one.address == owner.address for one in waiting)
            limits += [
                ("of this tab", waiting.count(owner), MOST_WAITING),
                ("from this address", same_address, max(self.max_queue // 2, 1)),
            ]
        for who, count, most in limits:
            if count >= most:
                raise QueueFullError(
                    f"Found {count} runs {who} that wait already, as many as may wait; try again when one has finished, "
                    "or cancel one."
                )

    def ahead(self, job: Job) -> int:
        """Number of jobs that will run before this one (the current one included), if no others come."""
        with self._wake:
            order = self._ordered()
            if job not in order:
                return 0
            return order.index(job) + (self.current is not None)

    @property
    def waiting(self) -> int:
        """Number of waiting jobs."""
        return len(self._queue)

    def cancel(self, job: Job) -> None:
        """Stop a job: at once while it waits, after its current step while it runs."""
        with self._wake:
            job.cancel()
            waiting = next((one for one in self._queue if one.job is job), None)
            if waiting is not None:
                self._queue.remove(waiting)
                self._order = None
            elif self.current is job and self._patience is None:
                self._patience = threading.Timer(self._patience_s, self._leave_behind, (job,))
                self._patience.daemon = True
                self._patience.start()
        if waiting is not None:
            job.run()

    def close(self) -> None:
        """Cancel everything and end the worker."""
        with self._wake:
            self._closed = True
            waiting = [one.job for one in self._queue]
            for job in (*waiting, *([self.current] if self.current else [])):
                job.cancel()
            self._wake.notify_all()
        self._thread.join(timeout=10)

    def _worker(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                job = self.current = self._next()
            job.run()
            with self._wake:
                if self.current is not job:  # it was left behind, and another thread works
                    return
                self.rates.update(job.rates())
                self.current = None
                if self._patience is not None:
                    self._patience.cancel()
                    self._patience = None
            del job  # while nothing comes it would keep what its session has let go of

    def _leave_behind(self, job: Job) -> None:
        """Go on without a cancelled job whose step does not end."""
        with self._wake:
            if self.current is not job or self._closed:
                return
            log.warning("a cancelled run does not end its step; it is left behind")
            self.current = self._patience = None
            self._thread = self._worker()
        job.abandon()

    def _next(self) -> Job:
        """The job whose turn it is, taken out of the queue."""
        job = self._ordered()[0]
        waiting = next(one for one in self._queue if one.job is job)
        self._queue.remove(waiting)
        self._turns.take(waiting.owner)
        self._order = None
        return job

    def _ordered(self) -> list[Job]:
        if self._order is None:
            self._order, turns, left = [], self._turns.copy(), list(self._queue)
            while left:
                first = min(left, key=lambda one: turns.key(one.owner))
                left.remove(first)
                turns.take(first.owner)
                self._order.append(first.job)
        return self._order


class _Turns:
    """Whose turn it is: who had none for longest, first among addresses, then among an address's sessions."""

    MOST = 1024
    """Owners that are remembered."""

    def __init__(self, taken: Mapping[str | Owner, int] | None = None, count: int = 0):
        self._taken = dict(taken or {})
        self._count = count

    def key(self, owner: Owner) -> tuple[int, int]:
        """Smaller for whom it is sooner."""
        return self._taken.get(owner.address, 0), self._taken.get(owner, 0)

    def take(self, owner: Owner) -> None:
        """Note that an owner has had a turn."""
        self._count += 1
        for one in (owner.address, owner):
            self._taken.pop(one, None)
            self._taken[one] = self._count
        while len(self._taken) > self.MOST:
            del self._taken[next(iter(self._taken))]

    def copy(self) -> _Turns:
        """The same, to look ahead with."""
        return _Turns(self._taken, self._count)


def progress(job: Job, known: Mapping[str, float]) -> tuple[float, float | None]:
    """Share of a job that is done, and the seconds it will still take.

    Args:
        job: The job.
        known: Seconds per step of stages from earlier runs.

    Returns:
        The share of its expected time that has passed, in [0, 1], and the seconds left (None while unknown).
    """
    if job.state == "done":
        return 1.0, 0.0
    if job.step is None:
        return 0.0, None
    rates = {**known, **job.rates()}
    default = rates[job.step.stage]
    missing = ((stage, count - job.taken(stage)) for stage, count in job.plan)
    left = sum(count * rates.get(stage, default) for stage, count in missing)
    done = sum(job.seconds.values())
    return done / max(done + left, 1e-9), left
