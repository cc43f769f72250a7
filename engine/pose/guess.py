"""Guesses of a picture's camera: the network's hypotheses, and their cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from engine.nets.posenet import AZIMUTHS, BIN_DEG, ELEVATIONS, LOWEST_DEG, SIZE, PoseNet
from engine.ops.cameras import orbit
from engine.types import Camera, Views
from engine.vision.framing import outline, place
from engine.vision.images import on_white

FILLED = 104 / 128
"""Share of a centred picture that the object's longer side takes."""
REACH = 2
"""Bins around a peak that belong to it."""
LEAST = 0.02
"""Probability below which a further hypothesis is not worth a look."""


@dataclass(frozen=True)
class Window:
    """The square of a picture that a centred one shows: left and upper edge and side, pixels of the picture."""

    left: float
    top: float
    side: float


@dataclass(frozen=True)
class Guess:
    """A camera that looks at the object's centre, for a centred picture of any size.

    Attributes:
        azimuth: Degrees in [0, 360), 0 in front of the object, counter-clockwise from above.
        elevation: Degrees, 0 level.
        distance: From the object's centre, SRN units.
        roll: Degrees that the camera is turned about its axis; the object looks turned by as much counter-clockwise.
        scale: Picture widths in an SRN unit at the object's centre.
        centre: Place of the object's centre, picture widths right and below of the middle.
        probability: Share of the network's belief.
    """

    azimuth: float
    elevation: float
    distance: float
    roll: float
    scale: float
    centre: tuple[float, float]
    probability: float

    def camera(self, size: int) -> Camera:
        """The camera of a centred picture of `size` pixels a side."""
        return framed_camera(
            torch.tensor([math.radians(self.azimuth)]),
            torch.tensor([math.radians(self.elevation)]),
            torch.tensor(
                [
                    [
                        math.log(self.distance),
                        math.log(self.scale),
                        *self.centre,
                        math.radians(self.roll),
                    ]
                ]
            ),
            size,
        )[0]

    def at_focal(self, focal: float) -> Guess:
        """The same picture where the focal length is known, in widths of the centred picture: it tells the distance."""
        return replace(self, distance=focal / self.scale)


def framed_camera(
    azimuth: Float[Tensor, " n"],
    elevation: Float[Tensor, " n"],
    framing: Float[Tensor, "n 5"],
    size: int,
) -> Camera:
    """Cameras of centred pictures from directions, radians, and numbers of `engine.nets.posenet.FRAMING`."""
    log_distance, log_scale, u, v, roll = framing.unbind(1)
    distance = log_distance.exp()
    c2w = orbit(azimuth, elevation, distance)
    cos, sin, zero = roll.cos(), roll.sin(), torch.zeros_like(roll)
    turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1], 1).reshape(-1, 3, 3)
    c2w = torch.cat([torch.cat([c2w[:, :3, :3] @ turn, c2w[:, :3, 3:]], 2), c2w[:, 3:]], 1)
    focal = log_scale.exp() * distance * size
    intrinsics = torch.stack([focal, focal, (u + 0.5) * size, (v + 0.5) * size], 1)
    return Camera.from_srn(c2w, intrinsics, size, size)


def centred(
    cutout: Float[np.ndarray, "height width 4"], size: int
) -> tuple[Float[np.ndarray, "size size 4"], Window]:
    """The object moved to the middle of a square, its longer side `FILLED` of it, and where that lies in the picture.

    Raises:
        ImageError: If there is no object in the picture.
    """
    found = outline(cutout[..., 3])
    width, height = found[2:] - found[:2]
    half = np.array([width, height]) / max(width, height) * FILLED * size / 2
    middle = np.array([size / 2, size / 2])
    wanted = np.concatenate([middle - half, middle + half]).astype(np.float32)
    side = float(max(width, height) / FILLED)
    left, top = ((found[:2] + found[2:]) / 2 - side / 2).tolist()
    return place(cutout, found, wanted, size), Window(left, top, side)


def network_picture(square: Float[np.ndarray, "size size 4"]) -> Float[Tensor, "4 64 64"]:
    """A centred picture as the network sees it: RGB on white and coverage."""
    rgba = torch.from_numpy(square).movedim(-1, 0)
    solid = torch.cat([rgba[:3] * rgba[3:] + 1 - rgba[3:], rgba[3:]])
    return F.interpolate(solid[None], (SIZE, SIZE), mode="area")[0]


