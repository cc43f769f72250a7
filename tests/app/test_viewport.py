"""What the viewport draws, and its fairness; the browser tests see it live."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch
import viser.transforms

from app.drawing import FAR, Pose, draw, to_camera
from app.pacing import FairSlot, Size
from app.records import Display
from engine.ops.cameras import orbit_camera
from engine.render import bake
from tests.waiting import until


@pytest.fixture(scope="module")
def baked(method):
    return bake(method.scene(method.gallery[0]).field)


def test_a_viser_camera_becomes_the_engines():
    wanted = orbit_camera(40.0, 20.0, 1.3, 96)
    c2w = wanted.srn_c2w().numpy().astype(float)
    fov = 2 * math.atan(48 / float(wanted.intrinsics[1]))
    wxyz = viser.transforms.SO3.from_matrix(c2w[:3, :3]).wxyz
    camera = to_camera(Pose(wxyz, c2w[:3, 3], fov, 1.5, 400), 96)
    assert (camera.height, camera.width) == (96, 144)
    torch.testing.assert_close(camera.c2w, wanted.c2w, atol=1e-5, rtol=0)
    torch.testing.assert_close(camera.intrinsics[:2], wanted.intrinsics[:2])
    torch.testing.assert_close(camera.intrinsics[2:], torch.tensor([72.0, 48.0]))


def test_depth_is_in_srn_units_and_far_where_nothing_is(baked):
    drawn = draw(baked, orbit_camera(0.0, 0.0, 1.3, 64), Display(), {}, Size("standard", 64))
    assert drawn.rgb.shape == (64, 64, 3)
    assert drawn.rgb.dtype == np.uint8
    assert drawn.depth[0, 0] == FAR
    assert 0.7 < drawn.depth[36, 32] < 1.3


def test_a_stopped_frame_is_given_up(baked):
    camera = orbit_camera(0.0, 0.0, 1.3, 256)
    assert draw(baked, camera, Display(), {}, Size("standard", 256), stop=lambda: True) is None


def test_the_slot_is_handed_out_in_the_order_of_asking():
    slot, order, threads = FairSlot(), [], []

    def ask(number: int, asked: threading.Event) -> None:
        asked.set()
        with slot:
            order.append(number)

    with slot:
        for number in range(5):
            asked = threading.Event()
            threads.append(threading.Thread(target=ask, args=(number, asked)))
            threads[-1].start()
            asked.wait(5)
            until(lambda: slot._next == len(threads) + 1, "the ticket")
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4]
