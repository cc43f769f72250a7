"""The input pictures: four slots with cameras, the examples, and the brush that paints a mask."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from app.examples import EXAMPLES, Example
from app.page import present
from app.page.blocks import picked_number
from app.page.inputs import Brush, Picture
from app.page.parts import clickable, notice
from app.page.stage import Page
from app.session.records import home
from app.session.session import Session
from app.session.tasks import PICTURE_SIZE
from app.session.turns import PictureTurns
from engine.errors import CutoutError, ImageError
from engine.methods.base import TrainingData
from engine.render.frames import to_uint8
from engine.types import Views
from engine.vision.images import cut_out, open_image, prepare_view

TAB = "reconstruct"
SLOTS = 4
UNDER_BRUSH = 768
"""Longer side of the picture that is painted on, pixels."""
FIRST_AZIMUTHS = (55.0, 145.0, 235.0, 325.0)


@dataclass(frozen=True)
class Slot:
    """The components of one picture."""

    image: gr.Image
    azimuth: gr.Slider
    elevation: gr.Slider
    distance: gr.Slider
    framed: gr.HTML

    @property
    def inputs(self) -> list[gr.components.Component]:
        """Components that a handler reads about the picture."""
        return [self.image, self.azimuth, self.elevation, self.distance]


class Pictures:
    """The components of all slots and what happens when they change."""

    def __init__(self, page: Page):
        self.page = page

    @property
    def inputs(self) -> list[gr.components.Component]:
        """Components that a handler reads about all pictures."""
        return [component for slot in self.slots for component in slot.inputs]

    @property
    def changes(self) -> list[Callable]:
        """Events after which the pictures differ from those of an earlier result."""
        sliders = [slider.input for slot in self.slots for slider in slot.inputs[1:]]
        return [*(slot.image.change for slot in self.slots), *sliders, self.editor.apply]

    def layout(self) -> None:
        """Lay out examples, slots, and the line for a problem."""
        first = self.page.priors.first.method
        self.examples = clickable("examples", examples_html(first.data))
        with gr.Tabs(elem_id="slots", overflow_behavior="wrap"):
            self.tabs, self.slots = zip(*(self._slot(place) for place in range(SLOTS)), strict=True)
        notice(TAB)

    def _slot(self, place: int) -> tuple[gr.Tab, Slot]:
        with gr.Tab(f"Picture {place + 1}", elem_id=f"slot-{place + 1}") as tab:
            with gr.Row(elem_classes="pictures"):
                image = Picture(
                    label="Picture",
                    placeholder="Drop a picture\nor click to choose",
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard"],
                    height=168,
                    buttons=[],
                    elem_id=f"image-{place + 1}",
                )
                framed = gr.HTML(
                    framed_html(None), elem_id=f"framed-{place + 1}", apply_default_css=False
                )
            with gr.Row(elem_classes="camera"):
                azimuth = gr.Slider(
                    0, 360, FIRST_AZIMUTHS[place], step=1, label="Azimuth", elem_id=f"azimuth-{place + 1}",
                    buttons=[], min_width=100,
                )  # fmt: skip
                elevation = gr.Slider(
                    -10, 90, 10, step=1, label="Elevation", elem_id=f"elevation-{place + 1}",
                    buttons=[], min_width=100,
                )  # fmt: skip
                distance = gr.Slider(
                    0.8, 3.0, self.page.priors.first.method.data.distance, step=0.05, label="Distance", elem_id=f"distance-{place + 1}",
                    buttons=[], min_width=100,
                )  # fmt: skip
            gr.HTML(
                '<p class="hint">Azimuth 0 is its front, 90 its left side; the distance counts in object '
                "diagonals.</p>"
            )
        return tab, Slot(image, azimuth, elevation, distance, framed)

    def layout_brush(self) -> None:
        """The accordion with the brush."""
        with gr.Accordion("Paint the object (mask)", open=False, elem_id="brush") as self.accordion:
            gr.HTML(
                '<p class="hint">Where neither transparency nor a plain background tells the object, paint '
                "over it and press the tick; an empty painting goes back to automatic.</p>"
            )
            self.editor = Brush(
                type="numpy",
                image_mode="RGBA",
                layers=False,
                sources=(),
                transforms=(),
                brush=gr.Brush(default_size=24, colors=["#4f6ef7"], color_mode="fixed"),
                eraser=gr.Eraser(default_size=24),
                canvas_size=(384, 384),
                fixed_canvas=True,
                height=460,
                show_label=False,
                elem_id="editor",
            )
            self.painted = gr.State(0)

    def wire(self) -> None:
        """Update a slot's framed picture and frustum on every change."""
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        for place, (tab, slot) in enumerate(zip(self.tabs, self.slots, strict=True)):
            take, frame = self._slot_handlers(place)
            slot.image.change(take, slot.inputs, [slot.framed, slot.image], **quiet)
            slot.image.clear(self.session, **quiet)
            for slider in slot.inputs[1:]:
                slider.input(frame, slot.inputs, slot.framed, trigger_mode="always_last", **quiet)
            tab.select(self._opener(place), slot.image, [self.editor, self.painted], **quiet)
        self.accordion.expand(
            self.open_brush_of,
            [self.painted, *(slot.image for slot in self.slots)],
            [self.editor, self.painted],
            **quiet,
        )
        self.editor.apply(
            self.paint,
            [self.editor, self.painted, *self.inputs],
            [slot.framed for slot in self.slots],
            **quiet,
        )
        first = self.slots[0]
        self.examples.select(self.take_example, outputs=first.inputs, **quiet)

    def session(self, request: gr.Request) -> Session:
        """The session of a request about its pictures; what the tab said of them before is taken back."""
        session = self.page.session(request)
        session.notices.say(TAB, "")
        return session

    def _slot_handlers(self, place: int) -> tuple[Callable[..., tuple], Callable[..., str]]:
        """Handlers of a slot's picture and of its sliders."""

        def take(request: gr.Request, path: str | None, *angles: float) -> tuple[Any, Any]:
            session = self.page.session(request)
            standing = session.slots().get(place)
            if standing is not None and session.pictures.get(place, ("",))[0] == path:
                return framed_html(standing), gr.skip()  # it was put back
            session.brushes.pop(place, None)
            session.set_slot(place, None)
            if path is None:
                return framed_html(None), gr.skip()
            session.notices.say(TAB, "")
            try:
                views = self.stand(session, place, path, *angles)
            except ImageError as error:
                session.notices.say(TAB, str(error))
                paintable = isinstance(error, CutoutError)
                return framed_html(None), gr.skip() if paintable else None
            if not session.snapshot().display.overlay:
                session.fly(home(angles[0]))
            return framed_html(views), gr.skip()

        def frame(request: gr.Request, path: str | None, *angles: float) -> str:
            session = self.session(request)
            return framed_html(None) if path is None else self.frame(session, place, path, *angles)

        return take, frame

    def follow(self, session: Session) -> dict[Any, Any]:
        """Updates for the session's model: examples, and the distances of its training cameras."""
        data = session.method.data
        distances = {slot.distance: data.distance for slot in self.slots}
        return {self.examples: examples_html(data), **distances}

    def reframe(self, request: gr.Request, *inputs: Any) -> list[Any]:
        """Frame all pictures again for another model, whose objects have another framing."""
        session = self.session(request)
        framed: list[Any] = [gr.skip() for _ in range(SLOTS)]
        for place in range(SLOTS):
            path, *angles = inputs[4 * place : 4 * place + 4]
            if path is not None:
                framed[place] = self.frame(session, place, path, *angles)
        return framed

    def _opener(self, place: int) -> Callable[[gr.Request, str | None], tuple[Any, int]]:
        def open_brush(request: gr.Request, path: str | None) -> tuple[Any, int]:
            return self.open_brush(request, place, path)

        return open_brush

    def frame(self, session: Session, place: int, path: str, *angles: float) -> str:
        """Frame one picture and show its camera in the viewport; the tab says if it cannot be a view for the model."""
        try:
            return framed_html(self.stand(session, place, path, *angles))
        except ImageError as error:
            session.set_slot(place, None)
            session.notices.say(TAB, str(error))
            return framed_html(None)

    def stand(self, session: Session, place: int, path: str, *angles: float) -> Views:
        """Frame one picture and show its camera in the viewport.

        Raises:
            ImageError: If it cannot be a view for the model.
        """
        views = self.views(session, place, path, *angles)
        session.set_slot(place, views)
        session.pictures[place] = (path, *angles)
        return views

    def put_back(self, session: Session) -> dict[Any, Any]:
        """Updates with the pictures in a session's slots, for a reloaded page."""
        views, update = session.slots(), {}
        for place, (path, *angles) in session.pictures.items():
            if place in views and Path(path).is_file():
                slot = self.slots[place]
                update |= dict(zip(slot.inputs, (path, *angles), strict=True))
                update[slot.framed] = framed_html(views[place])
        return update

    def views(self, session: Session, place: int, path: str, *angles: float) -> Views:
        """One picture as a view for the model.

        Raises:
            ImageError: If it cannot be one.
        """
        brush = session.brushes.get(place)
        outlines = session.prior.outlines()
        with session.part(PictureTurns).one():
            return prepare_view(path, *angles, PICTURE_SIZE, outlines, brush)

    def open_brush(self, request: gr.Request, place: int, path: str | None) -> tuple[Any, int]:
        """Show a picture in the brush's editor."""
        if path is None:
            return None, place
        try:
            with self.page.session(request).part(PictureTurns).one():
                return _under_brush(open_image(path)), place
        except ImageError:
            return None, place

    def open_brush_of(self, request: gr.Request, place: int, *paths: str | None) -> tuple[Any, int]:
        """Show the current slot's picture in the brush's editor."""
        return self.open_brush(request, place, paths[place])

    def paint(
        self, request: gr.Request, painted: bytes | str | None, place: int, *inputs: Any
    ) -> list[Any]:
        """Use the painted mask for the slot of the editor."""
        session = self.session(request)
        path, *angles = inputs[4 * place : 4 * place + 4]
        framed: list[Any] = [gr.skip() for _ in range(SLOTS)]
        if path is None or painted is None:
            return framed
        try:
            with session.part(PictureTurns).one():
                mask = open_image(painted, "The painting")[..., 3] > 0.5
                session.brushes[place] = _uncover(mask, open_image(path).shape[:2])
        except ImageError as error:
            session.notices.say(TAB, str(error))
            return framed
        framed[place] = self.frame(session, place, path, *angles)
        return framed

    def take_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """Put a bundled picture and its camera into the first slot."""
        example = EXAMPLES[picked_number(event, len(EXAMPLES) - 1)]
        return str(example.path), example.azimuth, example.elevation, example.distance


