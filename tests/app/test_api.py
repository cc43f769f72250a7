"""The explorer from a program: generate, reconstruct, cancel through gradio_client."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image

from app.examples import EXAMPLES
from engine.methods.toy import ToyMethod
from engine.ops.cameras import orbit_camera
from engine.render import render_views, to_uint8
from tests.waiting import until


@pytest.fixture(scope="module")
def client(served) -> Client:
    return Client(served.url, verbose=False)


def reports(outputs: list[tuple]) -> list[dict]:
    return [
        part for output in outputs for part in output if isinstance(part, dict) and "stage" in part
    ]


def test_generate_streams_reports_to_the_end(client):
    job = client.submit(seed=3, steps=5, count=2, mode="paper", api_name="/generate")
    final = job.result(timeout=60)
    told = reports([final])
    assert told[-1]["state"] == "done"
    assert told[-1]["settings"]["settings"]["steps"] == 5
    assert told[-1]["downloads"][0].endswith("mesh.glb")


def test_reconstruct_needs_nothing_but_a_picture(client):
    final = client.predict(image_1=handle_file(EXAMPLES[0].path), api_name="/reconstruct")
    told = reports([final])
    assert told[-1]["state"] == "done"
    assert told[-1]["psnr"] > 5
    assert told[-1]["settings"]["settings"]["steps"] == ToyMethod.fit_options.steps


def test_reconstruct_without_a_picture_says_so(client):
    final = client.predict(api_name="/reconstruct")
    assert any("There is no picture yet" in str(part) for part in final)


def test_cancel_ends_a_run(client):
    job = client.submit(seed=1, steps=100, count=1, mode="paper", api_name="/generate")
    until(lambda: job.outputs() or job.done(), "the first update")
    client.predict(api_name="/cancel")
    told = reports([job.result(timeout=60)])
    assert told[-1]["state"] == "cancelled"


def test_cancelled_reconstructions_are_judged_too(client):
    job = client.submit(
        image_1=handle_file(EXAMPLES[1].path), steps=100, finetune_steps=0, api_name="/reconstruct"
    )
    until(lambda: len(job.outputs()) >= 4 or job.done(), "four updates")
    client.predict(api_name="/cancel")
    final = job.result(timeout=60)
    assert reports([final])[-1]["state"] == "cancelled"
    assert any("PSNR" in str(part) for part in final)


def test_pictures_with_poses_are_used_as_they_are(client, served, tmp_path):
    camera = orbit_camera(torch.tensor([30.0, 210.0]), 15.0, 1.3, 64)
    toy = served.explorer.priors.first.method
    images = render_views(toy.scene(toy.mean_latent).field, camera)
    arguments = {}
    poses = []
    for place in range(2):
        picture, pose = tmp_path / f"{place}.png", tmp_path / f"{place}.txt"
        Image.fromarray(to_uint8(images[place]).numpy()).save(picture)
        np.savetxt(pose, camera.srn_c2w()[place].numpy())
        arguments[f"image_{place + 1}"] = handle_file(picture)
        poses.append(handle_file(pose))
    intrinsics = tmp_path / "intrinsics.txt"
    np.savetxt(intrinsics, [[65.625, 0, 32], [0, 65.625, 32], [0, 0, 1]])
    final = client.predict(
        **arguments, poses=poses, intrinsics=handle_file(intrinsics), api_name="/reconstruct"
    )
    told = reports([final])[-1]
    assert told["state"] == "done"
    assert np.allclose(told["settings"]["cameras"], camera.srn_c2w().numpy(), atol=1e-4)
    missing = client.predict(**arguments, poses=poses[:1], api_name="/reconstruct")
    assert any("one pose file per picture" in str(part) for part in missing)


def bad_pictures(folder: Path) -> dict[str, Path]:
    """The uploads of the issue's list, by what is wrong with them."""
    folder.mkdir(exist_ok=True)
    paths = {}

    def save(what: str, picture: Image.Image, ending: str = "png", **options) -> Path:
        paths[what] = folder / f"{what}.{ending}"
        picture.save(paths[what], **options)
        return paths[what]

    paths["not an image"] = folder / "words.png"
    paths["not an image"].write_text("these are words")
    car = Image.open(EXAMPLES[0].path).convert("RGB")
    whole = save("truncated", car.resize((512, 512))).read_bytes()
    paths["truncated"].write_bytes(whole[: len(whole) // 2])
    save("1x1", Image.new("RGB", (1, 1), "red"))
    save("30000 px wide", Image.new("L", (30_000, 40), 128))
    save("all white", Image.new("RGB", (64, 64), "white"))
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    save("animated", frames[0], "gif", save_all=True, append_images=frames[1:])
    return paths


@pytest.mark.parametrize(
    "what", ["not an image", "truncated", "1x1", "30000 px wide", "all white", "animated"]
)
def test_bad_pictures_get_one_sentence(client, tmp_path, what):
    path = bad_pictures(tmp_path)[what]
    final = client.predict(image_1=handle_file(path), api_name="/reconstruct")
    (told,) = (part for part in final if 'role="alert"' in str(part))
    sentence = html.unescape(re.sub("<[^>]+>", "", told)).strip()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Error" not in sentence


@pytest.mark.parametrize("mode", ["I;16", "CMYK"])
def test_unusual_pictures_are_understood_or_explained(client, tmp_path, mode):
    car = Image.open(EXAMPLES[0].path).convert("RGB")
    path = tmp_path / ("deep.png" if mode == "I;16" else "print.jpg")
    if mode == "I;16":
        Image.fromarray(np.asarray(car.convert("L")).astype(np.uint16) * 257).save(path)
    else:
        car.convert("CMYK").save(path)
    final = client.predict(image_1=handle_file(path), steps=2, api_name="/reconstruct")
    told = reports([final])
    assert (told and told[-1]["state"] == "done") or any('role="alert"' in str(p) for p in final)


def test_a_program_can_name_the_prior(client):
    final = client.predict(seed=1, mode="paper", checkpoint="vehicles", api_name="/generate")
    (told,) = reports([final])
    assert told["state"] == "done"
    assert told["settings"]["checkpoint"] == "vehicles"


def test_settings_left_out_are_those_of_the_named_prior(client, served):
    usual = served.explorer.priors.open("vehicles").result(60).method.paper_sample_options.steps
    common = {"seed": 1, "mode": "paper", "checkpoint": "vehicles", "api_name": "/generate"}
    assert usual not in (ToyMethod.paper_sample_options.steps, 3)
    (left_out,) = reports([client.predict(**common)])
    (given,) = reports([client.predict(**common, steps=3)])
    assert left_out["settings"]["settings"]["steps"] == usual
    assert given["settings"]["settings"]["steps"] == 3
