"""One check of cameras against pictures, for everything that takes posed pictures.

An object's box has diagonal 1 around the origin, so a ray that meets the object passes the origin within 0.5 (SRN
units). From the pictures' masks this tells whether a camera looks at the object, whether units and focal length fit,
and from several views whether there is any object with all these outlines. Where the cameras do not fit, other
readings of the same files are tried, and the one that fits is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, UInt8

from engine.data.cameras import SRN_DISTANCE
from engine.data.reading import AXES, SRN, CameraReading
from engine.data.sights import REACH, Look, Sight, border, hull_cover, looked_at, passing_distances
from engine.errors import DataError

BACKGROUND = 245
"""Lightest grey that counts as object on white."""
TOO_FAR = 0.88
"""Distance of a unit cube's corners from its centre, and a little; the engine's fields end there too."""
LARGE = 0.53
"""Distance from the origin within which 98 % of an object's rays pass in all our categories, and a little."""
SMALL_TOGETHER = 0.3
"""Lower bound in all our categories of the largest reach among three or more views."""
TINY = 0.06
OFF_CENTRE = 0.45
"""Largest distance of an outline's middle from the projected origin, in radii of the bounding sphere (ours: 0.37)."""
ROLL = 15.0
"""Degrees of roll from which another upward axis of the world is considered."""
COVER = 0.97
"""Share of every outline that an object seen by all cameras fills; 1 but for the grid where cameras are right."""
HOPELESS = 0.5
"""Share below which cameras and pictures cannot belong together."""
FULL_FRAME = 36.0
"""Width of a full-frame sensor, millimetres."""
CALLED = {"opencv": "OpenCV's", "opengl": "OpenGL's", "pytorch3d": "PyTorch3D's"}


@dataclass(frozen=True)
class Finding:
    """A fault found in cameras or pictures.

    Attributes:
        text: One sentence about it.
        certain: False for a doubt.
    """

    text: str
    certain: bool


def refuse(findings: Sequence[Finding]) -> list[str]:
    """The doubts among findings.

    Raises:
        DataError: With the first that is certain.
    """
    for finding in findings:
        if finding.certain:
            raise DataError(finding.text)
    return [finding.text for finding in findings]


# -- pictures --------------------------------------------------------------------------------------


def see(
    camera: Sight, rgba: UInt8[np.ndarray, "h w 4"], reading: CameraReading, name: str
) -> tuple[Sight, list[Finding]]:
    """A view with its object's mask, and the faults of its picture.

    If alpha does not separate object and background, everything that is not white is the object.

    Args:
        camera: The view, without a mask.
        rgba: The picture.
        reading: Conventions of the camera, to tell if it is so near that the object may fill the picture.
        name: Name of the picture in messages.
    """
    alpha = rgba[..., 3]
    low, high = int(alpha.min()), int(alpha.max())
    opaque = alpha > 127
    if high - low > 200 and opaque.any() and not opaque.all():
        return replace(camera, mask=opaque), _inverted(opaque, name)
    if high == low < 250:
        text = (
            f"{name}: its alpha is {high / 255:.0%} everywhere, which says nothing about the object; expected an "
            "opaque object on transparent or white ground, so cut it out or remove the alpha channel."
        )
        return camera, [Finding(text, True)]
    share = alpha[..., None] / 255
    shown = (rgba[..., :3] * share + 255 * (1 - share)).min(-1) < BACKGROUND
    if not shown.any():
        text = f"{name}: the picture is empty (all white), expected an object on white."
        return camera, [Finding(text, True)]
    if border(shown).mean() > 0.5:
        text = (
            f"{name}: the background is not white and no alpha tells it from the object; expected an object on "
            "white or transparent ground, so cut it out."
        )
        return camera, [Finding(text, not _fills(camera, rgba, reading))]
    return replace(camera, mask=shown), []


def _inverted(opaque: Bool[np.ndarray, "h w"], name: str) -> list[Finding]:
    """A finding if the background is opaque and the object transparent; else none."""
    if not border(opaque).all() or opaque.mean() > 0.98:
        return []
    text = f"{name}: its alpha is opaque all around the border and clear inside, as if inverted; expected an opaque object."
    return [Finding(text, True)]


