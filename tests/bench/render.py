"""Milliseconds per frame and PSNR of every quality: `python -m tests.bench.render [SCENE.safetensors]`.

CPU time is the process's on one thread; wall time is with all threads, and means something on an idle machine only.
The reference is the torch path with a step of 1/2048 of the diagonal, no early stop and hardly any culling.
"""

import statistics
import sys
import time
from dataclasses import replace

import torch

from engine import render as renderer
from engine.ops.cameras import orbit_camera
from engine.render import RenderOptions, bake, render, warm_up
from engine.scene import Scene
from tests.engine.render_fields import soft_car

REPEATS = 15


def clock(work, timer):
    """Median milliseconds of `work()`."""
    times = []
    for _ in range(REPEATS):
        start = timer()
        work()
        times.append(timer() - start)
    return 1e3 * statistics.median(times)


def psnr(a, b):
    return float(-10 * torch.log10((a - b).square().mean()))


def main():
    torch.set_num_threads(1)
    field = Scene.load(sys.argv[1]).field if len(sys.argv) > 1 else soft_car()
    warm_up(field)
    baked = bake(field)
    print(f"bake {clock(lambda: bake(field), time.process_time):.1f} ms")
    renderer.TIERS["reference"] = renderer.Tier(max_steps=2048, density=1e-4, stop=1e-7, carry=0.0)
    camera = orbit_camera(35.0, 22.0)
    truth = render(replace(baked, tables=None), camera, RenderOptions("reference")).rgb
    hit = float((truth < 0.99).any(-1).float().mean())
    print(
        f"hidden {field.decoder.config.base_widths}, planes {tuple(field.triplane.shape)}, {hit:.0%} of rays hit"
    )
    print("quality   size   cpu ms  wall ms     dB")
    for quality in ("preview", "standard", "high"):
        error = psnr(render(baked, camera, RenderOptions(quality)).rgb, truth)
        for size in (128, 256, 512):
            view = orbit_camera(35.0, 22.0, size=size)
            one, every = RenderOptions(quality, threads=1), RenderOptions(quality)
            cpu = clock(lambda v=view, o=one: render(baked, v, o), time.process_time)
            wall = clock(lambda v=view, o=every: render(baked, v, o), time.perf_counter)
            print(f"{quality:9} {size:4} {cpu:8.1f} {wall:8.1f} {error:6.1f}")


if __name__ == "__main__":
    main()
