"""Structured files that somebody has changed: they are used as they are or refused in one sentence, whatever they say."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from app.session import runs
from engine.config import from_json
from engine.errors import CheckpointError, ConfigError, EngineError, SceneError, TimelineError
from engine.fields.scene import Scene
from engine.methods import METHODS
from engine.methods.ssdnerf.method import SSDNeRF
from engine.methods.ssdnerf.model import SSDNeRFConfig
from engine.methods.ssdnerf.options import SampleOptions
from engine.reading import open_tensors, parse_json, read_json
from engine.store.checkpoint import open_checkpoint, read_metrics
from engine.store.official import load_official
from engine.store.pickles import load_pickle
from engine.store.timeline import Timeline
from tests.bench.hostile import files, mutations
from tests.fixtures.saved.make import FOLDER, tiny_method

HANG = timedelta(seconds=20)
"""Far beyond what any of these takes, also on a busy machine."""
FUZZED = settings(
    max_examples=30,
    deadline=HANG,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def fewer_operations():
    """Tests check the types of every call, so that counting to the true bound takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.store.pickles.MOST_OPERATIONS", 30_000)
        yield


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return files.originals(tmp_path_factory.mktemp("valid"))


# ------------------------------------------------------------------------------ by the hundred


@pytest.mark.parametrize("kind", files.KINDS)
def test_what_is_valid_is_used(valid, kind):
    names = {"official": "official.pth", "official scene": "scene.pth", "state": "state.pt"}
    path = valid / names.get(kind, f"{kind}.safetensors")
    assert files.answer(kind, path if path.exists() else valid / "checkpoint") == ""


@pytest.mark.parametrize("kind", files.KINDS)
def test_a_changed_file_is_used_or_refused_in_one_sentence(valid, tmp_path_factory, kind):
    """`answer` raises for whatever is neither."""
    seen = set()

    @FUZZED
    @given(st.randoms(use_true_random=False))
    def attack(random: Random) -> None:
        folder = tmp_path_factory.mktemp("changed")
        try:
            seen.add(bool(files.answer(kind, files.made(kind, valid, folder, random))))
        finally:
            shutil.rmtree(folder)

    attack()
    assert True in seen, "nothing that was tried was refused"


@pytest.mark.slow
def test_the_attack_counts_nothing_bad():
    outcomes = list(files.attack(48, seed=7))
    assert len(outcomes) == 48
    assert [outcome for outcome in outcomes if outcome.bad] == []
    assert all(outcome.peak_mb > 0 for outcome in outcomes)


# ------------------------------------------------------------- files of before still open


def test_a_scene_of_before_opens_with_all_its_numbers():
    scene = Scene.load(FOLDER / "scene.safetensors")
    numbers = load_file(FOLDER / "scene.safetensors")
    assert torch.equal(scene.field.latent, numbers["triplane"])
    for name, value in scene.field.decoder.state_dict().items():
        assert torch.equal(value, numbers[f"decoder.{name}"])
    assert scene.provenance == {"method": "ssdnerf", "checkpoint": "tiny", "seed": 3}


def test_a_run_of_before_opens_with_all_its_steps():
    timeline, note = runs.load(FOLDER / "run.safetensors")
    numbers = load_file(FOLDER / "run.safetensors")
    assert [(step.stage, step.index) for step in timeline.steps] == [
        ("guide", 1),
        ("langevin", 1),
        ("guide", 2),
        ("renoise", 1),
        ("finetune", 1),
        ("result", 1),
    ]
    assert torch.equal(timeline.steps[0].noisy_latent.flatten(), numbers["steps.00000.x_t"])
    assert timeline.steps[1].state["correction"] == 1
    assert timeline.steps[4].state["steps"].tolist() == [4]
    assert torch.equal(timeline.views.images.flatten(), numbers["views.images"])
    assert (note.title, note.psnrs, note.made) == ("Von einem Foto", (12.5,), 1.7e9)


# ----------------------------------------------------------------- what was found by trying


def edited(path, target, change):
    """A safetensors file with other texts."""
    header, body = mutations.parted(path.read_bytes())
    change(header["__metadata__"])
    target.write_bytes(mutations.joined(json.dumps(header), body))
    return target