def _fills(camera: Sight, rgba: UInt8[np.ndarray, "h w 4"], reading: CameraReading) -> bool:
    """True if the object may fill the whole picture: the camera is near enough, and the border has many colours."""
    edge = border(rgba[..., :3]).astype(np.float32)
    rim = np.zeros(camera.size, bool)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    c2w = reading.c2w(camera.matrix)
    origin = -c2w[:3, :3].T @ c2w[:3, 3]
    passing = passing_distances(rim, camera.intrinsics(reading), origin)
    return bool(edge.std(0).max() > 20 and (passing < REACH).mean() > 0.8)


# -- cameras ---------------------------------------------------------------------------------------


Grade = Literal["impossible", "odd", "unusual", "doubt", "perhaps"]
"""Weight of a symptom: `impossible` cameras are refused; `odd` ones too where another reading of the files fits, and
are a doubt otherwise; `unusual` ones are refused where another reading fits, and nothing otherwise; a `doubt` stays one;
`perhaps` is a doubt where another reading fits, and nothing otherwise."""


@dataclass(frozen=True)
class _Symptom:
    text: str
    grade: Grade


def check_views(
    sights: Sequence[Sight], reading: CameraReading = SRN, distance: float = SRN_DISTANCE
) -> list[Finding]:
    """Findings about the cameras of one object's pictures, certain or doubtful; at most one.

    Args:
        sights: The pictures' cameras, and masks where they are known.
        reading: Conventions of the files. Explicit ones are trusted unless they are impossible.
        distance: Usual distance of cameras from the origin, SRN units: what another unit is told from.
    """
    looks = [looked_at(sight, reading) for sight in sights]
    symptom = _symptom(sights, looks, reading)
    if symptom is None:
        return []
    text, grade = symptom.text, symptom.grade
    hopeless = grade == "impossible"
    others = (
        found
        for loose in ((False, True) if hopeless else (False,))
        for found in _others(sights, reading, distance, loose, hopeless)
    )
    if grade in ("unusual", "perhaps"):
        others = (other for other in others if _changes(reading, other).keys() == {"up"})
    other = next(others, None)
    if other is not None:
        named, flags = _difference(reading, other)
        sure = grade in ("impossible", "odd", "unusual")
        may = "" if sure else "if that is not meant, "
        return [Finding(f"{text}; {may}{named}: give {flags}.", sure)]
    if grade in ("unusual", "perhaps"):
        return []
    wanted = "expected cameras (OpenCV axes, SRN units, z up) around an object at the origin whose box has diagonal 1"
    return [Finding(f"{text}; {wanted}.", grade == "impossible")]


def _symptom(
    sights: Sequence[Sight], looks: Sequence[Look], reading: CameraReading
) -> _Symptom | None:
    """The gravest symptom against a reading; None if there is none."""
    found: list[_Symptom] = []
    for sight, look in zip(sights, looks, strict=True):
        found += [
            _Symptom(f"{sight.name}: {text}", grade)
            for text, grade in _of_view(sight, look, reading)
        ]
    reach, least = _largest(sights, looks), _least_reach(sights, looks)
    if reach is not None and reach < least and reading.scale is None:
        share = f"{2 * reach:.2g}"
        text = f"{sights[0].name}: the object is only about {share} large, expected a box of diagonal 1"
        found.append(_Symptom(text, "impossible" if reach < TINY else "doubt"))
    if all(symptom.grade != "impossible" for symptom in found):
        cover = hull_cover(sights, reading)
        if cover < COVER:
            text = (
                f"{sights[0].name}: no object has the outlines that {len(sights)} pictures show from their cameras "
                f"({cover:.0%} of them can be filled)"
            )
            found.append(_Symptom(text, "impossible" if cover < HOPELESS else "odd"))
    order = get_args(Grade)
    return min(found, key=lambda symptom: order.index(symptom.grade), default=None)


