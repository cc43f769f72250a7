"""The live renderer: milliseconds and PSNR of its qualities, against the honest peer, torch and the machine's limit.

Equal PSNR means: scene by scene, the peer has the fewest samples a ray (in steps of `LADDER_STEP`) with which the mean
PSNR of its pictures is no less than ours. The speed-up is the peer's milliseconds over ours, one view at a time, both
in turn on one core in CPU time, where neither scheduling nor idle helpers count; `speedup_equal_psnr` is the median
over scenes and views. The same in wall time on all cores is given beside it. So is a peer that samples all of
[-1, 1]^3, as the public projects do whose planes span a cube, and as the prototype's peer did. Here the planes span a
box of a quarter of that space; the peer that counts knows it, which makes it about four times as fast.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from engine.render.frames import TIERS, Baked, RenderOptions, bake, render, warm_up
from tests.bench import counts, fields, peer
from tests.bench.counts import Needs
from tests.bench.fields import Subject
from tests.bench.load import busy
from tests.bench.peak import fma_gflops, gemm_gflops
from tests.bench.plain import PlainField
from tests.bench.reference import Reference, psnr
from tests.bench.report import Results, Row, key, machine, on
from tests.bench.settings import Settings
from tests.bench.timing import Work, cpu, interleaved, torch_threads, wall

LEAST_DB, COMPARED_DB = 50.0, 53.0
"""What a frame must have at least, and what the quality that is compared with the peer must have."""
LADDER_STEP, MOST_SAMPLES = 8, 512
PROTOTYPE_GFLOPS, PROTOTYPE_SAMPLES = 118.0, 6.0
"""Peak of the AVX-512 core and density samples a pixel that the goals in milliseconds suppose."""


@dataclass
class Stage:
    """One scene with everything that is made of it once."""

    subject: Subject
    settings: Settings
    device: str

    @cached_property
    def baked(self) -> Baked:
        return bake(self.subject.field)

    @cached_property
    def plain(self) -> PlainField:
        return PlainField.of(self.subject.field)

    @cached_property
    def truths(self) -> list[torch.Tensor]:
        reference = Reference(self.subject.field)
        return [reference.picture(self.camera(k)) for k in range(self.settings.views)]

    def camera(self, index: int, size: int | None = None):
        return fields.view(index, size or self.settings.psnr_size, self.device)

    @property
    def contest_size(self) -> int:
        """Side of the pictures on which we and the peer compete: a GPU is idle with small ones."""
        return self.settings.psnr_size if self.device == "cpu" else self.settings.sizes[-1]

    def ours(self, index: int, quality: str, size: int | None = None, threads: int | None = None):
        return render(self.baked, self.camera(index, size), RenderOptions(quality, threads=threads))

    def quality_psnr(self, quality: str) -> list[float]:
        return [psnr(self.ours(k, quality).rgb, truth) for k, truth in enumerate(self.truths)]

    def peer_psnr(self, samples: int, cube: bool = False) -> float:
        pictures = (
            peer.picture(self.plain, self.camera(k), samples, cube=cube)
            for k in range(len(self.truths))
        )
        return statistics.mean(map(psnr, pictures, self.truths))

    def samples_for(self, decibels: float, cube: bool = False) -> int:
        """The fewest samples a ray with which the peer's pictures are at least that good, by bisection."""
        low, high = 0, MOST_SAMPLES // LADDER_STEP
        while high - low > 1:
            middle = (low + high) // 2
            enough = self.peer_psnr(middle * LADDER_STEP, cube) >= decibels
            low, high = (low, middle) if enough else (middle, high)
        return high * LADDER_STEP


@dataclass(frozen=True)
class Limit:
    """What the machine can do, and what the pictures need.

    Attributes:
        peak_gflops: Of one core's fused multiply-adds.
        gemm_gflops: Of a matrix product on one core.
        needs: Of each timed view, by quality.
    """

    peak_gflops: float
    gemm_gflops: float
    needs: dict[str, list[Needs]]

    @classmethod
    def of(cls, scenes: list[Stage]) -> Limit:
        """Measure and count."""
        needs = {
            quality: [
                counts.count(scene.baked, scene.camera(view), quality)
                for scene in scenes
                for view in range(scene.settings.timed_views)
            ]
            for quality in TIERS
        }
        return cls(fma_gflops(), gemm_gflops(), needs)

    def per_pixel(self, quality: str) -> float:
        """Density samples a pixel."""
        return statistics.median(needs.samples_per_pixel for needs in self.needs[quality])

    def scaled(self, ms: float, quality: str) -> float | None:
        """Milliseconds on the machine and with the samples that the goals suppose; None where nothing differs.

        They suppose an AVX-512 core, or else one of `PROTOTYPE_GFLOPS`, and at most `PROTOTYPE_SAMPLES` a pixel.
        """
        slower = 1.0 if machine()["avx512"] else self.peak_gflops / PROTOTYPE_GFLOPS
        more = max(self.per_pixel(quality) / PROTOTYPE_SAMPLES, 1.0)
        return None if slower == more == 1.0 else ms * slower / more


