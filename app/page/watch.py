"""Parts of a session's page that tabs share: the filmstrip, the history, and the progress of a job."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from app.page import present
from app.session.jobs import Job, JobRunner, progress
from app.session.session import Session
from app.tabs.history import cards

REDRAW_S = 0.15
"""Least time between two updates of the page."""
MOST_FOLLOWERS = 4
"""Streams that follow one session's jobs at a time; another one ends the oldest."""


def timeline(session: Session, runner: JobRunner) -> str:
    """HTML of the filmstrip in the session's current state."""
    snapshot = (
        session.snapshot()
    )  # before the selection: what is shown is never older than its revision
    record, index = session.selection()
    told = {"captions": present.captions(snapshot), "revision": snapshot.revision}
    job = session.job
    if job is None or _elsewhere(session, job):
        idle = {"status": "Ready", "share": 0.0, "state": "idle", "length": 0}
        return present.timeline_html(session.token, record, index, **told, **idle)
    share, left = progress(job, runner.rates)
    forming = record.job == job.id and not job.ended
    length = sum(count for _, count in job.plan) if forming else 0
    return present.timeline_html(
        session.token,
        record,
        index,
        status=present.status_text(job, runner.ahead(job), left),
        share=share,
        state=job.state,
        length=length,
        **told,
    )


def _elsewhere(session: Session, job: Job) -> bool:
    """True if a job has ended and its result is not shown."""
    if not job.ended:
        return False
    shown = [session.selection()[0], *(record for record, _ in session.beside())]
    drew = any(record.job == job.id for record in session.history)
    return (drew or job.state == "done") and all(record.job != job.id for record in shown)


def history(session: Session) -> str:
    """HTML of the gallery in the session's current state."""
    record, _ = session.selection()
    return cards.gallery(session.token, session.history, record.id)


class Followers:
    """Streams that follow a session's jobs, limited to the newest few, since each occupies one of Gradio's threads."""

    def __init__(self, session: Session):
        """Followers of one session, none yet."""
        self._lock = threading.Lock()
        self._newest: list[object] = []

    def join(self, one: object) -> None:
        """Add a follower; if there are too many, the oldest ends."""
        with self._lock:
            self._newest = [*self._newest, one][-MOST_FOLLOWERS:]

    def leave(self, one: object) -> None:
        """Remove a follower."""
        with self._lock:
            self._newest = [other for other in self._newest if other is not one]

    def __contains__(self, one: object) -> bool:
        return one in self._newest


def follow(session: Session) -> Iterator[Job]:
    """The session's job, whenever it has news, at most every `REDRAW_S`, and once more when it has ended.

    It ends early if too many others have begun to follow the session.
    """
    job, seen, followers, this = session.job, -1, session.part(Followers), object()
    followers.join(this)
    try:
        while not job.ended:
            seen = job.wait(seen, timeout=1.0)
            if this not in followers:
                return
            session.touch()
            yield job
            time.sleep(REDRAW_S)
        yield job
    finally:
        followers.leave(this)
