"""Runs as files, and runs as curves."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.diffusion.schedule import Schedule
from engine.errors import TimelineError
from engine.events import Step, finish
from engine.explore.curves import changes, curves, measure, solid_diagonal, to_csv
from engine.methods.ssdnerf.options import RenoiseOptions, SampleOptions
from engine.methods.toy import ToyMethod
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views
from engine.store.timeline import Timeline, of_scene, on_cpu, own, result_step, step_bytes
from engine.types import Views
from tests.engine.test_branching import same, steps_of

OPTIONS = SampleOptions(sampler="unipc", steps=4, renoise=RenoiseOptions(steps=2))


@pytest.fixture(scope="module")
def run(vehicles):
    """A run of two objects, and the second one's timeline."""
    steps, end = steps_of(vehicles.generate(2, OPTIONS, Noise(3)))
    own = [of_scene(on_cpu(step), 1) for step in steps]
    timeline = Timeline(
        [*own, result_step(end[1:])], vehicles.scene(end[1]).field, {"seed": 4, "title": "ü"}
    )
    return timeline, end


def test_a_saved_run_comes_back_bit_for_bit(run, tmp_path):
    timeline, end = run
    loaded = Timeline.load(timeline.save(tmp_path / "run.safetensors"))
    assert len(loaded.steps) == len(timeline.steps) == 7
    assert all(same(a, b) for a, b in zip(loaded.steps[:-1], timeline.steps[:-1], strict=True))
    assert torch.equal(loaded.steps[-1].latent, end[1:])
    assert loaded.provenance == {"seed": 4, "title": "ü"}
    assert loaded.views is None
    camera = orbit_camera(30.0, 10.0, 1.3, 24)
    pictures = [render_views(one.scene(3).field, camera) for one in (loaded, timeline)]
    assert torch.equal(*pictures)


def test_a_loaded_run_is_gone_on_with_bit_for_bit(vehicles, run, tmp_path):
    timeline, end = run
    loaded = Timeline.load(timeline.save(tmp_path / "run.safetensors"))
    for step in loaded.steps[:-1]:
        assert torch.equal(finish(vehicles.generate(1, OPTIONS, Noise(4), after=step)), end[1:])


def test_pictures_and_their_cameras_come_back(vehicles, tmp_path):
    camera = orbit_camera(torch.tensor([10.0, 80.0]), 10.0, 1.3, 16)
    views = Views(torch.rand(2, 16, 16, 3), camera, torch.rand(2, 16, 16, 1))
    steps = [result_step(vehicles.gallery[:1])]
    path = Timeline(steps, vehicles.scene(vehicles.mean_latent).field, {}, views).save(
        tmp_path / "run.safetensors"
    )
    loaded = Timeline.load(path).views
    assert torch.equal(loaded.images, views.images)
    assert torch.equal(loaded.alpha, views.alpha)
    assert torch.equal(loaded.camera.c2w, camera.c2w)
    assert (loaded.camera.height, loaded.camera.width) == (16, 16)


def test_a_file_costs_what_its_codes_cost(run, tmp_path):
    timeline, _ = run
    size = timeline.save(tmp_path / "run.safetensors").stat().st_size
    assert step_bytes(timeline.steps) < size < 1.1 * step_bytes(timeline.steps) + 30_000
    code = 4 * timeline.steps[0].latent.numel()
    first, result = timeline.steps[0], timeline.steps[-1]
    assert step_bytes([first]) == 3 * code, "x0, x_t and the corrected state"
    assert step_bytes([result]) == step_bytes([result, result]) == code


