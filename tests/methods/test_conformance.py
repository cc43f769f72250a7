"""Every method of METHODS does what it declares, and refuses the rest in one sentence: nothing here knows any of them."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

import launch
from app.session import runs, tasks
from app.session.jobs import JobRunner
from app.session.priors import Prior
from app.session.session import Session
from app.settings import AppSettings
from app.tabs.inspect.branching import Change, branch
from app.tabs.inspect.inspector import report
from engine.config import check_bounds, from_json, to_json
from engine.data.base import PackedDataset
from engine.data.pack import pack_scenes
from engine.data.procedural.categories import VEHICLES
from engine.data.procedural.shape import scene_seed
from engine.errors import ConfigError, RegionError, UnsupportedTaskError
from engine.events import STAGES, finish
from engine.explore.fitting import scene_latent
from engine.fields.base import StoredField
from engine.fields.kinds import FIELDS
from engine.fields.scene import Scene
from engine.methods import METHODS
from engine.methods.base import (
    Completing,
    Invertible,
    Method,
    can,
    check_task,
    fit_options_for,
    options_of,
)
from engine.methods.options import branch_controls, controls_of, settings_of, with_settings
from engine.methods.training import Trainable
from engine.noise import Noise
from engine.ops.cameras import orbit_camera
from engine.output.export import export_scene
from engine.render.frames import bake, render
from engine.render.region import Region
from engine.store.checkpoint import open_checkpoint, save_checkpoint
from engine.training.keeping import load_state
from engine.training.loop import train
from engine.training.recipe import Recipe
from engine.training.state import TrainState
from engine.types import Views
from tests.app.test_jobs import wait_for_end
from train.recipes import RECIPES

ITERATIONS = 4
SIZE, SCENES, VIEWS = 24, 4, 3


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> PackedDataset:
    seeds = [scene_seed("train", k) for k in range(SCENES)]
    folder = tmp_path_factory.mktemp("conformance") / "data"
    return finish(pack_scenes(folder, VEHICLES, seeds, VIEWS, SIZE))


def smoke(name: str) -> Recipe:
    """The method's smallest recipe, as short as it gets."""
    kind = METHODS[name][1]
    own = [recipe for recipe in RECIPES.values() if isinstance(recipe.model, kind)]
    recipe = min(own, key=lambda recipe: recipe.loop.iterations)
    return recipe.changed(
        iterations=ITERATIONS, batch=2, warmup=1, log_every=1, preview_every=0, save_every_s=0.0
    )


@dataclasses.dataclass(frozen=True)
class Trained:
    """A method after a few iterations, opened from its checkpoint, and the run's folder."""

    method: Method
    recipe: Recipe
    run: object
    killed: object


