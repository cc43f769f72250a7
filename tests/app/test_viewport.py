"""The live view with scripted viewers; `tests.browser` sees it in a real browser."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest
import torch
import viser
from websockets.sync.client import connect

from app.session import bakes
from app.session.jobs import JobRunner
from app.session.priors import Prior, Priors
from app.session.records import Record
from app.session.session import Session
from app.session.sessions import Sessions
from app.settings import AppSettings
from app.view import pacing, viewport
from app.view.drawing import Drawn
from app.view.pacing import FairSlot, Size
from app.view.viewport import Viewport
from app.view.viewports import CrowdedError, Viewports
from engine.store.timeline import result_step
from engine.types import Camera
from tests.scripted_viewer import ScriptedViewer, looking, position
from tests.waiting import until


@pytest.fixture
def open_view(method) -> Iterator[Callable[[], tuple[Session, ScriptedViewer]]]:
    """Sessions with a live view each, and somebody to look at it; they share one slot."""
    slot = FairSlot()
    with contextlib.ExitStack() as stack:

        def make() -> tuple[Session, ScriptedViewer]:
            session = Session(Prior("toy", method), AppSettings())
            stack.callback(session.close)
            view = Viewport(session, slot)
            stack.callback(view.close)
            return session, viewer_of(view)

        yield make


def viewer_of(view: Viewport) -> ScriptedViewer:
    return ScriptedViewer(f"http://127.0.0.1:{view.port}", "", 120, 160, headers=view.secret)


class Painter:
    """Draws nothing, at a known speed, and keeps in mind what it was asked for."""

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds
        self.asked: list[tuple[object, Camera, Size]] = []

    def __call__(
        self, baked, camera, display, slots, size, turn, stop, difference, region
    ) -> Drawn | None:
        for _ in range(size.bands):
            with turn:
                time.sleep(self.seconds)
            if stop():
                return None
        self.asked.append((baked, camera, size))
        rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
        return Drawn(rgb, np.zeros(rgb.shape[:2], np.float32), self.seconds * size.bands)


@pytest.fixture
def painter(monkeypatch) -> Painter:
    painter = Painter()
    monkeypatch.setattr(viewport, "draw", painter)
    return painter


def same_place(one: Camera, other: Camera) -> bool:
    return torch.allclose(one.c2w, other.c2w, atol=1e-4)


def test_a_camera_at_rest_gets_the_canvas_own_pixels_in_high_quality(open_view, painter):
    _, viewer = open_view()
    viewer.dragging = False
    with looking(viewer):
        until(lambda: painter.asked and painter.asked[-1][2].quality == "high")
        until(lambda: len(viewer.frames) == len(painter.asked), "the refined picture")
        assert viewer.size == (120, 160)
        seen = len(viewer.frames)
        time.sleep(0.3)
        assert len(viewer.frames) == seen, "there is nothing left to draw"


def test_no_frame_is_refined_while_the_camera_moves(open_view, painter):
    _, viewer = open_view()
    with looking(viewer):
        until(lambda: len(viewer.frames) > 30, "frames")
        qualities = {size.quality for _, _, size in painter.asked}
    assert "high" not in qualities


def test_one_frame_is_on_its_way_and_one_is_ready(open_view, painter, monkeypatch):
    monkeypatch.setattr(viewport, "ACK_TIMEOUT_S", 60.0)
    _, viewer = open_view()
    viewer.answering = False
    with looking(viewer):
        until(lambda: viewer.moves > 40, "movements")
        assert len(viewer.frames) == 1
        assert len(painter.asked) == 2
        viewer.answering = True
        until(lambda: len(viewer.frames) > 3, "frames")


def test_after_a_wait_the_newest_camera_is_drawn_and_those_before_are_not(
    open_view, painter, monkeypatch
):
    monkeypatch.setattr(viewport, "ACK_TIMEOUT_S", 60.0)
    _, viewer = open_view()
    viewer.answering = False
    with looking(viewer):
        until(lambda: viewer.moves > 40 and len(painter.asked) == 2, "movements")
        viewer.dragging = False
        viewer.answering = True
        until(
            lambda: same_place(painter.asked[-1][1], position(viewer.moves - 1)),
            "the newest camera's frame",
        )
    places = [camera for _, camera, size in painter.asked if size.quality != "high"]
    assert len(places) <= 4


def test_a_browser_that_never_answers_is_asked_again_when_something_moves(
    open_view, painter, monkeypatch
):
    monkeypatch.setattr(viewport, "ACK_TIMEOUT_S", 0.05)
    _, viewer = open_view()
    viewer.answering = viewer.dragging = False
    with looking(viewer):
        until(lambda: viewer.frames, "a frame")
        time.sleep(0.4)
        assert len(viewer.frames) == 1, "nobody looks, nothing is refined"
        viewer.dragging = True
        until(lambda: len(viewer.frames) > 3, "more frames")


def test_four_who_drag_get_their_fair_shares(open_view, painter):
    painter.seconds = 0.005
    viewers = [open_view()[1] for _ in range(4)]
    with looking(*viewers):
        until(lambda: all(len(viewer.frames) > 5 for viewer in viewers), "first frames")
        before = [len(viewer.frames) for viewer in viewers]
        counts = [0]
        while sum(counts) < 200:
            time.sleep(0.02)
            counts = [len(v.frames) - seen for v, seen in zip(viewers, before, strict=True)]
    mean = sum(counts) / 4
    assert max(abs(count - mean) for count in counts) <= 0.2 * mean, counts


def test_a_refinement_neither_starves_those_who_drag_nor_is_starved(
    open_view, painter, monkeypatch
):
    def in_bands(self, aspect: float, canvas_rows: int, shown: Size) -> list[Size]:
        return [Size("high", canvas_rows, bands=60)]

    monkeypatch.setattr(pacing.Pace, "resting", in_bands)
    painter.seconds = 0.01
    (_, rests), (_, drags) = open_view(), open_view()
    rests.dragging = False
    with looking(rests, drags):
        until(lambda: rests.frames and drags.frames, "first frames")
        before = len(drags.frames)
        until(lambda: len(rests.frames) > 1, "the refined picture")
        assert len(drags.frames) - before > 10


def test_the_old_object_is_turned_while_a_new_one_is_prepared(open_view, painter, monkeypatch):
    go_on, bake = threading.Event(), bakes.bake
    session, viewer = open_view()
    with looking(viewer):
        until(lambda: painter.asked, "a frame")
        old = painter.asked[-1][0][0]
        monkeypatch.setattr(bakes, "bake", lambda field: go_on.wait(60) and bake(field))
        record = Record(
            "prior", "", {}, [result_step(session.method.mean_latent[None])], session.method
        )
        with session.cv:
            session._records[record.id] = record
        session.select(record.id)
        before = len(viewer.frames)
        until(lambda: len(viewer.frames) > before + 5, "frames of the old object")
        assert painter.asked[-1][0][0] is old
        viewer.dragging = False
        go_on.set()
        until(lambda: painter.asked[-1][0][0] is not old, "the new object")
        wanted = session.baked(record, 0)
        until(lambda: painter.asked[-1][0][0] is wanted, "the new object in the end")


@pytest.fixture
def view(method) -> Iterator[Viewport]:
    session = Session(Prior("toy", method), AppSettings())
    view = Viewport(session, FairSlot())
    yield view
    view.close()
    session.close()


@pytest.mark.parametrize("headers", [{}, {"X-Viewport-Secret": "guess"}], ids=["none", "wrong"])
def test_the_view_speaks_to_nobody_without_its_secret(view, headers):
    intruder = viewer_of(view)
    intruder.headers = headers
    with looking(viewer_of(view), intruder):
        until(lambda: view.frames > 3, "frames for the one who knows it")
        assert not intruder.frames
        assert not intruder.unanswered
        assert len(view._clients) == 1


def test_the_views_port_serves_no_files(view):
    with pytest.raises(urllib.error.HTTPError, match="426"):
        urllib.request.urlopen(f"http://127.0.0.1:{view.port}/index.html", timeout=20)


def test_nobody_opens_a_public_tunnel_even_with_the_secret(view, painter, monkeypatch):
    tunnels = []
    monkeypatch.setattr(viser._viser, "ViserTunnel", lambda *args: tunnels.append(args))
    share = msgspec.msgpack.encode({"type": "ShareUrlRequest"})
    protocol = [f"viser-v{viser.__version__}"]
    address = f"ws://127.0.0.1:{view.port}"
    with connect(address, additional_headers=view.secret, subprotocols=protocol) as socket:
        socket.send(share)
        viewer = viewer_of(view)
        with looking(viewer):
            until(lambda: len(viewer.frames) > 5, "frames")
    assert tunnels == []


def test_the_view_goes_back_to_the_one_who_is_left(view, painter):
    stays, visits = viewer_of(view), viewer_of(view)
    stays.dragging = False
    with looking(stays):
        until(lambda: stays.frames, "a frame")
        with looking(visits):
            until(lambda: len(visits.frames) > 3, "frames for the second")
        before = len(stays.frames)
        until(lambda: len(stays.frames) > before, "a frame for the one who is left")
        with looking(visits):
            until(lambda: len(visits.frames) > 8, "more frames for the second")
            before = len(stays.frames)
            stays.dragging, visits.dragging = True, False
            until(lambda: len(stays.frames) > before + 3, "frames for whoever moves")


def test_everybody_gets_frames_where_more_than_sixteen_look(method, painter):
    sessions = Sessions(Priors(AppSettings(), method), AppSettings())
    runner = JobRunner(max_queue=1)
    views = Viewports(sessions, runner, AppSettings())
    try:
        live = [views.acquire(sessions.open(f"10.0.0.{place}")) for place in range(18)]
        viewers = [viewer_of(view) for view in live]
        with looking(*viewers):
            until(lambda: all(len(viewer.frames) > 3 for viewer in viewers), "frames for all")
    finally:
        views.close()
        runner.close()


def test_a_view_that_somebody_looks_at_is_never_closed_for_another(method):
    settings = AppSettings(max_viewports=2)
    sessions = Sessions(Priors(settings, method), settings)
    runner = JobRunner(max_queue=1)
    views = Viewports(sessions, runner, settings)
    one, two, three = (sessions.open(str(place)) for place in range(3))
    try:
        views.acquire(one)
        views.acquire(two)
        with pytest.raises(CrowdedError):
            views.acquire(three)
        views.release(two)
        views.acquire(three)
        assert views.of(one) is not None
        assert views.of(two) is None
    finally:
        views.close()
        runner.close()