def test_a_run_that_claims_a_billion_timesteps_is_refused(tmp_path):
    def change(texts):
        provenance = json.loads(texts["provenance"])
        provenance["run"]["schedule"]["timesteps"] = 10**9
        texts["provenance"] = json.dumps(provenance)

    path = edited(FOLDER / "run.safetensors", tmp_path / "run.safetensors", change)
    with pytest.raises(TimelineError, match=r"timesteps: found 1000000000, expected 1 to 10000"):
        runs.load(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("base_widths", [20_000], r"base_widths\[0\]: found 20000, expected 1 to 256"),
        ("base_widths", [256] * 9, "base_widths: found 9 values"),
        ("base_widths", [16], "of shape"),
        ("aabb", [[1, 1, 1], [-1, -1, -1]], "expected a lower and an upper corner"),
        ("aabb", [[0, 0, 0], [1e308, 1, 1]], "expected -100.0 to 100.0"),
        ("scene_base", [20_000, 20_000], "expected 2 to 256"),
        ("channels", 0, "channels: found 0"),
        ("channels", True, "channels: found True"),
        ("saturation", 10**30, "a number of 31 digits"),
        ("density_widths", [], "density_widths: found 0 values"),
    ],
)
def test_a_scene_whose_decoder_cannot_be_is_refused(tmp_path, name, value, words):
    def change(texts):
        texts["decoder"] = json.dumps({**json.loads(texts["decoder"]), name: value})

    path = edited(FOLDER / "scene.safetensors", tmp_path / "scene.safetensors", change)
    with pytest.raises(SceneError, match=words):
        Scene.load(path)


def test_a_scene_of_large_planes_is_refused(tmp_path):
    header, _ = mutations.parted((FOLDER / "scene.safetensors").read_bytes())
    planes = {"dtype": "F32", "shape": [3, 2, 900, 900], "data_offsets": [0, 19_440_000]}
    small = {"__metadata__": header["__metadata__"], "triplane": planes}
    path = tmp_path / "scene.safetensors"
    path.write_bytes(mutations.joined(json.dumps(small), bytes(19_440_000)))
    with pytest.raises(SceneError, match=r"planes\[0\]: found 900, expected 2 to 256"):
        Scene.load(path)


def test_a_step_whose_state_is_another_is_refused(tmp_path):
    def change(texts):
        steps = json.loads(texts["steps"])
        del steps[3]["tensors"]["state.t"]
        steps[3]["numbers"]["t"] = 3
        texts["steps"] = json.dumps(steps)

    path = edited(FOLDER / "run.safetensors", tmp_path / "run.safetensors", change)
    with pytest.raises(TimelineError, match="one noise level for a step"):
        Timeline.load(path)


@pytest.mark.parametrize("name", ["a\x1b[2J\x1b]0;x\x07.safetensors", "a\u202e.safetensors"])
def test_no_terminal_obeys_the_name_of_a_file(tmp_path, name):
    (tmp_path / name).write_text("words")
    for read in (Scene.load, runs.load, open_checkpoint):
        with pytest.raises(EngineError) as error:
            read(tmp_path / name)
        assert str(error.value).isprintable()


# ------------------------------------------------------------------------------------ pickles


@pytest.mark.parametrize("bomb", mutations.BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_does_not_go_off(tmp_path, bomb):
    path = tmp_path / "model.pth"
    path.write_bytes(bomb())
    with pytest.raises(CheckpointError, match=r"^[^\n]*model\.pth: [^\n]*\.$") as error:
        open_checkpoint(path)
    assert "weights_only" not in str(error.value)


def test_code_is_named_and_never_advised(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"state_dict": {}, "meta": Random(1)}, path)
    with pytest.raises(CheckpointError, match=r"it holds random\.Random, which is code"):
        load_pickle(path, CheckpointError)


def test_a_tensor_that_repeats_one_number_is_refused(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1).expand(10**12)}}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="repeats its numbers"):
        load_pickle(tmp_path / "model.pth", CheckpointError)


