"""The Reconstruct tab: one to four pictures become an object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from app import present
from app.panel import watch
from app.panel.fields import SETTINGS, setting_controls, with_settings
from app.panel.generate import GenerateTab
from app.panel.parts import LARGEST_SEED, mode_choice, seed_row
from app.panel.pictures import Pictures
from app.panel.stage import Page, toolbar_html
from app.plans import plan
from app.records import Record
from app.session import Session
from engine.config import to_json
from engine.errors import EngineError, ImageError
from engine.images import join_views, posed_view, read_intrinsics, read_pose
from engine.methods.base import FitOptions, Method, fit_options_of, for_views
from engine.noise import Noise
from engine.types import Views

POSE_WANTED = "Poses and intrinsics go together: give one pose file per picture, in their order, and one intrinsics file."


def build(page: Page, generate: GenerateTab) -> ReconstructTab:
    """Lay the tab out and wire it; its results appear in `generate`'s gallery too."""
    tab = ReconstructTab(page, generate)
    tab.layout()
    tab.wire()
    return tab


class ReconstructTab:
    """The tab's components and handlers."""

    def __init__(self, page: Page, generate: GenerateTab):
        self.page = page
        self.generate = generate
        self.pictures = Pictures(page)

    # -- layout -----------------------------------------------------------------------------------

    def layout(self) -> None:
        """Its components, from top to bottom."""
        self.pictures.layout()
        self.result = gr.HTML("", elem_id="result", apply_default_css=False)
        self.mode = mode_choice("reconstruct-mode")
        self.seed, _ = seed_row("reconstruct-seed")
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.settings = setting_controls(self.page.priors.first.method.fit_options)
        self.pictures.layout_brush()
        self._known_cameras()
        with gr.Row(elem_classes="actions"):
            self.go = gr.Button("Reconstruct", variant="primary", elem_id="reconstruct")
            self.stop = gr.Button("Cancel", elem_id="cancel", interactive=False)
        self.report = gr.JSON(visible=False)

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
        """What happens when they change or are pressed."""
        page, pictures = self.page, self.pictures
        pictures.wire()
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        self.mode.input(self.defaults, self.mode, self.settings, **quiet)
        self.go.click(
            self.reconstruct,
            [*pictures.inputs, self.poses, self.intrinsics, self.mode, self.seed, *self.settings, page.prior, page.shown],
            [page.timeline, self.result, pictures.problem, self.report, self.stop, self.generate.history, page.toolbar],
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

    def defaults(self, request: gr.Request, mode: str) -> list[Any]:
        """The settings of a procedure as the checkpoint has them."""
        method = self.page.sessions.of_page(request.session_hash).method
        return list(_usual(mode, method).values())

    def follow(self, session: Session, mode: str) -> dict[Any, Any]:
        """What changes with the session's prior."""
        usual = zip(self.settings, _usual(mode, session.method).values(), strict=True)
        return {**dict(usual), **self.pictures.follow(session)}

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
        steps: int | None = None,
        guidance_gain: float | None = None,
        snr_power: float | None = None,
        langevin_steps: int | None = None,
        finetune_steps: int | None = None,
        learning_rate: float | None = None,
        checkpoint: str | None = None,
        shown: str = "",
    ) -> Iterator[dict[Any, Any]]:
        """Fit an object to one to four pictures; every update carries a report, the last one the downloads."""
        pictures = (
            (image_1, azimuth_1, elevation_1, distance_1),
            (image_2, azimuth_2, elevation_2, distance_2),
            (image_3, azimuth_3, elevation_3, distance_3),
            (image_4, azimuth_4, elevation_4, distance_4),
        )
        seed = min(max(int(seed or 0), 0), LARGEST_SEED)
        values = {
            "steps": steps,
            "guidance_gain": guidance_gain,
            "snr_power": snr_power,
            "langevin_steps": langevin_steps,
            "finetune_steps": finetune_steps,
            "learning_rate": learning_rate,
        }
        try:
            session = self.page.session(request, checkpoint)
            method = session.method
            values = self.page.usual(shown, values, session, partial(_usual, mode))
            for_one = with_settings(fit_options_of(method, mode), values)
            views = self._all_views(session, pictures, poses, intrinsics, shown)
            options = for_views(for_one, len(views))
            record = _record(method, views, seed, options)
            session.start(
                self.page.runner,
                lambda: method.reconstruct(views, options, Noise(seed)),
                [record],
                plan(options),
            )
        except EngineError as error:
            yield {self.pictures.problem: present.error_html(str(error))}
            return
        yield {self.pictures.problem: "", self.result: "", self.page.toolbar: toolbar_html(session)}
        yield from self._stream(session, record)

    def _stream(self, session: Session, record: Record) -> Iterator[dict[Any, Any]]:
        job, page = session.job, self.page
        for _ in watch.follow(session):
            update = {
                page.timeline: watch.timeline(session, page.runner),
                self.report: watch.report(session, record),
                self.stop: gr.Button(interactive=not job.ended),
                self.pictures.problem: present.error_html(job.error or ""),
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
        shown: str,
    ) -> Views:
        """The pictures as the prior's views; the session's frusta follow."""
        given = [(place, row) for place, row in enumerate(pictures) if row[0] is not None]
        if not given:
            raise ImageError("There is no picture yet; drop one to four, or click an example.")
        if poses or intrinsics:
            views = posed_views([row[0] for _, row in given], poses, intrinsics)
        else:
            views = [
                self.pictures.views(session, place, *angles, self._distance(session, shown, far))
                for place, (*angles, far) in given
            ]
        joined = join_views(views)
        for (place, _), one in zip(given, views, strict=True):
            session.set_slot(place, one)
        return joined

    def _distance(self, session: Session, shown: str, distance: float) -> float:
        """A camera's distance: the usual one of the prior where nobody chose another."""
        return self.page.usual(shown, {"distance": distance}, session, _usual_camera)["distance"]


def _usual(mode: str, method: Method) -> dict[str, float]:
    """A procedure's settings as the checkpoint has them, in the table's order."""
    options = fit_options_of(method, mode)
    return {setting.name: getattr(options, setting.name) for setting in SETTINGS}


def _usual_camera(method: Method) -> dict[str, float]:
    """Where the pictures were taken from that it was trained on."""
    return {"distance": method.data.distance}


def _record(method: Method, views: Views, seed: int, options: FitOptions) -> Record:
    provenance = {
        "task": "reconstruct",
        "seed": seed,
        "settings": to_json(options),
        "checkpoint": method.checkpoint,
        "cameras": views.camera.srn_c2w().tolist(),
    }
    pictures = f"{len(views)} pictures" if len(views) > 1 else "1 picture"
    return Record("reconstruct", f"From {pictures}", provenance, [], method, views=views)


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
