"""The live view: viser shows, `engine.render` draws, one thread per browser tab.

viser's callbacks only note the newest camera. The thread sleeps until the camera or the session changed, draws a
preview whose size keeps to a time budget, and, once nothing has moved for a moment, refines it; a refinement is
given up as soon as something changes. A frame counts as delivered when the browser answered two questions that were
sent after it: viser has no flow control for background images, and its client drops a picture whose predecessor is
still being decoded.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import rich
import torch
import viser
import viser.transforms

from app import present
from app.ground import lay_ground, lowest
from app.records import Display, Snapshot, home
from app.session import Session
from engine.render import Baked, RenderOptions, RenderOutput, TimeModel, render, to_uint8
from engine.types import WORLD_PER_SRN, Camera, Views

log = logging.getLogger(__name__)

QUIET_S = 0.12
"""Rest after which the picture is refined."""
PREVIEW_S, REFINED_S = 0.04, 1.5
"""Time budgets of one frame."""
PREVIEW_PX, REFINED_PX = 256, 900
"""Most rows of one frame."""
DEPTH_PX = {"preview": 128, "standard": 256}
"""Most rows of its depth."""
LEAST_PX = 96
FAR = 160.0
"""Depth of empty pixels, viser units; its depth texture ends at 167.77."""
ACK_TIMEOUT_S = 2.0
FRUSTUM_COLOR = (79, 110, 247)


@dataclass(frozen=True)
class Pose:
    """A viser camera.

    Attributes:
        wxyz: Orientation, camera to world, OpenCV axes.
        position: SRN units.
        fov: Vertical, radians.
        aspect: Width by height of the canvas.
        rows: Height of the canvas, pixels.
    """

    wxyz: np.ndarray
    position: np.ndarray
    fov: float
    aspect: float
    rows: int


def to_camera(pose: Pose, height: int) -> Camera:
    """The engine's camera for a viser camera, with `height` rows."""
    width = max(round(height * pose.aspect), 1)
    c2w = torch.eye(4)
    c2w[:3, :3] = torch.from_numpy(viser.transforms.SO3(np.asarray(pose.wxyz)).as_matrix())
    c2w[:3, 3] = torch.from_numpy(np.asarray(pose.position))
    focal = height / 2 / math.tan(pose.fov / 2)
    intrinsics = torch.tensor([focal, focal, width / 2, height / 2])
    return Camera.from_srn(c2w, intrinsics, height, width)


@dataclass(frozen=True)
class Drawn:
    """A frame ready to send: uint8 colours, and z-depth in viser's (SRN) units."""

    rgb: np.ndarray
    depth: np.ndarray


def draw(
    baked: Baked,
    camera: Camera,
    display: Display,
    slots: dict[int, Views],
    quality: str,
    stop: Callable[[], bool] | None = None,
) -> Drawn | None:
    """One frame of the viewport; None if `stop` said so."""
    options = RenderOptions(
        quality=quality, background=display.background, normals=display.channel == "normals"
    )
    output = render(baked, camera, options, stop)
    if output is None:
        return None
    output = _on_cpu(output)
    rgb = present.channel_image(output, display.channel, display.background)
    if display.ground:
        rgb = lay_ground(rgb, output.opacity.numpy(), camera, lowest(baked), display.background)
    if display.overlay:
        for views in slots.values():
            rgb = present.overlay(rgb, camera, views)
    depth = torch.where(output.opacity > 0.5, output.depth / WORLD_PER_SRN, FAR).clamp(max=FAR)
    return Drawn(rgb, depth.numpy())


def _on_cpu(output: RenderOutput) -> RenderOutput:
    normal = None if output.normal is None else output.normal.cpu()
    return RenderOutput(output.rgb.cpu(), output.opacity.cpu(), output.depth.cpu(), normal)


class FairSlot:
    """A lock that is handed out in the order of asking."""

    def __init__(self):
        self._cv = threading.Condition()
        self._next = self._serving = 0

    def __enter__(self) -> None:
        with self._cv:
            ticket, self._next = self._next, self._next + 1
            self._cv.wait_for(lambda: self._serving == ticket)

    def __exit__(self, *error) -> None:
        with self._cv:
            self._serving += 1
            self._cv.notify_all()


