"""Operations of the API: each takes a session and a checked request, and returns a run or a record."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.api import schema
from app.api.files import Files
from app.page.present import DOWNLOADS
from app.session import runs, tasks
from app.session.cameras import Stand, guessed, hypotheses
from app.session.jobs import Job, JobRunner, progress
from app.session.priors import Priors
from app.session.records import Record
from app.session.session import Session
from app.session.turns import PictureTurns
from app.tabs.complete.keeping import Keeping
from app.tabs.history import history
from app.tabs.inspect.branching import Change, branch
from app.tabs.interpolate.blending import Blend
from engine.data.posed import Posed, posed_views
from engine.data.poses import rigid
from engine.errors import ConfigError, CutoutError, EngineError, ImageError
from engine.pose.propose import propose
from engine.pose.store import category_net
from engine.types import Views
from engine.vision.images import cut_picture, frame_view, join_views, open_image, open_mask

MOST_RUNS = 64
"""Runs of a session that can be asked about; older ones are forgotten."""


class UnknownError(EngineError):
    """A session, run or record does not exist."""


class Runs:
    """Runs that a program has started in one session, by number."""

    def __init__(self, session: Session):
        self._jobs: OrderedDict[int, Job] = OrderedDict()

    def add(self, job: Job) -> Job:
        """Add a run."""
        self._jobs[job.id] = job
        while len(self._jobs) > MOST_RUNS:
            self._jobs.popitem(last=False)
        return job

    def get(self, number: int) -> Job:
        """A run by its number.

        Raises:
            UnknownError: If there is none.
        """
        if number not in self._jobs:
            raise UnknownError(f"Found no run {number} in this session.")
        return self._jobs[number]


@dataclass(frozen=True)
class Desk:
    """The session of a request and the parts of the explorer that serve it.

    Attributes:
        session: The session.
        runner: The worker.
        priors: The models to choose from.
        prefix: Prefix of files' addresses behind a proxy.
    """

    session: Session
    runner: JobRunner
    priors: Priors
    prefix: str = ""


def generate(desk: Desk, asked: schema.Generating) -> Job:
    """Sample objects."""
    use(desk, asked.prior)
    told = {**asked.settings, **({} if asked.steps is None else {"steps": asked.steps})}
    return tasks.generate(desk.session, desk.runner, asked.seed, asked.count, told, asked.mode)


def reconstruct(desk: Desk, asked: schema.Reconstructing) -> Job:
    """Fit an object to pictures."""
    session = desk.session
    use(desk, asked.prior)
    posed, doubts = posed_pictures(session, asked.pictures)
    found = iter(posed)
    stands = [
        Stand(next(found), None) if picture.pose is not None else picture_stand(session, picture)
        for picture in asked.pictures
    ]
    views = join_views([stand.views for stand in stands])
    told = (session, desk.runner, views, asked.seed, asked.settings, asked.mode)
    doubts = [*doubts, *(stand.doubt for stand in stands if stand.doubt is not None)]
    return tasks.reconstruct(*told, doubts, hypotheses(stands))


def posed_pictures(
    session: Session, pictures: Sequence[schema.Picture]
) -> tuple[list[Views], list[str]]:
    """Pictures with given cameras as views for the model, and doubts about them.

    Raises:
        ImageError: If one cannot be a view, or only a part of a camera is given.
        DataError: If cameras do not fit their pictures.
    """
    given = []
    for picture in pictures:
        path = session.part(Files).path(picture.file)
        if (picture.pose is None) != (picture.intrinsics is None):
            raise ImageError(
                f"{picture.file} has a pose or intrinsics alone; give both, or neither and angles."
            )
        if picture.pose is None:
            continue
        if picture.mask is not None:
            raise ImageError(
                f"{picture.file} has a pose and a mask; give a posed picture transparent where the object is not."
            )
        matrix = rigid(np.array(picture.pose, np.float64), picture.file)
        (fx, _, cx), (_, fy, cy), _ = picture.intrinsics
        values = np.array([fx, fy, cx, cy], np.float64)
        given.append(Posed(path, matrix, values, None, picture.file, picture.file))
    return posed_views(given, distance=session.method.data.distance)


def picture_stand(session: Session, picture: schema.Picture) -> Stand:
    """A picture with the camera that its angles say, or the likeliest one.

    Raises:
        ImageError: If it cannot be a view for the model, or nothing tells its camera.
    """
    path = session.part(Files).path(picture.file)
    brush = None if picture.mask is None else mask_of(session, path, picture.mask)
    net = category_net(session.method.data.category)
    told = picture.azimuth is not None or picture.elevation is not None
    if net is None and not told:
        raise ImageError(
            f"{picture.file} has no azimuth and elevation, and no network guesses them for this model; give both."
        )
    azimuth, elevation = picture.azimuth or 0.0, picture.elevation or 0.0
    try:
        with session.part(PictureTurns).one():
            cutout = cut_picture(path, brush, picture.file).rgba
    except CutoutError as error:
        raise ImageError(f"{picture.file}: {error.finding}; give it a mask.") from None
    if net is not None:
        unposed = propose(net, cutout, tasks.PICTURE_SIZE, session.method.data.category)
        if not told:
            return guessed(unposed, 0)
        if unposed.knows(elevation):
            guess = unposed.at(azimuth, elevation, picture.distance)
            return Stand(unposed.view(guess), None, unposed)
    distance = session.method.data.distance if picture.distance is None else picture.distance
    outlines = session.prior.outlines()
    views = frame_view(cutout, azimuth, elevation, distance, tasks.PICTURE_SIZE, outlines)
    return Stand(views, None)


def mask_of(session: Session, picture: Path, name: str) -> np.ndarray:
    """An uploaded mask (see `open_mask`), `height width`.

    Raises:
        ImageError: If it is not of the picture's size.
    """
    mask = open_mask(session.part(Files).path(name), name)
    if mask.shape != open_image(picture).shape[:2]:
        raise ImageError(f"{name} is not of the picture's size; give a mask of the same size.")
    return mask


def interpolate(desk: Desk, asked: schema.Interpolating) -> Job:
    """Sample the keyframes of a path or pad between records."""
    blend = desk.session.part(Blend)
    corners = [record(desk.session, number) for number in asked.corners]
    blend.placed.clear()
    blend.choose(asked.way, asked.mode)
    for corner in corners:
        blend.add(corner)
    return blend.prepare(desk.runner)


def point(desk: Desk, asked: schema.Point) -> schema.PathTold:
    """The object at a point of the path, sampled by the model and kept."""
    blend = desk.session.part(Blend)
    if blend.codes is None:
        raise ConfigError("There is no path yet; interpolate first and wait for the run's end.")
    blend.settle(asked.u, asked.v)
    kept = blend.keep(f"{blend.record.title}, {asked.u:.2f}, {asked.v:.2f}")
    return schema.PathTold(told_record(desk, kept), list(blend.report()["corners"]))


def go_on(desk: Desk, asked: schema.Branching) -> Job:
    """Branch from a step of a record."""
    trunk = record(desk.session, asked.record)
    if asked.step >= len(trunk.frames):
        raise ConfigError(
            f"Found step {asked.step} of a record with {len(trunk.frames)}; they are counted from 0."
        )
    change = Change(asked.seed, asked.settings)
    _, job = branch(desk.session, desk.runner, trunk, asked.step, change)
    return job


def regenerate(desk: Desk, asked: schema.Regenerating) -> Job:
    """Keep a box of a record and sample the rest anew."""
    keeping = desk.session.part(Keeping)
    keeping.begin(record(desk.session, asked.record))
    keeping.mark_box(asked.box)
    return keeping.propose(desk.runner, asked.count, asked.seed)


def show(desk: Desk, asked: schema.Showing) -> schema.RecordsTold:
    """Show records in the session's view; returns the records shown."""
    session = desk.session
    numbers = [record(session, number).id for number in (asked.record, *asked.beside)]
    with session.cv:
        session.select(numbers[0], asked.step)
        session.compare([(number, None) for number in numbers[1:]])
        shown = [session.selection(), *session.beside()]
    return schema.RecordsTold([told_record(desk, one) for one, _ in shown])


