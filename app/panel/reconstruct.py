"""The Reconstruct tab: one to four pictures become an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import gradio as gr
import numpy as np

from app import present
from app.examples import EXAMPLES, Example
from app.jobs import Plan
from app.panel import watch
from app.panel.fields import SETTINGS, setting_controls, with_settings
from app.panel.generate import GenerateTab
from app.panel.parts import LARGEST_SEED, clickable, mode_choice, seed_row
from app.panel.stage import Page, toolbar_html
from app.session import Record, Session
from engine.config import to_json
from engine.errors import EngineError, ImageError
from engine.images import (
    cut_out,
    join_views,
    open_image,
    posed_view,
    prepare_view,
    read_intrinsics,
    read_pose,
)
from engine.methods.base import FitOptions
from engine.noise import Noise
from engine.render import to_uint8
from engine.types import Views

SLOTS = 4
SIZE = 128
"""Side of the prior's pictures, pixels."""
FIRST_AZIMUTHS = (55.0, 145.0, 235.0, 325.0)
POSE_WANTED = "Poses and intrinsics go together: give one pose file per picture, in their order, and one intrinsics file."


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
        """What a handler needs to know about the picture."""
        return [self.image, self.azimuth, self.elevation, self.distance]


def build(page: Page, generate: GenerateTab) -> None:
    """Lay the tab out and wire it; its results appear in `generate`'s gallery too."""
    tab = _Tab(page, generate)
    tab.layout()
    tab.wire()


