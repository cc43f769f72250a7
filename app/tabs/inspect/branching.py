"""Branches: runs that continue from a step of another run with changed settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from app.session.jobs import Job, JobRunner, Plan, State
from app.session.plans import TASKS, options_type
from app.session.records import Record
from app.session.runs import missing
from app.session.session import Session
from app.session.tasks import LARGEST_SEED
from engine.config import from_json, to_json
from engine.errors import ConfigError, EngineError, UnsupportedTaskError
from engine.events import STAGES, Run, Step
from engine.explore.completion import judged
from engine.methods.base import can
from engine.methods.options import Control, branch_controls, with_settings
from engine.noise import Noise
from engine.store.timeline import own
from engine.types import Views
from engine.vision.images import join_views


@dataclass(frozen=True)
class Change:
    """Changes that a branch makes; None leaves a setting as it was.

    Attributes:
        seed: Seed of all draws after the step.
        settings: Settings of the remaining steps, by name: those that a branch may change (`Control.branch`).
        views: Other pictures as guidance.
    """

    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    views: Views | None = None


def branch(
    session: Session, runner: JobRunner, record: Record, place: int, change: Change
) -> tuple[Record, Job]:
    """Continue from frame `place` of a record with changed settings; returns the new record and its job.

    Without changes it repeats the record's steps bit for bit.

    Raises:
        ConfigError: If it cannot be continued from there, or the change does not fit the run.
        UnsupportedTaskError: If the prior that made the run is not here.
        QueueFullError: If too many runs wait already.
    """
    step = first_of(record, place)
    options = _options(record, change)
    seed = record.provenance["seed"] if change.seed is None else change.seed
    views = change.views or record.views
    where = f"{step.stage} {step.index}"
    provenance = {
        **record.provenance,
        "seed": seed,
        "settings": to_json(options),
        "trunk": {"title": record.title, "after": where},
    }
    if views is not None:
        provenance["cameras"] = views.camera.srn_c2w().tolist()
    made = Record(
        record.kind,
        f"{record.title.split(' · ')[0]} · {where}",
        provenance,
        _trunk(record, place),
        record.method,
        views=views,
        trunk=(record.id, place),
        noise=record.noise,
        kept=record.kept,
    )

    def judge(job: Job, state: State) -> None:
        if state == "done" and made.kept is not None:
            found, *_ = judged(made.method, made.kept.latent, made.kept.region, [made.latent(-1)])
            session.change(made, figures=dict(zip(["kept"], found.kept_psnr, strict=False)))

    stages = _plan(options, made.frames)
    job = session.start(runner, _run(made, options, seed, step), [made], stages, judge)
    return made, job


def ask(session: Session, runner: JobRunner, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Branch from the step that is shown, with the changes that the tab's form names.

    Raises:
        ConfigError, UnsupportedTaskError, QueueFullError: As `branch`, or if a change is none.
    """
    record, place = session.selection()
    branch(session, runner, record, place, change_of(session, record, wish))
    return {}


def change_of(session: Session, record: Record, told: Mapping[str, Any]) -> Change:
    """The requested changes of a record's run.

    Raises:
        ConfigError: If a number is invalid, or pictures are requested and there are none.
    """
    settings = dict(told.get("settings") or {})
    try:
        seed = None if told.get("seed") in (None, "") else int(float(told["seed"]))
        for name, control in branch_controls_of(record).items():
            if name in settings and not control.choices:
                settings[name] = settings[name] and float(settings[name])
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            "Found something that is no number among the changes; leave it empty or type one."
        ) from None
    return Change(
        seed=None if seed is None else min(max(seed, 0), LARGEST_SEED),
        settings={name: value for name, value in settings.items() if value not in (None, "")},
        views=pictures(session) if told.get("swap") else None,
    )


def first_of(record: Record, place: int) -> Step:
    """The step after which a branch at frame `place` continues.

    Raises:
        ConfigError: If none can.
        UnsupportedTaskError: If the prior that made the run is not here.
    """
    step = record.step(place)
    alone = len(record.frames) == 1 and step is not None and step.stage == "result"
    drawn = step is None or step.stage in (*STAGES, "result")
    if record.kind not in TASKS or "settings" not in record.provenance or not drawn:
        raise ConfigError(
            "There is no step to branch from, for no sampler drew this object; choose a generated or reconstructed one, or "
            "a proposal."
        )
    if alone:
        raise ConfigError(
            f"{record.title} has its end alone and no steps, so there is none to branch from; choose an object whose "
            "run was kept."
        )
    if record.kind == "regenerate" and record.kept is None:
        raise ConfigError(
            f"{record.title} does not say what it was to keep, so there is nothing to go on with; draw it anew in Complete."
        )
    if step is None:
        raise ConfigError(
            "The latents of this step were dropped to make room, so there is no step to branch from; pin runs that are to "
            "be kept whole."
        )
    if step.stage == "result":
        raise ConfigError("Nothing follows the result; choose an earlier step to branch from.")
    if not can(record.method, TASKS[record.kind]):
        raise UnsupportedTaskError(missing(record.method))
    return step


def obstacle(record: Record, place: int) -> str | None:
    """One sentence with the reason why frame `place` cannot be branched from; None if it can."""
    try:
        first_of(record, place)
    except EngineError as error:
        return str(error)
    return None


def pictures(session: Session) -> Views:
    """The pictures that are now in the Reconstruct tab.

    Raises:
        ConfigError: If there is none.
    """
    slots = list(session.slots().values())
    if not slots:
        raise ConfigError("There is no picture in Reconstruct; drop one there first.")
    return join_views(slots)


def branch_controls_of(record: Record) -> dict[str, Control]:
    """The settings that a branch of a record may change, by name; none where nothing can go on with it."""
    kind = options_type(record.method, record.kind)
    return {} if kind is None else branch_controls(kind)


def _options(record: Record, change: Change) -> Any:
    kind = options_type(record.method, record.kind)
    options = from_json(kind, record.provenance["settings"], "settings")
    if change.views is not None and record.kind != "reconstruct":
        raise ConfigError(
            "Other pictures change nothing where none guide; branch from a reconstruction's step instead."
        )
    return with_settings(options, change.settings, branch_controls_of(record))


def _trunk(record: Record, place: int) -> list[Step]:
    """Steps that a branch shares with its trunk; those of a batch are reduced to the trunk's scene."""
    if record.scene == 0 and all(f.latent is None or len(f.latent) == 1 for f in record.frames):
        return record.frames[: place + 1]
    steps = (record.step(k) for k in range(place + 1))
    return [record.frames[k] if step is None else own(step) for k, step in enumerate(steps)]


def _run(record: Record, options: Any, seed: int, step: Step) -> Callable[[], Run[Tensor]]:
    method, noise, task = record.method, Noise(seed), TASKS[record.kind]
    if task == "complete":
        kept = record.kept
        return lambda: method.complete(kept.latent, kept.region, options, noise, after=step)
    if task == "reconstruct":
        return lambda: method.reconstruct(record.views, options, noise, after=step)
    x_T = None if record.noise is None else record.noise[None]
    return lambda: method.generate(1, options, noise, x_T=x_T, after=step)


def _plan(options: Any, frames: list[Step]) -> Plan:
    taken = [frame.stage for frame in frames]
    return tuple((stage, count - taken.count(stage)) for stage, count in options.stages())