def open_file(desk: Desk, asked: schema.OpeningFile) -> schema.RecordTold:
    """Add a saved run or scene to the history."""
    session = desk.session
    timeline, note = runs.load(session.part(Files).path(asked.file))
    prior = runs.maker(timeline, desk.priors)
    opened = runs.opened(timeline, note, prior, session.method.mean_latent.device)
    session.add(opened)
    return told_record(desk, opened)


def change(desk: Desk, number: int, asked: schema.Naming) -> schema.RecordTold:
    """Rename, pin or unpin a record."""
    session, found = desk.session, record(desk.session, number)
    if asked.title is not None:
        history.rename(session, {"record": number, "title": asked.title})
    if asked.pinned is not None and asked.pinned != found.pinned:
        history.pin(session, {"record": number})
    return told_record(desk, found)


def remove(session: Session, number: int) -> None:
    """Remove a record from the history."""
    record(session, number)
    history.remove(session, {"record": number})


def use(desk: Desk, name: str | None) -> None:
    """Use a model from now on.

    Raises:
        CheckpointError: If there is none of that name.
    """
    if name is not None:
        desk.session.use(desk.priors.open(name).result())


def record(session: Session, number: int) -> Record:
    """A record of the history.

    Raises:
        UnknownError: If there is none.
    """
    found = next((one for one in session.history if one.id == number), None)
    if found is None:
        raise UnknownError(f"Found no record {number} in this session.")
    return found


# -- answers -------------------------------------------------------------------------------------


def told_run(desk: Desk, job: Job) -> schema.RunTold:
    """The state of a run as the API reports it."""
    share, left = progress(job, desk.runner.rates)
    step = job.step
    made = [one for one in desk.session.history if one.job == job.id]
    return schema.RunTold(
        job.id,
        job.state,
        None if step is None else step.stage,
        0 if step is None else step.index,
        0 if step is None else step.total,
        desk.runner.ahead(job),
        round(share, 4),
        round(job.elapsed, 3),
        None if left is None else round(left, 3),
        job.error,
        [told_record(desk, one) for one in made],
    )


def told_record(desk: Desk, one: Record) -> schema.RecordTold:
    """A record as the API reports it."""
    session = desk.session
    return schema.RecordTold(
        one.id,
        one.kind,
        one.title,
        one.state,
        one.made,
        one.pinned,
        one is session.selection()[0],
        len(one.frames),
        history.whole(one),
        one.psnr,
        one.trunk,
        dict(one.figures),
        dict(one.provenance),
        {name: f"{desk.prefix}/download/{session.token}/{one.id}/{name}" for name in DOWNLOADS},
    )
