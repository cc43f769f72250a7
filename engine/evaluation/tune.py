"""Test-time settings, chosen on validation scenes when training ends.

Reconstruction settings are searched greedily, one option at a time: the candidate with the best PSNR on views that were
not given wins and the next option starts from it. Half of the scenes have other colours, light and proportions than the
generator's, as people's pictures will. Sampling settings are the most detailed ones whose samples are free of plaid.
Test scenes are never used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from engine.config import to_json
from engine.errors import CheckpointError
from engine.evaluation.baselines import category_of, choose_rate
from engine.events import Run, Step, finish
from engine.files import write_json
from engine.methods.base import Method
from engine.methods.options import Candidates, with_settings
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.ops.metrics import Plaid, evaluation_psnr, plaid
from engine.reading import read_json
from engine.render.frames import RenderOptions, bake, render, render_views
from engine.store.checkpoint import fingerprint, open_checkpoint, read_metrics, tuned
from engine.types import Camera, SceneBatch, Views

PLAID_LIMIT = 6.0
"""Largest plaid that counts as clean, luminance and chroma."""
PLAID_SIZE = 64
"""The plaid measure is meant for pictures of this size."""
PLAID_VIEWS = ((40.0, 20.0), (220.0, 20.0))
"""Azimuth and elevation from which samples are looked at, degrees."""
PLAID_DISTANCE = 0.92
"""Distance (SRN units) from which an object fills the small picture; from 1.3 a panel is a pixel or two, all edge."""
COMPARED_VIEWS = (16, 48, 80, 112, 144, 176, 208, 240)
"""Views of SRN's test path on which validation scenes are compared."""


@dataclass(frozen=True)
class Tuning:
    """Chosen settings, and how they were found."""

    sample: Any
    """Sampling in mode `ours`."""
    fit: Any
    """Reconstruction in mode `ours`."""
    paper_fit: Any
    """Reconstruction in mode `paper`."""
    history: tuple[dict[str, Any], ...]
    """Every candidate with its score, in the order of trial."""


