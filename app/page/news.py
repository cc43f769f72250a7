"""The stream from a session to its page: one WebSocket, which tells every part of the page that has changed.

A part is JSON or HTML under a name. Most are told to every page; `ON_REQUEST` only while the page says that it shows them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.page import present
from app.session.jobs import Job, JobRunner, progress
from app.session.session import Session
from app.session.sessions import Sessions
from app.tabs.complete.keeping import Keeping
from app.tabs.history import cards
from app.tabs.interpolate.blending import Blend

LOOK_S = 0.1
"""Time between two looks for news."""
ANEW_S = 1.0
"""Time after which all parts are made again although nothing is known to have changed: time left, ages of results."""
MOST_NAMES = 16
"""Parts that a page may ask for in one message."""

Part = Callable[[Session, JobRunner], Any]


class News:
    """What the sessions of one explorer tell their pages."""

    def __init__(self, sessions: Sessions, runner: JobRunner):
        self._sessions, self._runner = sessions, runner
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="news")

    async def tell(self, socket: WebSocket, session: Session) -> None:
        """Tell a page what changes, until it or its session is gone."""
        await socket.accept()
        wanted: set[str] = set()
        listening = asyncio.create_task(_listen(socket, wanted))
        try:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it left meanwhile
                await self._tell(socket, session, wanted, listening)
        finally:
            listening.cancel()
            if not self._sessions.has_page(session):
                session.leave()
        if socket.client_state is socket.application_state is WebSocketState.CONNECTED:
            await socket.close()

    async def _tell(
        self, socket: WebSocket, session: Session, wanted: set[str], listening: asyncio.Task
    ) -> None:
        loop, told = asyncio.get_running_loop(), dict[str, Any]()
        seen, made = None, loop.time()
        while not (listening.done() or session.closed):
            session.come_back()  # the page is there, even if Gradio has lost sight of it
            state = self._state(session, wanted)
            if state != seen or loop.time() - made >= ANEW_S:
                seen, made = state, loop.time()
                parts = await loop.run_in_executor(
                    self._threads, self._parts, session, frozenset(wanted)
                )
                news = {name: part for name, part in parts.items() if told.get(name) != part}
                told |= news
                if news:
                    await socket.send_text(msgspec.json.encode(news).decode())
            await asyncio.sleep(LOOK_S)

    def _state(self, session: Session, wanted: set[str]) -> tuple[Any, ...]:
        """Equal as long as nothing that is noticed at once has changed."""
        job = session.job
        run = None if job is None else (job.id, job.version)
        return session.version, run, self._sessions.has_page(session), frozenset(wanted)

    def _parts(self, session: Session, wanted: frozenset[str]) -> dict[str, Any]:
        about = {
            "results": len(session.history),
            "said": session.unkept,
            "open": self._sessions.has_page(session),
        }
        names = {**ALWAYS, **{name: part for name, part in ON_REQUEST.items() if name in wanted}}
        return {"about": about} | {
            name: part(session, self._runner) for name, part in names.items()
        }


async def _listen(socket: WebSocket, wanted: set[str]) -> None:
    """Keep `wanted` as the page's messages have it, each a list of names; end when it leaves or sends something else."""
    with contextlib.suppress(WebSocketDisconnect, msgspec.MsgspecError, KeyError, RuntimeError):
        while True:
            names = msgspec.json.decode(await socket.receive_text(), type=list[str])
            wanted.clear()
            wanted.update(name for name in names[:MOST_NAMES] if name in ON_REQUEST)


# -- the parts -------------------------------------------------------------------------------------


def timeline(session: Session, runner: JobRunner) -> str:
    """HTML of the filmstrip in the session's current state."""
    snapshot = (
        session.snapshot()
    )  # before the selection: what is shown is never older than its revision
    record, index = session.selection()
    told = {"captions": present.captions(snapshot), "revision": snapshot.revision}
    told["measured"] = sum(len(one.extents) for one, _ in [(record, index), *session.beside()])
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


def _run(session: Session, runner: JobRunner) -> dict[str, Any]:
    job = session.job
    return {} if job is None else {"id": job.id, "state": job.state, "busy": not job.ended}


def _gallery(session: Session, runner: JobRunner) -> str:
    return cards.gallery(session.token, session.history, session.selection()[0].id)


def _fitted(session: Session, runner: JobRunner) -> str:
    record = session.fitted
    return "" if record is None else present.result_html(session.token, record)


ALWAYS: dict[str, Part] = {
    "run": _run,
    "display": lambda session, runner: session.snapshot().display,
    "timeline": timeline,
    "gallery": _gallery,
    "fitted": _fitted,
    "notices": lambda session, runner: session.notices.told(),
}
ON_REQUEST: dict[str, Part] = {
    "history": lambda session, runner: cards.history(session),
    "blend": lambda session, runner: session.part(Blend).report(),
    "keep": lambda session, runner: session.part(Keeping).report(),
}
