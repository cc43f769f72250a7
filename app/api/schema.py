"""Requests and answers of the JSON API: fields, types and bounds, from which /api/openapi.json is generated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from app.session.tasks import LARGEST_SEED, MOST_OBJECTS
from app.tabs.complete.keeping import MOST as MOST_PROPOSALS

Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED, description="Randomness.")]
Number = Annotated[int, Meta(ge=1, le=2**53, description="A record of this session.")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Preset = Annotated[
    str, Meta(min_length=1, max_length=40, description="One of the model's presets.")
]
Finite = Annotated[float, Meta(ge=-1e6, le=1e6)]
Row4 = Annotated[list[Finite], Meta(min_length=4, max_length=4)]
Row3 = Annotated[list[Finite], Meta(min_length=3, max_length=3)]
Share = Annotated[float, Meta(ge=0, le=1)]
PriorName = Annotated[
    Name | None,
    Meta(description="One of the session's `priors` (models); the session goes on with it."),
]


class Asked(Struct, forbid_unknown_fields=True, frozen=True):
    """Something a program sends."""


class Told(Struct, frozen=True):
    """Something a program gets."""


# -- asked -----------------------------------------------------------------------------------------


class Opening(Asked):
    """A new session."""

    prior: PriorName = None


class Generating(Asked):
    """Objects drawn from the model; `steps` is short for that one of its settings."""

    seed: Seed = 0
    count: Annotated[int, Meta(ge=1, le=MOST_OBJECTS, description="From consecutive seeds.")] = 1
    steps: Annotated[int, Meta(ge=1, le=1000)] | None = None
    settings: Settings = {}
    mode: Preset = "ours"
    prior: PriorName = None


Settings = Annotated[
    dict[Name, int | float | str],
    Meta(
        max_length=100,
        description="Settings of the model by name, those of its page; what is left out is its own.",
    ),
]


class Picture(Asked):
    """A picture, and from where it was taken if that is known: angles, or a pose (then `intrinsics` too)."""

    file: Name
    """Name of an uploaded picture."""
    azimuth: Annotated[float, Meta(ge=-360, le=360)] | None = None
    """Degrees; 0 in front of the object, 90 at its left side. Without it and `elevation` the camera is guessed."""
    elevation: Annotated[float, Meta(ge=-90, le=90)] | None = None
    """Degrees above the horizon; 0 where only `azimuth` is given."""
    distance: Annotated[float, Meta(gt=0, le=10)] | None = None
    """In object diagonals; left out, as it is guessed, or that of the model's training pictures."""
    mask: Name | None = None
    """Name of an uploaded mask of the same size, white where the object is."""
    pose: Annotated[list[Row4], Meta(min_length=4, max_length=4)] | None = None
    """Camera to world, 4 x 4, OpenCV axes, SRN units; the pixels are then used as they are."""
    intrinsics: Annotated[list[Row3], Meta(min_length=3, max_length=3)] | None = None
    """3 x 3, in pixels of this picture."""


class Reconstructing(Asked):
    """An object from one to four pictures."""

    pictures: Annotated[list[Picture], Meta(min_length=1, max_length=4)]
    seed: Seed = 0
    mode: Preset = "ours"
    settings: Settings = {}
    prior: PriorName = None


class Interpolating(Asked):
    """A path between two records, or a pad over three or four."""

    corners: Annotated[list[Number], Meta(min_length=2, max_length=4)]
    way: Literal["slerp", "lerp", "code"] = "slerp"
    mode: Preset = "ours"


class Point(Asked):
    """A point of the path or pad: `u` from the first corner to the second, `v` from those to the others."""

    u: Share = 0.5
    v: Share = 0.0


class Branching(Asked):
    """Going on from a step of a record with something changed; what is left out stays as it was."""

    record: Number
    step: Annotated[int, Meta(ge=0, le=10**6, description="Counted from 0.")]
    seed: Seed | None = None
    settings: Settings = {}


class Regenerating(Asked):
    """Everything outside a box drawn anew."""

    record: Number
    box: Annotated[list[Finite], Meta(min_length=6, max_length=6)]
    """Two corners x, y, z of what is kept, SRN units."""
    count: Annotated[int, Meta(ge=1, le=MOST_PROPOSALS, description="Proposals.")] = MOST_PROPOSALS
    seed: Seed = 0


class Showing(Asked):
    """Records for the session's view: one, and up to three beside it under the same camera."""

    record: Number
    step: Annotated[int, Meta(ge=0, le=10**6)] | None = None
    """Counted from 0; left out, the last."""
    beside: Annotated[list[Number], Meta(max_length=3)] = []


class OpeningFile(Asked):
    """A saved run or scene."""

    file: Name


class Naming(Asked):
    """Changes of a record; what is left out stays."""

    title: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    pinned: bool | None = None


# -- told ------------------------------------------------------------------------------------------


class Problem(Told):
    """An error."""

    error: str
    """One sentence."""


class SessionTold(Told):
    """A session."""

    session: str
    """Its token: whoever has it may do everything in it."""
    prior: str
    priors: list[str]
    view: str
    """Address of its live view, for a browser."""


class FileTold(Told):
    """An uploaded file."""

    file: str
    bytes: int


class RunTold(Told):
    """A run: where it stands and what it has made so far."""

    run: int
    state: Literal["queued", "running", "done", "cancelled", "failed"]
    stage: str | None
    index: int
    """Steps of the stage that were taken."""
    total: int
    ahead: int
    """Runs before this one in the queue."""
    share: float
    """Share of the run that is done, in [0, 1]."""
    seconds: float
    seconds_left: float | None
    error: str | None
    records: list[RecordTold]


class RecordTold(Told):
    """An object of the session."""

    record: int
    kind: str
    title: str
    state: str
    made: float
    """Seconds since 1970."""
    pinned: bool
    shown: bool
    steps: int
    whole: bool
    """True if all steps still have their latents, so that they can be branched from."""
    psnr: float | None
    """On the given pictures, or on what was kept; dB."""
    trunk: tuple[int, int] | None
    """A branch's parent record and the step after which it left; None for other records."""
    figures: dict[str, float]
    settings: dict[str, Any]
    downloads: dict[str, str]
    """Addresses of its files by name."""


class RecordsTold(Told):
    """Everything made in the session, newest first."""

    records: list[RecordTold]


class PathTold(Told):
    """The object at a point of a path, and how like its corners the path's ends are (dB)."""

    record: RecordTold
    corners: list[dict[str, Any]]


def sentence(error: msgspec.ValidationError | msgspec.DecodeError) -> str:
    """A validation error of msgspec as one sentence."""
    return f"The body is not as described at /api/openapi.json: {' '.join(str(error).split())}."
