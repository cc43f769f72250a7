"""Held-out reconstruction of a data set: some views of a scene are given, all others are compared with the truth.

Protocol (2304.06714, section 5): renders at the data's size, clamped, rounded to 8-bit levels, PSNR and SSIM of each
picture averaged over the scene's pictures, then over scenes. Results are kept in the output file scene by scene, so
that an interrupted evaluation goes on where it stopped; scenes whose inputs have changed since (settings, weights,
pictures, poses or intrinsics) are reported and measured again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.config import from_json, to_json
from engine.data.base import SceneDataset
from engine.errors import ConfigError, DataError, plain
from engine.evaluation.baselines import (
    TrainingScenes,
    category_of,
    choose_rate,
    has_prior,
    no_prior_options,
)
from engine.evaluation.entries import Contender, Entry, Fit, MeanCode, Nearest
from engine.evaluation.intervals import DIGITS
from engine.evaluation.measure import compare
from engine.evaluation.scenes import Scene
from engine.events import Run, Step
from engine.files import MEGABYTE, write_json
from engine.methods.base import Method, options_of
from engine.ops.metrics import mean_pairwise_psnr
from engine.reading import read_json
from engine.render.frames import Quality
from engine.store.checkpoint import fingerprint, model_key
from engine.types import Views

log = logging.getLogger(__name__)

PROTOCOL = 2
"""Raised whenever what is measured changes; results of another number are measured anew."""
BASELINES = ("nearest_training_scene", "mean_code", "no_prior")
MOST_BYTES = 64 * MEGABYTE
SPREAD_SCENES = 50
"""Scenes whose mean pairwise PSNR is the data set's spread."""
SPREAD_VIEW = 64


@dataclass(frozen=True)
class EvaluateOptions:
    """Settings of an evaluation."""

    views: tuple[int, ...] = (64,)
    """Views of each scene that are given; all others are compared."""
    limit: int | None = None
    """Number of scenes, from the first; None takes all."""
    mode: str = "ours"
    """Preset of the method's settings for reconstruction."""
    fit: Any = None
    """Settings for reconstruction from one view; None takes those of the preset."""
    baselines: bool = False
    """Measure the baselines too."""
    rate: float | None = None
    """Learning rate of the fit without prior; None chooses it on validation scenes."""
    seed: int = 0
    """Randomness of the fits."""
    quality: Quality = "high"
    """Quality at which results are rendered."""
    every: int = 1
    """Stride of the compared views, from the first."""


def evaluate(
    method: Method,
    dataset: SceneDataset,
    out: Path | str,
    options: EvaluateOptions = EvaluateOptions(),
) -> Run[dict[str, Any]]:
    """Reconstruct scenes from some of their views and compare all others.

    Args:
        method: The method that reconstructs.
        dataset: Scenes with posed pictures.
        out: JSON file of the results; an interrupted evaluation of the same settings is continued.
        options: Settings of the evaluation.

    Returns:
        `psnr`, `ssim`, `scenes`, `views`, `per_scene`, `settings`, `spread` and, if requested, `baselines`.

    Raises:
        DataError: If the data lack the views, or `out` holds something else.
    """
    out = Path(out)
    ids = dataset.ids[: options.limit]
    if not ids:
        raise DataError("Found no scene to evaluate, expected at least one; raise --limit.")
    training = TrainingScenes(category_of(method)) if options.baselines else None
    settings = _settings(method, options, training)
    known = _known(out, settings)
    keys = {name: dataset.key(index) for index, name in enumerate(ids)}
    baselines = baselines_of(method) if options.baselines else ()
    kept = _unchanged(out, known.get("per_scene", {}), keys, baselines)
    others = {name: entry for name, entry in known.get("per_scene", {}).items() if name not in keys}
    rate = None
    if training is not None:
        rate = known.get("settings", {}).get("no_prior_rate", options.rate)
        if rate is None and has_prior(method):
            size = dataset.views(0, [0]).images.shape[1]
            rate = yield from choose_rate(method, options.views, size=size, seed=options.seed)
        settings["no_prior_rate"] = rate
    entries = _entries(method, options, rate, training)
    per_scene: dict[str, Any] = {}
    for index, name in enumerate(ids):
        entry = kept.get(name)
        if entry is None:
            entry = _evaluate_scene(entries, *_views(dataset, index, options))
            entry["key"] = keys[name]
            per_scene[name] = entry
            summary = _summary(per_scene, options, settings, baselines)
            write_json(out, _written(summary, others | kept))
        per_scene[name] = entry
        results = _summary(per_scene, options, settings, baselines)
        scalars = {"psnr": results["psnr"], "ssim": results["ssim"], "scene_psnr": entry["psnr"]}
        yield Step(stage="evaluate", index=index + 1, total=len(ids), scalars=scalars, item=name)
    results["spread"] = data_spread(dataset)
    write_json(out, _written(results, others))
    return results


def data_spread(dataset: SceneDataset) -> dict[str, Any]:
    """Spread of the scenes: mean pairwise PSNR of up to 50 scenes seen from one place."""
    count = min(len(dataset), SPREAD_SCENES)
    view = min(SPREAD_VIEW, len(dataset.views(0)) - 1)
    images = torch.cat([dataset.views(index, [view]).images for index in range(count)])
    value = round(mean_pairwise_psnr(images), DIGITS) if count > 1 else None
    return {"mean_pairwise_psnr": value, "scenes": count, "view": view}