def _under_brush(rgba: np.ndarray) -> np.ndarray:
    """A picture at the size of the brush's editor, RGBA uint8."""
    scale = UNDER_BRUSH / max(rgba.shape[:2])
    if scale < 1:
        rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.round(rgba * 255).astype(np.uint8)


def framed_html(views: Views | None) -> str:
    """HTML of the picture as the model will see it."""
    if views is None:
        return '<div class="framed empty"><span>As the model<br>sees it</span></div>'
    data = present.data_uri(to_uint8(views.images[0]).numpy())
    return f'<div class="framed"><img src="{data}" alt="framed picture"></div>'


def examples_html(data: TrainingData) -> str:
    """HTML of the bundled pictures that suit a model, as buttons."""
    buttons = "".join(
        _example(place, example)
        for place, example in enumerate(EXAMPLES)
        if example.category == data.category
    )
    return f'<div class="examples"><span>Try one</span>{buttons}</div>' if buttons else ""


def _example(place: int, example: Example) -> str:
    return (
        f'<button type="button" data-pick="{place}" title="{html.escape(example.title)}">'
        f'<img src="{_thumb(example.path)}" alt=""></button>'
    )


@lru_cache
def _thumb(path: Path) -> str:
    return present.data_uri(present.fitted(cut_out(open_image(path)), 64))


def _uncover(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask painted on the editor's canvas, at the picture's own shape `size`."""
    height, width = size
    scale = min(mask.shape[0] / height, mask.shape[1] / width)
    shown = round(height * scale), round(width * scale)
    top, left = (mask.shape[0] - shown[0]) // 2, (mask.shape[1] - shown[1]) // 2
    inner = mask[top : top + shown[0], left : left + shown[1]].astype(np.uint8)
    return cv2.resize(inner, (width, height), interpolation=cv2.INTER_NEAREST) > 0