@torch.no_grad()
def guess_cameras(
    net: PoseNet, picture: Float[Tensor, "4 64 64"], count: int = 3
) -> tuple[Guess, ...]:
    """The likeliest cameras of a picture, best first, at least one.

    The picture and its mirror image are both asked; a direction's probability is that of the bins around a peak.

    Args:
        net: Network of the picture's category.
        picture: See `network_picture`.
        count: Most guesses.
    """
    features, log_mean = _asked(net, picture)
    probability = log_mean.exp() / log_mean.exp().sum()
    guesses = []
    for row, column in _peaks(log_mean)[:count]:
        azimuth, elevation, mass = _centre_of(probability, row, column)
        if guesses and mass < LEAST:
            break
        guesses.append(_framed(net, features, azimuth, elevation, mass))
    return tuple(sorted(guesses, key=lambda guess: -guess.probability))


@torch.no_grad()
def frame_for(
    net: PoseNet, picture: Float[Tensor, "4 64 64"], azimuth_deg: float, elevation_deg: float
) -> Guess:
    """The camera of a picture whose direction a person has set; its probability is that of the bins around it."""
    features, log_mean = _asked(net, picture)
    probability = log_mean.exp() / log_mean.exp().sum()
    row = round((elevation_deg - LOWEST_DEG) / BIN_DEG)
    column = round(azimuth_deg / BIN_DEG) % AZIMUTHS
    mass = float(_around(probability, min(max(row, 0), ELEVATIONS - 1), column)[0].sum())
    angles = math.radians(azimuth_deg), math.radians(elevation_deg)
    return _framed(net, features, *angles, mass)


def _asked(net: PoseNet, picture: Tensor) -> tuple[Float[Tensor, "2 256"], Float[Tensor, "16 72"]]:
    """Features of a picture and of its mirror image, and their mean log probability of the directions."""
    features, logits = net(torch.stack([picture, picture.flip(-1)]))
    log = logits.flatten(1).log_softmax(1).view_as(logits)
    return features, (log[0] + mirrored(log[1])) / 2


def mirrored(grid: Float[Tensor, "*n 72"]) -> Float[Tensor, "*n 72"]:
    """Values over azimuths (last axis) of the mirror image: those of the opposite azimuths."""
    return grid.flip(-1).roll(1, -1)


def _peaks(values: Float[Tensor, "16 72"]) -> list[tuple[int, int]]:
    """Bins that are the largest within `REACH`, largest first."""
    around = F.pad(values[None, None], (REACH, REACH, 0, 0), mode="circular")
    around = F.pad(around, (0, 0, REACH, REACH), value=-math.inf)
    peak = values == F.max_pool2d(around, 2 * REACH + 1, 1)[0, 0]
    order = values[peak].argsort(descending=True)
    return [tuple(place) for place in peak.nonzero()[order].tolist()]


def _around(probability: Tensor, row: int, column: int) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of the bins within `REACH`, and their distances in bins: rows, columns."""
    rows = torch.arange(max(row - REACH, 0), min(row + REACH, ELEVATIONS - 1) + 1)
    offsets = torch.arange(-REACH, REACH + 1)
    part = probability[rows][:, (column + offsets) % AZIMUTHS]
    return part, rows - row, offsets


def _centre_of(probability: Tensor, row: int, column: int) -> tuple[float, float, float]:
    """Mean azimuth and elevation around a peak, radians, and the probability there."""
    part, rows, columns = _around(probability, row, column)
    mass = part.sum()
    down, across = (part.sum(1) @ rows.to(part)) / mass, (part.sum(0) @ columns.to(part)) / mass
    azimuth = math.radians((column + float(across)) * BIN_DEG)
    elevation = math.radians(LOWEST_DEG + (row + float(down)) * BIN_DEG)
    return azimuth, elevation, float(mass)


def _framed(
    net: PoseNet, features: Float[Tensor, "2 256"], azimuth: float, elevation: float, mass: float
) -> Guess:
    """A guess with the framing that picture and mirror image give for its direction."""
    azimuths = features.new_tensor([azimuth, -azimuth])
    middle, _ = net.framed(features, azimuths, features.new_full((2,), elevation))
    signs = middle.new_tensor([1.0, 1.0, -1.0, 1.0, -1.0])  # u and roll change sides in the mirror
    log_distance, log_scale, u, v, roll = ((middle[0] + signs * middle[1]) / 2).tolist()
    return Guess(
        azimuth=math.degrees(azimuth) % 360,
        elevation=math.degrees(elevation),
        distance=math.exp(log_distance),
        roll=math.degrees(roll),
        scale=math.exp(log_scale),
        centre=(u, v),
        probability=mass,
    )


def guessed_view(square: Float[np.ndarray, "size size 4"], guess: Guess) -> Views:
    """A centred picture as one view whose camera's intrinsics carry the framing; nothing is resampled."""
    return on_white(square, guess.camera(len(square)))
