"""A dropped picture without a camera: its centred cut-out, the network's guesses, and the views that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from engine.nets.posenet import HIGHEST_DEG, LOWEST_DEG, PoseNet
from engine.pose.guess import (
    Guess,
    centred,
    frame_for,
    guess_cameras,
    guessed_view,
    network_picture,
)
from engine.pose.kind import doubt_about_kind, load_kinds
from engine.store.checkpoint import list_checkpoints
from engine.types import Views

MOST = 3
"""Hypotheses of a picture."""
SURE = 0.8
"""Probability of the likeliest hypothesis from which the others must reach `WORTH` to be looked at."""
WORTH = 0.05


@dataclass(frozen=True)
class Unposed:
    """A picture whose camera nobody has told.

    Attributes:
        square: The cut-out, centred.
        guesses: Hypotheses of its camera, likeliest first.
        focal: Focal length in widths of the square; None where it is not known.
        net: What guesses.
        seen: The square as the network sees it.
        doubt: A sentence if it seems to show something else than the category's objects.
    """

    square: Float[np.ndarray, "size size 4"]
    guesses: tuple[Guess, ...]
    focal: float | None
    net: PoseNet
    seen: Float[Tensor, "4 64 64"]
    doubt: str | None = None

    def view(self, guess: Guess) -> Views:
        """The picture with the camera of a guess."""
        return guessed_view(self.square, guess)

    def knows(self, elevation: float) -> bool:
        """True if the network has seen pictures from such an elevation, degrees."""
        return LOWEST_DEG <= elevation <= HIGHEST_DEG

    def at(self, azimuth: float, elevation: float, distance: float | None = None) -> Guess:
        """The camera for a direction, degrees, and a distance, SRN units, that a person has set (None: the network's)."""
        guess = frame_for(self.net, self.seen, azimuth, elevation)
        if distance is not None:
            return replace(guess, distance=distance)
        return guess if self.focal is None else guess.at_focal(self.focal)


def propose(
    net: PoseNet,
    cutout: Float[np.ndarray, "height width 4"],
    size: int,
    category: str,
    focal: float | None = None,
) -> Unposed:
    """A cut-out picture with the hypotheses of its camera that are worth a look: one to `MOST`.

    Args:
        net: Network of the category.
        cutout: The picture with its object's alpha (see `engine.vision.images.cut_out`).
        size: Side of the centred picture, pixels.
        category: Name of the category.
        focal: Focal length in pixels of the cut-out picture, where it is known; it tells the distance.

    Raises:
        ImageError: If there is no object in the picture.
    """
    square, window = centred(cutout, size)
    seen = network_picture(square)
    known = None if focal is None else focal / window.side
    guesses = guess_cameras(net, seen, MOST)
    if guesses[0].probability >= SURE:
        guesses = tuple(g for g in guesses if g is guesses[0] or g.probability >= WORTH)
    if known is not None:
        guesses = tuple(guess.at_focal(known) for guess in guesses)
    kinds = load_kinds()
    doubt = None if kinds is None else doubt_about_kind(kinds, seen, category, list_checkpoints())
    return Unposed(square, guesses, known, net, seen, doubt)