class _Tab:
    """The tab's components and handlers."""

    def __init__(self, page: Page, generate: GenerateTab):
        self.page = page
        self.generate = generate

    # -- layout -----------------------------------------------------------------------------------

    def layout(self) -> None:
        self.examples = clickable("examples", examples_html())
        with gr.Tabs(elem_id="slots"):
            self.tabs, self.slots = zip(*(self._slot(place) for place in range(SLOTS)), strict=True)
        self.problem = gr.HTML("", elem_id="problem")
        self.result = gr.HTML("", elem_id="result", apply_default_css=False)
        self.mode = mode_choice("reconstruct-mode")
        self.seed, _ = seed_row("reconstruct-seed")
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.settings = setting_controls(self.page.method.fit_options)
        self._brush()
        self._known_cameras()
        with gr.Row(elem_classes="actions"):
            self.go = gr.Button("Reconstruct", variant="primary", elem_id="reconstruct")
            self.stop = gr.Button("Cancel", elem_id="cancel", interactive=False)
        self.report = gr.JSON(visible=False)

    def _slot(self, place: int) -> tuple[gr.Tab, Slot]:
        with gr.Tab(f"Picture {place + 1}", elem_id=f"slot-{place + 1}") as tab:
            with gr.Row(elem_classes="pictures"):
                image = gr.Image(
                    label="Picture",
                    placeholder="Drop a picture\nor click to choose",
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard"],
                    height=168,
                    buttons=[],
                    elem_id=f"image-{place + 1}",
                )
                image.preprocess = _path_only
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
                    0.8, 3.0, 1.3, step=0.05, label="Distance", elem_id=f"distance-{place + 1}",
                    buttons=[], min_width=100,
                )  # fmt: skip
            gr.HTML(
                '<p class="hint">Azimuth 0 is its front, 90 its left side; the distance counts in object '
                "diagonals.</p>"
            )
        return tab, Slot(image, azimuth, elevation, distance, framed)

    def _brush(self) -> None:
        with gr.Accordion("Paint the object (mask)", open=False, elem_id="brush") as self.accordion:
            gr.HTML(
                '<p class="hint">Where neither transparency nor a plain background tells the object, paint '
                "over it and press the tick; an empty painting goes back to automatic.</p>"
            )
            self.editor = gr.ImageEditor(
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

    def _known_cameras(self) -> None:
        with gr.Accordion("Known camera (files)", open=False, elem_id="known"):
            gr.HTML(
                '<p class="hint">With pose and intrinsics files the pixels are used as they are and the '
                "sliders rest. Poses: 4x4 camera-to-world, OpenCV axes, SRN units.</p>"
            )
            with gr.Row():
                self.poses = gr.File(
                    label="Poses", file_count="multiple", height=90, elem_id="poses"
                )
                self.intrinsics = gr.File(label="Intrinsics", height=90, elem_id="intrinsics")

    # -- wiring -----------------------------------------------------------------------------------

    def wire(self) -> None:
        page = self.page
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        for place, (tab, slot) in enumerate(zip(self.tabs, self.slots, strict=True)):
            take, frame = self._slot_handlers(place)
            outputs = [slot.framed, self.problem]
            slot.image.change(take, slot.inputs, [*outputs, slot.image], **quiet)
            slot.image.clear(lambda: "", outputs=self.problem, **quiet)
            for slider in slot.inputs[1:]:
                slider.input(frame, slot.inputs, outputs, trigger_mode="always_last", **quiet)
            tab.select(self._opener(place), slot.image, [self.editor, self.painted], **quiet)
        self.accordion.expand(
            self.open_brush_of,
            [self.painted, *(slot.image for slot in self.slots)],
            [self.editor, self.painted],
            **quiet,
        )
        self.editor.apply(
            self.paint,
            [self.editor, self.painted, *(c for slot in self.slots for c in slot.inputs)],
            [self.problem, *(slot.framed for slot in self.slots)],
            **quiet,
        )
        first = self.slots[0]
        self.examples.select(self.take_example, outputs=first.inputs, **quiet)
        self.mode.change(self.defaults, self.mode, self.settings, **quiet)
        inputs = [c for slot in self.slots for c in slot.inputs]
        self.go.click(
            self.reconstruct,
            [*inputs, self.poses, self.intrinsics, self.mode, self.seed, *self.settings],
            [page.timeline, self.result, self.problem, self.report, self.stop, self.generate.history, page.toolbar],
            api_name="reconstruct",
            concurrency_limit=None,
            show_progress="hidden",
        )  # fmt: skip
        gr.on(
            [self.stop.click, self.generate.stop.click],
            page.cancel,
            outputs=page.timeline,
            queue=False,
            show_progress="hidden",
            api_name="cancel",
        )

    # -- handlers ---------------------------------------------------------------------------------

    def _slot_handlers(self, place: int) -> tuple[Callable[..., tuple], Callable[..., tuple]]:
        """What happens when a slot's picture changes, and when its sliders move."""

        def take(
            request: gr.Request, path: str | None, azimuth: float, elevation: float, distance: float
        ) -> tuple[Any, Any, Any]:
            session = self.page.sessions.of_page(request.session_hash)
            session.brushes.pop(place, None)
            session.set_slot(place, None)
            if path is None:
                return framed_html(None), gr.skip(), gr.skip()
            try:
                open_image(path)
            except ImageError as error:
                return framed_html(None), present.error_html(str(error)), None
            return *self.frame(session, place, path, azimuth, elevation, distance), gr.skip()

        def frame(
            request: gr.Request, path: str | None, azimuth: float, elevation: float, distance: float
        ) -> tuple[str, Any]:
            session = self.page.sessions.of_page(request.session_hash)
            if path is None:
                return framed_html(None), gr.skip()
            return self.frame(session, place, path, azimuth, elevation, distance)

        return take, frame

    def _opener(self, place: int) -> Callable[[str | None], tuple[Any, int]]:
        return lambda path: self.open_brush(place, path)

    def frame(self, session: Session, place: int, path: str, *angles: float) -> tuple[str, str]:
        """Frame one picture and stand its camera in the viewport."""
        try:
            views = self._views(session, place, path, *angles)
        except ImageError as error:
            session.set_slot(place, None)
            return framed_html(None), present.error_html(str(error))
        session.set_slot(place, views)
        return framed_html(views), ""

    def _views(self, session: Session, place: int, path: str, *angles: float) -> Views:
        brush = session.brushes.get(place)
        return prepare_view(path, *angles, SIZE, self.page.outlines(), brush)

    def open_brush(self, place: int, path: str | None) -> tuple[Any, int]:
        """Put a picture under the brush."""
        try:
            rgba = None if path is None else open_image(path)
        except ImageError:
            rgba = None
        return None if rgba is None else (rgba * 255).round().astype(np.uint8), place

    def open_brush_of(self, place: int, *paths: str | None) -> tuple[Any, int]:
        """Put the current slot's picture under the brush."""
        return self.open_brush(place, paths[place])

    def paint(
        self, request: gr.Request, edited: dict[str, Any] | None, place: int, *inputs: Any
    ) -> list[Any]:
        """Take the painted mask for the slot under the brush."""
        session = self.page.sessions.of_page(request.session_hash)
        path, *angles = inputs[4 * place : 4 * place + 4]
        result = ["", *(gr.skip() for _ in range(SLOTS))]
        if path is None or edited is None or not edited["layers"]:
            return result
        mask = edited["layers"][0][..., 3] > 127
        session.brushes[place] = _uncover(mask, open_image(path).shape[:2])
        result[1 + place], result[0] = self.frame(session, place, path, *angles)
        return result

    def take_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """Put a bundled picture and its camera into the first slot."""
        example = EXAMPLES[int(event._data["value"])]
        return str(example.path), example.azimuth, example.elevation, example.distance

    def defaults(self, mode: str) -> list[Any]:
        """The settings of a procedure as the checkpoint has them."""
        options = self._options(mode)
        return [getattr(options, setting.name) for setting in SETTINGS]

    def _options(self, mode: str) -> FitOptions:
        method = self.page.method
        return method.paper_fit_options if mode == "paper" else method.fit_options

    def reconstruct(
        self,
        request: gr.Request,
        image_1: str | None = None,
        azimuth_1: float = 55.0,
        elevation_1: float = 10.0,
        distance_1: float = 1.3,
        image_2: str | None = None,
        azimuth_2: float = 145.0,
        elevation_2: float = 10.0,
        distance_2: float = 1.3,
        image_3: str | None = None,
        azimuth_3: float = 235.0,
        elevation_3: float = 10.0,
        distance_3: float = 1.3,
        image_4: str | None = None,
        azimuth_4: float = 325.0,
        elevation_4: float = 10.0,
        distance_4: float = 1.3,
        poses: list[str] | None = None,
        intrinsics: str | None = None,
        mode: str = "ours",
        seed: int = 0,
        steps: int = 20,
        guidance_gain: float = 1e4,
        snr_power: float = 0.5,
        langevin_steps: int = 0,
        finetune_steps: int = 10,
        learning_rate: float = 3e-2,
    ) -> Iterator[dict[Any, Any]]:
        """Fit an object to one to four pictures; every update carries a report, the last one the downloads."""
        session = self.page.sessions.of_page(request.session_hash)
        pictures = (
            (image_1, azimuth_1, elevation_1, distance_1),
            (image_2, azimuth_2, elevation_2, distance_2),
            (image_3, azimuth_3, elevation_3, distance_3),
            (image_4, azimuth_4, elevation_4, distance_4),
        )
        seed = min(max(int(seed or 0), 0), LARGEST_SEED)
        options = with_settings(
            self._options(mode),
            {
                "steps": steps,
                "guidance_gain": guidance_gain,
                "snr_power": snr_power,
                "langevin_steps": langevin_steps,
                "finetune_steps": finetune_steps,
                "learning_rate": learning_rate,
            },
        )
        try:
            views = self._all_views(session, pictures, poses, intrinsics)
            record = self._record(views, seed, options)
            session.start(
                self.page.runner,
                lambda: self.page.method.reconstruct(views, options, Noise(seed)),
                [record],
                plan(options),
            )
        except EngineError as error:
            yield {self.problem: present.error_html(str(error))}
            return
        yield {self.problem: "", self.result: "", self.page.toolbar: toolbar_html(session)}
        yield from self._stream(session, record)

    def _stream(self, session: Session, record: Record) -> Iterator[dict[Any, Any]]:
        job, page = session.job, self.page
        for _ in watch.follow(session):
            update = {
                page.timeline: watch.timeline(session, page.runner),
                self.report: watch.report(session, record),
                self.stop: gr.Button(interactive=not job.ended),
                self.problem: present.error_html(job.error or ""),
                self.generate.history: watch.history(session),
            }
            if job.ended:
                update[self.result] = present.result_html(session.token, record)
            yield update

    def _all_views(
        self,
        session: Session,
        pictures: Sequence[tuple],
        poses: list[str] | None,
        intrinsics: str | None,
    ) -> Views:
        """The pictures as the prior's views; the session's frusta follow."""
        given = [(place, row) for place, row in enumerate(pictures) if row[0] is not None]
        if not given:
            raise ImageError("There is no picture yet; drop one to four, or click an example.")
        if poses or intrinsics:
            views = posed_views([row[0] for _, row in given], poses, intrinsics)
        else:
            views = [self._views(session, place, *row) for place, row in given]
        joined = join_views(views)
        for (place, _), one in zip(given, views, strict=True):
            session.set_slot(place, one)
        return joined

    def _record(self, views: Views, seed: int, options: FitOptions) -> Record:
        provenance = {
            "task": "reconstruct",
            "seed": seed,
            "settings": to_json(options),
            "checkpoint": self.page.method.checkpoint,
            "cameras": views.camera.srn_c2w().tolist(),
        }
        pictures = f"{len(views)} pictures" if len(views) > 1 else "1 picture"
        return Record("reconstruct", f"From {pictures}", provenance, [], views=views)


def posed_views(
    paths: Sequence[str], poses: Sequence[str] | None, intrinsics: str | None
) -> list[Views]:
    """Pictures with cameras from files.

    Raises:
        ImageError: If pictures, poses and intrinsics do not belong together.
        DataError: If a file cannot be read.
    """
    if not poses or not intrinsics or len(poses) != len(paths):
        raise ImageError(f"Found {len(paths)} pictures, {len(poses or [])} poses. {POSE_WANTED}")
    values, resolution = read_intrinsics(intrinsics)
    return [
        posed_view(path, read_pose(pose), values, resolution)
        for path, pose in zip(paths, poses, strict=True)
    ]


def plan(options: FitOptions) -> Plan:
    """Stages that a reconstruction will have."""
    renoise = (("renoise", options.renoise.steps),) if options.mode == "ours" else ()
    return (("guide", options.steps), *renoise, ("finetune", options.finetune_steps))


def framed_html(views: Views | None) -> str:
    """The picture as the prior will see it."""
    if views is None:
        return '<div class="framed empty"><span>As the prior<br>sees it</span></div>'
    data = present.data_uri(to_uint8(views.images[0]).numpy())
    return f'<div class="framed"><img src="{data}" alt="framed picture"></div>'


def examples_html() -> str:
    """The bundled pictures as buttons."""
    buttons = "".join(
        f'<button type="button" data-pick="{place}" title="{example.title}">'
        f'<img src="{thumb}" alt="{example.title}"></button>'
        for place, (example, thumb) in enumerate(_example_thumbs())
    )
    return f'<div class="examples"><span>Try one</span>{buttons}</div>'


def _example_thumbs() -> list[tuple[Example, str]]:
    thumbs = []
    for example in EXAMPLES:
        rgba = cut_out(open_image(example.path))
        thumbs.append((example, present.data_uri(present.fitted(rgba, 64), ".png")))
    return thumbs


def _path_only(payload: Any) -> str | None:
    """What Gradio uploaded, unopened: whatever is wrong with it is `engine.images`' to say."""
    return None if payload is None else payload.path


def _uncover(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask painted on the editor's canvas as one of the picture, whose shape is `size`."""
    height, width = size
    scale = min(mask.shape[0] / height, mask.shape[1] / width)
    shown = round(height * scale), round(width * scale)
    top, left = (mask.shape[0] - shown[0]) // 2, (mask.shape[1] - shown[1]) // 2
    inner = mask[top : top + shown[0], left : left + shown[1]].astype(np.uint8)
    return cv2.resize(inner, (width, height), interpolation=cv2.INTER_NEAREST) > 0