def stages(settings: Settings, device: str) -> list[Stage]:
    """The scenes, compiled code warm."""
    found = [
        Stage(subject, settings, device) for subject in fields.subjects(settings.scenes, device)
    ]
    warm_up(found[0].subject.field)
    return found


def measure(settings: Settings, device: str = "cpu") -> Results:
    """All of it on one device."""
    scenes = stages(settings, device)
    quality_db = {
        quality: [db for scene in scenes for db in scene.quality_psnr(quality)] for quality in TIERS
    }
    means = {quality: statistics.mean(values) for quality, values in quality_db.items()}
    compared, quickest = _nearest(means, COMPARED_DB), _nearest(means, LEAST_DB)
    results = Results()
    limit = Limit.of(scenes) if device == "cpu" else None
    results.add(_frames(scenes, quality_db, quickest, limit))
    results.add(_against_peer(scenes, compared, means[compared]))
    results.add(_bake(scenes))
    if limit is not None:
        results.add(_share(scenes, quickest, limit))
    return results


def _nearest(means: dict[str, float], least: float) -> str:
    """The poorest quality that is good enough; the best where none is."""
    enough = [quality for quality in means if means[quality] >= least]
    return min(enough, key=means.__getitem__) if enough else max(means, key=means.__getitem__)


def _about(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} dB (least {min(values):.1f})"


def _frames(
    scenes: list[Stage],
    db: dict[str, list[float]],
    quickest: str,
    limit: Limit | None,
) -> Results:
    """Milliseconds of every quality and size: wall on all cores, CPU on one."""
    settings, device = scenes[0].settings, scenes[0].device
    every, one = {}, {}
    for scene in scenes:
        for view in range(settings.timed_views):
            names = [(quality, size) for quality in TIERS for size in settings.sizes]
            works = {
                f"{quality} {size}": lambda q=quality, s=size, c=scene, v=view: c.ours(v, q, s)
                for quality, size in names
            }
            for name, ms in interleaved(works, settings.repeats).items():
                every.setdefault(name, []).append(ms)
            if device == "cpu":
                works = {
                    f"{quality} {size}": lambda q=quality, s=size, c=scene, v=view: c.ours(
                        v, q, s, 1
                    )
                    for quality, size in names
                }
                with torch_threads(1):
                    timed = interleaved(works, settings.repeats, cpu)
                for name, ms in timed.items():
                    one.setdefault(name, []).append(ms)
    loaded = _loaded_frames(scenes[0], quickest)
    details = {"wall_ms": every, "cpu_ms": one, "loaded_ms": loaded, "db": db}
    found = Results(details={key("frames", device): details})
    found.top[key("frame_psnr", device)] = statistics.mean(db[quickest])
    goals = {128: (6.0, 3.5), 256: (22.0, 14.0), 512: (85.0, 60.0)}
    for size in settings.sizes:
        for quality in TIERS:
            name = f"{quality} {size}"
            ms, goal = statistics.median(every[name]), quality == quickest and device == "cpu"
            must, reach = goals.get(size, (None, None)) if goal else (None, None)
            core = f", {statistics.median(one[name]):.1f} ms CPU on one core" if one else ""
            how = f"{_about(db[quality])}{core}"
            title = f"{size} px, {quality}{on(device)}"
            row = Row(title, ms, must, reach, " ms", how=how, loaded=loaded.get(name))
            if must is not None:
                row = replace(row, scaled=limit.scaled(ms, quality))
            found.rows.append(row)
            if quality == quickest:
                found.top[key(f"frame_{size}_ms", device)] = ms
    return found


def _loaded_frames(scene: Stage, quality: str) -> dict[str, float]:
    """Milliseconds of one quality in every size, on the wall, beside busy processes."""
    settings = scene.settings
    if not settings.busy or scene.device != "cpu":
        return {}
    works = {
        f"{quality} {size}": lambda s=size: scene.ours(0, quality, s) for size in settings.sizes
    }
    with busy(settings.busy):
        return interleaved(works, settings.repeats)


RIVALS = {
    "peer": "the tuned peer at equal PSNR",
    "cube": "the same peer in the cube [-1, 1]^3 (as the prototype's 35-48x were measured)",
    "peer 96": "the peer with 96 samples a ray",
    "torch": "the culled torch path",
}


