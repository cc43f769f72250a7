"""Held-out reconstruction: some views of a scene in, all others compared with the truth.

Protocol (spec section 5.5): renders at the data's size, clamped, rounded to 8-bit levels, PSNR and SSIM of each
picture averaged over the scene's pictures, then over scenes. Results are kept in the output file scene by scene, so
that an interrupted evaluation goes on where it stopped; other settings, weights or inputs start afresh.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.checkpoint import find_checkpoint, read_metrics
from engine.config import to_json
from engine.data.base import SceneDataset
from engine.errors import DataError
from engine.events import Run, Step, finish
from engine.fields.base import Field
from engine.files import write_json
from engine.methods.base import Method, Mode, fit_options_for
from engine.noise import Noise
from engine.ops.metrics import evaluation_psnr, mean_pairwise_psnr, ssim
from engine.render import Quality, RenderOptions, render_views
from engine.training.baselines import TrainingScenes, category_of, choose_rate, without_prior
from engine.types import Views

BASELINES = ("nearest_training_scene", "mean_code", "no_prior")
SPREAD_SCENES = 50
"""Scenes whose mean pairwise PSNR is the data set's spread."""
SPREAD_VIEW = 64
DIGITS = 4


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate."""

    views: tuple[int, ...] = (64,)
    """Views of each scene that are given; all others are compared."""
    limit: int | None = None
    """How many scenes, from the first; None takes all."""
    mode: Mode = "ours"
    """Which of the method's tuned settings reconstructs."""
    baselines: bool = False
    """Whether the yardsticks are measured too."""
    rate: float | None = None
    """Learning rate of the fit without prior; None chooses it on validation scenes."""
    seed: int = 0
    """Randomness of the fits."""
    quality: Quality = "high"
    """How the results are rendered."""


def evaluate(
    method: Method,
    dataset: SceneDataset,
    out: Path | str,
    options: EvaluateOptions = EvaluateOptions(),
) -> Run[dict[str, Any]]:
    """Reconstruct scenes from some of their views and compare all others.

    Args:
        method: What reconstructs.
        dataset: Scenes with posed pictures.
        out: JSON file of the results; one that an interrupted evaluation of the same settings left is continued.
        options: What to evaluate.

    Returns:
        `psnr`, `ssim`, `scenes`, `views`, `per_scene`, `settings`, `spread` and, where asked for, `baselines`.

    Raises:
        DataError: If the data lack the views, or `out` holds something else.
    """
    out = Path(out)
    settings = _settings(method, options)
    known = _known(out, settings)
    ids = dataset.ids[: options.limit]
    if not ids:
        raise DataError("Found no scene to evaluate, expected at least one; raise --limit.")
    yardsticks = None
    if options.baselines:
        rate = known.get("settings", {}).get("no_prior_rate", options.rate)
        if rate is None:
            size = dataset.views(0, [0]).images.shape[1]
            rate = yield from choose_rate(method, options.views, size=size, seed=options.seed)
        settings["no_prior_rate"] = rate
        yardsticks = _Yardsticks(method, options, rate)
    per_scene: dict[str, Any] = {}
    for index, name in enumerate(ids):
        inputs = _inputs(dataset, index, options.views)
        entry = known.get("per_scene", {}).get(name)
        if entry is None or entry["inputs"] != digest(inputs.images):
            entry = _evaluate_scene(method, dataset.views(index), inputs, options, yardsticks)
            per_scene[name] = entry
            write_json(out, _summary(per_scene, options, settings))
        per_scene[name] = entry
        results = _summary(per_scene, options, settings)
        scalars = {"psnr": results["psnr"], "ssim": results["ssim"], "scene_psnr": entry["psnr"]}
        yield Step(stage="evaluate", index=index + 1, total=len(ids), scalars=scalars, item=name)
    results["spread"] = data_spread(dataset)
    write_json(out, results)
    return results


def data_spread(dataset: SceneDataset) -> dict[str, Any]:
    """How much the scenes differ: mean pairwise PSNR of up to 50 scenes seen from one place."""
    count = min(len(dataset), SPREAD_SCENES)
    view = min(SPREAD_VIEW, len(dataset.views(0)) - 1)
    images = torch.cat([dataset.views(index, [view]).images for index in range(count)])
    value = round(mean_pairwise_psnr(images), DIGITS) if count > 1 else None
    return {"mean_pairwise_psnr": value, "scenes": count, "view": view}


def fingerprint(method: Method) -> str:
    """A short name of the method's weights."""
    tensors = {"mean_latent": method.mean_latent}
    if isinstance(method, nn.Module):
        tensors |= method.state_dict()
    return digest(*(tensors[name] for name in sorted(tensors)))


def known_rate(checkpoint: Path | str, method: Method, views: tuple[int, ...]) -> float | None:
    """The rate of the fit without prior that a checkpoint's `metrics.json` holds for these weights and views.

    Args:
        checkpoint: What `method` was opened from; official `.pth` files have no metrics.
        method: What fits.
        views: Which views are given.
    """
    if Path(checkpoint).suffix == ".pth":
        return None
    known = read_metrics(find_checkpoint(checkpoint)).get("no_prior_rate", {})
    wanted = {"views": list(views), "weights": fingerprint(method)}
    return known["rate"] if all(known.get(key) == value for key, value in wanted.items()) else None


