"""The explorer from a program: JSON over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.examples import EXAMPLES
from engine.config import to_json
from engine.fields.scene import Scene
from engine.methods.toy import ToyMethod
from engine.ops.cameras import orbit_camera
from engine.render.frames import render_views, to_uint8
from tests.app.programs import Program, RefusedError
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program(served) -> Program:
    return Program(served.url)


def test_objects_are_drawn_and_their_run_is_followed(program):
    run = program.post("/generate", seed=3, steps=5, count=2, mode="paper")
    assert run["state"] in ("queued", "running", "done")
    run = program.finish(run)
    assert run["state"] == "done"
    assert run["share"] == 1
    assert [record["title"] for record in run["records"]] == ["Seed 3", "Seed 4"]
    assert run["records"][0]["settings"]["settings"]["steps"] == 5
    assert program.download(run["records"][0], "mesh.glb")[:4] == b"glTF"


def test_settings_left_out_are_the_checkpoints(program):
    record = program.made("/generate", seed=1)
    assert record["settings"]["settings"]["steps"] == ToyMethod().presets["generate"]["ours"].steps


def test_a_reconstruction_needs_nothing_but_a_picture(program):
    file = program.send(EXAMPLES[0].path)
    record = program.made("/reconstruct", pictures=[{"file": file}])
    assert record["psnr"] > 5
    assert record["settings"]["settings"] == to_json(ToyMethod().presets["reconstruct"]["ours"])


def test_a_mask_says_what_the_object_is(program, tmp_path):
    scenery = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    scenery[20:44, 12:52] = (200, 30, 30)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 12:52] = 255
    Image.fromarray(scenery).save(tmp_path / "scenery.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    files = [program.send(tmp_path / name) for name in ("scenery.png", "mask.png")]
    record = program.made("/reconstruct", pictures=[{"file": files[0], "mask": files[1]}])
    picture = f"/film/{program.told['session']}/{record['record']}/input/0.png"
    with urllib.request.urlopen(program.url + picture, timeout=30) as answer:
        (tmp_path / "framed.png").write_bytes(answer.read())
    framed = np.asarray(Image.open(tmp_path / "framed.png").convert("RGB")).astype(int)
    corner, middle = framed[2, 2], framed[64, 64]
    assert corner.min() == 255, "what is not masked is white"
    assert np.abs(middle - (200, 30, 30)).max() < 12


def test_posed_pictures_are_used_as_they_are(program, served, tmp_path):
    camera = orbit_camera(torch.tensor([30.0, 210.0]), 15.0, 1.3, 64)
    toy = served.explorer.priors.first.method
    images = render_views(toy.scene(toy.mean_latent).field, camera)
    intrinsics = [[65.625, 0, 32], [0, 65.625, 32], [0, 0, 1]]
    pictures = []
    for place in range(2):
        path = tmp_path / f"{place}.png"
        Image.fromarray(to_uint8(images[place]).numpy()).save(path)
        pose = camera.srn_c2w()[place].tolist()
        pictures.append({"file": program.send(path), "pose": pose, "intrinsics": intrinsics})
    record = program.made("/reconstruct", pictures=pictures)
    assert np.allclose(record["settings"]["cameras"], camera.srn_c2w().numpy(), atol=1e-4)
    turned = (camera.srn_c2w()[0] * torch.tensor([1, -1, -1, 1])).tolist()
    with pytest.raises(RefusedError, match=r"looks away.*OpenGL's axes") as refused:
        program.post("/reconstruct", pictures=[{**pictures[0], "pose": turned}])
    assert refused.value.status == 400
    half = {**pictures[0], "intrinsics": None}
    with pytest.raises(RefusedError, match="give both") as refused:
        program.post("/reconstruct", pictures=[half])
    assert refused.value.status == 400


def test_a_run_is_cancelled_within_a_step(program):
    run = program.post("/generate", seed=1, steps=100, mode="paper")
    until(lambda: program.get(f"/runs/{run['run']}")["index"] > 2, "some steps")
    program.ask("DELETE", f"{program.address}/runs/{run['run']}")
    run = program.finish(run)
    assert run["state"] == "cancelled"
    assert 2 < run["index"] < 100


def test_records_are_listed_named_pinned_and_removed(served):
    program = Program(served.url)
    number = program.made("/generate", seed=5, steps=2)["record"]
    address = f"{program.address}/records/{number}"
    told = program.ask("PATCH", address, {"title": "A red one", "pinned": True})
    assert (told["title"], told["pinned"]) == ("A red one", True)
    assert [one["title"] for one in program.get("/records")["records"]] == ["A red one"]
    program.ask("DELETE", address)
    assert program.get("/records")["records"] == []
    with pytest.raises(RefusedError) as refused:
        program.ask("GET", address)
    assert refused.value.status == 404


def test_a_saved_run_is_opened_in_another_session(program, served, tmp_path):
    made = program.made("/generate", seed=6, steps=3, mode="paper")
    file = tmp_path / "run.safetensors"
    file.write_bytes(program.download(made, "run.safetensors"))
    other = Program(served.url)
    opened = other.post("/open", file=other.send(file))
    assert opened["title"] == made["title"]
    assert opened["steps"] == made["steps"]
    for session, record in ((program, made), (other, opened)):
        (tmp_path / "scene.safetensors").write_bytes(session.download(record, "scene.safetensors"))
        record["latent"] = Scene.load(tmp_path / "scene.safetensors").field.latent
    assert torch.equal(made["latent"], opened["latent"])


def test_the_view_shows_what_a_program_asks_for(served):
    program = Program(served.url)
    run = program.finish(program.post("/generate", seed=8, steps=4, count=2))
    first, second = (record["record"] for record in run["records"])
    asked = {"record": second, "step": 1, "beside": [first]}
    told = program.ask("PUT", f"{program.address}/view", asked)["records"]
    assert [one["record"] for one in told] == [second, first]
    session = served.explorer.sessions.of_token(program.told["session"])
    panes = session.snapshot().panes
    assert [(pane.record.id, pane.index) for pane in panes] == [
        (second, 1),
        (first, run["records"][0]["steps"] - 1),
    ]
    with urllib.request.urlopen(served.url + program.told["view"], timeout=30) as page:
        assert b'id="root"' in page.read()


def test_an_ended_session_is_gone(served):
    program = Program(served.url)
    program.ask("DELETE", program.address)
    with pytest.raises(RefusedError, match="no such session") as refused:
        program.get("/records")
    assert refused.value.status == 404


WRONG = {
    "an unknown field": ("/generate", {"seeed": 1}, "seeed"),
    "a word for a number": ("/generate", {"seed": "one"}, "seed"),
    "too many": ("/generate", {"count": 1000}, "count"),
    "an infinite number": ("/regenerate", {"record": 1, "box": [1e999] * 6}, ""),
    "a number of 400 digits": ("/generate", {"seed": 10**400}, ""),
    "no picture": ("/reconstruct", {"pictures": []}, "pictures"),
    "an unknown file": ("/reconstruct", {"pictures": [{"file": "/etc/passwd"}]}, "no file"),
    "a path as a file": ("/open", {"file": "../../../etc/passwd"}, "no file"),
    "a prior by its path": ("/generate", {"prior": "/etc"}, "no such model"),
    "one corner": ("/interpolate", {"corners": [1]}, "corners"),
    "a point of no path": ("/interpolate/point", {"u": 0.5}, "no path"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_is_an_error_in_one_sentence(served, what):
    path, body, word = WRONG[what]
    program = Program(served.url)
    with pytest.raises(RefusedError) as refused:
        program.post(path, **body)
    assert refused.value.status == 400
    assert set(refused.value.said) == {"error"}
    sentence = refused.value.said["error"]
    assert word in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert program.get("/records")["records"] == []


def test_bodies_are_json_and_small(program):
    with pytest.raises(RefusedError) as refused:
        program.ask("POST", f"{program.address}/generate", data=b"seed=1")
    assert refused.value.status == 415, "a form of a foreign page is no request"
    with pytest.raises(RefusedError) as refused:
        program.post("/generate", prior="x" * 2**21)
    assert refused.value.status == 413
    for body in (b"{", b"[" * 100_000, b'{"seed": NaN}', b"\xff\xfe"):
        request = urllib.request.Request(
            f"{program.url}{program.address}/generate",
            body,
            {"Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=30)
        assert error.value.code == 400
        assert json.loads(error.value.read())["error"].endswith(".")


def test_unknown_runs_and_sessions_are_not_found(program):
    for address in (f"{program.address}/runs/999999", "/api/sessions/made-up/records"):
        with pytest.raises(RefusedError) as refused:
            program.ask("GET", address)
        assert refused.value.status == 404


def test_a_file_that_is_no_picture_is_said_so_by_its_name(program, tmp_path):
    path = tmp_path / "words.png"
    path.write_text("these are words")
    file = program.send(path)
    with pytest.raises(RefusedError, match=file) as refused:
        program.post("/reconstruct", pictures=[{"file": file}])
    assert refused.value.status == 400
    assert "/tmp" not in str(refused.value)


def test_the_description_names_every_route_and_type(served):
    with urllib.request.urlopen(f"{served.url}/api/openapi.json", timeout=30) as answer:
        told = json.load(answer)
    assert told["openapi"].startswith("3.1")
    assert told["paths"]["/api/sessions/{session}/generate"]["post"]["requestBody"]
    known = set(told["components"]["schemas"])
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(told)))
    assert used <= known
    seed = told["components"]["schemas"]["Generating"]["properties"]["seed"]
    assert (seed["minimum"], seed["maximum"]) == (0, 2**31 - 1)


def test_the_readmes_example_works(served, tmp_path):
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://127.0.0.1:7860", served.url))
    (tmp_path / "car.png").write_bytes(EXAMPLES[0].path.read_bytes())
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "car.glb").read_bytes()[:4] == b"glTF"
    assert "dB" in done.stdout


# -- with the prior of vehicles, which interpolates, branches and regenerates -----------------------


@pytest.fixture(scope="module")
def vehicles(served) -> Program:
    return Program(served.url, prior="vehicles")


def planes(vehicles: Program, record: dict, tmp_path: Path) -> np.ndarray:
    file = tmp_path / f"{record['record']}.safetensors"
    file.write_bytes(vehicles.download(record, "scene.safetensors"))
    return Scene.load(file).field.latent.numpy()


def test_the_prior_is_named(vehicles):
    assert vehicles.told["prior"] == "vehicles"
    assert {"vehicles", "chairs", "tables"} <= set(vehicles.told["priors"])


def test_a_branch_without_a_change_ends_like_its_trunk(vehicles, tmp_path):
    trunk = vehicles.made("/generate", seed=2, steps=4, mode="paper")
    same = vehicles.made("/branch", record=trunk["record"], step=1)
    first, second = (planes(vehicles, one, tmp_path) for one in (trunk, same))
    assert np.array_equal(first, second)
    other = vehicles.made("/branch", record=trunk["record"], step=1, settings={"sampler": "heun"})
    assert other["settings"]["settings"]["sampler"] == "heun"
    assert other["settings"]["trunk"]["after"] == "denoise 2"
    with pytest.raises(RefusedError, match="step 99") as refused:
        vehicles.post("/branch", record=trunk["record"], step=99)
    assert refused.value.status == 400


def test_a_path_ends_at_its_corners(vehicles, tmp_path):
    corners = [vehicles.made("/generate", seed=seed, mode="paper") for seed in (1, 5)]
    numbers = [corner["record"] for corner in corners]
    run = vehicles.finish(vehicles.post("/interpolate", corners=numbers, mode="paper"))
    assert run["state"] == "done"
    told = vehicles.post("/interpolate/point", u=0.0)
    assert [corner["title"] for corner in told["corners"]] == ["Seed 1", "Seed 5"]
    assert all(corner["back"] > 60 for corner in told["corners"]), "exact in the paper's mode"
    there = planes(vehicles, told["record"], tmp_path)
    assert np.abs(there - planes(vehicles, corners[0], tmp_path)).max() < 1e-2


def test_a_kept_box_is_regenerated_around(vehicles):
    made = vehicles.made("/generate", seed=3, steps=10, mode="paper")
    box = [-0.5, 0.0, -0.5, 0.5, 0.5, 0.5]
    (proposal,) = vehicles.finish(
        vehicles.post("/regenerate", record=made["record"], box=box, count=1, seed=1)
    )["records"]
    assert proposal["kind"] == "regenerate"
    assert proposal["figures"]["kept"] >= 30
    nowhere = {"record": made["record"], "box": [2, 2, 2, 3, 3, 3]}
    run = vehicles.finish(vehicles.post("/regenerate", **nowhere))
    assert run["state"] == "failed"
    assert run["error"].endswith(".")
    assert run["records"] == []
