"""The draggable box of the view: its edges, and a handle at two opposite corners."""

from __future__ import annotations

import itertools

import numpy as np
import viser

from app.session.records import Marked

EDGE_COLOR = (79, 110, 247)
HANDLE_SCALE = 0.16


class BoxHandles:
    """The box in one viser scene, if there is one to show."""

    def __init__(self, server: viser.ViserServer):
        self._server = server
        self._shown: tuple[float, ...] | None = None
        self._marked: Marked | None = None
        self._edges: viser.LineSegmentsHandle | None = None
        self._handles: list[viser.TransformControlsHandle] = []
        self._held: int | None = None

    def arrange(self, marked: Marked | None) -> None:
        """Show the box of the marked part at its current place."""
        self._marked = marked
        box = None if marked is None else marked.box
        if box == self._shown:
            return
        self._shown = box
        if self._edges is not None:
            self._edges.remove()
            self._edges = None
        if box is None:
            self._clear()
            return
        self._edges = self._server.scene.add_line_segments(
            "/box/edges", edges(box), EDGE_COLOR, thickness=0.004
        )
        if not self._handles:
            self._handles = [self._handle(corner) for corner in (0, 1)]
        for corner, handle in enumerate(self._handles):
            if corner != self._held:  # the one that is dragged is where the mouse has it
                handle.position = box[3 * corner : 3 * corner + 3]

    def _handle(self, corner: int) -> viser.TransformControlsHandle:
        handle = self._server.scene.add_transform_controls(
            f"/box/corner_{corner}",
            scale=HANDLE_SCALE,
            disable_rotations=True,
            disable_sliders=True,
            depth_test=False,
            position=self._shown[3 * corner : 3 * corner + 3],
        )

        @handle.on_update
        async def _(
            event: viser.TransformControlsEvent,
        ) -> None:  # in the order of the events, unlike a `def`
            ended = event.phase == "end"
            self._held = None if ended else corner
            if ended:
                self._shown = None  # the handle goes where the box let it, not where the mouse was
            if self._marked is not None:
                self._marked.drag(corner, tuple(handle.position))

        return handle

    def _clear(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._held = [], None


def edges(box: tuple[float, ...]) -> np.ndarray:
    """The twelve edges of a box as pairs of points, `12 2 3`."""
    low, high = np.array(box[:3]), np.array(box[3:])
    corners = [np.array(c) for c in itertools.product((0, 1), repeat=3)]
    pairs = [
        (low + a * (high - low), low + b * (high - low))
        for a, b in itertools.combinations(corners, 2)
        if np.abs(a - b).sum() == 1
    ]
    return np.array(pairs, np.float32)