def tune(
    method: Method,
    *,
    num_scenes: int = 8,
    num_samples: int = 32,
    views: tuple[int, ...] = (64,),
    size: int = 128,
    first_scene: int = 8,
    seed: int = 0,
) -> Run[Tuning]:
    """Choose the settings of a trained method on validation scenes.

    Args:
        method: The method; the search starts from its present settings.
        num_scenes: Validation scenes to reconstruct; mode `paper`, which is slower, is tuned on half of them.
        num_samples: Scenes to sample for the sampling settings.
        views: Views of SRN's test path that are given.
        size: Rows and columns of the pictures.
        first_scene: The first validation scene; those before it choose the rate of the fit without prior.
        seed: Randomness of fits and samples.
    """
    category = category_of(method)
    scenes = [
        category.views("val", first_scene + k, size, varied=k % 2 == 1) for k in range(num_scenes)
    ]
    given = [scene[list(views)] for scene in scenes]
    truth = [scene[[k for k in COMPARED_VIEWS if k not in views]] for scene in scenes]
    ours, tried = yield from tune_fit(
        method,
        batch_of(given),
        truth,
        method.presets["reconstruct"]["ours"],
        method.TUNING["ours"],
        seed=seed,
    )
    few = slice(max(1, num_scenes // 2))
    paper, tried_paper = yield from tune_fit(
        method,
        batch_of(given[few]),
        truth[few],
        method.presets["reconstruct"]["paper"],
        method.TUNING["paper"],
        seed=seed,
    )
    sample, tried_sample = yield from tune_sampling(method, num_samples, seed=seed)
    return Tuning(sample, ours, paper, (*tried, *tried_paper, *tried_sample))


def settle(
    folder: Path | str,
    *,
    device: str = "cpu",
    num_scenes: int = 8,
    num_samples: int = 32,
    views: tuple[int, ...] = (64,),
) -> Run[Tuning]:
    """Tune a finished checkpoint: choose and write its settings and the rate of the fit without prior.

    Args:
        folder: The checkpoint; its `config.json` and `metrics.json` are rewritten.
        device: Device to compute on.
        num_scenes: Validation scenes for each decision.
        num_samples: Scenes to sample for the sampling settings.
        views: Views of SRN's test path that are given.
    """
    method = open_checkpoint(folder, device)
    tuning = yield from tune(method, num_scenes=num_scenes, num_samples=num_samples, views=views)
    save_tuning(folder, tuning)
    rate = yield from choose_rate(method, views, num_scenes=num_scenes)
    known = {"rate": rate, "views": list(views), "weights": fingerprint(method)}
    add_metrics(folder, no_prior_rate=known)
    return tuning


def tune_fit(
    method: Method,
    inputs: SceneBatch,
    truth: Sequence[Views],
    start: Any,
    candidates: Candidates,
    *,
    seed: int = 0,
) -> Run[tuple[Any, list[dict[str, Any]]]]:
    """Greedy search of reconstruction settings; returns the best ones and everything that was tried.

    Args:
        method: The method that reconstructs.
        inputs: The views that are given, of all scenes.
        truth: Other views of each scene, to be compared.
        start: Settings that the search starts from; their mode stays.
        candidates: Values to try.
        seed: Randomness of the fits.
    """
    best = start
    best_psnr = _novel_psnr(method, inputs, truth, best, seed)
    history = [{"mode": start.mode, "option": "start", "psnr": best_psnr}]
    total = sum(len(values) for _, values in candidates)
    done = 0
    for name, values in candidates:
        current = best
        for value in values:
            done += 1
            options = with_settings(current, {name: value})
            if options != current:
                psnr = _novel_psnr(method, inputs, truth, options, seed)
                history.append({"mode": start.mode, "option": name, "value": value, "psnr": psnr})
                if psnr > best_psnr:
                    best, best_psnr = options, psnr
            yield Step(
                stage=f"tune {start.mode}",
                index=done,
                total=total,
                scalars={"psnr": best_psnr},
                item=history[-1],
            )
    return best, history


def tune_sampling(
    method: Method, num_samples: int, *, seed: int = 0
) -> Run[tuple[Any, list[dict[str, Any]]]]:
    """The most detailed renoise-averaging whose samples are clean, else the cleanest."""
    tried: list[tuple[Plaid, Any]] = []
    history = []
    for index, renoise in enumerate(method.TUNING["renoise"]):
        options = dataclasses.replace(
            method.presets["generate"]["ours"], mode="ours", renoise=renoise
        )
        measured = sample_plaid(method, options, num_samples, seed)
        tried.append((measured, options))
        history.append(
            {"mode": "ours", "option": "sample", "value": to_json(renoise)}
            | dataclasses.asdict(measured)
        )
        scalars = {"plaid": measured.luminance, "chroma": measured.chroma}
        yield Step(
            stage="tune samples",
            index=index + 1,
            total=len(method.TUNING["renoise"]),
            scalars=scalars,
            item=history[-1],
        )
    clean = [pair for pair in tried if max(pair[0].luminance, pair[0].chroma) <= PLAID_LIMIT]
    if clean:
        return max(clean, key=lambda pair: pair[0].high_luminance)[1], history
    return min(tried, key=lambda pair: pair[0].luminance + pair[0].chroma)[1], history


def sample_plaid(method: Method, options: Any, num_samples: int, seed: int) -> Plaid:
    """The plaid measure of samples seen from two sides."""
    images, alphas = [], []
    for first in range(0, num_samples, 8):
        count = min(8, num_samples - first)
        latents = finish(method.generate(count, options, Noise(seed + first)))
        for latent in latents:
            shown = [_look(method, latent, *angles) for angles in PLAID_VIEWS]
            images += [image for image, _ in shown]
            alphas += [alpha for _, alpha in shown]
    return plaid(torch.stack(images), torch.stack(alphas))


def batch_of(scenes: Sequence[Views]) -> SceneBatch:
    """Several scenes, as many views of each."""
    camera = Camera.stack([scene.camera for scene in scenes])
    return SceneBatch(torch.stack([scene.images for scene in scenes]), camera)


def save_tuning(folder: Path | str, tuning: Tuning) -> None:
    """Write chosen settings into a checkpoint's `config.json` and the search into its `metrics.json`."""
    folder = Path(folder)
    path = folder / "config.json"
    config = read_json(path, dict[str, Any], CheckpointError, "a checkpoint's config.json")
    chosen = {("generate", "ours"): tuning.sample, ("reconstruct", "ours"): tuning.fit}
    chosen["reconstruct", "paper"] = tuning.paper_fit
    settings = tuned(config["settings"]) | {place: to_json(o) for place, o in chosen.items()}
    config["settings"] = {}
    for (task, preset), told in settings.items():
        config["settings"].setdefault(task, {})[preset] = told
    write_json(folder / "config.json", config)
    add_metrics(folder, tuning=list(tuning.history))


def add_metrics(folder: Path | str, **entries: Any) -> None:
    """Add entries to a checkpoint's `metrics.json`; other entries stay."""
    write_json(Path(folder) / "metrics.json", read_metrics(folder) | entries)


def _novel_psnr(
    method: Method, inputs: SceneBatch, truth: Sequence[Views], options: Any, seed: int
) -> float:
    """Mean PSNR on the views that were not given."""
    latents = finish(method.reconstruct(inputs, options, Noise(seed)))
    values = []
    for latent, scene in zip(latents, truth, strict=True):
        images = render_views(method.scene(latent).field, scene.camera, RenderOptions("standard"))
        values.append(float(evaluation_psnr(images.cpu(), scene.images).mean()))
    return sum(values) / len(values)


def _look(
    method: Method, latent: Tensor, azimuth_deg: float, elevation_deg: float
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
    """A small picture of a latent and its opacity."""
    camera = orbit_camera(azimuth_deg, elevation_deg, PLAID_DISTANCE, PLAID_SIZE)
    output = render(bake(method.scene(latent).field), camera)
    return output.rgb.cpu(), output.opacity.cpu()
