"""Text, HTML and pictures made of steps and arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.page import present
from app.session.records import Pane, Record
from engine.data.procedural.categories import CATEGORIES
from engine.data.procedural.shape import render_shape
from engine.events import Step
from engine.methods.base import TrainingData
from engine.methods.toy import ToyMethod
from engine.ops.cameras import orbit_camera
from engine.render.frames import RenderOptions, RenderOutput, bake, render
from engine.store.timeline import result_step
from engine.types import Camera, Views


@pytest.fixture(scope="module")
def baked(method):
    return bake(method.scene(method.gallery[1]).field)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (8.4, "8 s"), (80, "1 min 20 s")])
def test_durations_are_words(seconds, text):
    assert present.seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (126, "126 bytes"),
        (4096, "4.0 KB"),
        (192 << 10, "192 KB"),
        (5.4e6, "5.1 MB"),
    ],
)
def test_sizes_are_words(size, text):
    assert present.size_text(size) == text


def record(*stages: str, title: str = "Seed 1") -> Record:
    latent = torch.zeros(1, 2)
    frames = [
        Step(stage=stage, index=place + 1, total=9, latent=latent)
        for place, stage in enumerate(stages)
    ]
    return Record("generate", title, {}, frames, ToyMethod())


def timeline(record: Record, **changes) -> str:
    values = {
        "status": "Ready",
        "share": 0.5,
        "state": "running",
        "length": 0,
        "revision": 7,
        "measured": 0,
        **changes,
    }
    values["captions"] = {"look": "x0", "panes": [present.pane_text(Pane(record, 0))]}
    return present.timeline_html("token", record, 1, **values)


def test_the_filmstrip_groups_steps_by_stage_and_leaves_places_for_those_to_come():
    page = timeline(record("denoise", "denoise", "renoise"), length=5)
    assert page.count("<section>") == 3
    assert page.count("data-index") == 3
    assert page.count("tl-empty") == 2
    assert page.count("tl-sel") == 1


def test_what_users_wrote_cannot_become_markup():
    page = timeline(record("denoise", "denoise", title="<b>x</b>"), status="<script>")
    assert "<script>" not in page
    assert "&lt;b&gt;x" in page
    assert "<i>" not in present.error_html("<i>no</i>")


def test_an_overlay_from_the_same_camera_is_the_picture(baked):
    camera = orbit_camera(30.0, 10.0, 1.3, 64)
    output = render(baked, camera)
    views = Views(output.rgb[None], camera=_batch(camera))
    blank = np.zeros((64, 64, 3), np.uint8)
    laid = present.overlay(blank, camera, views, strength=1.0)
    assert np.abs(laid / 255 - output.rgb.numpy()).max() < 0.01


def test_an_overlay_follows_a_turned_and_zoomed_camera(baked):
    camera = orbit_camera(30.0, 10.0, 1.3, 128)
    views = Views(render(baked, camera, RenderOptions(quality="high")).rgb[None], _batch(camera))
    turned = Camera(
        camera.c2w @ _roll(0.2), camera.intrinsics * torch.tensor([1.2, 1.2, 1, 1]), 128, 128
    )
    wanted = render(baked, turned, RenderOptions(quality="high")).rgb.numpy()
    laid = present.overlay(np.full((128, 128, 3), 255, np.uint8), turned, views, strength=1.0) / 255
    inside = np.s_[24:-24, 24:-24]
    assert np.abs(laid[inside] - wanted[inside]).mean() < 0.01


def test_an_overlay_stays_away_from_other_places(baked):
    views = Views(torch.zeros(1, 32, 32, 3), _batch(orbit_camera(30.0, 10.0, 1.3, 32)))
    blank = np.full((32, 32, 3), 9, np.uint8)
    assert (present.overlay(blank, orbit_camera(35.0, 10.0, 1.3, 32), views) == blank).all()


@pytest.mark.parametrize("channel", ["colour", "depth", "normals", "opacity"])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_every_channel_shows_the_background_where_nothing_is(baked, channel, level):
    background = (level, level, level)
    camera = orbit_camera(30.0, 10.0, 1.3, 48)
    output = render(baked, camera, RenderOptions(background=background, normals=True))
    image = present.channel_image(output, channel, background)
    assert image.shape == (48, 48, 3)
    assert (image[0, 0] == round(255 * level)).all()
    assert (image[24, 24] != image[0, 0]).any()


@pytest.mark.parametrize("paper", [0.1, 1.0])
def test_haze_is_seen_on_white_paper_alone(paper):
    opacity, color = torch.tensor([[0.0, 0.1, 0.15, 0.575, 1.0]]), 0.6
    over = opacity * color + (1 - opacity) * paper
    output = RenderOutput(over[..., None].expand(1, 5, 3), opacity, torch.ones(1, 5))
    image = present.channel_image(output, "colour", (paper,) * 3)[0, :, 0] / 255
    shown = torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0]) if paper < 1 else opacity[0]
    expected = shown * color + (1 - shown) * paper
    assert image == pytest.approx(expected.numpy(), abs=0.003)


def test_near_is_brighter_than_far(baked):
    camera = orbit_camera(0.0, 0.0, 1.3, 48)
    output = render(baked, camera)
    image = present.channel_image(output, "depth", (0.0, 0.0, 0.0)).astype(int).sum(-1)
    seen = output.opacity.numpy() > 0.99
    depth = output.depth.numpy()
    near, far = depth[seen].min(), depth[seen].max()
    assert (
        image[seen & (depth < near + 0.1 * (far - near))].mean()
        > image[seen & (depth > far - 0.1 * (far - near))].mean()
    )


def test_fitted_pictures_are_centred_on_white():
    rgba = np.zeros((40, 80, 4), np.float32)
    rgba[5:15, 50:70] = (1, 0, 0, 1)
    square = present.fitted(rgba, 32)
    rows, cols = np.nonzero(square[..., 1] < 128)
    assert abs(rows.mean() - 15.5) < 1
    assert abs(cols.mean() - 15.5) < 1
    assert (square[0, 0] == 255).all()


def _batch(camera: Camera) -> Camera:
    return Camera(camera.c2w[None], camera.intrinsics[None], camera.height, camera.width)


def _roll(angle: float) -> torch.Tensor:
    turn = torch.eye(4)
    cos, sin = np.cos(angle), np.sin(angle)
    turn[:2, :2] = torch.tensor([[cos, -sin], [sin, cos]])
    return turn


@pytest.mark.parametrize("category", CATEGORIES.values(), ids=lambda category: category.name)
def test_thumbnails_hold_whole_objects(category):
    method = ToyMethod()
    method.data = TrainingData(category.name, category.distance)
    camera = present.thumb_camera(Record("generate", "", {}, [], method), 64)
    c2w, intrinsics = camera.srn_c2w().double().numpy(), camera.intrinsics.double().numpy()
    for seed in range(12):
        alpha = render_shape(category.build(seed), c2w[None], intrinsics, 64)[0, ..., 3] > 127
        assert not alpha[[0, -1]].any()
        assert not alpha[:, [0, -1]].any()
        assert alpha.any(0).sum() > 24 or alpha.any(1).sum() > 24, "hardly to be seen"


@pytest.mark.parametrize(("psnr", "word"), [(31.0, "good"), (24.0, "fair"), (13.6, "bad")])
def test_a_low_psnr_is_not_shown_as_a_success(method, psnr, word):
    frames = [result_step(method.mean_latent[None])]
    record = Record("reconstruct", "From 1 picture", {}, frames, method, psnrs=(psnr,))
    assert f'<b class="{word}">{psnr:.1f}' in present.shown_text(record, frames[0])
    assert f'<b class="{word}">{psnr:.1f}' in present.result_html("token", record)
