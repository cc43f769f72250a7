"""Training pictures of the pose network: procedural objects from anywhere, framed by their outline, with their cameras."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from engine.config import Bounds
from engine.data.parallel import in_parallel
from engine.data.procedural.augment import augmented
from engine.data.procedural.categories import Category
from engine.data.procedural.shape import Shape, scene_seed
from engine.data.raster import Soup, rasterise
from engine.events import Run, Step
from engine.nets.posenet import SIZE
from engine.ops.cameras import orbit
from engine.pose.guess import FILLED

SAMPLES = 2
"""Supersampling of the pictures per axis."""


@dataclass(frozen=True)
class CameraRange:
    """Distribution of the cameras. Distances are SRN units, angles degrees."""

    elevation: tuple[float, float] = (-5.0, 70.0)
    """Elevations, uniform."""
    low: float = 0.5
    """Share of the pictures from elevations below `low_elevation`, where photographs are taken."""
    low_elevation: float = 35.0
    distance: tuple[float, float] = (1.05, 1.7)
    """Distances, uniform."""
    far: float = 0.3
    """Share of the pictures from any of the distances `far_distance`, uniform in their logarithm."""
    far_distance: tuple[float, float] = (0.95, 3.0)
    beside: float = 0.05
    """Standard deviation of the point aimed at around the object's centre, SRN units, for half of the pictures."""
    roll: float = 2.0
    """Standard deviation of the camera's roll."""
    crop_scale: float = 0.03
    """Standard deviation of the logarithm of the crop's scale, for `crop` of the pictures."""
    crop_shift: float = 1 / 64
    """Standard deviation of the crop's shift, picture widths."""
    crop: float = 0.6


@dataclass(frozen=True)
class PictureOptions:
    """The pictures that a network is trained on."""

    scenes: Annotated[int, Bounds(1, 100_000)] = 5000
    """Objects."""
    first_scene: Annotated[int, Bounds(0, 900_000)] = 20_000
    """Number of the first one in the training split; those of the models come before."""
    views: Annotated[int, Bounds(1, 1000)] = 10
    """Pictures of each."""
    varied: Annotated[float, Bounds(0.0, 1.0)] = 0.7
    """Share of the objects in other colours, light and proportions."""
    cameras: CameraRange = CameraRange()


@dataclass(frozen=True)
class PosePictures:
    """Pictures and their cameras.

    Attributes:
        rgba: Straight RGBA.
        direction: Azimuth and elevation, radians.
        framing: Numbers of `engine.nets.posenet.FRAMING`.
        key: Digest of all of these.
    """

    rgba: UInt8[Tensor, "n 64 64 4"]
    direction: Float[Tensor, "n 2"]
    framing: Float[Tensor, "n 5"]
    key: str


def draw_pictures(
    category: Category, options: PictureOptions, split: str = "train"
) -> Run[PosePictures]:
    """Pictures of a category's objects (stage "dataset")."""
    seeds = [scene_seed(split, options.first_scene + k) for k in range(options.scenes)]

    def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
        shape = augmented(category.build(seed), category.box, options.varied)
        return _views(shape, options, np.random.default_rng([seed, 0x90]))

    rgba, numbers = [], []
    for index, (pictures, labels) in enumerate(in_parallel(scene, seeds)):
        rgba.append(torch.from_numpy(pictures))
        numbers.append(torch.from_numpy(labels))
        yield Step(stage="dataset", index=index + 1, total=len(seeds))
    told = torch.cat(numbers).float()
    state = hashlib.blake2b(told.numpy().tobytes(), digest_size=8)
    for part in rgba:
        state.update(part.numpy().tobytes())
    return PosePictures(torch.cat(rgba), told[:, :2], told[:, 2:], state.hexdigest())


def _views(
    shape: Shape, options: PictureOptions, noise: np.random.Generator
) -> tuple[UInt8[np.ndarray, "views 64 64 4"], Float[np.ndarray, "views 7"]]:
    soup = shape.soup()
    corners = shape.vertices.astype(np.float64)
    pictures, labels = [], []
    for _ in range(options.views):
        c2w, label = random_camera(options.cameras, noise)
        window, framing = outline_window(corners, c2w, options.cameras, noise)
        pictures.append(picture(soup, c2w, window, SIZE, SAMPLES))
        labels.append([*label[:2], math.log(label[2]), *framing, label[3]])
    return np.concatenate(pictures), np.array(labels)


def random_camera(
    options: CameraRange, noise: np.random.Generator
) -> tuple[Float[np.ndarray, "4 4"], tuple[float, float, float, float]]:
    """A camera in SRN units that looks about the origin, and its azimuth, elevation, distance and roll (radians)."""
    lowest, highest = options.elevation
    top = options.low_elevation if noise.uniform() < options.low else highest
    azimuth, elevation = noise.uniform(0, 2 * np.pi), np.deg2rad(noise.uniform(lowest, top))
    if noise.uniform() < options.far:
        distance = math.exp(noise.uniform(*np.log(options.far_distance)))
    else:
        distance = noise.uniform(*options.distance)
    beside = noise.normal(0, options.beside, 2) * (noise.uniform() < 0.5)
    roll = np.deg2rad(noise.normal(0, options.roll))
    angles = (torch.tensor(value, dtype=torch.float64) for value in (azimuth, elevation, distance))
    c2w = orbit(*angles).numpy()
    aim = np.array([*beside / distance, 1.0])
    c2w[:3, :3] = c2w[:3, :3] @ _towards(aim) @ _turn(roll)
    return c2w, (azimuth, elevation, distance, roll)


def outline_window(
    corners: Float[np.ndarray, "n 3"],
    c2w: Float[np.ndarray, "4 4"],
    options: CameraRange | None,
    noise: np.random.Generator,
) -> tuple[Float[np.ndarray, "4"], tuple[float, float, float]]:
    """Intrinsics, in picture widths, of the square around an object's outline, and log scale and place of the origin.

    Args:
        corners: The object's vertices, SRN units.
        c2w: The camera, SRN units.
        options: Errors of the crop; None for none.
        noise: Randomness of the errors.
    """
    rotation, position = c2w[:3, :3], c2w[:3, 3]
    local = (corners - position) @ rotation
    plane = local[:, :2] / local[:, 2:]
    low, high = plane.min(0), plane.max(0)
    focal = FILLED / (high - low).max()
    shift = np.zeros(2)
    if options is not None and noise.uniform() < options.crop:
        focal *= math.exp(noise.normal(0, options.crop_scale))
        shift = noise.normal(0, options.crop_shift, 2)
    offset = 0.5 - focal * (low + high) / 2 + shift
    origin = -position @ rotation
    u, v = focal * origin[:2] / origin[2] + offset - 0.5
    scale = math.log(focal / origin[2])
    return np.array([focal, focal, *offset]), (scale, float(u), float(v))


def picture(
    soup: Soup,
    c2w: Float[np.ndarray, "4 4"],
    window: Float[np.ndarray, "4"],
    size: int,
    samples: int,
) -> UInt8[np.ndarray, "1 size size 4"]:
    """A picture through a window of `outline_window`."""
    return rasterise(soup, c2w[None], window * size, size, size, samples)


def _towards(aim: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The least rotation whose third axis is `aim`."""
    z = aim / np.linalg.norm(aim)
    x = np.array([1.0, 0.0, 0.0]) - z[0] * z
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], 1)


def _turn(angle: float) -> Float[np.ndarray, "3 3"]:
    """The rotation about the third axis."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