def _largest(sights: Sequence[Sight], looks: Sequence[Look]) -> float | None:
    """Reach of the view in which the object seems largest; None if some picture may cut it off."""
    if not all(sight.whole for sight in sights):
        return None
    return max((look.reach for look in looks if look.reach is not None), default=None)


def _least_reach(sights: Sequence[Sight], looks: Sequence[Look]) -> float:
    """Least reach of an object of our categories: a long one seen end-on from afar has the smallest."""
    if sum(sight.mask is not None for sight in sights) > 2:
        return SMALL_TOGETHER
    return float(np.clip(0.27 - 0.03 * min(look.distance for look in looks), 0.14, 0.25))


def _of_view(sight: Sight, look: Look, reading: CameraReading) -> Iterator[tuple[str, Grade]]:
    """Objections to one view's camera."""
    if look.ahead <= 0:
        yield "the camera looks away from the object at the origin", "impossible"
    elif look.misses:
        yield "the camera looks past the object at the origin", "impossible"
    elif look.near is not None and look.near > REACH:
        yield "the object in the picture is not where the camera sees the origin", "impossible"
    elif look.reach is not None and look.distance < REACH and sight.whole:
        yield (
            f"the camera stands inside the object's box, {look.distance:.2g} from its middle",
            "impossible",
        )
    elif look.reach is not None and look.reach > TOO_FAR:
        times = f"{look.reach / REACH:.2g}"
        yield f"the object would be {times} times as large as its box of diagonal 1", "impossible"
    elif look.roll > 90 and reading.convention is None and reading.up is None:
        yield "the camera is upside down", "odd"
    elif look.off > OFF_CENTRE:
        yield "the object in the picture is not where the camera sees the origin", "odd"
    elif ROLL < look.roll <= 90 and reading.up is None:
        yield f"the camera is rolled by {look.roll:.0f} degrees about its view", "unusual"
    elif look.reach is not None and look.reach > LARGE and reading.scale is None:
        times = f"{look.reach / REACH:.2g}"
        yield f"the object is about {times} times as large as a box of diagonal 1", "doubt"
    elif look.elevation < -20 and reading.up is None:
        yield f"the camera looks up from {-look.elevation:.0f} degrees below the horizon", "perhaps"


# -- other readings --------------------------------------------------------------------------------


def _others(
    sights: Sequence[Sight], reading: CameraReading, distance: float, loose: bool, free: bool
) -> Iterator[CameraReading]:
    """Other readings under which the cameras fit the pictures, the least different ones first."""
    found = [
        scaled
        for other in _variants(sights, reading, free)
        for scaled in _scaled(sights, other, distance)
        if scaled != reading
    ]
    for other in sorted(found, key=lambda other: _strangeness(reading, other)):
        if _fits(sights, other, reading, loose):
            yield other


def _strangeness(reading: CameraReading, other: CameraReading) -> float:
    """Improbability of another reading: larger for one that is less likely meant.

    Every difference adds 1. Another scale adds 1.5, for nothing in the files shows it; other intrinsics take away from the
    sum, for they are suggested only where the files' own numbers ask for them.
    """
    weights = {"scale": 1.5, "intrinsics_width": -1.0, "focal": -0.5}
    return sum(weights.get(name, 1.0) for name in _changes(reading, other))


def _variants(sights: Sequence[Sight], reading: CameraReading, free: bool) -> list[CameraReading]:
    """Readings with other axes, directions, worlds and intrinsics; with `free`, also against explicit settings."""
    conventions: tuple = (None, "opengl", "pytorch3d")
    inverses: tuple = (False, True)
    ups: tuple = (None, "y", "y-down")
    if reading.convention is not None:
        conventions = (reading.convention, *conventions) if free else (reading.convention,)
    if reading.inverse and not free:
        inverses = (True,)
    if reading.up is not None:
        ups = (reading.up, *ups) if free else (reading.up,)
    return [
        replace(optics, convention=convention, inverse=inverse, up=up)
        for optics in _optics(sights[0], reading)
        for convention, inverse, up in product(conventions, inverses, ups)
    ]