@pytest.mark.parametrize("new", [True, False])
def test_both_formats_of_torch_are_read(tmp_path, new):
    content = {"state_dict": {"a": torch.arange(5.0)}, "meta": {"iter": 3, "name": "x"}}
    torch.save(content, tmp_path / "model.pth", _use_new_zipfile_serialization=new)
    read = load_pickle(tmp_path / "model.pth", CheckpointError)
    assert torch.equal(read["state_dict"]["a"], torch.arange(5.0))
    assert read["meta"] == {"iter": 3, "name": "x"}


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:\x1b[31m\nsize 12345\n"


def test_a_git_lfs_pointer_and_a_folder_are_named(tmp_path):
    (tmp_path / "lfs.pth").write_bytes(POINTER)
    (tmp_path / "dir.pth").mkdir()
    with pytest.raises(CheckpointError, match=r"lfs\.pth: found a Git LFS pointer .* git lfs pull"):
        open_checkpoint(tmp_path / "lfs.pth")
    with pytest.raises(CheckpointError, match=r"dir\.pth: found a folder, expected a \.pth"):
        open_checkpoint(tmp_path / "dir.pth")
    (tmp_path / "scene.safetensors").write_bytes(POINTER)
    with pytest.raises(SceneError, match="Git LFS pointer"):
        Scene.load(tmp_path / "scene.safetensors")


# -------------------------------------------------------------------------- checkpoints, states


def test_weights_are_not_built_for_a_config_that_asks_for_others(valid, tmp_path, monkeypatch):
    """A config of two gigabytes of weights beside a small file: nothing of the kind is allocated."""
    folder = shutil.copytree(valid / "checkpoint", tmp_path / "large")
    config = json.loads((folder / "config.json").read_text())
    config["model"]["unet"] |= {"base": 512, "multipliers": [1, 16]}
    (folder / "config.json").write_text(json.dumps(config))
    built = []

    def build(config):
        built.append(SSDNeRF(config))
        return built[-1]

    monkeypatch.setitem(METHODS, "ssdnerf", (build, SSDNeRFConfig))
    with pytest.raises(CheckpointError, match=r"large: the checkpoint is damaged \(found unet"):
        open_checkpoint(folder)
    assert [network.unet.out.weight.device.type for network in built] == ["meta"]
    assert sum(weight.nbytes for weight in built[0].parameters()) > 2 * 10**9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["model"].update(rows=10**400), "a number of 401 digits"),
        (lambda c: c["model"]["unet"].update(heads=3), "Found 3 heads"),
        (lambda c: c["model"]["schedule"].update(beta_end=0.9), "leave nothing of an object"),
        (lambda c: c.update(method=[1]), r"found format .* and method \[1\]"),
        (
            lambda c: c["settings"].update(mode="x"),
            "config.settings.mode: found 'x', expected an object",
        ),
        (lambda c: c["data"].update(distance=-1), "data.distance: found -1.0"),
    ],
)
def test_a_config_out_of_bounds_is_refused(valid, tmp_path, change, words):
    folder = shutil.copytree(valid / "checkpoint", tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(folder)


def test_a_state_of_other_latents_is_not_spread_over_all(valid, tmp_path):
    """One latent for two scenes would be copied into both without a word."""
    content = torch.load(valid / "state.pt", weights_only=True)
    content["bank"] = {name: value[:1] for name, value in content["bank"].items()}
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(
        CheckpointError, match=r"does not fit this recipe \(bank: found raw of shape"
    ):
        files.train_state().load(tmp_path / "state.pt")


def test_an_optimisers_state_of_another_shape_is_refused_when_it_is_read(valid, tmp_path):
    content = torch.load(valid / "state.pt", weights_only=True)
    content["optimizers"]["unet"]["state"][0]["exp_avg"] = torch.zeros(3)
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=r"unet 0: found exp_avg of shape \(3,\)"):
        files.train_state().load(tmp_path / "state.pt")


OTHER_NUMBERS = {
    "complex": lambda old: old.to(torch.complex64),
    "whole": lambda old: old.long(),
}
"""What torch turns into real numbers without a word."""


