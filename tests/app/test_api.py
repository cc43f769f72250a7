"""The explorer from a program: generate, reconstruct, cancel through gradio_client."""

from __future__ import annotations

import pytest
from gradio_client import Client, handle_file

from app.examples import EXAMPLES
from engine.methods.toy import ToyMethod


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
    while not job.outputs():
        pass
    client.predict(api_name="/cancel")
    told = reports([job.result(timeout=60)])
    assert told[-1]["state"] == "cancelled"
