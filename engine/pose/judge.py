"""Accuracy of a pose network on unseen objects: what a stranger's picture of one would be guessed as.

The pictures are drawn by SRN's camera from anywhere, cut out, and framed by their outline alone; nothing of the camera
gets in. A cut-out does not tell where the camera looked, so that its rotation is that of the camera at the same place that
looks at the object's centre. Rotation errors are angles between rotations (CodeNeRF, 2109.01750, section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from engine.data.procedural.augment import augmented
from engine.data.procedural.categories import Category
from engine.data.procedural.shape import scene_seed
from engine.data.raster import Soup, composite_white, rasterise
from engine.events import Run, Step
from engine.nets.posenet import PoseNet
from engine.ops.cameras import SRN_FOCAL, orbit, srn_intrinsics
from engine.pose.guess import Guess, Window, centred, guess_cameras, network_picture
from engine.pose.pictures import CameraRange, random_camera
from engine.types import Camera

SIZE = 128
"""Rows and columns of the pictures before they are centred."""
PLAIN = CameraRange(
    elevation=(0.0, 60.0), low=0.0, distance=(1.1, 1.6), far=0.0, beside=0.03, roll=0.0
)
HARD = CameraRange(
    elevation=(0.0, 60.0), low=0.0, distance=(1.1, 1.6), far=0.0, beside=0.03, roll=2.0
)
FLIP_DEG = 60.0
"""Rotation error from which a guess is of another side."""
BITTEN = 0.5
"""Share of the hard pictures whose masks are bitten or bulged."""
QUALITY = (30, 80)
"""JPEG quality of the hard pictures."""
SAME = 0.006
"""Mean difference, in [0, 1], up to which an object looks the same when it is turned."""
TURN_DEG = 5
"""Degrees between the turns that are tried."""


@dataclass(frozen=True)
class Exam:
    """A picture with its camera.

    Attributes:
        square: The cut-out, centred.
        window: The square in the picture.
        camera: The picture's camera.
        direction: Azimuth, elevation and roll, radians.
        distance: SRN units.
        turns: Azimuths, radians, by which the object can be turned and looks the same.
    """

    square: Float[np.ndarray, "size size 4"]
    window: Window
    camera: Camera
    direction: tuple[float, float, float]
    distance: float
    turns: tuple[float, ...] = (0.0,)


@dataclass(frozen=True)
class Verdict:
    """Errors of the guesses of one picture, best first.

    Attributes:
        rotation: Degrees, one a guess.
        turned: Degrees, one a guess, up to the object's symmetry.
        perspective: Relative error of the likeliest guess' distance.
        focal: The same where the focal length is known.
        translation: Relative error of its position, where the focal length is known.
        probability: Of the likeliest guess.
    """

    rotation: tuple[float, ...]
    turned: tuple[float, ...]
    perspective: float
    focal: float
    translation: float
    probability: float


def exams(category: Category, count: int, *, hard: bool = False) -> Run[list[Exam]]:
    """Pictures of unseen objects, one each (stage "dataset").

    Args:
        category: Kind of the objects.
        count: How many.
        hard: True for other colours, light and proportions, rolled cameras, JPEG, and torn masks.
    """
    made = []
    for index in range(count):
        seed = scene_seed("test", index)
        noise = np.random.default_rng([seed, 0xE8, hard])
        shape = category.build(seed)
        shape = augmented(shape, category.box, 1.0) if hard else shape
        made.append(_exam(shape.soup(), HARD if hard else PLAIN, noise, spoilt=hard))
        yield Step(stage="dataset", index=index + 1, total=count)
    return made


def mesh_exams(soup: Soup, count: int = 48) -> list[Exam]:
    """Pictures of one mesh (see `engine.data.meshes.load_mesh`) from anywhere."""
    noise = np.random.default_rng([count, 0xE9])
    return [_exam(soup, PLAIN, noise, spoilt=False) for _ in range(count)]


def _exam(soup: Soup, cameras: CameraRange, noise: np.random.Generator, *, spoilt: bool) -> Exam:
    c2w, (azimuth, elevation, distance, roll) = random_camera(cameras, noise)
    focal = SRN_FOCAL * SIZE
    intrinsics = np.array([focal, focal, SIZE / 2, SIZE / 2])
    picture = rasterise(soup, c2w[None], intrinsics, SIZE, SIZE)[0]
    if spoilt:
        picture = _spoilt(picture, noise)
    square, window = centred(picture.astype(np.float32) / 255, SIZE)
    turns = _turns(soup, elevation, distance)
    pose = torch.from_numpy(c2w).float()
    camera = Camera.from_srn(pose, srn_intrinsics(SIZE), SIZE, SIZE)
    return Exam(square, window, camera, (azimuth, elevation, roll), distance, turns)


def _spoilt(
    rgba: UInt8[np.ndarray, "size size 4"], noise: np.random.Generator
) -> UInt8[np.ndarray, "size size 4"]:
    """A picture through JPEG, its mask perhaps bitten and bulged at the outline."""
    alpha = rgba[..., 3].copy()
    background = np.full(3, 255, np.uint8)
    if noise.uniform() < BITTEN:
        outlines, _ = cv2.findContours(
            (alpha > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        outline = max(outlines, key=len)[:, 0]
        background = noise.integers(0, 256, 3).astype(np.uint8)
        for number in range(noise.integers(2, 6)):
            middle = tuple(int(k) for k in outline[noise.integers(len(outline))])
            radii = tuple(int(k) for k in noise.integers(2, 8, 2))
            cv2.ellipse(alpha, middle, radii, 0, 0, 360, 255 * (number % 2), -1)
    behind = np.where(rgba[..., 3:] > 0, composite_white(rgba), background)
    quality = int(noise.integers(*QUALITY))
    done, data = cv2.imencode(".jpg", behind[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    rgb = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return np.concatenate([rgb, alpha[..., None]], -1)


def _turns(soup: Soup, elevation: float, distance: float) -> tuple[float, ...]:
    """Azimuths by which an object can be turned about the vertical without looking another."""
    angles = np.deg2rad(np.arange(0, 360, TURN_DEG))
    azimuths = torch.from_numpy(np.concatenate([angles, angles + math.radians(37)]))
    here = torch.full_like(azimuths, elevation), torch.full_like(azimuths, distance)
    focal = SRN_FOCAL * 64
    pictures = rasterise(
        soup, orbit(azimuths, *here).numpy(), np.array([focal, focal, 32, 32]), 64, 64, 1
    )
    looks = composite_white(pictures).astype(np.float32) / 255
    near, far = looks[: len(angles)], looks[len(angles) :]
    covered = (pictures[: len(angles), ..., 3] > 0).mean((1, 2))
    differ = np.maximum(
        np.abs(near - near[0]).mean((1, 2, 3)), np.abs(far - far[0]).mean((1, 2, 3))
    )
    return tuple(float(angle) for angle in angles[differ < SAME * covered / covered.mean()])


def judge(net: PoseNet, pictures: Sequence[Exam], count: int = 3) -> Run[list[Verdict]]:
    """Errors of a network's guesses (stage "judge")."""
    verdicts = []
    for index, exam in enumerate(pictures):
        guesses = guess_cameras(net, network_picture(exam.square), count)
        verdicts.append(_verdict(exam, guesses))
        yield Step(stage="judge", index=index + 1, total=len(pictures))
    return verdicts


