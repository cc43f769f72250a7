"""One frame of the viewport."""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import viser.transforms

from app.session.records import Display
from app.view.drawing import FAR, Pose, draw, reduced, to_camera
from app.view.pacing import FairSlot, Size
from engine.ops.cameras import orbit_camera
from engine.render.frames import bake
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
    drawn = draw([baked], orbit_camera(0.0, 0.0, 1.3, 64), Display(), {}, Size("standard", 64))
    assert drawn.rgb.shape == (64, 64, 3)
    assert drawn.rgb.dtype == np.uint8
    assert drawn.depth[0, 0] == FAR
    assert 0.7 < drawn.depth[36, 32] < 1.3
    assert drawn.seconds > 0


def test_depth_is_sent_with_fewer_rows_only_where_it_has_more():
    depth = np.arange(200 * 300, dtype=np.float32).reshape(200, 300)
    assert reduced(depth, 100).shape == (100, 150)
    assert reduced(depth, 200) is depth


@pytest.mark.parametrize("channel", ["colour", "depth", "normals", "opacity"])
@pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "torch"])
def test_bands_make_the_same_picture_as_the_whole(baked, channel, kernels):
    baked = baked if kernels else replace(baked, kernels=None)
    camera, display = orbit_camera(30.0, 20.0, 1.3, 100), Display(channel=channel)
    whole = draw([baked], camera, display, {}, Size("preview", 100))
    bands = draw([baked], camera, display, {}, Size("preview", 100, bands=5))
    difference = np.abs(whole.rgb.astype(int) - bands.rgb)
    assert difference.max() <= 2
    assert difference.mean() < 0.01
    np.testing.assert_allclose(bands.depth, whole.depth, rtol=1e-3)


def test_a_stopped_frame_is_given_up(baked):
    camera = orbit_camera(0.0, 0.0, 1.3, 256)
    size = Size("standard", 256)
    assert draw([baked], camera, Display(), {}, size, stop=lambda: True) is None


def test_a_frame_stops_soon_after_it_is_told(baked):
    asked = []

    def third_time() -> bool:
        asked.append(0)
        return len(asked) == 3

    camera = orbit_camera(0.0, 0.0, 1.3, 900)
    assert draw([baked], camera, Display(), {}, Size("high", 900, 4), stop=third_time) is None
    assert len(asked) == 3


def test_others_have_their_turns_between_the_bands_of_a_frame(baked):
    slot, order, done = FairSlot(), [], threading.Event()

    def somebody_else() -> None:
        while not done.is_set():
            with slot:
                order.append("other")

    def band() -> bool:
        until(lambda: slot._next > slot._serving + 1 or done.is_set(), "somebody who waits")
        if order[-1:] != ["band"]:
            order.append("band")
        return False

    other = threading.Thread(target=somebody_else)
    other.start()
    camera = orbit_camera(0.0, 0.0, 1.3, 128)
    draw([baked], camera, Display(), {}, Size("standard", 128, bands=4), slot, band)
    done.set()
    other.join(5)
    bands = [place for place, who in enumerate(order) if who == "band"]
    assert len(bands) == 4
    assert all("other" in order[a:b] for a, b in itertools.pairwise(bands))