def _settings(
    method: Method, options: EvaluateOptions, training: TrainingScenes | None
) -> dict[str, Any]:
    """All settings that a result depends on, apart from the scenes themselves."""
    return {
        "protocol": PROTOCOL,
        "method": method.info.name,
        "checkpoint": method.checkpoint,
        "weights": fingerprint(method),
        "model": model_key(method),
        "views": list(options.views),
        "mode": options.mode,
        "fit": to_json(_fit_options(method, options, len(options.views))),
        "seed": options.seed,
        "quality": options.quality,
        "every": options.every if options.every > 1 else None,
        "baselines": options.baselines,
        "training_scenes": training and training.fingerprint,
    }


def _fit_options(method: Method, options: EvaluateOptions, num_views: int) -> Any:
    """Settings for reconstruction from a number of views."""
    fit = options_of(method, "reconstruct", options.mode) if options.fit is None else options.fit
    return method.for_views(fit, num_views)


@dataclass(frozen=True)
class _Scores:
    """Contents that an entry of an evaluation's file needs to be continued from."""

    psnr: float
    ssim: float


_Tables = dict[str, dict[str, Any]]


def _known(out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Results of an earlier evaluation of the same settings in `out`; empty where there are none."""
    if not out.exists():
        return {}
    try:
        found = read_json(out, dict[str, Any], DataError, "an evaluation", most_bytes=MOST_BYTES)
        from_json(dict[str, Any], found.get("settings"), "settings")
        for name, entry in from_json(_Tables, found.get("per_scene"), "per_scene").items():
            for scores in (entry, *from_json(_Tables, entry.get("baselines", {}), name).values()):
                from_json(_Scores, {k: v for k, v in scores.items() if k in ("psnr", "ssim")}, name)
    except (ConfigError, DataError) as error:
        raise DataError(
            f"{plain(out)}: holds something other than an evaluation; choose another --out."
        ) from error
    other = [name for name, value in settings.items() if found["settings"].get(name) != value]
    if other:
        log.info("%s: measured anew, for %s changed since it was written", out, ", ".join(other))
    return {} if other else found


def _unchanged(
    out: Path, per_scene: Mapping[str, Any], keys: Mapping[str, str], baselines: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Complete entries of scenes that have not changed since they were measured; logs those that have."""
    known = {name: per_scene[name] for name in keys if name in per_scene}
    kept = {name: entry for name, entry in known.items() if entry.get("key") == keys[name]}
    changed = [name for name in known if name not in kept]
    if changed:
        log.info(
            "%s: pictures, poses or intrinsics of %d of %d scenes changed since they were measured (first: %s); "
            "measuring these anew",
            out,
            len(changed),
            len(known),
            changed[0],
        )
    return {
        name: entry
        for name, entry in kept.items()
        if set(baselines) <= entry.get("baselines", {}).keys()
    }


def baselines_of(method: Method) -> tuple[str, ...]:
    """Names of the baselines that apply to a method."""
    return BASELINES if has_prior(method) else BASELINES[:-1]


def _views(
    dataset: SceneDataset, index: int, options: EvaluateOptions
) -> tuple[Views, tuple[int, ...]]:
    """A scene's pictures that are given or compared, and the positions of the given ones among them."""
    views, given = dataset.views(index), options.views
    if max(given) >= len(views):
        raise DataError(
            f"{dataset.ids[index]}: has no view {max(given)}, its views are 0 to {len(views) - 1}; choose other --views."
        )
    kept = sorted({*given, *range(0, len(views), options.every)})
    return views[kept], tuple(kept.index(place) for place in given)


def _entries(
    method: Method,
    options: EvaluateOptions,
    rate: float | None,
    training: TrainingScenes | None,
) -> list[Entry]:
    """The method, and the baselines for which training scenes and a rate of the fit without prior are available."""
    contender = Contender.of(method)

    def fit(name: str, options_for: Callable[[int], Any]) -> Fit:
        return Fit(name, name, contender, options_for, options.seed, options.quality)

    ours = fit("ours", lambda count: _fit_options(method, options, count))
    if training is None:
        return [ours]
    yardsticks = [Nearest(training, training.fingerprint), MeanCode(contender, options.quality)]
    if rate is None:
        return [ours, *yardsticks]
    return [
        ours,
        *yardsticks,
        fit("no_prior", lambda count: no_prior_options(method, rate, count)),
    ]


def _evaluate_scene(entries: list[Entry], views: Views, given: tuple[int, ...]) -> dict[str, Any]:
    """One scene's entry of `per_scene`."""
    if len(views) == len(given):
        raise DataError("Found no view to compare, expected more views than are given; drop some.")
    scene = Scene(views)
    found = {
        entry.name: compare(entry.answer(scene, given).images, views, given) for entry in entries
    }
    ours = found.pop("ours")
    if found:
        ours["baselines"] = {
            name: {key: scores[key] for key in ("psnr", "ssim")} for name, scores in found.items()
        }
    return ours


def _summary(
    per_scene: Mapping[str, Any],
    options: EvaluateOptions,
    settings: Mapping[str, Any],
    baselines: Collection[str],
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
    if baselines:
        summary["baselines"] = {
            name: _means([entry["baselines"][name] for entry in entries]) for name in baselines
        }
    return summary


def _written(summary: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """The output file's content: a summary, with scenes measured earlier that it does not cover."""
    return {**summary, "per_scene": {**kept, **summary["per_scene"]}}


def _means(entries: list[Mapping[str, float]]) -> dict[str, float]:
    return {
        key: round(sum(entry[key] for entry in entries) / len(entries), DIGITS)
        for key in ("psnr", "ssim")
    }