@pytest.fixture(scope="session", params=sorted(METHODS))
def trained(request, data, tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = smoke(request.param)
    state = TrainState.fresh(recipe, len(data))
    steps = train(state, data, folder / "run")
    method = None
    while method is None:
        try:
            if next(steps).index == ITERATIONS - 1:  # the state before this one is on the disk
                shutil.copytree(folder / "run", folder / "killed")
        except StopIteration as end:
            method = end.value
    shorten(method)
    save_checkpoint(folder / "small", method, provenance={"recipe": to_json(recipe)})
    opened = open_checkpoint(folder / "small")
    return Trained(opened, recipe, state, folder / "killed")


def shorten(method: Method) -> None:
    """As few steps as a preset can have and still be gone on with from its middle."""
    for presets in method.presets.values():
        for preset, options in presets.items():
            presets[preset] = few(options)


def few(options):
    """At most four steps of everything that its stages count."""
    changes = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in ("rays", "cameras", "size") and isinstance(value, int):
            changes[field.name] = min(value, {"rays": 64, "cameras": 4, "size": 32}[field.name])
        elif isinstance(value, int) and value > 4:
            counts = hasattr(options, "stages") and _plan(options, field.name) != options.stages()
            if counts or field.name.endswith("steps"):
                changes[field.name] = 4
        elif dataclasses.is_dataclass(value):
            changes[field.name] = few(value)
    return dataclasses.replace(options, **changes)


def _plan(options, name):
    """The stages of options one of whose settings is 4."""
    return dataclasses.replace(options, **{name: 4}).stages()


@pytest.fixture(scope="session")
def method(trained) -> Method:
    return trained.method


@pytest.fixture(scope="session")
def views(data) -> Views:
    images = torch.from_numpy(data.raw(0)[:2].copy()).float() / 255
    return Views(images, data.cameras(0)[:2])


def steps_of(run):
    steps = []
    return finish(run, steps.append), steps


def made_of(method: Method, task: str, views: Views, options, after=None):
    """A run of a task."""
    if task == "generate":
        return method.generate(1, options, Noise(5), after=after)
    if task == "reconstruct":
        return method.reconstruct(views, options, Noise(5), after=after)
    latent = method.gallery[0]
    box = method.scene(latent).field.aabb.clone()
    box[1, 1] = 0.0
    return method.complete(
        latent,
        Region.from_box(box, method.scene(latent).field.aabb),
        options,
        Noise(5),
        after=after,
    )


# ---------------------------------------------------------------------------- what it declares


def test_it_is_what_the_contract_asks_for(method):
    assert isinstance(method, Method)
    assert isinstance(method, Trainable)
    assert isinstance(method, Invertible) == ("noise" in method.info.capabilities.interpolate)
    assert isinstance(method, Completing) == method.info.capabilities.complete
    assert method.info.name in METHODS
    assert method.checkpoint == "small"
    assert method.mean_latent.shape == method.info.latent_shape
    assert method.directions.shape[1:] == method.gallery.shape[1:] == method.info.latent_shape
    assert set(method.presets) == {
        task for task in ("generate", "reconstruct", "complete") if can(method, task)
    }
    assert set(method.OPTIONS) == set(method.presets)


def test_every_shown_setting_has_a_name_a_sentence_and_bounds_that_files_are_held_to(method):
    for task, presets in method.presets.items():
        kind = type(next(iter(presets.values())))
        assert method.OPTIONS[task] is kind
        assert next(iter(presets)) == "ours"
        for name, control in controls_of(kind).items():
            assert control.label
            assert control.info.endswith(".")
            if control.choices:
                continue
            bounds = control.bounds
            assert bounds.low <= control.low < control.high <= bounds.high, name
            for beyond in (bounds.low - 1, bounds.high * 2 + 1):
                with pytest.raises(ConfigError, match=f"{name}: found .*, expected"):
                    with_settings(presets["ours"], {name: beyond})
        for options in presets.values():
            check_bounds(options)
            assert from_json(kind, json.loads(json.dumps(to_json(options))), "x") == options
            assert {stage for stage, _ in options.stages()} <= set(STAGES)
            assert sum(n for _, n in options.least().stages()) <= sum(
                n for _, n in options.stages()
            )


def test_what_it_cannot_do_is_refused_in_one_sentence(method, views):
    refused = 0
    for task in ("generate", "reconstruct", "complete"):
        if not can(method, task):
            refused += 1
            with pytest.raises(UnsupportedTaskError) as error:
                options_of(method, task)
            assert str(error.value).endswith(".")
            assert "\n" not in str(error.value)
    if can(method, "reconstruct"):
        with pytest.raises(UnsupportedTaskError, match="expected at most"):
            check_task(method, "reconstruct", method.info.capabilities.max_views + 1)
        with pytest.raises(ConfigError, match="0 views"):
            fit_options_for(method, "ours", 0)
    assert refused + len(method.presets) == 3


# ---------------------------------------------------------------------------- what it makes


@pytest.mark.parametrize("task", ["generate", "reconstruct", "complete"])
def test_a_run_keeps_its_promises_and_goes_on_from_any_step_bit_for_bit(method, views, task):
    if not can(method, task):
        pytest.skip("not declared")
    options = options_of(method, task)
    try:
        result, steps = steps_of(made_of(method, task, views, options))
    except RegionError:  # nothing to keep of an object that hardly trained networks draw
        assert task == "complete"
        return
    assert result.shape == (1, *method.info.latent_shape)
    counts = [(step.stage, step.index, step.total) for step in steps]
    planned = [(stage, k + 1, n) for stage, n in options.stages() for k in range(n)]
    assert sorted(counts) == sorted(planned)
    assert all(step.latent.shape == result.shape for step in steps)
    assert all(
        step.noisy_latent is None or step.noisy_latent.shape == result.shape for step in steps
    )
    assert all((step.t is None or step.t < 0) == (step.log_snr is None) for step in steps)
    again, _ = steps_of(made_of(method, task, views, options))
    assert torch.equal(again, result)
    for place in (0, len(steps) // 2, len(steps) - 1):
        rest, _ = steps_of(made_of(method, task, views, options, after=steps[place]))
        assert torch.equal(rest, result), (steps[place].stage, steps[place].index)


def test_its_scenes_are_drawn_saved_opened_and_exported(method, tmp_path):
    scene = method.scene(method.gallery[0], seed=3)
    assert isinstance(scene.field, StoredField)
    assert FIELDS[scene.field.kind] is type(scene.field)
    picture = render(bake(scene.field), orbit_camera(40.0, 20.0, 1.3, 24))
    opened = Scene.load(scene.save(tmp_path / "scene.safetensors"))
    assert opened.provenance == scene.provenance
    again = render(bake(opened.field), orbit_camera(40.0, 20.0, 1.3, 24))
    assert torch.equal(again.rgb, picture.rgb)
    assert torch.equal(scene_latent(method, opened, "x"), method.gallery[0])
    assert finish(export_scene(scene, tmp_path / "out.png")).stat().st_size > 100


# ----------------------------------------------------------------------- page, files, command


@pytest.fixture
def session(method):
    session = Session(Prior("small", method), AppSettings())
    yield session
    session.close()


@pytest.fixture
def runner():
    runner = JobRunner(max_queue=2)
    yield runner
    runner.close()


def test_a_session_makes_keeps_opens_and_branches_its_objects(session, runner, views, tmp_path):
    method = session.method
    if can(method, "reconstruct"):
        options = options_of(method, "reconstruct")
        job = tasks.reconstruct(session, runner, views, 4, {}, "ours")
        assert wait_for_end(job).error is None
        record = session.history[0]
        assert record.psnr is not None
    else:
        options = options_of(method, "generate")
        job = tasks.generate(session, runner, 4, 1, {}, "ours")
        assert wait_for_end(job).error is None
        record = session.history[0]
    changeable = {one["name"]: one["value"] for one in report(session, record)["settings"]}
    options = from_json(type(options), record.provenance["settings"], "settings")
    assert changeable.keys() == branch_controls(type(options)).keys()
    assert changeable.items() <= settings_of(options).items()
    timeline, note = runs.load(runs.save(record, tmp_path / "run.safetensors"))
    assert [(s.stage, s.index) for s in timeline.steps] == [
        (s.stage, s.index) for s in record.frames
    ]
    opened = runs.opened(timeline, note, _ready(session.prior), "cpu")
    assert opened.method is method
    for trunk in (record, opened):
        session.add(trunk)
        made, job = branch(session, runner, trunk, 1, Change())
        assert wait_for_end(job).error is None
        assert torch.equal(made.latent(-1), record.latent(-1))
    alone = runs.opened(timeline, note, None, "cpu")
    shown = render(
        bake(alone.method.scene(alone.latent(-1)).field), orbit_camera(0.0, 0.0, 1.3, 16)
    )
    assert torch.isfinite(shown.rgb).all()


def _ready(prior):
    from concurrent.futures import Future

    future = Future()
    future.set_result(prior)
    return future


def test_the_command_line_generates_with_it(method, trained, tmp_path, monkeypatch, capsys):
    folder = trained.killed.parent / "small"
    monkeypatch.setattr("engine.output.export.export_result", only_the_scene)
    told = []
    if can(method, "generate"):
        options = options_of(method, "generate")
        controls = controls_of(type(options))
        name = next(name for name, control in controls.items() if not control.choices)
        told, options = ["--set", f"{name}=2"], with_settings(options, {name: 2})
    line = ["generate", "--checkpoint", str(folder), "--out", str(tmp_path), "--seed", "2", *told]
    assert launch.main(line) == (0 if told else 2), capsys.readouterr().err
    if told:
        latent = finish(method.generate(1, options, Noise(2)))[0]
        assert torch.equal(Scene.load(tmp_path / "scene.safetensors").field.latent, latent)


def test_the_command_line_films_a_way_between_its_objects_in_the_spaces_it_has(
    method, trained, tmp_path, capsys
):
    film, told = tmp_path / "way.gif", method.info.capabilities
    ends = ["--from", "1", "--to", "2", "--frames", "2", "--size", "16", "--fps", "10"]
    line = ["interpolate", *ends, "--out", str(film), "--checkpoint"]
    line.append(str(trained.killed.parent / "small"))
    for space in ("noise", "code"):
        able = {"noise": "noise", "code": "latent"}[space] in told.interpolate
        code = launch.main([*line, "--space", space])
        assert code == (0 if able and told.generate else 2), capsys.readouterr().err
    assert launch.main(line) == (0 if told.generate and told.interpolate else 2)
    assert film.is_file() == bool(told.generate and told.interpolate)
    assert capsys.readouterr().err.endswith((").\n", ")\n", ".\n"))


def test_the_command_line_lists_its_settings_by_task(method, trained, capsys):
    assert launch.main(["settings", str(trained.killed.parent / "small")]) == 0
    _, *parts = capsys.readouterr().out.split("\n\n")
    assert len(parts) == len(method.presets)
    for part, presets in zip(parts, method.presets.values(), strict=True):
        title, *lines = part.splitlines()
        assert title.split("  ", 1)[1].split()[: len(presets)] == list(presets)
        named = {line.split()[0]: line for line in lines if line[2:3].strip()}
        controls = controls_of(type(presets["ours"]))
        assert list(named) == list(controls)
        for name, control in controls.items():
            for value in (*control.choices, settings_of(presets["ours"])[name]):
                assert (f"{value:g}" if isinstance(value, float) else str(value)) in named[name]


def only_the_scene(scene, folder, views=None):
    yield from ()
    scene.save(folder / "scene.safetensors")
    return folder


# ---------------------------------------------------------------------------------- training


def test_a_killed_training_goes_on_to_the_bit(trained, data):
    state = TrainState.fresh(trained.recipe, len(data))
    assert load_state(state, trained.killed) == []
    assert 0 < state.step < ITERATIONS
    finish(train(state, data, trained.killed))
    for part, tensors in trained.run.state_dicts().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, state.state_dicts()[part][name]), (part, name)


def test_a_setting_changed_by_its_name_changes_nothing_else(method):
    for presets in method.presets.values():
        options = presets["ours"]
        before = leaves(to_json(options))
        for name, control in controls_of(type(options)).items():
            value = next(
                v
                for v in (*control.choices, control.low, control.high)
                if v != settings_of(options)[name]
            )
            after = leaves(to_json(with_settings(options, {name: value})))
            (changed,) = {path for path in before if before[path] != after[path]}
            assert changed[-1] == name
            assert after[changed] == value


def leaves(tree, path=()):
    """Values of nested tables by their path."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {p: v for name, item in tree.items() for p, v in leaves(item, (*path, name)).items()}


def test_settings_of_another_type_or_beyond_their_bounds_are_refused(method):
    for presets in method.presets.values():
        options = presets["ours"]
        for name, control in controls_of(type(options)).items():
            value = settings_of(options)[name]
            if isinstance(value, int):
                assert with_settings(options, {name: float(value)}) == options, "4.0 is 4"
            for wrong in ({}, "no such value", None, control.high * 1e15 + 0.5):
                with pytest.raises(ConfigError):
                    with_settings(options, {name: wrong})