def _verdict(exam: Exam, guesses: Sequence[Guess]) -> Verdict:
    azimuth, elevation, roll = exam.direction
    plain, turned = [], []
    for guess in guesses:
        told = _rotation(*(math.radians(v) for v in (guess.azimuth, guess.elevation, guess.roll)))
        errors = [_angle(told, _rotation(azimuth + turn, elevation, roll)) for turn in exam.turns]
        plain.append(_angle(told, _rotation(azimuth, elevation, roll)))
        turned.append(min(errors))
    first = guesses[0]
    known = first.at_focal(SRN_FOCAL * SIZE / exam.window.side)
    true, found = (
        _place(azimuth, elevation, exam.distance),
        _place(math.radians(first.azimuth), math.radians(first.elevation), known.distance),
    )
    return Verdict(
        tuple(plain),
        tuple(turned),
        abs(first.distance / exam.distance - 1),
        abs(known.distance / exam.distance - 1),
        float(np.linalg.norm(true - found) / np.linalg.norm(true)),
        first.probability,
    )


def figures(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Shares of the pictures within bounds, and medians; "flips" are errors above `FLIP_DEG`."""
    first = np.array([verdict.rotation[0] for verdict in verdicts])
    best = np.array([min(verdict.rotation) for verdict in verdicts])
    turned = np.array([verdict.turned[0] for verdict in verdicts])
    best_turned = np.array([min(verdict.turned) for verdict in verdicts])
    told = {}
    for name, errors in (
        ("top1", first),
        ("best3", best),
        ("top1_symmetric", turned),
        ("best3_symmetric", best_turned),
    ):
        told[f"{name}_5deg"] = float((errors < 5).mean())
        told[f"{name}_10deg"] = float((errors < 10).mean())
    told["median_deg"] = float(np.median(first))
    told["median_symmetric_deg"] = float(np.median(turned))
    told["flips"] = float((first > FLIP_DEG).mean())
    told["flips_symmetric"] = float((turned > FLIP_DEG).mean())
    for name in ("perspective", "focal", "translation"):
        errors = np.array([getattr(verdict, name) for verdict in verdicts])
        told[f"{name}_3percent"] = float((errors < 0.03).mean())
        told[f"{name}_5percent"] = float((errors < 0.05).mean())
    return told


def _rotation(azimuth: float, elevation: float, roll: float) -> Float[np.ndarray, "3 3"]:
    angles = (torch.tensor(v, dtype=torch.float64) for v in (azimuth, elevation, 1.0))
    cos, sin = math.cos(roll), math.sin(roll)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return orbit(*angles).numpy()[:3, :3] @ turn


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two rotations."""
    cos = (np.trace(a.T @ b) - 1) / 2
    return math.degrees(math.acos(min(max(cos, -1.0), 1.0)))


def _place(azimuth: float, elevation: float, distance: float) -> Float[np.ndarray, "3"]:
    angles = (torch.tensor(v, dtype=torch.float64) for v in (azimuth, elevation, distance))
    return orbit(*angles).numpy()[:3, 3]
