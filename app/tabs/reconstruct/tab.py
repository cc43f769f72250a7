"""The Reconstruct tab: one to four pictures become an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from app.page.fields import Settings
from app.page.parts import cancel, mode_choice, presets, reason, scripted, seed_row
from app.page.stage import Page
from app.session import tasks
from app.session.cameras import Cameras, Stand, floats, hypotheses
from app.session.session import Session
from app.session.tasks import LARGEST_SEED
from app.tabs.reconstruct.pictures import SLOTS, TAB, Pictures
from engine.data.posed import Posed
from engine.data.posed import posed_views as checked_views
from engine.data.poses import pair_poses, read_intrinsics, read_matrix
from engine.errors import ImageError
from engine.methods.base import Method
from engine.types import Views
from engine.vision.images import join_views

POSE_WANTED = "Poses and intrinsics go together: give one pose file per picture, in their order, and one intrinsics file."


def build(page: Page) -> ReconstructTab:
    """Lay the tab out and wire it."""
    tab = ReconstructTab(page)
    tab.layout()
    tab.wire()
    return tab


class ReconstructTab:
    """The tab's components and handlers."""

    def __init__(self, page: Page):
        self.page = page
        self.pictures = Pictures(page)
        self.settings = Settings("reconstruct", page.priors.first.method)

    # -- layout -----------------------------------------------------------------------------------

    def layout(self) -> None:
        """Its components, from top to bottom."""
        self.pictures.layout()
        scripted("result", '<div class="fitted"></div>', "fitted.js")
        self.mode = mode_choice("reconstruct-mode", self.page.priors.first.method, "reconstruct")
        self.seed, _ = seed_row("reconstruct-seed")
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.settings.layout()
        self.pictures.layout_brush()
        self._known_cameras()
        with gr.Row(elem_classes="actions"):
            reason("reconstruct", "reconstruct.js")
            self.go = gr.Button("Reconstruct", variant="primary", elem_id="reconstruct")
            cancel("cancel")

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
        """Connect the components to their handlers."""
        page, pictures = self.page, self.pictures
        pictures.wire()
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        self.mode.input(self.defaults, self.mode, self.settings.outputs, **quiet)
        self.go.click(
            self.reconstruct,
            [*pictures.inputs, self.poses, self.intrinsics, self.mode, self.seed, *self.settings.inputs, page.prior, page.shown],
            api_visibility="private",
            concurrency_limit=None,
            show_progress="hidden",
        )  # fmt: skip

    # -- handlers ---------------------------------------------------------------------------------

    def defaults(self, request: gr.Request, mode: str) -> dict[Any, Any]:
        """Updates with the checkpoint's settings of a procedure."""
        return self.settings.follow(self.page.session(request).method, mode)

    def follow(self, session: Session, mode: str) -> dict[Any, Any]:
        """Updates for the session's model."""
        modes = {self.mode: presets(session.method, "reconstruct", mode)}
        settings = self.settings.follow(session.method, mode)
        return {**modes, **settings, **self.pictures.follow(session)}

    @property
    def outputs(self) -> list[Any]:
        """Components that `follow` updates, except the pictures."""
        return [self.mode, *self.settings.outputs]

    def reconstruct(self, request: gr.Request, *told: Any) -> None:
        """Begin to fit an object to one to four pictures; `told` are the tab's values, as `wire` lists them."""
        rows, told = told[: 4 * SLOTS], told[4 * SLOTS :]
        pictures = [rows[4 * place : 4 * place + 4] for place in range(SLOTS)]
        poses, intrinsics, mode, seed, *settings, checkpoint, shown = told
        seed = min(max(int(seed or 0), 0), LARGEST_SEED)
        session = self.page.session(request)
        with session.notices.during(TAB):
            self.page.use(session, checkpoint)
            values = self.page.settings(shown, self.settings, settings, session, mode)
            views, doubts, cases = self._all_views(session, pictures, poses, intrinsics, shown)
            asked = (session, self.page.runner, views, seed, values, mode)
            tasks.reconstruct(*asked, doubts, cases)
            session.notices.say(TAB, " ".join(doubts))

    def _all_views(
        self,
        session: Session,
        pictures: Sequence[tuple],
        poses: list[str] | None,
        intrinsics: str | None,
        shown: str,
    ) -> tuple[Views, list[str], tasks.Cases]:
        """The pictures as views for the model, doubts about them, and a picture's hypotheses; updates the session's frusta."""
        given = [(place, row) for place, row in enumerate(pictures) if row[0] is not None]
        if not given:
            raise ImageError("There is no picture yet; drop one to four, or click an example.")
        doubts: list[str] = []
        cases: tasks.Cases = ()
        if poses or intrinsics:
            usual = session.method.data.distance
            views, doubts = posed_views([row[0] for _, row in given], poses, intrinsics, usual)
        else:
            stands = [
                self._stand(session, place, *angles, self._distance(session, shown, far))
                for place, (*angles, far) in given
            ]
            views, cases = [stand.views for stand in stands], hypotheses(stands)
            doubts = [stand.doubt for stand in stands if stand.doubt is not None]
        joined = join_views(views)
        for (place, _), one in zip(given, views, strict=True):
            session.set_slot(place, one)
        return joined, doubts, cases

    def _stand(self, session: Session, place: int, path: str, *angles: float) -> Stand:
        try:
            return session.part(Cameras).at(place, path, floats(angles))
        except ImageError as error:
            raise ImageError(f"Picture {place + 1}: {error}") from None

    def _distance(self, session: Session, shown: str, distance: float) -> float:
        """A camera's distance: the model's usual one unless another was chosen."""
        return self.page.usual(shown, {"distance": distance}, session, _usual_camera)["distance"]


def _usual_camera(method: Method) -> dict[str, float]:
    """Distance of the method's training cameras, SRN units."""
    return {"distance": method.data.distance}


def posed_views(
    paths: Sequence[str], poses: Sequence[str] | None, intrinsics: str | None, distance: float
) -> tuple[list[Views], list[str]]:
    """Pictures with cameras from files, paired by name if the names agree, and doubts about them.

    Raises:
        ImageError: If pictures, poses and intrinsics do not belong together.
        DataError: If a file cannot be read, or the cameras do not fit the pictures.
    """
    if not poses or not intrinsics or len(poses) != len(paths):
        raise ImageError(f"Found {len(paths)} pictures, {len(poses or [])} poses. {POSE_WANTED}")
    values, resolution = read_intrinsics(intrinsics, Path(intrinsics).name)
    pictures = [Path(path) for path in paths]
    given = [
        Posed(
            picture,
            read_matrix(pose, pose.name),
            values.double().numpy(),
            resolution,
            pose.name,
            picture.name,
        )
        for picture, pose in zip(
            pictures, pair_poses(pictures, [Path(pose) for pose in poses]), strict=True
        )
    ]
    return checked_views(given, distance=distance)
