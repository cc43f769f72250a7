"""The ground in the picture: under the object, behind it, and gone from below."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.view.ground import lay_ground, lowest
from engine.ops.cameras import orbit_camera
from engine.render.frames import bake

WHITE = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def baked(method):
    return bake(method.scene(method.mean_latent).field)


def blank(size: int = 128) -> np.ndarray:
    return np.full((size, size, 3), 255, np.uint8)


def test_the_ground_lies_where_the_wheels_end(baked):
    layers = torch.nonzero((baked.cell_density > 2).sum((0, 1)) > 3)
    low, high = baked.field.aabb[:, 2].tolist()
    cell = (high - low) / baked.cell_density.shape[2]
    assert lowest(baked) == pytest.approx(low + float(layers[0]) * cell)


def test_the_object_hides_the_ground_behind_it():
    camera = orbit_camera(30.0, 30.0, 1.3, 128)
    opacity = np.zeros((128, 128), np.float32)
    opacity[:, :64] = 1
    laid = lay_ground(blank(), opacity, camera, -0.5, WHITE)
    assert (laid[:, :64] == 255).all()
    assert (laid[:, 64:] < 250).any()


def test_the_ground_is_not_seen_from_below():
    camera = orbit_camera(30.0, -40.0, 1.3, 64)
    laid = lay_ground(blank(64), np.zeros((64, 64), np.float32), camera, -0.5, WHITE)
    assert (laid == 255).all()


def test_the_ground_is_centred_under_the_object():
    straight_down = orbit_camera(0.0, 90.0, 1.3, 512)
    laid = lay_ground(blank(512), np.zeros((512, 512), np.float32), straight_down, 0.0, WHITE)
    ink = 255 - laid[..., 2].astype(float)
    assert abs((ink.sum(0) * np.arange(512)).sum() / ink.sum() - 255.5) < 2


def test_lines_of_the_dark_ground_are_brighter_than_it():
    camera = orbit_camera(30.0, 30.0, 1.3, 128)
    dark = np.full((128, 128, 3), 20, np.uint8)
    laid = lay_ground(dark, np.zeros((128, 128), np.float32), camera, -0.5, (20 / 255,) * 3)
    assert laid.min() >= 20
    assert laid.max() > 30
