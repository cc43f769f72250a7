"""The whole scoreboard as one run: shared results, then every task, then the file."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.config import to_json
from engine.content import key_of
from engine.data.procedural.categories import Category
from engine.errors import ConfigError
from engine.evaluation.baselines import TrainingScenes, choose_rate, no_prior_options
from engine.evaluation.entries import (
    Contender,
    Entry,
    MeanCode,
    MeanImage,
    Nearest,
    equal_entries,
    fitting_entries,
    mean_pictures,
    own_entries,
)
from engine.evaluation.kept import Ranks, kept
from engine.evaluation.measure import Perceptual, Task, measure
from engine.evaluation.protocol import FEW, MANY, BoardOptions, given_views
from engine.evaluation.rows import Table, board, planned
from engine.evaluation.samples import Features, Gauge, measure_samples
from engine.evaluation.scenes import TestScene
from engine.events import Run, Step
from engine.files import replacing, write_json
from engine.methods.base import Method, can, fit_options_for, options_of
from engine.store.checkpoint import fingerprint, model_key

SEEN = re.compile(r"(\d+)-(\d+)-(\d+)-(\w+)\.png")
INPUT = re.compile(r"(\d+)-(\d+)-input\.png")
SAMPLE = re.compile(r"(?:sample|nearest)-(\d+)(?:-\d+)?\.png")
"""Names of the files in `pictures/`: `{scene}-{views}-{place}-{entry}`, `{scene}-{views}-input`, samples."""
PROTOCOL = 2
"""Raised whenever what is measured changes; parts of another number are measured anew."""


@dataclass(frozen=True)
class Players:
    """Entries of a comparison.

    Attributes:
        prior: The model that is measured.
        one_stage: A small model trained in one stage, as in the paper; given together with `two_stage`.
        two_stage: One trained in two stages with the same compute.
    """

    prior: Method
    one_stage: Method | None = None
    two_stage: Method | None = None

    @property
    def small(self) -> dict[str, Method]:
        """The two small models by name, if both are given; else none."""
        known = {"one_stage": self.one_stage, "two_stage": self.two_stage}
        return {name: method for name, method in known.items() if method is not None}

    @property
    def equal(self) -> bool:
        """True if both small models are given."""
        return len(self.small) == 2


@dataclass(frozen=True)
class Instruments:
    """Measures that need files, which may be absent.

    Attributes:
        perceptual: LPIPS.
        networks: Features for the distances of samples; keys of `engine.evaluation.samples.DISTANCES`.
        files: Digests of the files they were read from.
    """

    perceptual: Perceptual | None = None
    networks: Mapping[str, Features] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def scoreboard(
    players: Players,
    category: Category,
    out: Path,
    options: BoardOptions,
    instruments: Instruments,
    ranks: Ranks,
) -> Run[dict[str, Any] | None]:
    """Measure everything; an interrupted or shared run continues from the files in `out`.

    Args:
        players: The model, and those it is compared with.
        category: Category of the test scenes.
        out: Folder of `scoreboard.json`, `pictures/` and `parts/`.
        options: Extent and settings of the measurement.
        instruments: Measures that need files.
        ranks: Rank of this process and number of processes.

    Returns:
        Contents of `scoreboard.json`; None for all processes except the first.

    Raises:
        ConfigError: If one of the models is of another category.
    """
    check_players(players, category)
    work = _Work(players, category, out, options, instruments, ranks)
    entries = yield from work.entries()
    parts = yield from work.parts(entries)
    samples = yield from work.samples()
    if ranks.rank:
        return None
    table = Table(parts, {name: entry.title for name, entry in entries.items()})
    results = {
        "category": category.name,
        "checkpoint": players.prior.checkpoint,
        "settings": work.settings(),
        **board(table, options, players.equal, work.own),
        "samples": samples,
        "published": getattr(players.prior, "PUBLISHED", {}).get(category.name, {}),
    }
    drop_other_pictures(out / "pictures", work.tasks, options.samples)
    write_json(out / "scoreboard.json", results)
    return results


def check_players(players: Players, category: Category) -> None:
    """Refuse models of other categories, and one small model without the other."""
    if len(players.small) == 1:
        raise ConfigError(
            "Found one of the two small priors, expected both or none: they are compared at equal compute."
        )
    for method in (players.prior, *players.small.values()):
        if method.data.category != category.name:
            raise ConfigError(
                f"{method.checkpoint}: was trained on {method.data.category or 'other data'}, expected a model of "
                f"{category.name}; name one with --checkpoint."
            )


def drop_other_pictures(folder: Path, tasks: Sequence[Task], samples: int) -> None:
    """Remove pictures of an earlier run with other settings, which the page would show beside these figures."""
    pairs = {(task.scene, task.num_views) for task in tasks}
    shown = {(task.scene, task.num_views, task.entry) for task in tasks}
    for path in folder.glob("*.png"):
        if found := SEEN.fullmatch(path.name):
            scene, views, entry = int(found[1]), int(found[2]), found[4]
            stays = (scene, views) in pairs if entry == "truth" else (scene, views, entry) in shown
        elif found := INPUT.fullmatch(path.name):
            stays = (int(found[1]), int(found[2])) in pairs
        else:
            found = SAMPLE.fullmatch(path.name)
            stays = found is None or int(found[1]) < samples
        if not stays:
            path.unlink()


class _Work:
    """One process's share of the work, and its access to the others' results."""

    def __init__(
        self,
        players: Players,
        category: Category,
        out: Path,
        options: BoardOptions,
        instruments: Instruments,
        ranks: Ranks,
    ):
        self.players, self.category, self.options = players, category, options
        self.instruments, self.ranks, self.out = instruments, ranks, out
        self.prior = Contender.of(players.prior)
        self.training = TrainingScenes(category, options.training_scenes)
        self.data = self.training.fingerprint
        self.scene: TestScene | None = None
        self.own = own_entries(players.prior)
        self.tasks = planned(options, players.equal, self.own)

    def settings(self) -> dict[str, Any]:
        """Settings of the run, as in `scoreboard.json`."""
        method, counts = self.players.prior, (*FEW, *MANY)
        modes = dict.fromkeys((self.options.mode, "paper"))
        return {
            **to_json(self.options),
            "weights": self.prior.weights,
            "fit": {
                mode: {str(n): to_json(fit_options_for(method, mode, n)) for n in counts}
                for mode in modes
            },
            "sample": to_json(options_of(method, "generate", self.options.mode))
            if can(method, "generate")
            else None,
        }

    # -- shared by all entries ---------------------------------------------------------------------

    def entries(self) -> Run[dict[str, Entry]]:
        """All entries of the comparison, by name."""
        counts = sorted({task.num_views for task in self.tasks if "no_prior" in self.own})
        rates: dict[int, float] = {}
        for mine in (True, False):  # own ones first, so that nobody waits for what nobody has begun
            for position, count in enumerate(reversed(counts)):
                if self.ranks.mine(position) is mine:
                    rates[count] = yield from self._rate(count, mine)
            if self._last or not mine:
                mean = yield from self._mean_image()
        quality = self.options.quality
        entries: list[Entry] = [
            *fitting_entries(self.prior, self.options, rates),
            Nearest(self.training, self.data),
            MeanImage(self.data, mean),
            MeanCode(self.prior, quality),
        ]
        one, two = self.players.one_stage, self.players.two_stage
        if one is not None and two is not None:
            entries += equal_entries(Contender.of(one), Contender.of(two), self.options)
        return {entry.name: entry for entry in entries}

    def _rate(self, count: int, mine: bool) -> Run[float]:
        """The learning rate of the fit without prior."""
        method, options = self.players.prior, self.options
        fit = to_json(no_prior_options(method, 0.0, count))
        scenes = options.rate_scenes if count in FEW else max(1, options.rate_scenes // 2)
        prior = [self.prior.weights, self.prior.model]
        key = key_of(PROTOCOL, prior, self.data, fit, scenes, options.size, options.seed)

        def compute() -> Run[float]:
            return choose_rate(
                method,
                given_views(count),
                num_scenes=scenes,
                size=options.size,
                seed=options.seed,
            )

        path = self.out / "parts" / f"rate-{count:02d}.json"
        return (yield from kept(path, key, mine, compute))

    def _mean_image(self) -> Run[Tensor]:
        """The mean training pictures, computed by the last process, since they take minutes."""
        key = key_of(PROTOCOL, self.data, self.options.size)
        path = self.out / "parts" / f"mean_image-{key}.npy"

        def compute() -> Run[str]:
            mean = yield from mean_pictures(self.training, self.options.size)
            data = io.BytesIO()
            np.save(data, mean.numpy())
            with replacing(path) as temporary:
                temporary.write_bytes(data.getvalue())
            return path.name

        note = path.with_suffix(".json")
        if self._last and not path.is_file():
            note.unlink(missing_ok=True)
        yield from kept(note, key, self._last, compute)
        return torch.from_numpy(np.load(path))

    @property
    def _last(self) -> bool:
        """True for the process that does the work that cannot be divided."""
        return self.ranks.rank == self.ranks.world - 1

    # -- the tasks ---------------------------------------------------------------------------------

    def parts(self, entries: Mapping[str, Entry]) -> Run[dict[Task, dict[str, float]]]:
        """Scores of this process's scenes, and for the first process of all others too."""
        mine = [task for task in self.tasks if self.ranks.mine(task.scene)]
        others = [] if self.ranks.rank else [task for task in self.tasks if task not in set(mine)]
        parts: dict[Task, dict[str, float]] = {}
        for index, task in enumerate(mine):
            part = yield from self._part(entries[task.entry], task, True)
            parts[task] = part
            scalars = {"psnr": part["psnr"], "ssim": part["ssim"]}
            yield Step(
                stage="score", index=index + 1, total=len(mine), scalars=scalars, item=task.entry
            )
        for task in others:
            parts[task] = yield from self._part(entries[task.entry], task, False)
        return parts

    def _part(self, entry: Entry, task: Task, mine: bool) -> Run[dict[str, float]]:
        """One task's scores: read, measured now, or awaited from another process."""
        scene = self._scene(task.scene)
        key = key_of(
            PROTOCOL,
            entry.settings(task.num_views),
            scene.fingerprint(given_views(task.num_views)),
            self.instruments.files.get("lpips"),
        )

        def compute() -> Run[dict[str, float]]:
            yield from ()
            return measure(
                entry,
                scene,
                task.num_views,
                self.out / "pictures",
                self.instruments.perceptual,
            )

        return (yield from kept(task.part(self.out), key, mine, compute))

    def _scene(self, index: int) -> TestScene:
        """A scene; only the last one is cached, since tasks come scene by scene."""
        if self.scene is None or self.scene.index != index:
            self.scene = TestScene(self.category, index, self.options.size)
        return self.scene

    def samples(self) -> Run[dict[str, Any]]:
        """Unconditional samples, measured by the last process."""
        small = self.players.small
        if not self.options.samples or not can(self.players.prior, "generate"):
            return {}

        def compute() -> Run[dict[str, Any]]:
            return measure_samples(
                self.players.prior,
                Gauge(self.category, self.options, self.instruments.networks),
                training=self.training,
                small=small,
                pictures=self.out / "pictures",
            )

        key = key_of(
            PROTOCOL,
            self.settings()["sample"],
            [self.options.samples, self.options.seed, self.options.size, self.options.quality],
            [self.prior.weights, self.prior.model],
            self.data,
            {name: [fingerprint(method), model_key(method)] for name, method in small.items()},
            dict(self.instruments.files),
        )
        path = self.out / "parts" / "samples.json"
        return (yield from kept(path, key, self._last, compute))
