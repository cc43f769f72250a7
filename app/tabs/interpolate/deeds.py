"""What the Interpolate tab's script asks for. No gradio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.session import tasks
from app.session.exports import bound
from app.session.jobs import Job, JobRunner, State
from app.session.records import Record
from app.session.session import Session
from app.session.tasks import LARGEST_SEED
from app.tabs.interpolate.blending import FILM_FRAMES, Blend
from app.tabs.interpolate.variation import Variation, keep
from engine.errors import ConfigError

Wish = Mapping[str, Any]
Answer = dict[str, Any]


def move(session: Session, wish: Wish) -> Answer:
    """Show the interpolated object at a point between the corners, as an approximation from the keyframes."""
    part = session.part(Blend)
    if part.newest(int(wish.get("count", 0))):
        part.move(*_point(wish))
    return {"version": part.record.version}


def settle(session: Session, wish: Wish) -> Answer:
    """Show the object at a point between the corners as the model samples it."""
    part = session.part(Blend)
    if part.newest(int(wish.get("count", 0))):
        part.settle(*_point(wish))
    return {"version": part.record.version}


def _point(wish: Wish) -> tuple[float, float]:
    return min(max(float(wish["u"]), 0.0), 1.0), min(max(float(wish["v"]), 0.0), 1.0)


def vary(session: Session, wish: Wish) -> Answer:
    """Move an object along the principal directions of the training latents."""
    number, known = int(wish["record"]), session.part(Variation).base
    base = known if known is not None and known.id == number else session.record(number)
    if base is None:
        raise ValueError("there is no such object any more")
    amounts = [min(max(float(amount), -4.0), 4.0) for amount in wish["amounts"]]
    return {"version": session.part(Variation).vary(base, amounts).version}


DEEDS: dict[str, Callable[[Session, Wish], Answer]] = {
    "blend": move,
    "settle": settle,
    "vary": vary,
}


def ask(session: Session, runner: JobRunner, wish: Wish) -> Answer:
    """Change the corners or the way, or make something of the path; `act` says what.

    Returns:
        The number of the `job` that this began, or None.

    Raises:
        ConfigError: If it is not possible.
    """
    blend = session.part(Blend)
    blend.filmed = None
    job = ACTS[str(wish["act"])](session, runner, blend, wish)
    return {"job": None if job is None else job.id}


def draw_seed(session: Session, runner: JobRunner, blend: Blend, wish: Wish) -> Job:
    """Sample the object of a seed, for the next corner."""
    if session.busy and any(record.job == session.job.id for record in session.history):
        raise ConfigError("An object is being drawn; add the next one when it is there.")
    blend.check_room(session.method)
    seed = min(max(int(wish["seed"] or 0), 0), LARGEST_SEED)
    return tasks.generate(session, runner, seed, 1, {}, blend.mode)


def add_drawn(session: Session, runner: JobRunner, blend: Blend, wish: Wish) -> Job | None:
    """Put the object that a run sampled into the next corner."""
    blend.add(made_by(session, int(wish["job"])))
    return blend.prepare(runner)


def add(session: Session, runner: JobRunner, blend: Blend, wish: Wish) -> Job | None:
    """Put a record, or what is shown, into the next corner."""
    number = wish.get("record")
    record = session.selection()[0] if number is None else session.record(int(number))
    if record is None:
        raise ConfigError("That object is not kept any more; choose another.")
    blend.add(settled(session, record))
    return blend.prepare(runner)


def remove(session: Session, runner: JobRunner, blend: Blend, wish: Wish) -> Job | None:
    """Empty a corner."""
    blend.remove(int(wish["place"]))
    return blend.prepare(runner)


def choose(session: Session, runner: JobRunner, blend: Blend, wish: Wish) -> Job | None:
    """Choose the way between the corners, and the procedure."""
    blend.choose(str(wish["way"]), str(wish["mode"]))
    return blend.prepare(runner)


def store(session: Session, runner: JobRunner, blend: Blend, wish: Wish) -> None:
    """Add the object at the point to the history."""
    if blend.codes is None:
        raise ConfigError("There is no path yet; wait for the keyframes.")
    u, v = blend.point
    blend.finish()
    where = f"{u:.2f}" if len(blend.codes) == 1 else f"{u:.2f}, {v:.2f}"
    blend.keep(f"{blend.record.title}, {where}")


def film(session: Session, runner: JobRunner, blend: Blend, wish: Wish) -> Job:
    """Write the film of the path from A to B, beside the other files of its record."""
    ending = str(wish["ending"])
    if blend.codes is None or ending not in ("mp4", "gif"):
        raise ConfigError("There is no path yet; choose two objects first.")
    file = session.folder_of(blend.record.id) / f"path.{ending}"

    def made(job: Job, state: State) -> None:
        bound(session, file)
        if state == "done":
            blend.filmed = file

    plan = (("path", FILM_FRAMES), ("film", FILM_FRAMES))
    return session.start(runner, lambda: blend.film(file), [], plan, made)


ACTS: dict[str, Callable[[Session, JobRunner, Blend, Wish], Job | None]] = {
    "seed": draw_seed,
    "drawn": add_drawn,
    "add": add,
    "remove": remove,
    "choose": choose,
    "store": store,
    "film": film,
}


def made_by(session: Session, job: int) -> Record:
    """The object that a run sampled.

    Raises:
        ConfigError: If it is gone.
    """
    found = [record for record in session.history if record.job == job]
    if not found:
        raise ConfigError("The object was not finished, or let go of; add it again.")
    return found[0]


def settled(session: Session, record: Record) -> Record:
    """The record itself, or a copy of its current state if it is steered."""
    blend = session.part(Blend)
    if record is blend.record:
        blend.finish()
        return blend.keep(record.title)
    if record is session.part(Variation).record:
        return keep(session, record, record.title)
    return record
