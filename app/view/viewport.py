"""The live view: viser displays the frames that `app.view.drawing` renders, with one thread per browser tab.

viser's callbacks only store the newest camera. The thread sleeps until the camera or the session has changed, renders a
frame whose size keeps to a time budget, and, once nothing has moved for a moment, refines it; a refinement is abandoned
as soon as something changes.

viser has no flow control for background images, and its client drops a picture whose predecessor is still being
decoded. So one frame is on its way at a time, and counts as delivered when the browser has answered a question that
was sent behind it. The next is drawn meanwhile: from the newest camera, and as late as its drawing allows.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import rich
import viser
import viser.transforms

from app.session.records import Snapshot, home
from app.session.session import Session
from app.view.box import BoxHandles
from app.view.drawing import Drawn, Pose, draw, field_of_view, reduced, to_camera
from app.view.pacing import FairSlot, Pace, Size
from app.view.viewport_server import ViewportServer
from engine.render.frames import Baked, to_uint8
from engine.types import Camera, Views

log = logging.getLogger(__name__)

QUIET_S = 0.12
"""Rest after which the picture is refined."""
BAKE_MOVING_S, BAKE_RESTING_S = 0.015, 0.5
"""Longest wait of a frame for a new object, while moving and at rest; beyond it, the old one is shown meanwhile."""
ACK_TIMEOUT_S = 2.0
JPEG_MOVING, JPEG_RESTING = 80, 93
DEPTH_MOVING, DEPTH_RESTING = 128, 256
"""Most rows of a frame's depth."""
FRUSTUM_COLOR = (79, 110, 247)
FRUSTUM_SIZE = 0.11
"""Size of a frustum, SRN units; closer than twice that, its picture would fill the view."""

Key = tuple[int, int]
"""Revision of the session, movements of the camera."""


@dataclass(frozen=True)
class Task:
    """A frame to draw.

    Attributes:
        key: Version of its content.
        client: Browser that sees it.
        snapshot: The session's state.
        size: Size of a refinement; None while something moves.
    """

    key: Key
    client: viser.ClientHandle
    snapshot: Snapshot
    size: Size | None