def _optics(sight: Sight, reading: CameraReading) -> list[CameraReading]:
    """Readings of the intrinsics: as they are, of another picture's size, and as other units than pixels."""
    found = [reading]
    fx, _, cx, cy = (float(value) for value in sight.values)
    height, width = sight.size
    middle = reading.intrinsics(sight.values, sight.resolution, sight.size)[2:] / (width, height)
    if reading.intrinsics_width is None and np.abs(middle - 0.5).max() > 0.2 and min(cx, cy) > 0:
        found.append(replace(reading, intrinsics_width=_rounded(2 * cx)))
    wide = reading.intrinsics(sight.values, sight.resolution, sight.size)[0] / width
    if reading.focal is None and not 0.5 < wide < 8:
        units = [fx * width / FULL_FRAME]  # millimetres
        if fx < 170:
            units.append(width / 2 / np.tan(np.radians(fx) / 2))  # angle of view
        if fx < 3:
            units.append(width / 2 / np.tan(fx / 2))
        found += [replace(reading, focal=_rounded(focal)) for focal in units if focal > 1]
    return found


def _scaled(
    sights: Sequence[Sight], reading: CameraReading, distance: float
) -> Iterator[CameraReading]:
    """A reading as it is if the object's size fits, else with the scales at which it does."""
    looks = [looked_at(sight, reading) for sight in sights]
    reach = max((look.reach for look in looks if look.reach is not None), default=None)
    small = _largest(sights, looks) is not None and reach < _least_reach(sights, looks)
    if reading.scale is not None or reach is None or (reach < LARGE and not small):
        yield reading
        return
    usual = distance / float(np.median([look.distance for look in looks]))
    for scale in (usual, 0.43 / reach):
        if 0.2 < scale * reach < LARGE:
            yield replace(reading, scale=_rounded(scale))


def _fits(
    sights: Sequence[Sight], candidate: CameraReading, given: CameraReading, loose: bool
) -> bool:
    """True if a reading fits: upright cameras above the ground, and the object inside its box."""
    roll, below = (30, -30) if loose else (2, -15)
    for sight in sights:
        look = looked_at(sight, candidate)
        if look.misses or look.ahead <= 0 or look.off > OFF_CENTRE:
            return False
        if given.up is None and (look.roll > roll or look.elevation < below):
            return False
        if look.reach is not None and (look.reach > LARGE or look.distance < REACH):
            return False
    return hull_cover(sights, candidate) >= COVER


def _changes(reading: CameraReading, other: CameraReading) -> dict[str, object]:
    """Fields in which a reading differs from another, with its values."""
    values = {field.name: getattr(other, field.name) for field in fields(CameraReading)}
    return {name: value for name, value in values.items() if value != getattr(reading, name)}


def _difference(reading: CameraReading, other: CameraReading) -> tuple[str, str]:
    """Description of another reading of the files, and the command-line flags that select it."""
    changes = _changes(reading, other)
    said, flags = [], []
    for name, value in changes.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None or value is False:
            said.append(f"{flag} seems not to hold")
            flags.append(f"no {flag}")
            continue
        given = "" if value is True else f" {value:g}" if isinstance(value, float) else f" {value}"
        flags.append(flag + given)
        said.append(_said(name, value))
    stays = ""
    if changes.keys() == {"up"}:
        stays = f" (or --up {reading.up or 'z'} if the cameras do stand like this)"
    return " and ".join(said), " ".join(flags) + stays


def _said(name: str, value: Any) -> str:
    """Description of the files under one setting of a reading."""
    if name == "convention":
        return f"the poses seem to have {CALLED[value]} axes ({AXES[value][0]})"
    if name == "up":
        return f"the world's {'y' if value == 'y' else '-y'} axis seems to point up"
    if name == "intrinsics_width":
        kind = "normalised" if value == 1 else f"those of a picture {value:g} wide"
        return f"the intrinsics seem to be {kind}"
    return {
        "inverse": "the poses seem to map world to camera",
        "scale": "the poses seem to be in another unit than SRN's",
        "focal": "the focal length seems not to be in pixels",
    }[name]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
