"""Runs as files that the page opens: the same steps, the same pictures, and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.session import runs
from app.session.priors import Prior, Priors
from app.session.records import Record
from app.settings import AppSettings
from app.tabs.inspect.branching import Change, branch
from engine.config import to_json
from engine.errors import EngineError, UnsupportedTaskError
from engine.events import finish
from engine.methods.base import Method, TrainingData
from engine.methods.codenerf import options as codenerf
from engine.methods.toy_options import DrawOptions
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views
from engine.render.region import Region
from engine.store.timeline import Kept, on_cpu, result_step
from engine.types import Views
from tests.app.test_jobs import wait_for_end
from tests.app.two_codes import two_codes

OPTIONS = DrawOptions("ddim", 4)


@pytest.fixture
def priors(method) -> Priors:
    return Priors(AppSettings(checkpoint="toy"), method)


def made(method: Method, scene: int = 0, options=OPTIONS, **changes) -> Record:
    """A finished run of two, as the page keeps it."""
    frames = [on_cpu(step) for step in method.generate(2, options, Noise(3))]
    frames.append(result_step(finish(method.generate(2, options, Noise(3)))))
    told = {"task": "generate", "seed": 3 + scene, "checkpoint": None}
    told["settings"] = to_json(options)
    record = Record("generate", "Seed <3>", told, frames, method, scene, state="done", made=1.7e9)
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def reopened(record: Record, priors: Priors, path) -> Record:
    timeline, note = runs.load(runs.save(record, path))
    return runs.opened(timeline, note, runs.maker(timeline, priors), "cpu")


def test_figures_that_json_does_not_know_do_not_spoil_the_file(method, priors, tmp_path):
    record = made(method, psnrs=(float("inf"),), figures={"kept": float("inf"), "rest": 20.0})
    record.frames[1] = replace(record.frames[1], scalars={"psnr": float("inf"), "loss": 0.5})
    back = reopened(record, priors, tmp_path / "run.safetensors")
    assert same_codes(record, back)
    assert back.psnrs == ()
    assert back.figures == {"rest": 20.0}
    assert back.frames[1].scalars == {"loss": 0.5}


def same_codes(one: Record, other: Record) -> bool:
    places = range(len(one.frames))
    looks = ("x0", "x_t")
    return len(one.frames) == len(other.frames) and all(
        torch.equal(one.latent(place, look), other.latent(place, look))
        for place in places
        for look in looks
    )


def pictures(record: Record) -> torch.Tensor:
    camera = orbit_camera(30.0, 10.0, 1.3, 32)
    field = record.method.scene(record.latent(-1), **record.provenance).field
    return render_views(field, camera)


def test_a_run_comes_back_bit_for_bit_with_all_that_is_known_of_it(method, priors, tmp_path):
    camera = orbit_camera(torch.tensor([10.0, 80.0]), 10.0, 1.3, 16)
    views = Views(torch.rand(2, 16, 16, 3), camera, torch.rand(2, 16, 16, 1))
    region = Region.from_box(
        torch.tensor([[0, 0, 0], [0.2, 0.3, 0.3]]), method.scene(method.gallery[0]).field.aabb
    )
    record = made(
        method,
        1,
        views=views,
        psnrs=(20.5, 21.0),
        figures={"iou": 0.5},
        noise=torch.rand(method.info.latent_shape),
        kept=Kept(torch.rand(method.info.latent_shape), region),
    )
    back = reopened(record, priors, tmp_path / "run.safetensors")
    assert same_codes(record, back)
    assert back.method is method
    for name in ("kind", "title", "psnrs", "figures", "made", "state", "provenance"):
        assert getattr(back, name) == getattr(record, name), name
    assert torch.equal(back.noise, record.noise)
    assert torch.equal(back.kept.latent, record.kept.latent)
    assert torch.equal(back.kept.region.cells, region.cells)
    assert torch.equal(back.kept.region.aabb, region.aabb)
    assert torch.equal(back.views.images, views.images)
    assert torch.equal(back.views.alpha, views.alpha)
    assert torch.equal(back.views.camera.c2w, camera.c2w)
    assert [(s.stage, s.index, s.t) for s in back.frames] == [
        (s.stage, s.index, s.t) for s in record.frames
    ]
    assert torch.equal(pictures(back), pictures(record))


def test_an_opened_run_is_branched_from_bit_for_bit(method, priors, session, runner, tmp_path):
    record = made(method, 1)
    record.provenance["without_kernels"] = ["fits"]  # as older versions wrote
    back = reopened(record, priors, tmp_path / "run.safetensors")
    assert "without_kernels" not in back.provenance
    session.add(back)
    other, _ = branch(session, runner, back, 1, Change())
    wait_for_end(session.job)
    assert torch.equal(other.latent(-1), back.latent(-1))


def test_other_weights_show_the_same_but_go_on_with_nothing(session, runner, tmp_path):
    method, theirs = two_codes(), two_codes()
    priors = Priors(AppSettings(checkpoint="toy"), method)
    theirs.data = TrainingData("vehicles", 1.7)
    with torch.no_grad():
        theirs.net.color_head.bias.fill_(0.5)
    record = made(theirs, options=codenerf.SampleOptions())
    back = reopened(record, priors, tmp_path / "run.safetensors")
    assert back.method is not method
    assert back.method.data == theirs.data
    assert same_codes(record, back)
    assert torch.equal(pictures(back), pictures(record))
    assert not torch.equal(pictures(back), pictures(replace(record, method=method)))
    session.add(back)
    with pytest.raises(UnsupportedTaskError, match=r"not here.*\.$"):
        branch(session, runner, back, 0, Change())
    for task in (back.method.generate, back.method.reconstruct):
        with pytest.raises(UnsupportedTaskError):
            task()
    again = reopened(back, priors, tmp_path / "again.safetensors")
    assert same_codes(record, again)
    assert again.method.weights == back.method.weights, "saved again it forgot who made it"


def test_a_run_opens_where_its_prior_cannot(method, priors, tmp_path):
    timeline, note = runs.load(runs.save(made(method), tmp_path / "run.safetensors"))
    broken: Future[Prior] = Future()
    broken.set_exception(EngineError("It is gone."))
    assert isinstance(runs.opened(timeline, note, broken, "cpu").method, runs.Viewer)
    elsewhere = replace(timeline, provenance={**timeline.provenance, "checkpoint": "elsewhere"})
    assert runs.maker(elsewhere, priors) is None


def test_what_was_dropped_of_a_run_is_left_out(method, priors, tmp_path):
    record = made(method)
    record.frames[1] = replace(record.frames[1], latent=None, noisy_latent=None, state={})
    back = reopened(record, priors, tmp_path / "run.safetensors")
    assert [step.index for step in back.frames] == [1, 3, 4, 1]


def test_an_unfinished_run_is_a_cancelled_one(method, priors, tmp_path):
    record = made(method, state="running")
    record.frames.pop()
    assert reopened(record, priors, tmp_path / "run.safetensors").state == "cancelled"


def test_a_scene_file_is_a_run_of_one_step(method, priors, tmp_path):
    scene = method.scene(method.gallery[1], seed=4)
    timeline, note = runs.load(scene.save(tmp_path / "my_car.safetensors"))
    back = runs.opened(timeline, note, runs.maker(timeline, priors), "cpu")
    assert (back.kind, back.title, len(back.frames)) == ("file", "my car", 1)
    assert back.provenance["seed"] == 4
    assert torch.equal(back.latent(-1), method.gallery[1])
    camera = orbit_camera(30.0, 10.0, 1.3, 32)
    opened = back.method.scene(back.latent(-1)).field
    assert torch.equal(render_views(opened, camera), render_views(scene.field, camera))


def rewritten(path, change) -> None:
    """A run's file with something of its provenance changed."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = dict(file.metadata())
    provenance = json.loads(header["provenance"])
    header["provenance"] = json.dumps(change(provenance))
    save_file(load_file(path), path, metadata=header)


