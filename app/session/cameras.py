"""From where the pictures in a session's slots were taken: what the network guesses, or what the person has set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from app.session.session import Session
from app.session.tasks import PICTURE_SIZE
from app.session.turns import PictureTurns
from engine.pose.guess import Guess
from engine.pose.propose import Unposed, propose
from engine.pose.store import category_net
from engine.types import Views
from engine.vision.images import cut_picture, frame_view

Angles = tuple[float, float, float]
"""Azimuth and elevation, degrees, and distance, SRN units, as sliders show them."""


DISTANCES = (0.8, 3.0)
"""Least and largest distance of the slider."""


@dataclass(frozen=True)
class Stand:
    """A picture with its camera.

    Attributes:
        views: The picture as the model sees it.
        angles: Its camera as sliders show it, rounded; None where there are no sliders.
        unposed: Hypotheses of its camera; None where no network guesses.
        guess: The hypothesis that is taken; None if a person has set the angles.
    """

    views: Views
    angles: Angles | None
    unposed: Unposed | None = None
    guess: Guess | None = None

    @property
    def doubt(self) -> str | None:
        """A sentence if the picture seems to show something else than the model's objects."""
        return None if self.unposed is None else self.unposed.doubt

    @property
    def cases(self) -> tuple[tuple[Views, Guess], ...]:
        """The picture under every hypothesis, likeliest first; none where a person has decided."""
        if self.unposed is None or self.guess is not self.unposed.guesses[0]:
            return ()
        return tuple((self.unposed.view(guess), guess) for guess in self.unposed.guesses)


class Cameras:
    """The stands of one session by slot."""

    def __init__(self, session: Session):
        self.session = session
        self._stands: dict[int, tuple[tuple[str, str], Stand]] = {}
        self._told: dict[int, tuple[str, Angles]] = {}
        """Cameras of pictures that the explorer drew itself, by slot."""

    def dropped(self, slot: int, path: str, usual: Angles) -> Stand:
        """A picture that has just come, with the camera that it was drawn from, its likeliest, or `usual` without network.

        Raises:
            ImageError: If it cannot be a view for the model.
        """
        drawn, angles = self._told.get(slot, ("", usual))
        if drawn == path:
            return self.at(slot, path, angles)
        unposed = self._unposed(slot, path)
        if unposed is None:
            return self._keep(slot, path, self._framed(slot, path, usual))
        return self.choose(slot, path, 0, unposed)

    def tell(self, slot: int, path: str, angles: Angles) -> None:
        """Take note of the camera of a picture that is about to come into a slot."""
        self._told[slot] = path, angles

    def choose(self, slot: int, path: str, number: int, unposed: Unposed | None = None) -> Stand:
        """The picture under one of its hypotheses, or the last of them."""
        unposed = unposed or self._unposed(slot, path)
        return self._keep(slot, path, guessed(unposed, number))

    def at(self, slot: int, path: str, angles: Angles) -> Stand:
        """The picture with its sliders at these angles; as long as they are a guess's, exactly that guess.

        Raises:
            ImageError: If it cannot be a view for the model.
        """
        key, stand = self._stands.get(slot, (None, None))
        if key == self._key(path) and stand.angles == angles:
            return stand
        unposed = self._unposed(slot, path)
        if unposed is None or not unposed.knows(angles[1]):
            return self._keep(
                slot, path, replace(self._framed(slot, path, angles), unposed=unposed)
            )
        views = unposed.view(unposed.at(*angles))
        return self._keep(slot, path, Stand(views, angles, unposed))

    def get(self, slot: int) -> Stand | None:
        """A slot's picture with its camera."""
        return self._stands.get(slot, (None, None))[1]

    def _keep(self, slot: int, path: str, stand: Stand) -> Stand:
        self._stands[slot] = self._key(path), stand
        return stand

    def forget(self, slot: int) -> None:
        """Forget a slot's picture: it is gone, or cut out otherwise."""
        self._stands.pop(slot, None)

    def _key(self, path: str) -> tuple[str, str]:
        """What a stand depends on beside its angles and mask: the picture and the model."""
        return path, self.session.prior.name

    def _unposed(self, slot: int, path: str) -> Unposed | None:
        """The hypotheses of a picture's camera; the picture is cut out once."""
        key, stand = self._stands.get(slot, (None, None))
        if stand is not None and stand.unposed is not None and key == self._key(path):
            return stand.unposed
        category = self.session.method.data.category
        net = category_net(category)
        if net is None:
            return None
        return propose(net, self._cutout(slot, path), PICTURE_SIZE, category)

    def _framed(self, slot: int, path: str, angles: Angles) -> Stand:
        outlines = self.session.prior.outlines()
        cutout = self._cutout(slot, path)
        return Stand(frame_view(cutout, *angles, PICTURE_SIZE, outlines), angles)

    def _cutout(self, slot: int, path: str) -> Float[np.ndarray, "rows columns 4"]:
        brush = self.session.brushes.get(slot)
        with self.session.part(PictureTurns).one():
            return cut_picture(path, brush).rgba


def floats(angles: Sequence[float | int]) -> Angles:
    """A camera as sliders send it: whole numbers among others."""
    azimuth, elevation, distance = map(float, angles)
    return azimuth, elevation, distance


def guessed(unposed: Unposed, number: int) -> Stand:
    """A picture under one of its hypotheses, or the last of them."""
    guess = unposed.guesses[min(number, len(unposed.guesses) - 1)]
    return Stand(unposed.view(guess), rounded(guess), unposed, guess)


def rounded(guess: Guess) -> Angles:
    """A guess's camera as sliders show it."""
    low, high = DISTANCES
    distance = round(min(max(guess.distance, low), high), 2)
    return float(round(guess.azimuth) % 360), float(round(guess.elevation)), distance


def hypotheses(stands: Sequence[Stand]) -> tuple[tuple[Views, Guess], ...]:
    """The cases of which objects are made: those of a single picture whose camera nobody has decided, if there are several."""
    if len(stands) != 1:
        return ()
    cases = stands[0].cases
    return cases if len(cases) > 1 else ()
