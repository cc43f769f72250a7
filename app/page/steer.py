"""Frequent small messages of the page, which bypass Gradio and are answered at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.page import present
from app.session.session import Session
from app.tabs.history import history
from app.tabs.interpolate.blending import Blend
from app.tabs.interpolate.variation import Variation

Wish = Mapping[str, Any]
Answer = dict[str, Any]
Short = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Amount = Annotated[float, Meta(ge=-1e9, le=1e9)]
Value = Short | Count | Amount | bool | None | Annotated[list[Count | Amount], Meta(max_length=64)]
MOST_PARTS = 16
LOOKS = ("x0", "x_t", "difference")


def read(body: bytes) -> Wish:
    """A checked message of the page: names with texts, finite numbers, or short lists of them.

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


def steer(session: Session, wish: Wish) -> Answer:
    """Carry out one message.

    Args:
        session: The session.
        wish: `do` names one of `DEEDS`; the rest are its arguments.

    Raises:
        ValueError: If it names something that does not exist.
        TypeError: If it is not a message.
        KeyError: If something is missing.
    """
    if not isinstance(wish, Mapping):
        raise TypeError("found no message, expected one")
    deed = DEEDS.get(str(wish.get("do")))
    if deed is None:
        raise ValueError(f"found {wish.get('do')!r}, expected one of {', '.join(DEEDS)}")
    return deed(session, wish)


def step(session: Session, wish: Wish) -> Answer:
    """Show a step of a record, and the same step of the records beside it."""
    number, index = int(wish["record"]), int(wish["index"])
    with session.cv:
        beside = [(record.id, index) for record, _ in session.beside()]
        session.select(number, index)
        session.compare([choice for choice in beside if choice[0] != number])
    return shown(session)


def look(session: Session, wish: Wish) -> Answer:
    """Show x0, x_t or their difference."""
    if wish["look"] not in LOOKS:
        raise ValueError(f"found {wish['look']!r}, expected one of {', '.join(LOOKS)}")
    session.show(look=wish["look"])
    return shown(session)


def compare(session: Session, wish: Wish) -> Answer:
    """Show a record beside the selection, or remove it from there; None ends all comparisons."""
    number = wish["record"]
    record, index = session.selection()
    standing = [choice[0].id for choice in session.beside()]
    if number is None or int(number) in standing or int(number) == record.id:
        session.compare([])
    else:
        session.compare([(int(number), None if index == len(record.frames) - 1 else index)])
    return shown(session)


def blend(session: Session, wish: Wish) -> Answer:
    """Show the interpolated object at a point between the corners, as an approximation from the keyframes."""
    part = session.part(Blend)
    if part.newest(int(wish.get("count", 0))):
        part.move(*_point(wish))
    return {**shown(session), "version": part.record.version}


def settle(session: Session, wish: Wish) -> Answer:
    """Show the object at a point between the corners as the model samples it."""
    part = session.part(Blend)
    if part.newest(int(wish.get("count", 0))):
        part.settle(*_point(wish))
    return {**shown(session), "version": part.record.version}


def _point(wish: Wish) -> tuple[float, float]:
    return min(max(float(wish["u"]), 0.0), 1.0), min(max(float(wish["v"]), 0.0), 1.0)


def vary(session: Session, wish: Wish) -> Answer:
    """Move an object along the principal directions of the training latents."""
    number, known = int(wish["record"]), session.part(Variation).base
    base = known if known is not None and known.id == number else session.record(number)
    if base is None:
        raise ValueError("there is no such object any more")
    amounts = [min(max(float(amount), -4.0), 4.0) for amount in wish["amounts"]]
    record = session.part(Variation).vary(base, amounts)
    return {**shown(session), "version": record.version}


DEEDS: dict[str, Callable[[Session, Wish], Answer]] = {
    "step": step,
    "look": look,
    "compare": compare,
    "blend": blend,
    "settle": settle,
    "vary": vary,
    **history.DEEDS,
}


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
