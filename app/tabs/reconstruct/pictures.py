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
from app.session.cameras import DISTANCES, Cameras, Stand, floats
from app.session.records import home
from app.session.session import Session
from app.session.turns import PictureTurns
from engine.errors import CutoutError, ImageError
from engine.methods.base import TrainingData
from engine.pose.propose import MOST
from engine.render.frames import to_uint8
from engine.types import Views
from engine.vision.images import cut_out, open_image

TAB = "reconstruct"
SLOTS = 4
UNDER_BRUSH = 768
"""Longer side of the picture that is painted on, pixels."""
FIRST_AZIMUTHS = (55.0, 145.0, 235.0, 325.0)
FIRST_ELEVATION = 10.0
"""Positions of the slots' sliders before there are pictures, degrees."""


@dataclass(frozen=True)
class Slot:
    """The components of one picture."""

    image: gr.Image
    azimuth: gr.Slider
    elevation: gr.Slider
    distance: gr.Slider
    framed: gr.HTML
    guesses: gr.HTML

    @property
    def inputs(self) -> list[gr.components.Component]:
        """Components that a handler reads about the picture."""
        return [self.image, *self.sliders]

    @property
    def sliders(self) -> list[gr.Slider]:
        """Its camera."""
        return [self.azimuth, self.elevation, self.distance]

    @property
    def shown(self) -> list[gr.components.Component]:
        """Components that follow its camera."""
        return [self.framed, self.guesses, *self.sliders]


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
            guesses = clickable(f"guesses-{place + 1}", "")
            with gr.Row(elem_classes="camera"):
                azimuth = gr.Slider(
                    0, 360, FIRST_AZIMUTHS[place], step=1, label="Azimuth", elem_id=f"azimuth-{place + 1}",
                    buttons=[], min_width=100,
                )  # fmt: skip
                elevation = gr.Slider(
                    -10, 90, FIRST_ELEVATION, step=1, label="Elevation", elem_id=f"elevation-{place + 1}",
                    buttons=[], min_width=100,
                )  # fmt: skip
                distance = gr.Slider(
                    *DISTANCES, self.page.priors.first.method.data.distance, step=0.01, label="Distance", elem_id=f"distance-{place + 1}",
                    buttons=[], min_width=100,
                )  # fmt: skip
            gr.HTML(
                '<p class="hint">Azimuth 0 is its front, 90 its left side; the distance counts in object '
                "diagonals.</p>"
            )
        return tab, Slot(image, azimuth, elevation, distance, framed, guesses)

    def layout_brush(self) -> None:
        """The accordion with the brush."""
        with gr.Accordion("Paint the object (mask)", open=False, elem_id="brush") as self.accordion:
            gr.HTML(
                '<p class="hint">Where what was cut out is not the object, paint '
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
            take, frame, choose = self._slot_handlers(place)
            slot.image.change(take, slot.inputs, [slot.image, *slot.shown], **quiet)
            slot.image.clear(self.session, **quiet)
            for slider in slot.sliders:
                slider.input(
                    frame,
                    slot.inputs,
                    [slot.framed, slot.guesses],
                    trigger_mode="always_last",
                    **quiet,
                )
            slot.guesses.select(choose, slot.image, slot.shown, **quiet)
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
            [component for slot in self.slots for component in slot.shown],
            **quiet,
        )
        first = self.slots[0]
        self.examples.select(self.take_example, outputs=first.inputs, **quiet)

    def session(self, request: gr.Request) -> Session:
        """The session of a request about its pictures; what the tab said of them before is taken back."""
        session = self.page.session(request)
        session.notices.say(TAB, "")
        return session

    def _slot_handlers(self, place: int) -> tuple[Callable[..., Any], ...]:
        """Handlers of a slot's picture, of its sliders, and of the hypotheses of its camera."""
        slot = self.slots[place]

        def take(request: gr.Request, path: str | None, *angles: float) -> dict[Any, Any]:
            session = self.page.session(request)
            standing = session.slots().get(place)
            if standing is not None and session.pictures.get(place, ("",))[0] == path:
                return {slot.framed: framed_html(standing)}  # it was put back
            session.brushes.pop(place, None)
            session.set_slot(place, None)
            cameras = session.part(Cameras)
            cameras.forget(place)
            if path is None:
                return {slot.framed: framed_html(None), slot.guesses: ""}
            session.notices.say(TAB, "")
            try:
                stand = cameras.dropped(place, path, floats(angles))
            except ImageError as error:
                session.notices.say(TAB, str(error))
                told = {slot.framed: framed_html(None), slot.guesses: ""}
                return told if isinstance(error, CutoutError) else {**told, slot.image: None}
            if stand.doubt is not None:
                session.notices.say(TAB, stand.doubt)
            if not session.snapshot().display.overlay:
                session.fly(home(stand.angles[0]))
            return self._show(session, place, path, stand)

        def frame(request: gr.Request, path: str | None, *angles: float) -> dict[Any, Any]:
            session = self.session(request)
            if path is None:
                return {slot.framed: framed_html(None)}
            told = self.frame(session, place, path, *angles)
            return {part: told[part] for part in (slot.framed, slot.guesses)}

        def choose(request: gr.Request, event: gr.EventData, path: str | None) -> dict[Any, Any]:
            session = self.session(request)
            if path is None:
                return {slot.guesses: ""}
            number = picked_number(event, MOST - 1)
            cameras = session.part(Cameras)
            return self._said(session, place, path, lambda: cameras.choose(place, path, number))

        return take, frame, choose

    def follow(self, session: Session) -> dict[Any, Any]:
        """Updates for the session's model: examples, and the distances of its training cameras."""
        data = session.method.data
        distances = {slot.distance: data.distance for slot in self.slots}
        return {self.examples: examples_html(data), **distances}

    def reframe(self, request: gr.Request, *inputs: Any) -> dict[Any, Any]:
        """Stand all pictures anew for another model; cameras that a person has set stay."""
        session = self.session(request)
        told = self._nothing()
        for place in range(SLOTS):
            path, *angles = inputs[4 * place : 4 * place + 4]
            if path is not None:
                stand = session.part(Cameras).get(place)
                by_hand = stand is not None and stand.guess is None
                told |= (self.frame if by_hand else self.guess)(session, place, path, *angles)
        return told

    def _nothing(self) -> dict[Any, Any]:
        """Updates that change nothing; Gradio takes an empty dict for a value."""
        return {self.slots[0].framed: gr.skip()}

    def _opener(self, place: int) -> Callable[[gr.Request, str | None], tuple[Any, int]]:
        def open_brush(request: gr.Request, path: str | None) -> tuple[Any, int]:
            return self.open_brush(request, place, path)

        return open_brush

    def guess(self, session: Session, place: int, path: str, *angles: float) -> dict[Any, Any]:
        """Updates with one picture and its likeliest camera (the angles, where none guesses), which the viewport shows."""
        cameras = session.part(Cameras)
        return self._said(
            session, place, path, lambda: cameras.dropped(place, path, floats(angles))
        )

    def frame(self, session: Session, place: int, path: str, *angles: float) -> dict[Any, Any]:
        """Updates with one picture whose camera the sliders say, which the viewport shows."""
        cameras = session.part(Cameras)
        return self._said(session, place, path, lambda: cameras.at(place, path, floats(angles)))

    def _said(
        self, session: Session, place: int, path: str, stand: Callable[[], Stand]
    ) -> dict[Any, Any]:
        """Updates with a picture's camera; the tab says if it cannot be a view for the model."""
        try:
            return self._show(session, place, path, stand())
        except ImageError as error:
            session.set_slot(place, None)
            session.notices.say(TAB, str(error))
            slot = self.slots[place]
            return {slot.framed: framed_html(None), slot.guesses: ""}

    def _show(self, session: Session, place: int, path: str, stand: Stand) -> dict[Any, Any]:
        """Updates with a picture's camera, which the viewport shows."""
        session.set_slot(place, stand.views)
        session.pictures[place] = (path, *stand.angles)
        slot = self.slots[place]
        told = (framed_html(stand.views), guesses_html(stand), *stand.angles)
        return dict(zip(slot.shown, told, strict=True))

    def put_back(self, session: Session) -> dict[Any, Any]:
        """Updates with the pictures in a session's slots, for a reloaded page."""
        views, update = session.slots(), {}
        for place, (path, *angles) in session.pictures.items():
            if place in views and Path(path).is_file():
                slot = self.slots[place]
                update |= dict(zip(slot.inputs, (path, *angles), strict=True))
                update[slot.framed] = framed_html(views[place])
                stand = session.part(Cameras).get(place)
                update[slot.guesses] = "" if stand is None else guesses_html(stand)
        return update

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
    ) -> dict[Any, Any]:
        """Use the painted mask for the slot of the editor."""
        session = self.session(request)
        path, *angles = inputs[4 * place : 4 * place + 4]
        if path is None or painted is None:
            return self._nothing()
        try:
            with session.part(PictureTurns).one():
                mask = open_image(painted, "The painting")[..., 3] > 0.5
                session.brushes[place] = _uncover(mask, open_image(path).shape[:2])
        except ImageError as error:
            session.notices.say(TAB, str(error))
            return self._nothing()
        session.part(Cameras).forget(place)
        return self.guess(session, place, path, *angles)

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


def guesses_html(stand: Stand) -> str:
    """HTML of a picture's camera: the hypotheses as buttons with their probability."""
    if stand.unposed is None:
        return ""
    chips = "".join(
        f'<button type="button" data-pick="{number}" aria-pressed="{str(guess is stand.guess).lower()}">'
        f"{side(guess.azimuth)}, {guess.azimuth:.0f}° <b>{100 * guess.probability:.0f} %</b></button>"
        for number, guess in enumerate(stand.unposed.guesses)
    )
    word = "Seen from" if stand.guess is not None else "Set by hand; guessed"
    several = len(stand.cases) > 1
    note = "<i>Each becomes an object, the likeliest first.</i>" if several else ""
    return f'<div class="guesses"><span>{word}</span>{chips}{note}</div>'


SIDES = (
    *("its front", "its front left", "its left", "its rear left"),
    *("its rear", "its rear right", "its right", "its front right"),
)


def side(azimuth: float) -> str:
    """Side of the object that a camera faces, in words, from its azimuth in degrees."""
    return SIDES[round(azimuth / 45) % len(SIDES)]


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