def _against_peer(scenes: list[Stage], quality: str, decibels: float) -> Results:
    """Speed-up over the peer and over the torch path."""
    settings, device = scenes[0].settings, scenes[0].device
    threads = torch.get_num_threads()
    modes = {"one core": (1, cpu), "all cores": (threads, wall)}
    modes = modes if device == "cpu" else {"device": (threads, wall)}
    needed = [statistics.mean(scene.quality_psnr(quality)) for scene in scenes]
    samples = {
        rival: [
            scene.samples_for(db, rival == "cube") for scene, db in zip(scenes, needed, strict=True)
        ]
        for rival in ("peer", "cube")
    }
    reached = {
        rival: [scene.peer_psnr(n, rival == "cube") for scene, n in zip(scenes, tried, strict=True)]
        for rival, tried in samples.items()
    }
    chunks, runs = {}, {}
    for mode, (threads, clock) in modes.items():
        with torch_threads(threads):
            chunks[mode] = peer.best_chunk(
                scenes[0].plain, scenes[0].camera(0, scenes[0].contest_size)
            )
            runs[mode] = [
                interleaved(
                    _contest(scene, view, quality, both, chunks[mode], threads),
                    settings.repeats,
                    clock,
                )
                for scene, *both in zip(scenes, *samples.values(), strict=True)
                for view in range(settings.timed_views)
            ]
    found = Results()
    details = {"quality": quality, "samples": samples, "peer_db": reached, "chunk": chunks}
    found.details[key("peer", device)] = {**details, "ms": runs}
    for mode, times in runs.items():
        for rival, name in RIVALS.items():
            ratio = statistics.median(run[rival] / run["ours"] for run in times)
            goal = (mode, rival) == ("one core", "peer")
            ours, theirs = (statistics.median(run[n] for run in times) for n in ("ours", rival))
            how = f"{theirs:.1f} : {ours:.2f} ms, {scenes[0].contest_size} px"
            if rival in samples:
                shown = "/".join(map(str, samples[rival]))
                how = (
                    f"{decibels:.1f} dB ({quality}) : {statistics.mean(reached[rival]):.1f} dB "
                    f"({shown} samples a ray), {how}"
                )
            must, reach = (40.0, 60.0) if goal else (None, None)
            row = Row(
                f"speed-up over {name}, {mode}{on(device)}", ratio, must, reach, "x", "more", how
            )
            found.rows.append(row)
            if rival in samples and mode != "all cores":
                name = "speedup_equal_psnr" + ("_cube" if rival == "cube" else "")
                found.top[key(name, device)] = ratio
    return found


def _contest(
    scene: Stage, view: int, quality: str, samples: list[int], chunk: int, threads: int
) -> dict[str, Work]:
    """The works that take turns on one view."""
    camera = scene.camera(view, scene.contest_size)
    options = RenderOptions(quality, threads=threads)
    portable, equal, cube = replace(scene.baked, kernels=None), *samples
    return {
        "ours": lambda: render(scene.baked, camera, options),
        "torch": lambda: render(portable, camera, options),
        "peer": lambda: peer.picture(scene.plain, camera, equal, chunk),
        "peer 96": lambda: peer.picture(scene.plain, camera, peer.SAMPLES, chunk),
        "cube": lambda: peer.picture(scene.plain, camera, cube, chunk, cube=True),
    }


def _bake(scenes: list[Stage]) -> Results:
    """A new scene made ready, up to and with the first leap grid."""
    settings, device = scenes[0].settings, scenes[0].device

    def ready(scene: Stage):
        baked = bake(scene.subject.field)
        camera = fields.view(0, 8, device)
        render(baked, camera, RenderOptions("preview"))
        render(baked, camera, RenderOptions("standard"))

    works = {scene.subject.name: lambda s=scene: ready(s) for scene in scenes}
    ms = statistics.median(interleaved(works, settings.repeats).values())
    must, reach = (60.0, 20.0) if device == "cpu" else (None, None)
    how = "occupancy, tables and the leap grids of two qualities, wall"
    row = Row(f"bake a new scene{on(device)}", ms, must, reach, " ms", how=how)
    return Results({key("bake_ms", device): ms}, [row])


def _share(scenes: list[Stage], quality: str, limit: Limit) -> Results:
    """Needed arithmetic over what the core could do meanwhile."""
    settings, size = scenes[0].settings, scenes[0].settings.psnr_size
    shares: dict[str, list[float]] = {name: [] for name in TIERS}
    views = [(scene, view) for scene in scenes for view in range(settings.timed_views)]
    for number, (scene, view) in enumerate(views):
        works = {name: lambda q=name, s=scene, v=view: s.ours(v, q, threads=1) for name in TIERS}
        with torch_threads(1):
            ms = interleaved(works, settings.repeats, cpu)
        for name, needs in limit.needs.items():
            shares[name].append(needs[number].flops / (1e6 * ms[name] * limit.peak_gflops))
    share = {name: statistics.median(values) for name, values in shares.items()}
    flops = statistics.median(needs.flops for needs in limit.needs[quality])
    others = ", ".join(f"{name} {100 * share[name]:.1f} %" for name in TIERS if name != quality)
    how = (
        f"{flops / 1e6:.1f} MFLOP needed ({size} px, {quality}), peak {limit.peak_gflops:.0f} GFLOP/s a core "
        f"(matrix product {limit.gemm_gflops:.0f}), {limit.per_pixel(quality):.2f} density samples a pixel; {others}"
    )
    row = Row("share of FMA peak, one core", 100 * share[quality], 21.0, 35.0, " %", "more", how)
    details = {"peak_gflops": limit.peak_gflops, "gemm_gflops": limit.gemm_gflops}
    details |= {"shares": shares, "samples_per_pixel": {q: limit.per_pixel(q) for q in TIERS}}
    return Results({"fma_share": share[quality]}, [row], {"limit": details})
