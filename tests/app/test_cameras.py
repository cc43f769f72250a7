"""Cameras of dropped pictures in a session: guessed, chosen, set by hand, told; and an object for every hypothesis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.examples import EXAMPLES
from app.session import runs, tasks
from app.session.cameras import Cameras, hypotheses, rounded
from engine.ops.cameras import pose_angles
from engine.pose.guess import Guess
from tests.app.test_session import wait_for_end

PICTURE = str(EXAMPLES[0].path)
USUAL = (55.0, 10.0, 1.3)


@pytest.fixture
def cameras(session) -> Cameras:
    return session.part(Cameras)


def azimuth_of(views) -> float:
    azimuth, _, _ = pose_angles(views.camera.srn_c2w())
    return float(azimuth[0].rad2deg()) % 360


def test_a_dropped_picture_stands_where_the_network_guesses(cameras):
    stand = cameras.dropped(0, PICTURE, USUAL)
    assert stand.guess is stand.unposed.guesses[0]
    assert stand.angles == rounded(stand.guess)
    assert azimuth_of(stand.views) == pytest.approx(stand.guess.azimuth, abs=0.01)
    assert abs(stand.angles[0] - 50) < 15, "it was drawn from 50 degrees"


def test_sliders_that_nobody_moved_mean_the_guess_exactly(cameras):
    stand = cameras.dropped(0, PICTURE, USUAL)
    assert cameras.at(0, PICTURE, stand.angles) is stand
    moved = cameras.at(0, PICTURE, (120.0, 20.0, 1.5))
    assert moved.guess is None
    assert moved.cases == ()
    assert azimuth_of(moved.views) == pytest.approx(120, abs=0.01)
    assert moved.unposed is stand.unposed, "the picture was not cut out again"
    assert cameras.choose(0, PICTURE, 0).guess is stand.guess


def test_an_elevation_that_the_network_never_saw_is_framed_as_the_models_objects(cameras):
    cameras.dropped(0, PICTURE, USUAL)
    above = cameras.at(0, PICTURE, (40.0, 85.0, 1.3))
    _, elevation, distance = pose_angles(above.views.camera.srn_c2w())
    assert float(elevation[0].rad2deg()) == pytest.approx(85, abs=0.01)
    assert float(distance[0]) == pytest.approx(1.3, abs=1e-4)


def test_a_picture_that_the_explorer_drew_keeps_its_camera(cameras):
    cameras.tell(0, PICTURE, (200.0, 30.0, 1.4))
    assert cameras.dropped(0, PICTURE, USUAL).angles == (200.0, 30.0, 1.4)
    assert cameras.dropped(0, str(EXAMPLES[1].path), USUAL).guess is not None, "another picture"


def test_a_model_without_a_network_leaves_the_sliders(cameras, monkeypatch):
    monkeypatch.setattr("app.session.cameras.category_net", lambda category: None)
    stand = cameras.dropped(0, PICTURE, USUAL)
    assert stand.unposed is None
    assert stand.angles == USUAL
    assert azimuth_of(stand.views) == pytest.approx(55, abs=0.01)


def two_guesses(cameras: Cameras):
    """A picture of whose camera there are two hypotheses."""
    stand = cameras.dropped(0, PICTURE, USUAL)
    first = replace(stand.guess, probability=0.6)
    second = replace(first, azimuth=(first.azimuth + 180) % 360, probability=0.3)
    unposed = replace(stand.unposed, guesses=(first, second))
    return replace(stand, unposed=unposed, guess=first)


def test_every_hypothesis_becomes_an_object_beside_the_likeliest(
    session, runner, cameras, tmp_path
):
    stand = two_guesses(cameras)
    cases = hypotheses([stand])
    assert [guess.probability for _, guess in cases] == [0.6, 0.3]
    job = tasks.reconstruct(session, runner, stand.views, 4, {}, "ours", (), cases)
    assert wait_for_end(job).error is None
    second, first = session.history[:2]
    assert "(60 %)" in first.title
    assert "(30 %)" in second.title
    assert session.selection()[0] is first
    assert [record for record, _ in session.beside()] == [second]
    assert session.fitted is first
    for record, (views, guess) in zip((first, second), cases, strict=True):
        assert record.state == "done"
        assert record.psnr is not None
        assert record.views is views
        assert record.provenance["guess"]["azimuth"] == guess.azimuth
    assert not first.latent(-1).equal(second.latent(-1))
    again, _ = runs.load(runs.save(second, tmp_path / "run.safetensors"))
    assert again.provenance["guess"]["probability"] == 0.3


def test_a_camera_that_a_person_chose_makes_one_object(cameras):
    stand = two_guesses(cameras)
    chosen: Guess = stand.unposed.guesses[1]
    assert hypotheses([replace(stand, guess=chosen)]) == ()
    assert hypotheses([replace(stand, guess=None)]) == ()
    assert hypotheses([stand, stand]) == (), "several pictures have one camera each"
