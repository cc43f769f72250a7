"""The bench's own yardsticks against the tests' oracles; what it says about speed is nobody's business here."""

from dataclasses import replace

import pytest
import torch

from engine.methods.ssdnerf.method import TrainOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import TIERS, RenderOptions, bake, render
from engine.render.march import UNIT_DIAGONAL
from tests.bench import batches, counts, peak, peer
from tests.bench.__main__ import run
from tests.bench.plain import PlainField
from tests.bench.published import Published, PublishedScenes
from tests.bench.reference import Reference, psnr
from tests.bench.report import KEYS, Row, markdown
from tests.bench.settings import TINY
from tests.engine.render_fields import brute_force, chords, constant_box, soft_car

VIEW = orbit_camera(35.0, 22.0, size=24)


@pytest.fixture(scope="module")
def truth():
    return brute_force(soft_car(), VIEW)[0]


@pytest.fixture(scope="module")
def batch():
    return batches.gallery_batch(2)


def test_the_reference_is_brute_force_and_leaves_out_nothing_that_shows(truth):
    car = soft_car()
    everything = Reference(car, cull=False).picture(VIEW, step=0.002)
    assert psnr(everything, truth) > 100
    assert psnr(Reference(car).picture(VIEW, step=0.002), everything) > 80


@pytest.mark.parametrize("cube", [False, True])
def test_the_peer_converges_to_the_reference(cube, truth):
    field = PlainField.of(soft_car())
    few, many = (psnr(peer.picture(field, VIEW, n, cube=cube), truth) for n in (32, 1024))
    assert many > 60 > few > 20
    assert psnr(peer.picture(field, VIEW, 64, 700), peer.picture(field, VIEW, 64, 1 << 20)) > 100


def test_fine_steps_of_the_engine_reach_the_reference(truth):
    assert psnr(render(bake(soft_car()), VIEW, RenderOptions("high")).rgb, truth) > 60


def test_samples_are_counted_on_the_lattice():
    field = constant_box(-4.0)
    needs = counts.count(bake(field), VIEW, "high")
    enter, leave = chords(VIEW, field.aabb)
    step = UNIT_DIAGONAL / TIERS["high"].max_steps
    assert needs.density_samples == pytest.approx(float((leave - enter).sum()) / step, rel=0.01)
    hidden = field.decoder.config.base_widths[0]
    a, b = counts.flops_per_sample(hidden, directed=True)
    assert needs.flops == needs.density_samples * a + needs.colors * b
    dense = counts.count(bake(constant_box(8.0)), VIEW, "high")
    assert dense.density_samples == dense.colors == int((leave - enter > step / 2).sum())


def test_the_peak_loop_multiplies_and_adds():
    assert peak._multiply_and_add(100, 0.5) == peak.CHAINS
    assert peak.fma_gflops(repeats=1, turns=100_000) > 0


@pytest.mark.parametrize("paper", [False, True])
def test_the_published_render_part_is_the_engines(paper, batch):
    method = batches.trained_method(paper=paper)
    work = batches.render_work(method, batch, 200)
    published = Published(method)
    given = (work.latents, work.occupied, work.rays, work.jitter)
    image, other = method.render_rays(*given), published.render(*given)
    torch.testing.assert_close(image, other, atol=1e-5, rtol=0)
    pull = torch.rand_like(image)
    ours, plain = (
        torch.autograd.grad((picture * pull).sum(), [work.latents, weight])
        for picture, weight in (
            (image, method.decoder.color_head[0].weight),
            (other, published.decoder.color[0]),
        )
    )
    for gradient, expected in zip(ours, plain, strict=True):
        assert (gradient - expected).norm() < 1e-4 * expected.norm()


def test_the_published_step_is_the_engines(batch):
    method = batches.trained_method()
    records = batches.settled(method, 2)
    published = Published(method)
    options = TrainOptions(inner_steps=((0, 2),), rays=64, latent_rate=1e-2, freeze_norm=None)
    scenes = PublishedScenes(records.raw, records.grid, options.latent_rate)
    optimizers = published.optimizers(1e-3, 1e-3)
    expected = published.training_step(batch, scenes, optimizers, options, 0, Noise(3))
    before = records.raw.clone()
    optimizers = {
        name: torch.optim.Adam(part.parameters(), 1e-3)
        for name, part in (("unet", method.unet), ("decoder", method.decoder))
    }
    report = method.training_step(batch, records, optimizers, options, 0, Noise(3))
    for name, value in expected.items():
        assert float(report[name]) == pytest.approx(value, rel=1e-3)
    moved, plain = records.raw - before, torch.stack(scenes.raw).detach() - before
    assert (
        moved - plain
    ).norm() < 0.05 * plain.norm()  # Adam turns tiny gradients into whole steps
    weight = method.unet.middle[0].conv1.weight
    torch.testing.assert_close(weight, published.unet.middle[0].conv1.weight, atol=3e-4, rtol=0)


def test_a_run_holds_the_keys_and_prints_the_table():
    groups = ["frames", "training", "reconstruct", "inversion", "startup", "drag", "interaction"]
    found, table = run(groups, TINY)
    assert not found["failed"]
    assert set(KEYS) <= set(found)
    expected = set(KEYS) - {"frame_128_ms", "frame_256_ms", "frame_512_ms"}
    # sizes, and a browser, that the tiny run leaves out
    expected -= {"first_frame_cold_s", "first_frame_warm_s", "first_run_cold_s", "first_run_warm_s"}
    expected -= {"first_object_s", "scrub_ms", "slide_shown_fps"}
    assert all(found[key] > 0 for key in expected), {key: found[key] for key in expected}
    assert found["machine"]["torch"] == torch.__version__
    assert "| goal | must |" in table
    loaded = [row["goal"] for row in found["table"] if row["loaded"]]
    for name in ("px, ", "whole step", "reconstruction", "first recognisable"):
        assert any(name in goal for goal in loaded), loaded


def test_a_row_says_whether_it_meets_its_goal():
    row = Row("speed", 41.0, 40.0, 60.0, "x", "more")
    assert [replace(row, measured=m).verdict for m in (39, 41, 61)] == ["MISSED", "met", "reached"]
    less = Row("time", 5.0, 6.0, 3.0, " ms")
    assert [replace(less, measured=m).verdict for m in (7, 5, 3)] == ["MISSED", "met", "reached"]
    assert Row("time", 5.0).verdict == ""
    assert "| **5 ms** |  | met |" in markdown([less])
    assert "| **5 ms** | 8 ms | met |" in markdown([replace(less, loaded=8.0)])
    slow = replace(less, measured=9.0, scaled=4.0)
    assert slow.verdict == "met"
    assert "| **9 ms** (scaled 4 ms) |  | met |" in markdown([slow])