def note(**changes):
    return lambda told: {**told, "run": {**told["run"], **changes}}


@pytest.mark.parametrize(
    "change",
    [
        note(kind="virus"),
        note(title=3),
        note(made=float("nan")),
        note(psnrs=["high"]),
        note(figures=[1]),
        note(figures={"iou": "much"}),
        note(data={"distance": "far"}),
        note(surprise=1),
        lambda told: {**told, "run": 3},
        lambda told: {**told, "latent": 1},
        lambda told: {**told, "checkpoint": {}},
        lambda told: {**told, "settings": []},
        lambda told: {
            **told,
            "settings": {"sampler": {}},
            "run": {**told["run"], "method": ["ssdnerf", "SSDNeRF"]},
        },
        lambda told: {**told, "settings": {"steps": 10**9}},
        lambda told: {**told, "seed": "three"},
        lambda told: {k: v for k, v in told.items() if k != "seed"},
        lambda told: {
            **told,
            "run": {**told["run"], "kind": "regenerate", "method": ["ssdnerf", "SSDNeRF"]},
        },
        lambda told: [told],
    ],
)
def test_what_others_rely_on_is_checked(method, tmp_path, change):
    path = runs.save(made(method), tmp_path / "run.safetensors")
    rewritten(path, change)
    with pytest.raises(EngineError) as error:
        runs.load(path)
    one_sentence(str(error.value), tmp_path)