class Viewport:
    """A viser server and the thread that draws for it."""

    def __init__(self, session: Session, slot: FairSlot):
        rich.get_console().quiet = True
        self.session = session
        self.sent = self.frames = 0
        """Frames sent, and frames delivered, so far."""
        self._slot = slot
        self._pace = Pace()
        self._clients: list[viser.ClientHandle] = []
        """Who is connected; the last one to move sees the frames."""
        self._moves = 0
        self._closed = False
        self._baked: tuple[Baked, ...] = ()
        self._drawn: Key = (-1, -1)
        self._drawn_at = 0.0
        self._refinements: list[Size] = []
        self._courier = ThreadPoolExecutor(1, thread_name_prefix="courier")
        self._delivery: Future[bool] | None = None
        self._due = 0.0
        self._frusta: dict[int, tuple[Views, viser.CameraFrustumHandle]] = {}
        self._flight = 0
        self._server = ViewportServer()
        self.port, self.secret = self._server.port, self._server.secret
        self._box = BoxHandles(self._server)
        self._furnish()
        self._server.on_client_connect(self._connected)
        self._server.on_client_disconnect(self._disconnected)
        self._thread = threading.Thread(target=self._loop, name="viewport", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop drawing and take the server down."""
        with self.session.cv:
            self._closed = True
            self.session.cv.notify_all()
        self._thread.join(timeout=5)
        self._server.stop()
        self._courier.shutdown()

    # -- viser ------------------------------------------------------------------------------------

    def _furnish(self) -> None:
        """Set the axes and the initial camera of every view."""
        server = self._server
        server.scene.set_up_direction("+z")
        greeting = home()
        server.initial_camera.position = tuple(greeting.srn_c2w()[:3, 3].tolist())
        server.initial_camera.look_at = (0.0, 0.0, 0.0)
        server.initial_camera.fov = field_of_view(greeting)
        server.initial_camera.near = 0.01

    @property
    def _client(self) -> viser.ClientHandle | None:
        """The client that sees the frames: the one connected last; None without any."""
        clients = self._clients
        return clients[-1] if clients else None

    async def _connected(self, client: viser.ClientHandle) -> None:
        self._moved(client)

        @client.camera.on_update
        async def _(camera: viser.CameraHandle) -> None:
            self._moved(client)

    def _moved(self, client: viser.ClientHandle) -> None:
        with self.session.cv:
            self._clients = [*(one for one in self._clients if one is not client), client]
            self._moves += 1
            self.session.cv.notify_all()

    async def _disconnected(self, client: viser.ClientHandle) -> None:
        with self.session.cv:
            self._clients = [one for one in self._clients if one is not client]
            self._moves += 1  # whoever is left has old pictures
            self.session.cv.notify_all()

    # -- the drawing thread -----------------------------------------------------------------------

    def _key(self) -> Key:
        return self.session.revision, self._moves

    @property
    def _stopped(self) -> bool:
        return self._closed or self.session.closed

    def _loop(self) -> None:
        while (task := self._next()) is not None:
            try:
                if task.size is None:
                    self._follow(task)
                else:
                    self._refine(task, task.size)
            except Exception:
                log.exception("the viewport could not draw a frame")

    def _next(self) -> Task | None:
        """Sleep until there is a frame to render; None when the viewport closes."""
        with self.session.cv:
            while not self._stopped:
                pause, size = self._pause()
                if pause is not None and pause <= 0:
                    return Task(self._key(), self._client, self.session.snapshot(), size)
                self.session.cv.wait(pause)
        return None

    def _pause(self) -> tuple[float | None, Size | None]:
        """Seconds until there is a frame to render (None if unknown), and its size if it is a refinement."""
        now = time.monotonic()
        if self._client is None:
            return None, None
        if self._key() != self._drawn:
            return (self._due - now if self._on_its_way else 0.0), None
        if self._refinements:
            return self._drawn_at + QUIET_S - now, self._refinements[0]
        return None, None

    @property
    def _on_its_way(self) -> bool:
        return self._delivery is not None and not self._delivery.done()

    def _follow(self, task: Task) -> None:
        """Draw what has just changed."""
        moved = task.key[1] != self._drawn[1]
        self._drawn, self._drawn_at, self._refinements = task.key, time.monotonic(), []
        self._baked = self._objects(task.snapshot, BAKE_MOVING_S if moved else BAKE_RESTING_S)
        self._arrange(task.client, task.snapshot)
        pose = _pose(task.client)
        if pose.aspect <= 0 or pose.rows <= 0:
            return  # the canvas has no size, so nobody looks
        size = self._pace.moving(pose.aspect, pose.rows, self._slot.crowd)
        drawn = self._draw(task, pose, size)
        if drawn is None:
            return
        self._send(task, drawn, JPEG_MOVING, DEPTH_MOVING)
        drawing_s = self._pace.drawing_s(size, pose.aspect)
        self._due = time.monotonic() + self._pace.delivery_s(drawn.depth.size) - drawing_s
        # while it is provisional it will be drawn again anyway, and faster, when its kernels are ready
        if not any(baked.provisional for baked in self._baked):
            self._refinements = self._pace.resting(pose.aspect, pose.rows, size)

    def _refine(self, task: Task, size: Size) -> None:
        """Render the same view in better quality; no further refinements follow if the browser does not answer."""
        self._refinements = self._refinements[1:]
        if not self._arrived():
            self._refinements = []
            return
        drawn = self._draw(task, _pose(task.client), size)
        if drawn is not None:
            self._send(task, drawn, JPEG_RESTING, DEPTH_RESTING)

    def _objects(self, snapshot: Snapshot, patience_s: float) -> tuple[Baked, ...]:
        """The objects of a snapshot, or the previous ones while one is being prepared."""
        if not self._baked:
            return tuple(self.session.baked(p.record, p.index, p.look) for p in snapshot.panes)
        found: list[Baked] = []
        for pane in snapshot.panes:
            baked = self.session.prepared(pane, patience_s)
            if baked is None:
                return self._baked
            found.append(baked)
        return tuple(found)

    def _draw(self, task: Task, pose: Pose, size: Size) -> Drawn | None:
        """Render a frame; None if it was abandoned."""
        camera, snapshot = to_camera(pose, size.rows), task.snapshot

        def overtaken() -> bool:
            return self._stopped or (task.size is not None and self._key() != task.key)

        self.session.camera = camera
        difference = snapshot.difference and len(self._baked) > 1
        marked = snapshot.marked
        drawn = draw(
            *(self._baked, camera, snapshot.display, snapshot.slots, size, self._slot, overtaken),
            difference=difference,
            region=None if marked is None else marked.region,
        )
        if drawn is not None:
            self._pace.drew(size, drawn.depth.size, drawn.seconds)
        return drawn

    # -- delivery -----------------------------------------------------------------------------------

    def _send(self, task: Task, drawn: Drawn, jpeg_quality: int, depth_rows: int) -> None:
        """Send a frame once the one before has arrived or was given up."""
        self._arrived()
        self.sent += 1
        depth = reduced(drawn.depth, depth_rows) if _composes(task.snapshot) else None
        self._delivery = self._courier.submit(
            self._deliver, task.client, drawn.rgb, depth, jpeg_quality
        )
        self._delivery.add_done_callback(lambda _: self._wake())

    def _arrived(self) -> bool:
        """Wait for the frame that was sent; True if the browser showed it."""
        delivery, self._delivery = self._delivery, None
        return delivery is None or delivery.result()

    def _deliver(
        self,
        client: viser.ClientHandle,
        rgb: np.ndarray,
        depth: np.ndarray | None,
        jpeg_quality: int,
    ) -> bool:
        if self._client is not client:
            return False
        before = time.monotonic()
        try:
            client.scene.set_background_image(
                rgb, format="jpeg", jpeg_quality=jpeg_quality, depth=depth
            )
            answered = _acknowledged(client)
        except Exception:
            log.exception("a frame could not be sent")
            return False
        if not answered:
            return False
        self._pace.delivered(rgb.shape[0] * rgb.shape[1], time.monotonic() - before)
        self.frames += 1
        return True

    def _wake(self) -> None:
        with self.session.cv:
            self.session.cv.notify_all()

    # -- what stands in the scene -------------------------------------------------------------------

    def _arrange(self, client: viser.ClientHandle, snapshot: Snapshot) -> None:
        """Bring frusta and camera in line with the session."""
        for slot in [s for s in self._frusta if s not in snapshot.slots]:
            self._frusta.pop(slot)[1].remove()
        for slot, views in snapshot.slots.items():
            self._arrange_frustum(slot, views)
            near = _is_near(client, views.camera[0])
            self._frusta[slot][1].visible = _composes(snapshot) and not near
        self._box.arrange(snapshot.marked if len(snapshot.panes) == 1 else None)
        if snapshot.flight.number != self._flight:
            self._flight = snapshot.flight.number
            _move(client, snapshot.flight.camera)

    def _arrange_frustum(self, slot: int, views: Views) -> None:
        known = self._frusta.get(slot)
        if known is not None and known[0] is views:
            return
        camera = views.camera[0]
        c2w = camera.srn_c2w().numpy()
        handle = self._server.scene.add_camera_frustum(
            f"/inputs/{slot}",
            fov=field_of_view(camera),
            aspect=camera.width / camera.height,
            scale=FRUSTUM_SIZE,
            thickness=0.003,
            color=FRUSTUM_COLOR,
            image=to_uint8(views.images[0]).numpy(),
            wxyz=viser.transforms.SO3.from_matrix(c2w[:3, :3].astype(np.float64)).wxyz,
            position=c2w[:3, 3],
            cast_shadow=False,
            receive_shadow=False,
        )
        handle.on_click(lambda event: self.session.fly(views.camera[0]))
        self._frusta[slot] = (views, handle)


def _composes(snapshot: Snapshot) -> bool:
    """True if the object may hide anything in the scene; only then depth is sent, which is half a browser's work."""
    display = snapshot.display
    if len(snapshot.panes) > 1 or display.overlay:
        return False
    marked = snapshot.marked is not None and snapshot.marked.box is not None
    return marked or (bool(snapshot.slots) and display.cameras)


def _is_near(client: viser.ClientHandle, camera: Camera) -> bool:
    """True if the browser's camera is so close to `camera` that its picture would fill the view."""
    apart = np.asarray(client.camera.position) - camera.srn_c2w()[:3, 3].numpy()
    return bool(np.linalg.norm(apart) < 2 * FRUSTUM_SIZE)


def _pose(client: viser.ClientHandle) -> Pose:
    camera = client.camera
    return Pose(camera.wxyz, camera.position, camera.fov, camera.aspect, camera.image_height)


def _move(client: viser.ClientHandle, camera: Camera) -> None:
    """Move the browser's camera to the position of `camera`, looking at the object."""
    c2w = camera.srn_c2w().numpy().astype(np.float64)
    ahead = max(float(-c2w[:3, 3] @ c2w[:3, 2]), 0.1)
    with client.atomic():
        client.camera.fov = field_of_view(camera)
        client.camera.up_direction = (0.0, 0.0, 1.0)
        client.camera.position = c2w[:3, 3]
        client.camera.look_at = c2w[:3, 3] + ahead * c2w[:3, 2]


def _acknowledged(client: viser.ClientHandle) -> bool:
    """True if the browser has processed everything sent so far."""
    try:
        client.local_storage.get_item("ack", timeout=ACK_TIMEOUT_S)
    except TimeoutError:
        return False
    except RuntimeError as error:
        return "Failed to read" in str(error)
    return True
