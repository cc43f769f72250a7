"""The frame-time model against lines that are known."""

import pytest

from engine.render.frames import TimeModel


def test_a_line_is_recovered_from_its_frames():
    model = TimeModel()
    for rays in (64**2, 128**2, 256**2, 512**2) * 5:
        model.observe(rays, 0.004 + 3e-7 * rays)
    overhead, per_ray = model.line
    assert overhead == pytest.approx(0.004, rel=0.02)
    assert per_ray == pytest.approx(3e-7, rel=0.02)
    assert model.rays(model.seconds(12345)) == pytest.approx(12345, abs=1)


def test_frames_of_one_size_still_predict_that_size():
    model = TimeModel()
    for _ in range(10):
        model.observe(128**2, 0.05)
    assert model.seconds(128**2) == pytest.approx(0.05, rel=0.1)
    assert model.seconds(256**2) > model.seconds(128**2)


def test_thousands_of_frames_of_one_size_leave_a_line():
    model = TimeModel()
    for number in range(3000):
        model.observe(256**2, 0.01 * (1 + 0.3 * (number % 7 - 3) / 3))
        assert 0.5 < model.rays(model.seconds(300**2)) / 300**2 < 2
        assert model.seconds(512**2) > 1.5 * model.seconds(256**2)


def test_the_model_follows_a_change_of_scene():
    model = TimeModel()
    for _ in range(20):
        model.observe(128**2, 0.01)
        model.observe(512**2, 0.1)
    for _ in range(40):
        model.observe(128**2, 0.03)
        model.observe(512**2, 0.3)
    assert model.seconds(512**2) == pytest.approx(0.3, rel=0.1)


def test_nothing_predicted_is_negative():
    model = TimeModel()
    for _ in range(20):
        model.observe(128**2, 0.2)
        model.observe(256**2, 0.1)
    overhead, per_ray = model.line
    assert overhead >= 0
    assert per_ray >= 0
    assert model.rays(0.0) == 0
    assert model.seconds(0) >= 0
