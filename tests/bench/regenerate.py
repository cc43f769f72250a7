"""Keeping a part of an object while the prior draws the rest anew, as the explorer does it.

Objects that the prior drew and some of its training objects; four boxes; three proposals each. The kept part must stay
and the proposals must differ elsewhere (`engine.explore.completion` says over which pixels).
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from engine.events import finish
from engine.explore import completion as keep_metrics
from engine.explore.completion import KeepFigures
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.options import KeepOptions
from engine.noise import Noise
from engine.render.region import Region
from engine.store.checkpoint import open_checkpoint
from engine.types import WORLD_PER_SRN
from tests.bench.fields import CHECKPOINT
from tests.bench.load import busy
from tests.bench.report import Results, Row, key, on
from tests.bench.settings import Settings
from tests.bench.timing import wall

BOXES = {
    "front half": ((-0.5, 0.0, -0.5), (0.5, 0.5, 0.5)),
    "lower half": ((-0.5, -0.5, -0.5), (0.5, 0.5, -0.025)),
    "cabin": ((-0.5, -0.175, 0.0), (0.5, 0.125, 0.5)),
    "corner": ((0.0, 0.05, -0.5), (0.5, 0.5, 0.5)),
}
"""SRN units."""
SEEDS, GALLERY = (1, 4), (3, 8)
PROPOSALS = 3
FIRST_SEED = 100
"""Of the proposals."""
KEPT_DB, BETWEEN_DB, SECONDS = 30.0, 24.0, 4.0


@dataclass(frozen=True)
class Case:
    """One object and box.

    Attributes:
        name: Which.
        seconds: For one proposal.
        figures: What the three reach.
    """

    name: str
    seconds: float
    figures: KeepFigures


def objects(method: SSDNeRF, count: int) -> dict[str, Tensor]:
    """Latents by name, drawn and training ones in turn."""
    drawn = {f"seed {seed}": ("seed", seed) for seed in SEEDS}
    given = {f"gallery {number}": ("gallery", number) for number in GALLERY}
    pairs = zip(drawn.items(), given.items(), strict=True)
    chosen = dict([pair for both in pairs for pair in both][:count])
    return {
        name: method.gallery[number]
        if kind == "gallery"
        else finish(method.generate(1, method.presets["generate"]["ours"], Noise(number)))[0]
        for name, (kind, number) in chosen.items()
    }


def judged(method: SSDNeRF, name: str, original: Tensor, box: Tensor) -> Case:
    """Three proposals of one object and box."""
    region = Region.from_box(box * WORLD_PER_SRN, method.scene(original).field.aabb)
    began, results = wall(), []
    for k in range(PROPOSALS):
        run = method.complete(original, region, KeepOptions(), Noise(FIRST_SEED + k))
        results.append(finish(run)[0])
    seconds = (wall() - began) / PROPOSALS
    figures, *_ = keep_metrics.judged(method, original, region, results)
    return Case(name, seconds, figures)


def measure(settings: Settings, device: str = "cpu") -> Results:
    """Every object with every box, after one proposal that warms up."""
    method = open_checkpoint(CHECKPOINT, device)
    latents = objects(method, settings.regenerated)
    chosen = list(BOXES)[: settings.boxes]
    boxes = {name: torch.tensor(BOXES[name], device=method.device) for name in chosen}
    usual = next(iter(latents.values())), next(iter(boxes.values()))
    judged(method, "warm-up", *usual)
    cases = [
        judged(method, f"{title}, {part}", latent, box)
        for title, latent in latents.items()
        for part, box in boxes.items()
    ]

    def means(name: str) -> list[float]:
        return [statistics.mean(getattr(case.figures, name)) for case in cases]

    loaded = None
    if settings.busy and device == "cpu":
        with busy(settings.busy):
            loaded = judged(method, "loaded", *usual).seconds
    kept, between, everywhere = map(means, ("kept_psnr", "between_psnr", "between_all_psnr"))
    seconds = statistics.median(case.seconds for case in cases)
    count = f"{len(cases)} objects and boxes, {PROPOSALS} proposals"
    passed = sum(value <= BETWEEN_DB for value in everywhere)
    rows = [
        Row(
            f"kept part{on(device)}",
            statistics.mean(kept),
            KEPT_DB,
            KEPT_DB,
            " dB",
            "more",
            f"{count}; worst {min(kept):.1f} dB",
        ),
        Row(
            f"between proposals elsewhere{on(device)}",
            statistics.mean(between),
            BETWEEN_DB,
            BETWEEN_DB,
            " dB",
            how=f"where an object is; worst {max(between):.1f} dB; with all white "
            f"{statistics.mean(everywhere):.1f} dB, {passed} of {len(cases)} at most {BETWEEN_DB:.0f} dB",
        ),
        Row(
            f"a proposal{on(device)}",
            seconds,
            SECONDS,
            SECONDS,
            " s",
            how="wall, median",
            loaded=loaded,
        ),
    ]
    figures = {
        "regenerate_kept_db": statistics.mean(kept),
        "regenerate_between_db": statistics.mean(between),
        "regenerate_between_all_db": statistics.mean(everywhere),
        "regenerate_s": seconds,
    }
    details = [{"case": c.name, "seconds": c.seconds, **asdict(c.figures)} for c in cases]
    return Results(
        {key(name, device): value for name, value in figures.items()},
        rows,
        {key("regenerate", device): details},
    )