HURT = {
    "field": [
        '{"kind": "triplane", "config": {"base_widths": []}}',
        '{"kind": "spheres", "config": {}}',
        '{"kind": "triplane", "config": {}}',
        "[]",
    ],
    "steps": [
        ("tensors", []),
        ("scalars", []),
        ("index", math.inf),
        ("stage", "foo"),
        ("numbers", {"step": "x"}),
    ],
    "views": "[1]",
    "provenance": "[]",
    "noise": '{"name": "field.base.0.bias", "shape": [-1]}',
}
"""What somebody may have written into a file's header, by its part."""


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (k, v)
        for k, values in HURT.items()
        for v in (values if isinstance(values, list) else [values])
    ],
)
def test_a_header_that_somebody_has_changed_gets_one_sentence(run, tmp_path, part, value):
    path = run[0].save(tmp_path / "run.safetensors")
    with safe_open(path, "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if part == "steps":
        steps = json.loads(header["steps"])
        steps[0][value[0]] = value[1]
        header["steps"] = json.dumps(steps)
    else:
        header[part] = value
    save_file(tensors, path, metadata=header)
    with pytest.raises(TimelineError, match="damaged") as error:
        Timeline.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_codes_that_are_not_finite_are_refused(run, tmp_path, value):
    steps = list(run[0].steps)
    steps[2] = replace(steps[2], latent=torch.full_like(steps[2].latent, value))
    path = replace(run[0], steps=steps).save(tmp_path / "run.safetensors")
    with pytest.raises(TimelineError, match="not finite"):
        Timeline.load(path)


def test_a_scene_of_a_batch_has_its_own_timesteps(vehicles):
    """Each scene of a batch is renoised to levels of its own."""
    together = [of_scene(step, 1) for step in steps_of(vehicles.generate(2, OPTIONS, Noise(3)))[0]]
    alone = [of_scene(step, 0) for step in steps_of(vehicles.generate(1, OPTIONS, Noise(4)))[0]]
    assert [step.t for step in together] == [step.t for step in alone]


def test_a_step_of_its_own_keeps_no_batch_alive(vehicles):
    steps, _ = steps_of(vehicles.generate(3, OPTIONS, Noise(0)))
    part = of_scene(steps[2], 1)
    mine = own(part)
    assert same(mine, part)
    assert mine.latent.untyped_storage().nbytes() == mine.latent.nbytes
    assert step_bytes([mine]) == step_bytes([part])


@pytest.mark.parametrize("damage", ["missing", "words", "scene", "cut", "step"])
def test_what_is_no_run_gets_one_sentence(run, vehicles, tmp_path, damage):
    path = tmp_path / "run.safetensors"
    if damage == "words":
        path.write_text("these are words")
    elif damage == "scene":
        vehicles.scene(vehicles.gallery[0]).save(path)
    elif damage == "cut":
        data = run[0].save(path).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif damage == "step":
        header = {"format": "ssdnerf-explorer-timeline/1", "decoder": "{}", "steps": "[]"}
        save_file({"a": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(TimelineError) as error:
        Timeline.load(path)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_half_written_file_never_replaces_a_whole_one(run, tmp_path, monkeypatch):
    path = run[0].save(tmp_path / "run.safetensors")
    before = path.read_bytes()
    broken = replace(run[0], provenance={"unwritable": object()})
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# -- curves ----------------------------------------------------------------------------------------


def test_log_snr_is_that_of_the_schedule(vehicles):
    options = replace(OPTIONS, mode="paper")
    *noisy, last = steps_of(vehicles.generate(1, options, Noise(3)))[0]
    kept = [float(Schedule().alpha_bar[step.t]) for step in noisy]
    expected = [math.log(part / (1 - part)) for part in kept]
    assert [step.log_snr for step in noisy] == pytest.approx(expected)
    assert (last.t, last.log_snr) == (-1, None)


def test_change_is_the_root_mean_square_difference():
    codes = (torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.0]]))
    steps = [Step(stage="denoise", index=1, total=3, latent=code) for code in codes]
    assert changes(steps) == [None, pytest.approx(math.sqrt(12.5)), 0.0]
    assert changes([]) == []


def test_extent_is_the_diagonal_of_what_is_solid():
    density = torch.zeros(4, 4, 8)
    aabb = torch.tensor([[-1.0, -1.0, -2.0], [1.0, 1.0, 2.0]])
    assert solid_diagonal(density, aabb) == 0.0
    density[1, 0, 2:4] = 50.0
    density[2, 3, 2] = 50.0
    assert solid_diagonal(density, aabb) == pytest.approx(math.sqrt(1**2 + 2**2 + 1**2) / 2)


def test_a_run_of_the_toy_has_every_curve():
    toy = ToyMethod()
    steps = [
        of_scene(s, 0)
        for s in steps_of(toy.generate(1, toy.presets["generate"]["ours"], Noise(0)))[0]
    ]
    found = curves(steps, lambda latent: toy.scene(latent).field)
    assert all(len(values) == len(steps) for values in found.values())
    assert found["opacity"][-1] == pytest.approx(
        measure(toy.scene(steps[-1].latent[0]).field).opacity
    )
    assert 0.5 < found["extent"][-1] < 1.2, "a car whose box has a diagonal of about one"
    assert found["psnr"] == [None] * len(steps)
    rows = list(csv.DictReader(io.StringIO(to_csv(steps, found))))
    assert [row["stage"] for row in rows] == [step.stage for step in steps]
    assert float(rows[3]["change"]) == pytest.approx(found["change"][3], rel=1e-4)
    assert rows[0]["change"] == ""
