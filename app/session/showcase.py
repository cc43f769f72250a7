"""Objects sampled in advance, so that a visitor's first click shows one at once, with all its steps."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from app.examples import FOLDER
from app.session.records import Record, generated
from engine.events import Step, finish
from engine.methods.base import Method
from engine.noise import Noise
from engine.store.timeline import on_cpu, result_step

SEEDS = {
    "vehicles": (5, 9, 6, 23, 18),
    "chairs": (18, 3, 6, 10, 4),
    "tables": (4, 8, 14, 20, 10),
}
"""Of the objects that are ready, by the prior's name."""


class Showcase:
    """The precomputed runs of one model."""

    def __init__(self, name: str, method: Method):
        self.seeds = SEEDS.get(name, ())
        self._name = name
        self._method = method
        self._runs: dict[int, list[Step]] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Draw all that are not there yet."""
        for seed in self.seeds:
            self._steps(seed)

    def _steps(self, seed: int) -> list[Step]:
        """The whole run of a seed with the checkpoint's own settings, sampled when first asked for, and kept."""
        with self._lock:
            if seed not in self._runs:
                steps: list[Step] = []
                run = self._method.generate(1, self._options, Noise(seed))
                latents = finish(run, lambda step: steps.append(on_cpu(step)))
                self._runs[seed] = [*steps, result_step(latents)]
            return self._runs[seed]

    def record(self, seed: int) -> Record:
        """A seed's object as a finished run of a session: what `generate` with the usual settings would give."""
        (record,) = generated(self._method, self._options, "ours", seed, 1)
        record.frames.extend(self._steps(seed))
        record.state = "done"
        return record

    @property
    def _options(self) -> Any:
        return self._method.presets["generate"]["ours"]

    def picture(self, seed: int) -> Path:
        """A small picture of a seed's object."""
        return FOLDER / "seeds" / f"{self._name}-{seed}.jpg"
