"""The commands that measure a model: `launch.py evaluate` and `launch.py scoreboard`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from app.commands.settings import USUAL, Settings
from engine.content import file_key
from engine.data.reading import SRN, CameraReading
from engine.errors import MOST_LOGGED, ConfigError, plain
from train.arguments import check_range, check_seed

if TYPE_CHECKING:
    from engine.evaluation.board import Instruments
    from engine.evaluation.kept import Ranks
    from engine.evaluation.protocol import BoardOptions
    from engine.events import Run
    from engine.training.recipe import Recipe
    from train.progress import Progress

CHECKED_PICTURES = 8
"""Pictures of each scene that are compared with their cameras before anything is measured."""
UNIMPORTANT = ("name", "save_every_s", "log_every", "preview_every")
"""Settings of a recipe that do not change what it makes."""
Small = tuple[str | None, str | None]
"""Checkpoints of one and of two stages, or none."""


@dataclass(frozen=True)
class Evaluate:
    """Reconstruct every scene of an SRN folder from some of its views and compare all others with the truth.

    Run again with the same file, it goes on where it stopped.
    """

    data: Path
    """SRN folder."""
    out: Path
    """JSON file of the results."""
    views: str = "64"
    """Views that are given, separated by commas."""
    limit: int | None = None
    """Number of scenes, from the first (default: all)."""
    every: int = 1
    """Compare every so many of the other views."""
    baselines: bool = False
    """Measure the nearest training scene, the mean latent and the fit without prior too."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = USUAL
    """Settings for one view; several take more steps."""
    seed: int = 0
    """Randomness of the fits."""
    checkpoint: str = "vehicles"
    """Name under checkpoints/, or a folder."""
    cameras: Annotated[CameraReading, tyro.conf.arg(name="")] = SRN
    """Conventions of the folder's cameras."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Evaluate, write and print."""
        from engine.data.srn import SRNDataset
        from engine.evaluation.evaluate import EvaluateOptions, evaluate
        from engine.events import finish
        from engine.files import check_file
        from engine.store.checkpoint import known_rate, open_method

        views = numbers(self.views)
        check_seed(self.seed)
        check_range("--every", self.every, 1, 10_000)
        if self.limit is not None:
            check_range("--limit", self.limit, 1, 10**9)
        check_file(self.out)
        dataset = SRNDataset(self.data, self.cameras)
        method = open_method(self.checkpoint, self.device)
        self._check(views, method.data.distance)
        options = EvaluateOptions(
            views=views,
            limit=self.limit,
            mode=self.settings.mode,
            fit=self.settings.of(method, "reconstruct"),
            baselines=self.baselines,
            every=self.every,
            rate=known_rate(self.checkpoint, method, views),
            seed=self.seed,
        )
        progress.restart()
        results = finish(evaluate(method, dataset, self.out, options), progress)
        progress.close()
        print_results(results, self.settings.mode)

    def _check(self, views: tuple[int, ...], distance: float) -> None:
        """Refuse cameras that do not fit their pictures; say what is doubtful."""
        from engine.data.srn_check import check_srn

        report = check_srn(
            self.data,
            CHECKED_PICTURES,
            reading=self.cameras,
            distance=distance,
            limit=self.limit,
            one_camera=False,
            given=views,
        )
        for doubt in report.doubts:
            print(f"Doubtful: {plain(doubt, MOST_LOGGED)}", file=sys.stderr)