def digest(*tensors: Tensor) -> str:
    """A short name of what tensors hold."""
    state = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def _settings(method: Method, options: EvaluateOptions) -> dict[str, Any]:
    """Everything a result depends on, apart from the scenes themselves."""
    return {
        "method": method.info.name,
        "checkpoint": method.checkpoint,
        "weights": fingerprint(method),
        "views": list(options.views),
        "mode": options.mode,
        "fit": to_json(fit_options_for(method, options.mode, len(options.views))),
        "seed": options.seed,
        "quality": options.quality,
        "baselines": options.baselines,
    }


def _known(out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier evaluation of the same settings left in `out`; empty where there is nothing to go on from."""
    if not out.exists():
        return {}
    try:
        found = json.loads(out.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), dict) for key in ("per_scene", "settings")
    ):
        raise DataError(f"{out}: holds something other than an evaluation; choose another --out.")
    same = all(found["settings"].get(key) == value for key, value in settings.items())
    return found if same else {}


def _inputs(dataset: SceneDataset, index: int, views: tuple[int, ...]) -> Views:
    try:
        return dataset.views(index, list(views))
    except IndexError as error:
        raise DataError(
            f"{dataset.ids[index]}: has no view {max(views)}; choose other --views."
        ) from error


def _evaluate_scene(
    method: Method,
    scene: Views,
    inputs: Views,
    options: EvaluateOptions,
    yardsticks: _Yardsticks | None,
) -> dict[str, Any]:
    """One scene's entry of `per_scene`."""
    held_out = [k for k in range(len(scene)) if k not in options.views]
    if not held_out:
        raise DataError("Found no view to compare, expected more views than are given; drop some.")
    truth = scene[held_out]
    fit = fit_options_for(method, options.mode, len(options.views))
    latent = finish(method.reconstruct(inputs, fit, Noise(options.seed)))
    field = method.scene(latent[0]).field
    entry = score(_render(field, truth, options), truth)
    entry["input_psnr"] = score(_render(field, inputs, options), inputs)["psnr"]
    entry["inputs"] = digest(inputs.images)
    if yardsticks is not None:
        entry["baselines"] = yardsticks.measure(inputs, truth)
    return entry


def _render(field: Field, like: Views, options: EvaluateOptions) -> Tensor:
    """Pictures of a field from the cameras of `like`."""
    return render_views(field, like.camera, RenderOptions(quality=options.quality)).cpu()


def score(images: Float[Tensor, "views height width 3"], truth: Views) -> dict[str, float]:
    """PSNR (dB) and SSIM as published, averaged over pictures."""
    psnr = float(evaluation_psnr(images, truth.images).mean())
    return {
        "psnr": round(psnr, DIGITS),
        "ssim": round(float(ssim(images, truth.images).mean()), DIGITS),
    }


def _summary(
    per_scene: Mapping[str, Any], options: EvaluateOptions, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The output file's content."""
    entries = list(per_scene.values())
    summary: dict[str, Any] = {
        **_means(entries),
        "scenes": len(entries),
        "views": list(options.views),
        "per_scene": dict(per_scene),
        "settings": dict(settings),
    }
    if options.baselines:
        summary["baselines"] = {
            name: _means([entry["baselines"][name] for entry in entries]) for name in BASELINES
        }
    return summary


def _means(entries: list[Mapping[str, float]]) -> dict[str, float]:
    return {
        key: round(sum(entry[key] for entry in entries) / len(entries), DIGITS)
        for key in ("psnr", "ssim")
    }


class _Yardsticks:
    """The baselines of one evaluation; what does not depend on the scene is computed once."""

    def __init__(self, method: Method, options: EvaluateOptions, rate: float):
        self.method, self.options, self.rate = method, options, rate
        self.training = TrainingScenes(category_of(method))
        self._mean: tuple[bytes, Tensor] | None = None

    def measure(self, inputs: Views, truth: Views) -> dict[str, dict[str, float]]:
        """Scores of every baseline on one scene."""
        nearest = self.training.draw(self.training.nearest(inputs), truth.camera)
        latent = without_prior(self.method, inputs, self.rate, self.options.seed)
        fitted = _render(self.method.scene(latent[0]).field, truth, self.options)
        images = (nearest, self._mean_images(truth), fitted)
        return {
            name: score(picture, truth) for name, picture in zip(BASELINES, images, strict=True)
        }

    def _mean_images(self, truth: Views) -> Tensor:
        key = truth.camera.c2w.numpy().tobytes() + truth.camera.intrinsics.numpy().tobytes()
        if self._mean is None or self._mean[0] != key:
            field = self.method.scene(self.method.mean_latent).field
            self._mean = (key, _render(field, truth, self.options))
        return self._mean[1]
