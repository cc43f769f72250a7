"""Interpolation between objects of two codes, whose parts are exchanged."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from app.page import present
from app.page.steer import steer
from app.server import create_app
from app.session.priors import Prior
from app.session.session import Session
from app.settings import AppSettings
from app.tabs.interpolate.blending import Blend
from app.tabs.interpolate.exchange import exchanged
from app.tabs.interpolate.variation import direction_names
from engine.errors import ConfigError
from engine.methods.toy import ToyMethod
from engine.render.frames import bake
from tests.app.test_jobs import wait_for_end
from tests.app.two_codes import shown, two_codes


@pytest.fixture(scope="module")
def method():
    return two_codes()


@pytest.fixture
def session(method) -> Iterator[Session]:
    session = Session(Prior("two", method), AppSettings())
    yield session
    session.close()


def spanned(session: Session, runner, *places: int) -> Blend:
    blend = session.part(Blend)
    for place in places:
        blend.add(shown(session, place))
    wait_for_end(blend.prepare(runner))
    return blend


def test_the_corners_of_the_pad_are_the_objects_and_their_exchanges(session, runner, method):
    first, second, _ = method.gallery
    blend = spanned(session, runner, 0, 1)
    assert blend.way == "parts"
    corners = {
        (0, 0): first,
        (1, 0): torch.stack([second[0], first[1]]),
        (0, 1): torch.stack([first[0], second[1]]),
        (1, 1): second,
    }
    for (u, v), wanted in corners.items():
        for deed in ("blend", "settle"):
            steer(session, runner, {"do": deed, "u": u, "v": v})
            assert torch.equal(blend.record.latent(-1), wanted), (deed, u, v)
    steer(session, runner, {"do": "blend", "u": 0.25, "v": 0.5})
    near = blend.record.latent(-1)
    assert torch.allclose(near[0], 0.75 * first[0] + 0.25 * second[0])
    assert torch.allclose(near[1], (first[1] + second[1]) / 2)
    steer(session, runner, {"do": "settle", "u": 0.25, "v": 0.5})
    assert torch.allclose(blend.record.latent(-1), near), "dragging shows what settling does"
    steer(session, runner, {"do": "path", "act": "store"})
    assert session.history[0].title.endswith("0.25, 0.50")


def test_the_page_is_told_what_the_model_has(session, runner):
    blend = session.part(Blend)
    assert blend.report()["way"] == "parts"
    told = spanned(session, runner, 0, 1, 2).report()
    assert told["ways"] == ("parts", "code")
    assert told["parts"] == ("shape", "texture")
    assert [corner["back"] for corner in told["corners"]] == [99.0, 99.0, None]
    assert told["directions"] == [
        *(f"shape {k}" for k in (1, 2, 3)),
        *(f"texture {k}" for k in (1, 2, 3)),
    ]
    with pytest.raises(ConfigError, match="expected parts, code"):
        blend.choose("slerp", "ours")


def test_directions_of_the_whole_latent_have_numbers():
    whole = two_codes()
    whole.directions = torch.ones(2, 2, 6)
    assert direction_names(whole) == ["1", "2"]
    whole.directions = whole.directions[:0]
    assert direction_names(whole) == []


def test_a_film_of_exchanges_goes_from_one_object_to_the_other(
    session, runner, tmp_path, monkeypatch
):
    drawn = []

    def film(method, codes, file, **options):
        drawn.append(codes)
        yield from ()
        return file

    monkeypatch.setattr("engine.explore.film.path_film", film)
    blend = spanned(session, runner, 0, 1)
    list(blend.film(tmp_path / "path.mp4"))
    assert torch.equal(drawn[0][0], session.method.gallery[0])
    assert torch.equal(drawn[0][-1], session.method.gallery[1])


def test_a_cell_is_one_corners_shape_with_anothers_texture(session, runner, method):
    blend = spanned(session, runner, 0, 1)
    code = exchanged(blend, 0, 1)
    assert torch.equal(code[0], method.gallery[0][0])
    assert torch.equal(code[1], method.gallery[1][1])
    assert exchanged(blend, 0, 2) is None
    toy = ToyMethod()
    other = Session(Prior("toy", toy), AppSettings())
    assert exchanged(other.part(Blend), 0, 0) is None
    other.close()


def test_the_pictures_of_the_cells_are_served_also_of_records_that_were_let_go_of(method):
    app = create_app(AppSettings(checkpoint="toy"), method)
    session = app.state.explorer.sessions.open()
    blend, greeting = session.part(Blend), session.selection()[0]
    blend.add(greeting)
    blend.add(shown(session, 1))
    assert session.record(greeting.id) is None
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        got = client.get(f"/swap/{session.token}/0/1.jpg")
        assert got.headers["content-type"] == "image/jpeg"
        for wrong in ("0/2", "7/0", f"0/{'9' * 200}"):
            assert client.get(f"/swap/{session.token}/{wrong}.jpg").status_code == 404
        assert client.get("/swap/unknown/0/1.jpg").status_code == 404
    seen = cv2.imdecode(np.frombuffer(got.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    code = torch.stack([method.gallery[0][0], method.gallery[1][1]])
    camera = present.usual_camera(method.data.distance, present.THUMB)
    wanted = present.picture(bake(method.scene(code).field), camera)
    itself = present.picture(bake(method.scene(method.gallery[0]).field), camera)
    apart = [np.abs(seen.astype(float) - one).mean() for one in (wanted, itself)]
    assert apart[0] < 3 < apart[1], "and not the first object itself"