def numbers(text: str) -> tuple[int, ...]:
    """Numbers separated by commas."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 0 or len(set(values)) < len(values):
        raise ConfigError(
            f"Found --views {text!r}, expected different view numbers from 0, separated by commas."
        )
    return values


def print_results(results: dict, mode: str) -> None:
    """A table of what was measured."""
    given = ", ".join(map(str, results["views"]))
    print(f"{results['scenes']} scenes, views given: {given}")
    print(f"{'':24}{'PSNR':>8}{'SSIM':>8}{'margin':>8}")
    rows = {f"reconstruction ({mode})": results, **results.get("baselines", {})}
    for name, row in rows.items():
        margin = "" if row is results else f"{results['psnr'] - row['psnr']:+8.2f}"
        print(f"{name.replace('_', ' '):24}{row['psnr']:8.2f}{row['ssim']:8.3f}{margin}")
    spread = results["spread"]
    if spread["mean_pairwise_psnr"] is not None:
        print(
            f"spread: mean pairwise PSNR {spread['mean_pairwise_psnr']:.2f} between {spread['scenes']} scenes "
            f"at view {spread['view']}"
        )


@dataclass(frozen=True)
class Scoreboard:
    """Measure a model on unseen procedural scenes, beside baselines, its own ablation and what was published.

    Writes scoreboard.json, the same as tables in scoreboard.md, and with its pictures in scoreboard.html. Run again
    with the same folder, it goes on where it stopped. `torchrun --nproc-per-node 2 launch.py scoreboard ...` shares the
    scenes among processes.
    """

    category: tyro.conf.Positional[str]
    """vehicles, chairs or tables."""
    out: Path
    """Folder of the results."""
    checkpoint: str | None = None
    """Name under checkpoints/, or a folder (default: the category's name)."""
    scenes: int = 50
    """Test scenes rebuilt from one and from two views, beside all baselines."""
    dense_scenes: int = 8
    """Of these, how many are rebuilt from 4, 8, 16 and 32 views too."""
    ablation_scenes: int = 24
    """Of these, on how many the paper's ablation is repeated."""
    samples: int = 64
    """Objects sampled from the model (0: none)."""
    equal_compute: bool = True
    """Compare small priors of one stage and of two in the ablation; where `runs` lacks them and the category has
    recipes for them (vehicles has), they are trained first, ten minutes of one core each; not with --quick."""
    one_stage: str | None = None
    """The small prior of one stage (default: runs/CATEGORY-short/checkpoint)."""
    two_stage: str | None = None
    """One of two stages that took as much compute (default: runs/CATEGORY-two-stage/checkpoint)."""
    lpips: Path | None = None
    """LPIPS weights on disk; without, LPIPS is left out."""
    inception: Path | None = None
    """Inception on disk, a program that is run, for FID and KID; without, `fd_small` and `kd_small` stand in."""
    quick: bool = False
    """So few scenes that everything is seen to work; no figures to quote."""
    mode: str = "ours"
    """Preset whose settings `ours` are."""
    seed: int = 0
    """Randomness of fits and samples."""
    threads: int = 0
    """Threads of each process (0: the cores, shared among the processes)."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""

    def run(self, progress: Progress) -> None:
        """Measure, write and print."""
        from app.report.markdown import markdown
        from app.report.page import write_page
        from engine.data.procedural.categories import find_category
        from engine.evaluation.board import Players, scoreboard
        from engine.evaluation.kept import Ranks
        from engine.events import finish
        from engine.files import check_folder, replacing
        from engine.store.checkpoint import open_method

        options = self._options()
        check_folder(self.out)
        category, ranks = find_category(self.category), Ranks.of_environment()
        prior = open_method(self.checkpoint or self.category, self.device)
        Settings(self.mode).of(prior, "reconstruct")
        instruments = self._instruments()
        set_threads(self.threads, ranks.world)
        progress.restart()
        small = finish(self._small_priors(options, ranks), progress)
        one, two = (name and open_method(name, self.device) for name in small)
        players = Players(prior, one or None, two or None)
        run = scoreboard(players, category, self.out, options, instruments, ranks)
        results = finish(run, progress)
        progress.close()
        if results is not None:
            tables = markdown(results)
            with replacing(self.out / "scoreboard.md") as temporary:
                temporary.write_text(tables, encoding="utf-8")
            write_page(self.out, results)
            print(tables)
            print(*(self.out / f"scoreboard.{kind}" for kind in ("json", "md", "html")))

    def _options(self) -> BoardOptions:
        from engine.evaluation.protocol import BoardOptions

        check_seed(self.seed)
        check_range("--scenes", self.scenes, 1, 10_000)
        check_range("--dense-scenes", self.dense_scenes, 0, 10_000)
        check_range("--ablation-scenes", self.ablation_scenes, 0, 10_000)
        check_range("--samples", self.samples, 0, 10_000)
        check_range("--threads", self.threads, 0, 1024)
        options = BoardOptions(
            scenes=self.scenes,
            dense_scenes=self.dense_scenes,
            ablation_scenes=self.ablation_scenes,
            samples=self.samples,
            mode=self.mode,
            seed=self.seed,
        )
        return options.quick() if self.quick else options

    def _small_priors(self, options: BoardOptions, ranks: Ranks) -> Run[Small]:
        """The checkpoints of one and of two stages: the named ones, or those of the category's recipes."""
        from engine.config import to_json
        from engine.content import key_of
        from engine.evaluation.kept import kept
        from train.recipes import RECIPES
        from train.run import run_folder

        if (self.one_stage, self.two_stage) != (None, None):
            return self.one_stage, self.two_stage
        recipes = [RECIPES.get(f"{self.category}-{kind}") for kind in ("short", "two-stage")]
        if None in recipes or not (self.equal_compute and options.ablation_scenes):
            return None, None
        one, two = (run_folder(recipe) / "checkpoint" for recipe in recipes)
        if not all((path / "metrics.json").is_file() for path in (one, two)):  # written last
            if self.quick:
                return None, None
            part = self.out / "parts" / "small_priors.json"
            mine = ranks.rank == 0
            if mine:
                part.unlink(missing_ok=True)
            key = key_of(to_json(recipes))
            yield from kept(part, key, mine, lambda: self._train(recipes))
        for path, recipe in zip((one, two), recipes, strict=True):
            check_recipe(path, recipe)
        return str(one), str(two)

    def _train(self, recipes: list[Recipe]) -> Run[str]:
        """Train them one after the other: both read the same packed scenes."""
        from engine.device import pick_device
        from train.run import run_folder, run_recipe

        for recipe in recipes:
            folder = run_folder(recipe)
            if not (folder / "checkpoint/metrics.json").is_file():
                yield from run_recipe(recipe, folder, device=pick_device(self.device))
        return "trained"

    def _instruments(self) -> Instruments:
        """Measures that need files; those that were not named are left out."""
        from engine.evaluation.board import Instruments

        networks, files = {}, {}
        if self.samples:
            from engine.evaluation.features import features, load_features
            from engine.store.checkpoint import digest

            small = load_features()
            networks["small"] = lambda images: features(small, images)
            files["small"] = digest(*small.state_dict().values())
        if self.inception is not None:
            from engine.evaluation.perceptual import inception_metric

            networks["inception"] = inception_metric(self.inception, run_foreign_code=True)
            files["inception"] = file_key(self.inception)
        perceptual = None
        if self.lpips is not None:
            from engine.evaluation.perceptual import lpips_metric

            perceptual = lpips_metric(self.lpips)
            files["lpips"] = file_key(self.lpips)
        return Instruments(perceptual, networks, files)


def check_recipe(checkpoint: Path, recipe: Recipe) -> None:
    """Refuse a checkpoint that another recipe of this name has made.

    Raises:
        ConfigError: If settings differ from those that it was trained with.
    """
    from engine.store.checkpoint import read_config
    from engine.training.recipe import differences

    found = differences(read_config(checkpoint).provenance.get("recipe"), recipe)
    changed = [told for name, told in found.items() if name not in UNIMPORTANT]
    if changed:
        raise ConfigError(
            f"{checkpoint}: was trained by another recipe than {recipe.name} is now ({plain(', '.join(changed))}); remove "
            f"{checkpoint.parent} to train it anew, or name priors with --one-stage and --two-stage."
        )


def set_threads(threads: int, world: int) -> None:
    """Let several processes share the cores."""
    import torch

    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // world))