class Viewport:
    """A viser server and the thread that draws for it."""

    def __init__(self, session: Session, slot: FairSlot):
        rich.get_console().quiet = True
        self.session = session
        self.frames = 0
        """Frames delivered so far."""
        self._slot = slot
        self._client: viser.ClientHandle | None = None
        self._moves = 0
        self._closed = False
        self._times = {"preview": TimeModel(), "standard": TimeModel(per_ray=2e-6)}
        self._frusta: dict[int, tuple[Views, viser.CameraFrustumHandle]] = {}
        self._flight = 0
        self._server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
        self.port = self._server.get_port()
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

    # -- viser ------------------------------------------------------------------------------------

    def _furnish(self) -> None:
        """Where every view begins."""
        server = self._server
        server.scene.set_up_direction("+z")
        greeting = home()
        server.initial_camera.position = tuple(greeting.srn_c2w()[:3, 3].tolist())
        server.initial_camera.look_at = (0.0, 0.0, 0.0)
        server.initial_camera.fov = field_of_view(greeting)
        server.initial_camera.near = 0.01

    async def _connected(self, client: viser.ClientHandle) -> None:
        with self.session.cv:
            self._client = client
            self._moves += 1
            self.session.cv.notify_all()

        @client.camera.on_update
        async def _(camera: viser.CameraHandle) -> None:
            with self.session.cv:
                self._moves += 1
                self.session.cv.notify_all()

    async def _disconnected(self, client: viser.ClientHandle) -> None:
        with self.session.cv:
            if self._client is client:
                self._client = None

    # -- the drawing thread -----------------------------------------------------------------------

    def _key(self) -> tuple[int, int]:
        return self.session.revision, self._moves

    def _loop(self) -> None:
        drawn = (-1, -1)
        while (work := self._next(drawn)) is not None:
            drawn, client, snapshot = work
            try:
                self._serve(client, drawn, snapshot)
            except Exception:
                log.exception("the viewport could not draw a frame")

    def _next(
        self, drawn: tuple[int, int]
    ) -> tuple[tuple[int, int], viser.ClientHandle, Snapshot] | None:
        """Sleep until there is something newer than `drawn` to draw; None at the end."""
        with self.session.cv:
            self.session.cv.wait_for(
                lambda: self._stopped or (self._client is not None and self._key() != drawn)
            )
            return None if self._stopped else (self._key(), self._client, self.session.snapshot())

    @property
    def _stopped(self) -> bool:
        return self._closed or self.session.closed

    def _serve(self, client: viser.ClientHandle, key: tuple[int, int], snapshot: Snapshot) -> None:
        """Preview, rest, refine; returns early when something changed."""
        baked = self.session.baked(snapshot.record, snapshot.index)
        self._arrange(client, snapshot)
        pose = _pose(client)
        rows = self._rows(pose, "preview", PREVIEW_S, PREVIEW_PX)
        if not self._frame(client, baked, pose, rows, snapshot, "preview", None):
            return
        with self.session.cv:
            changed = self.session.cv.wait_for(
                lambda: self._stopped or self._key() != key, timeout=QUIET_S
            )
        if changed:
            return
        rows = self._rows(pose, "standard", REFINED_S, min(REFINED_PX, max(pose.rows, LEAST_PX)))
        self._frame(client, baked, pose, rows, snapshot, "standard", lambda: self._key() != key)

    def _rows(self, pose: Pose, quality: str, seconds: float, most: int) -> int:
        """Rows of a frame that keeps to a time budget."""
        rays = self._times[quality].rays(seconds)
        return int(np.clip(math.sqrt(rays / pose.aspect), LEAST_PX, most))

    def _frame(self, client, baked, pose, rows, snapshot, quality, stop) -> bool:
        """Draw and deliver one frame; False if it was given up or never arrived."""
        camera = to_camera(pose, rows)
        with self._slot:
            before = time.perf_counter()
            drawn = draw(baked, camera, snapshot.display, snapshot.slots, quality, stop)
            seconds = time.perf_counter() - before
        if drawn is None or self._client is not client:
            return False
        self._times[quality].observe(camera.height * camera.width, seconds)
        client.scene.set_background_image(
            drawn.rgb,
            format="jpeg",
            jpeg_quality=72 if quality == "preview" else 93,
            depth=_reduced(drawn.depth, DEPTH_PX[quality]) if _composes(snapshot) else None,
        )
        client.flush()
        arrived = _acknowledged(client) and _acknowledged(client)
        self.frames += arrived
        return arrived

    # -- what stands in the scene -------------------------------------------------------------------

    def _arrange(self, client: viser.ClientHandle, snapshot: Snapshot) -> None:
        """Bring frusta and camera in line with the session."""
        for slot in [s for s in self._frusta if s not in snapshot.slots]:
            self._frusta.pop(slot)[1].remove()
        for slot, views in snapshot.slots.items():
            self._arrange_frustum(slot, views)
            self._frusta[slot][1].visible = _composes(snapshot)
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
            scale=0.11,
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
    """Whether anything stands in the scene that the object may hide; depth is half a browser's work."""
    display = snapshot.display
    return bool(snapshot.slots) and display.cameras and not display.overlay


def _reduced(depth: np.ndarray, rows: int) -> np.ndarray:
    """Depth with at most `rows` rows: it only hides what stands behind the object."""
    height, width = depth.shape
    if height <= rows:
        return depth
    size = (round(width * rows / height), rows)
    return cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)


def _pose(client: viser.ClientHandle) -> Pose:
    camera = client.camera
    return Pose(camera.wxyz, camera.position, camera.fov, camera.aspect, camera.image_height)


def _move(client: viser.ClientHandle, camera: Camera) -> None:
    """Put the browser's camera where `camera` stands, looking at the object."""
    c2w = camera.srn_c2w().numpy().astype(np.float64)
    ahead = max(float(-c2w[:3, 3] @ c2w[:3, 2]), 0.1)
    with client.atomic():
        client.camera.fov = field_of_view(camera)
        client.camera.up_direction = (0.0, 0.0, 1.0)
        client.camera.position = c2w[:3, 3]
        client.camera.look_at = c2w[:3, 3] + ahead * c2w[:3, 2]


def field_of_view(camera: Camera) -> float:
    """Vertical, radians."""
    return 2 * math.atan(camera.height / 2 / float(camera.intrinsics[1]))


def _acknowledged(client: viser.ClientHandle) -> bool:
    """Whether the browser has worked through everything sent so far."""
    try:
        client.local_storage.get_item("ack", timeout=ACK_TIMEOUT_S)
    except TimeoutError:
        return False
    except RuntimeError as error:
        return "Failed to read" in str(error)
    return True
