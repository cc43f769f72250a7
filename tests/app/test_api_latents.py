"""Branch, interpolate and regenerate from a program, with the prior of vehicles."""

from __future__ import annotations

import numpy as np
import pytest
from gradio_client import Client

from engine.scene import Scene
from tests.app.test_api import reports
from tests.app.test_routes import get


@pytest.fixture
def client(served) -> Client:
    return Client(served.url, verbose=False)


def scene_of(served, told: dict, tmp_path) -> np.ndarray:
    """The planes of what a report is about."""
    (path,) = (name for name in told["downloads"] if name.endswith("scene.safetensors"))
    file = tmp_path / f"{told['record']}.safetensors"
    file.write_bytes(get(f"{served.url}/{path}"))
    return Scene.load(file).field.triplane.numpy()


def test_a_branch_without_a_change_ends_like_its_trunk(client, served, tmp_path):
    common = {"seed": 2, "steps": 4, "mode": "paper", "checkpoint": "vehicles"}
    (trunk,) = reports([client.predict(**common, api_name="/generate")])
    (same,) = reports([client.predict(record=trunk["record"], step=1, api_name="/branch")])
    assert same["state"] == "done"
    first, second = (scene_of(served, told, tmp_path) for told in (trunk, same))
    assert np.array_equal(first, second)
    (other,) = reports(
        [client.predict(record=trunk["record"], step=1, sampler="ddim", api_name="/branch")]
    )
    assert other["settings"]["settings"]["sampler"] == "ddim"
    assert other["settings"]["trunk"]["after"] == "denoise 2"
    wrong = client.predict(record=trunk["record"], step=99, api_name="/branch")
    assert any('role="alert"' in str(part) for part in wrong)


def test_a_path_between_seeds_reports_on_its_corners(client):
    final = client.predict(
        corners=[1, 5],
        mode="paper",
        u=0.0,
        checkpoint="vehicles",
        api_name="/interpolate",
    )
    (told,) = reports([final])
    assert told["blend"]["ready"]
    assert [corner["title"] for corner in told["blend"]["corners"]] == ["Seed 1", "Seed 5"]
    assert all(corner["back"] > 60 for corner in told["blend"]["corners"]), (
        "exact in the paper's mode"
    )
    alone = client.predict(corners=[1], checkpoint="vehicles", api_name="/interpolate")
    assert any("2 to 4" in str(part) for part in alone)


def test_a_kept_box_is_regenerated_around(client):
    (made,) = reports(
        [
            client.predict(
                seed=3, mode="paper", steps=10, checkpoint="vehicles", api_name="/generate"
            )
        ]
    )
    final = client.predict(
        seed=1,
        count=1,
        box=[-0.5, 0.0, -0.5, 0.5, 0.5, 0.5],
        record=made["record"],
        api_name="/regenerate",
    )
    (told,) = (part for part in final if isinstance(part, dict) and "kept" in part)
    assert told["state"] == "done"
    assert told["kept"][0] >= 30
    assert len(told["downloads"]) >= 4
    nothing = client.predict(box=[2, 2, 2, 3, 3, 3], record=made["record"], api_name="/regenerate")
    assert any('role="alert"' in str(part) for part in nothing)
