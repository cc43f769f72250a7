"""What a page asks of its session beside Gradio's forms: small JSON messages, each carried out by one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.page import present, toolbar
from app.session.jobs import JobRunner
from app.session.session import Session
from app.tabs.complete import keeping
from app.tabs.history import history
from app.tabs.inspect import branching
from app.tabs.interpolate import deeds as interpolate

Wish = Mapping[str, Any]
Answer = dict[str, Any]
Short = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Amount = Annotated[float, Meta(ge=-1e9, le=1e9)]
Point = Annotated[list[Amount], Meta(max_length=2)]
Row = Annotated[list[Count | Amount | Point], Meta(max_length=4096)]
Plain = Short | Count | Amount | bool | None
Value = Plain | Row | Annotated[dict[Short, Plain], Meta(max_length=64)]
MOST_PARTS = 16
UNREAD = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
"""Exceptions of what gets another message than the page's scripts send."""
LOOKS = ("x0", "x_t", "difference")


def read(body: bytes) -> Wish:
    """A checked message of the page: names with texts, finite numbers, or short lists and tables of them.

    Raises:
        ValueError: If it is none.
    """
    try:
        wish = msgspec.json.decode(body, type=dict[Short, Value])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError("found something else than a small JSON object") from error
    if len(wish) > MOST_PARTS:
        raise ValueError(f"found {len(wish)} parts, expected at most {MOST_PARTS}")
    return wish


def steer(session: Session, runner: JobRunner, wish: Wish) -> Answer:
    """Carry out one message.

    Args:
        session: The session.
        runner: The worker, for what begins or stops a run.
        wish: `do` names one of `DEEDS` or `RUNS`; the rest are its arguments.

    Returns:
        What is shown afterwards, and what the deed itself answers.

    Raises:
        EngineError: If it is not possible and no tab says so.
        Exception: One of `UNREAD`, if it is no message, or names what does not exist.
    """
    if not isinstance(wish, Mapping):
        raise TypeError("found no message, expected one")
    name, answer = str(wish.get("do")), {}
    if name not in DEEDS and name not in RUNS:
        raise ValueError(f"found {wish.get('do')!r}, expected one of {', '.join((*DEEDS, *RUNS))}")
    with session.notices.during(TABS[name]) if name in TABS else nullcontext():
        answer = RUNS[name](session, runner, wish) if name in RUNS else DEEDS[name](session, wish)
    session.stir()
    return shown(session) | answer


def step(session: Session, wish: Wish) -> Answer:
    """Show a step of a record, and the same step of the records beside it."""
    number, index = int(wish["record"]), int(wish["index"])
    with session.cv:
        beside = [(record.id, index) for record, _ in session.beside()]
        session.select(number, index)
        session.compare([choice for choice in beside if choice[0] != number])
    return {}


def show(session: Session, wish: Wish) -> Answer:
    """Show a record's newest step; what stands beside it stays."""
    session.select(int(wish["record"]))
    return {}


def look(session: Session, wish: Wish) -> Answer:
    """Show x0, x_t or their difference."""
    if wish["look"] not in LOOKS:
        raise ValueError(f"found {wish['look']!r}, expected one of {', '.join(LOOKS)}")
    session.show(look=wish["look"])
    return {}


def compare(session: Session, wish: Wish) -> Answer:
    """Show a record beside the selection, or remove it from there; None ends all comparisons."""
    number = wish["record"]
    record, index = session.selection()
    standing = [choice[0].id for choice in session.beside()]
    if number is None or int(number) in standing or int(number) == record.id:
        session.compare([])
    else:
        session.compare([(int(number), None if index == len(record.frames) - 1 else index)])
    return {}


def tool(session: Session, wish: Wish) -> Answer:
    """Press a button of the toolbar."""
    toolbar.press(session, str(wish["tool"]))
    return {}


def cancel(session: Session, runner: JobRunner, wish: Wish) -> Answer:
    """Stop the session's run within a step."""
    session.stop(runner)
    return {}


DEEDS: dict[str, Callable[[Session, Wish], Answer]] = {
    "step": step,
    "show": show,
    "look": look,
    "compare": compare,
    "tool": tool,
    **interpolate.DEEDS,
    "mark": keeping.mark,
    **history.DEEDS,
}
RUNS: dict[str, Callable[[Session, JobRunner, Wish], Answer]] = {
    "cancel": cancel,
    "path": interpolate.ask,
    "branch": branching.ask,
}
"""Deeds that begin runs or end them."""
TABS = {"path": "interpolate", "mark": "complete", "branch": "inspect"} | dict.fromkeys(
    history.DEEDS, "history"
)
"""Tabs that say what was wrong with a deed; of others its answer does."""


def shown(session: Session) -> Answer:
    """Captions of the view, and the session's revision, read first so that it is never newer than they are."""
    snapshot = session.snapshot()
    record, index = session.selection()
    return {
        "record": record.id,
        "index": index,
        "revision": snapshot.revision,
        "text": present.shown_text(record, record.frames[index]),
        **present.captions(snapshot),
    }
