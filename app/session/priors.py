"""The models that a visitor may choose from: opened on first use, in the background, and shared by all tabs."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from app.session.outlines import Outlines
from app.session.showcase import Showcase
from app.settings import AppSettings
from engine.errors import CheckpointError, plain
from engine.events import finish
from engine.methods.base import Method, can, options_of
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import Baked, bake, warm_up
from engine.render.live import live
from engine.store.checkpoint import FOLDER, TOY, find_checkpoint, list_checkpoints, open_method
from engine.types import Views

log = logging.getLogger(__name__)


class Prior:
    """A model with the data that the explorer needs beside it.

    Attributes:
        name: What it was opened by.
        method: Generates and reconstructs.
        outlines: Frame its pictures.
        showcase: Its objects that are ready at once.
    """

    def __init__(self, name: str, method: Method):
        self.name = name
        self.method = method
        self.outlines = Outlines(method)
        self.showcase = Showcase(name, method)
        self._greeting: Future[Baked] | None = None
        self._lock = threading.Lock()

    @property
    def first_latent(self) -> Tensor:
        """The latent that a session shows first."""
        gallery = self.method.gallery
        return gallery[0] if len(gallery) else self.method.mean_latent

    @property
    def greeting(self) -> Future[Baked]:
        """The object of `first_latent`, made ready for rendering in a thread of its own when first asked for."""
        with self._lock:
            if self._greeting is None:
                baker = ThreadPoolExecutor(1, thread_name_prefix="bake")
                self._greeting = baker.submit(lambda: bake(live(self._field())))
                baker.shutdown(wait=False)
            return self._greeting

    def prepare_frames(self) -> None:
        """Compile what draws its objects."""
        warm_up(self._field())

    def prepare_samples(self) -> None:
        """Compile what generates."""
        if can(self.method, "generate"):
            finish(self.method.generate(1, options_of(self.method, "generate").least(), Noise(0)))

    def prepare_fits(self) -> None:
        """Compile what reconstructs: a reconstruction of nothing needs every kernel of a real one."""
        if not can(self.method, "reconstruct"):
            return
        camera = orbit_camera(torch.zeros(1), 0.0, self.method.data.distance, 8)
        views = Views(torch.ones(1, 8, 8, 3), camera)
        options = options_of(self.method, "reconstruct").least()
        finish(self.method.reconstruct(views, options, Noise(0)))

    def _field(self):
        return self.method.scene(self.first_latent).field


class Priors:
    """The first prior, and those beside it on disk."""

    def __init__(self, settings: AppSettings, method: Method | None = None, folder: Path = FOLDER):
        """Open the first prior.

        Args:
            settings: Name it.
            method: Used instead of opening what they name.
            folder: Of the checkpoints that can be chosen too.

        Raises:
            CheckpointError: If the first checkpoint cannot be used.
            ConfigError: If there is no such device.
        """
        self._device = settings.device
        self._folder = folder
        self.first = Prior(
            settings.checkpoint, method or open_method(settings.checkpoint, self._device)
        )
        opened: Future[Prior] = Future()
        opened.set_result(self.first)
        self._opening = {self.first.name: opened}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="prior")

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Title and name of every prior there is, the first one first; one that is missing on disk is not there."""
        first = self.first.name
        known = None if first == TOY or Path(first).suffix == ".pth" else find_checkpoint(first)
        others = (
            name
            for name in list_checkpoints(self._folder)
            if name != first and not (known and (self._folder / name).samefile(known))
        )
        return [(title(name), name) for name in (first, *others)]

    def open(self, name: str) -> Future[Prior]:
        """A prior by its name: opened once, in the background, and ready to draw when it is there.

        The future fails with a `CheckpointError` if there is no such prior; asked for again, it is tried again.
        """
        with self._lock:
            known = self._opening.get(name)
            if known is None or (known.done() and known.exception()):
                if name not in (there for _, there in self.choices):
                    return self._worker.submit(self._open, name)  # to be told, and forgotten
                known = self._opening[name] = self._worker.submit(self._open, name)
                self._worker.submit(self._prepare, known)
            return known

    def of(self, method: Method) -> Prior | None:
        """The opened prior with this method."""
        with self._lock:
            opened = [f.result() for f in self._opening.values() if f.done() and not f.exception()]
        return next((prior for prior in opened if prior.method is method), None)

    def close(self) -> None:
        """Open nothing more."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _open(self, name: str) -> Prior:
        names = [known for _, known in self.choices]
        if name not in names:
            raise CheckpointError(
                f"{name}: found no such model here, expected one of {', '.join(names)}; choose one of them."
            )
        try:
            method = open_method(self._folder / name, self._device)
        except CheckpointError as error:  # shown on the page, which is told no folder of the server
            words = str(error).replace(f"{plain(self._folder)}{os.sep}", "")
            raise CheckpointError(words) from error
        prior = Prior(name, method)
        prior.prepare_frames()
        prior.greeting.result()
        return prior

    def _prepare(self, opened: Future[Prior]) -> None:
        """Do what the first runs would wait for."""
        if opened.exception() is None:
            prior = opened.result()
            try:
                prior.prepare_samples()
                prior.prepare_fits()
                prior.outlines()
                prior.showcase.prepare()
            except Exception:
                log.exception(
                    "something of %s could not be prepared; it will be slower", prior.name
                )


def title(name: str) -> str:
    """A checkpoint's name for people: `vehicles-wide` is "Vehicles wide"."""
    words = Path(name).stem.replace("-", " ").replace("_", " ")
    return words[:1].upper() + words[1:]