@pytest.mark.parametrize("what", ["cells", "box", "latent"])
def test_what_is_kept_is_checked(method, tmp_path, what):
    aabb = method.scene(method.gallery[0]).field.aabb
    region = Region.from_box(torch.tensor([[0, 0, 0], [0.2, 0.3, 0.3]]), aabb)
    if what == "cells":
        region = Region(region.cells[:32, :32, :32], aabb)
    elif what == "box":
        region = Region(region.cells, aabb * 2)
    latent = method.gallery[0, :2] if what == "latent" else method.gallery[0]
    path = runs.save(made(method, kept=Kept(latent, region)), tmp_path / "run.safetensors")
    with pytest.raises(EngineError) as error:
        runs.load(path)
    one_sentence(str(error.value), tmp_path)


@pytest.mark.parametrize("what", ["words", "half", "pickle", "weights", "half a scene", "nothing"])
def test_foreign_and_damaged_files_get_one_sentence(method, tmp_path, what):
    path = tmp_path / "run.safetensors"
    if what == "words":
        path.write_text("these are words")
    elif what == "half":
        data = runs.save(made(method), path).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif what == "pickle":
        torch.save({"a": torch.zeros(1)}, path)
    elif what == "weights":
        save_file({"a": torch.zeros(1)}, path)
    elif what == "half a scene":
        method.scene(method.gallery[0]).save(path)
        kept = {k: v for k, v in load_file(path).items() if k != "triplane"}
        save_file(kept, path, metadata={"format": "ssdnerf-explorer-scene/1", "decoder": "{}"})
    with pytest.raises(EngineError) as error:
        runs.load(path)
    one_sentence(str(error.value), tmp_path)


def one_sentence(text: str, folder) -> None:
    assert text.endswith(".")
    assert "\n" not in text
    assert str(folder) not in text, "it tells where the server keeps its files"
    assert text.startswith("run.safetensors: ")


def test_settings_of_a_viewer_are_plain(method, tmp_path):
    timeline, told = runs.load(method.scene(method.gallery[0]).save(tmp_path / "a.safetensors"))
    viewer = runs.opened(timeline, told, None, "cpu").method
    assert viewer.presets == {}
    assert viewer.mean_latent.shape == method.mean_latent.shape