@pytest.mark.parametrize("kind", OTHER_NUMBERS)
def test_a_state_of_other_numbers_is_not_made_real(valid, tmp_path, kind):
    content = torch.load(valid / "state.pt", weights_only=True)
    name = next(name for name in content["method"] if name.endswith("weight"))
    content["method"][name] = OTHER_NUMBERS[kind](content["method"][name])
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(
        CheckpointError, match=r"method: .* holds torch\..*, expected torch.float32"
    ):
        files.train_state().load(tmp_path / "state.pt")


@pytest.mark.parametrize("kind", OTHER_NUMBERS)
def test_official_weights_of_other_numbers_are_not_made_real(valid, tmp_path, kind):
    content = torch.load(valid / "official.pth", weights_only=True)
    state = content.get("state_dict", content)
    name = next(name for name in state if name.endswith("weight"))
    state[name] = OTHER_NUMBERS[kind](state[name])
    torch.save(content, tmp_path / "official.pth")
    with pytest.raises(CheckpointError, match=r"finite weights|holds whole numbers"):
        load_official(tmp_path / "official.pth")


# --------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("1e999", "1e999 is too large"),
        ("1" + 400 * "0", "a number of 401 digits"),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        (40 * "[" + 40 * "]", "more than 32 levels"),
        (100_000 * "[", "too many levels"),
        ('"\\ud800', "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
    ],
)
def test_json_that_says_too_much_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_json(text, from_any(), "it")


def from_any():
    from typing import Any

    return Any


def test_json_files_are_bounded(tmp_path):
    (tmp_path / "a.json").write_text("{" + 2000 * " " + "}")
    assert read_json(tmp_path / "a.json", dict[str, int], SceneError, "a thing") == {}
    with pytest.raises(SceneError, match=r"expected a thing of at most 0\.0 MB"):
        read_json(tmp_path / "a.json", dict[str, int], SceneError, "a thing", most_bytes=1000)
    os.mkfifo(tmp_path / "b.json")
    with pytest.raises(SceneError, match="not an ordinary file"):
        read_json(tmp_path / "b.json", dict[str, int], SceneError, "a thing")


def test_options_are_bounded_alike_in_files_and_in_calls():
    with pytest.raises(ConfigError, match="Found steps 0, expected 1 to 1000"):
        SampleOptions(steps=0)
    with pytest.raises(ConfigError, match=r"settings\.steps: found 0, expected 1 to 1000"):
        from_json(SampleOptions, {"steps": 0}, "settings")
    with pytest.raises(ConfigError, match=r"settings\.eta: found nan, expected a finite number"):
        from_json(SampleOptions, {"eta": float("nan")}, "settings")


def test_metrics_of_another_shape_are_named(valid, tmp_path):
    folder = shutil.copytree(valid / "checkpoint", tmp_path / "copy")
    (folder / "metrics.json").write_text('{"samples": 1e400}')
    with pytest.raises(CheckpointError, match=r"metrics\.json: .*1e400 is too large"):
        read_metrics(folder)


def test_a_header_is_not_read_beyond_its_bound(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes((50 * 2**20).to_bytes(8, "little") + bytes(100))
    with (
        pytest.raises(SceneError, match="its header is too large"),
        open_tensors(path, SceneError, "a thing", 10**9),
    ):
        pass


def test_the_tiny_method_of_the_fixtures_is_sound(tmp_path):
    """What the fixtures were made with still goes through every check."""
    from engine.store.checkpoint import save_checkpoint

    folder = save_checkpoint(tmp_path / "tiny", tiny_method(), provenance={})
    assert open_checkpoint(folder).config == tiny_method().config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"title": "\ud800"}', {"title": "?"}),
        (r'{"\udfff": 1}', {"?": 1}),
        (r'[["a\ude00\ud83d"]]', [["a??"]]),
        (b'["\xed\xa0\x80"]', ["?"]),
    ],
)
def test_halves_of_characters_become_question_marks(text, value):
    assert parse_json(text, Any, "provenance") == value


def test_whole_characters_of_two_halves_are_taken():
    assert parse_json(r'["\ud83d\ude00"]', Any, "provenance") == ["\N{GRINNING FACE}"]
