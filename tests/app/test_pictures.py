"""Pictures on the page: whose cameras stand in the view, and what a box or a brush hands on."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from gradio.components.image import ImageData
from gradio.components.image_editor import EditorData, EditorDataBlobs
from gradio.data_classes import FileData
from PIL import Image

from app.examples import EXAMPLES
from app.page import toolbar
from app.page.inputs import Brush, Picture
from app.session.cameras import Cameras
from app.session.priors import Prior
from app.session.session import Session
from app.session.turns import AT_ONCE, PictureTurns
from app.settings import AppSettings
from app.tabs.reconstruct.pictures import Pictures
from app.tabs.reconstruct.tab import ReconstructTab
from app.view.pacing import FairSlot
from app.view.viewport import Viewport
from engine.errors import ImageError
from engine.ops.cameras import orbit_camera
from engine.types import Camera, Views
from tests.app.test_branching import reconstruct
from tests.app.test_session import generate
from tests.app.test_viewport import viewer_of
from tests.engine.hostile_pictures import encoded, jpeg_of_scans
from tests.scripted_viewer import looking, position
from tests.waiting import until


def seen_from(camera: Camera) -> Views:
    """A grey picture."""
    batched = Camera(camera.c2w[None], camera.intrinsics[None], camera.height, camera.width)
    return Views(torch.full((1, camera.height, camera.width, 3), 0.5), batched)


OURS = seen_from(orbit_camera(30.0, 10.0, 1.3, 24))


def test_a_picture_stands_in_the_view_until_another_object_is_shown(session, runner):
    session.set_slot(2, OURS)
    assert session.snapshot().slots == {2: OURS}
    generate(session, runner)
    assert session.snapshot().slots == {}, "the new object was not made from it"
    session.set_slot(2, OURS)
    assert session.snapshot().slots == {2: OURS}, "it waits for a run again"
    assert session.slots() == {2: OURS}


def test_what_was_made_from_pictures_stands_among_its_own(session, runner):
    (other,) = generate(session, runner)
    session.set_slot(1, OURS)
    record = reconstruct(session, runner)
    shown = session.snapshot().slots
    assert list(shown) == [0]
    assert torch.equal(shown[0].images, record.views.images)
    assert session.snapshot().slots[0] is shown[0], "it is not sent anew with every frame"
    session.select(other.id)
    assert session.snapshot().slots == {}
    session.select(record.id, 0)
    assert session.snapshot().slots[0] is shown[0]
    session.set_slot(1, OURS)
    assert session.snapshot().slots == {1: OURS}


def test_overlay_goes_to_a_camera_of_what_is_shown(session, runner):
    session.set_slot(0, seen_from(orbit_camera(200.0, 10.0, 1.3, 24)))
    record = reconstruct(session, runner)
    toolbar.press(session, "overlay")
    torch.testing.assert_close(session.snapshot().flight.camera.c2w, record.views.camera.c2w[0])


def test_a_frustum_is_hidden_from_whoever_stands_in_it(method):
    session = Session(Prior("toy", method), AppSettings())
    view = Viewport(session, FairSlot())
    viewer = viewer_of(view)
    viewer.dragging = False
    session.set_slot(0, seen_from(position(0)))
    session.set_slot(1, seen_from(orbit_camera(180.0, 10.0, 1.3, 24)))
    try:
        with looking(viewer):
            until(lambda: viewer.frames and len(view._frusta) == 2, "a frame")
            assert [view._frusta[slot][1].visible for slot in (0, 1)] == [False, True]
            viewer.dragging = True
            until(lambda: view._frusta[0][1].visible, "the frustum, once the camera has left it")
            session.show(cameras=False)
            until(lambda: not view._frusta[1][1].visible, "no frusta where nobody wants them")
    finally:
        view.close()
        session.close()


def never(*_: object, **__: object) -> None:
    pytest.fail("a picture was opened in this process")


def test_a_box_hands_on_a_file_unopened_also_after_gradio_has_rebuilt_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "open", never)
    path = tmp_path / "words.png"
    path.write_text("these are words")
    box = Picture(type="filepath", image_mode=None)
    again = type(box)(**box.constructor_args)
    for one in (box, again):
        assert one.get_block_name() == "image"
        assert one.preprocess(ImageData(path=str(path))) == str(path)
        assert one.preprocess(None) is None


def test_a_painting_is_handed_on_unopened(monkeypatch):
    monkeypatch.setattr(Image, "open", never)
    brush = Brush(type="numpy")
    brush.blob_storage["a"] = EditorDataBlobs(
        background=b"x", layers=[None, b"layer"], composite=None
    )
    empty = {"background": None, "layers": [], "composite": None}
    assert brush.preprocess(EditorData(**empty, id="a")) == b"layer"
    assert brush.blob_storage == {}
    assert brush.preprocess(EditorData(**empty, id="a")) is None
    sent = EditorData(background=None, layers=[FileData(path="/tmp/b.png")], composite=None)
    assert brush.preprocess(sent) == "/tmp/b.png"


@pytest.fixture
def pictures(session) -> Pictures:
    page = SimpleNamespace(
        session=lambda request: session, priors=SimpleNamespace(first=session.prior)
    )
    made = Pictures(page)
    with gr.Blocks():
        made.layout()
    return made


def painted(size: tuple[int, int] = (384, 384)) -> np.ndarray:
    layer = np.zeros((*size, 4), np.uint8)
    layer[size[0] * 3 // 8 : size[0] * 5 // 8, size[1] // 4 : size[1] * 3 // 4] = [
        79,
        110,
        247,
        255,
    ]
    return layer


def test_a_painting_becomes_the_mask(session, pictures):
    slots = [str(EXAMPLES[1].path), 55.0, 8.0, 1.3, *[None, 0.0, 0.0, 1.3] * 3]
    layer = encoded(Image.fromarray(painted()), "PNG")
    told = pictures.paint(None, layer, 0, *slots)
    assert not session.notices.told()
    assert "<img" in told[pictures.slots[0].framed]
    brush = session.brushes[0]
    assert brush[128, 128]
    assert not brush[16, 128]
    assert abs(brush.mean() - 1 / 8) < 0.01


def test_another_model_stands_pictures_anew_and_keeps_what_a_person_set(session, pictures):
    empty = [None, 0.0, 0.0, 1.3]
    nothing = pictures.reframe(None, *empty * 4)
    assert nothing, "Gradio takes an empty dict for a value"
    path, slot = str(EXAMPLES[0].path), pictures.slots[0]
    guessed = pictures.reframe(None, path, 55.0, 8.0, 1.3, *empty * 3)
    assert abs(guessed[slot.azimuth] - 50) < 15
    pictures.frame(session, 0, path, 120.0, 8.0, 1.3)
    kept = pictures.reframe(None, path, 120.0, 8.0, 1.3, *empty * 3)
    assert kept[slot.azimuth] == 120.0


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (b"these are words", "The painting is not an image"),
        (jpeg_of_scans(400, 640), "400 scans"),
        (encoded(Image.new("RGBA", (20_000, 16)), "PNG"), "20000 x 16"),
    ],
)
def test_a_hostile_painting_is_one_sentence(session, pictures, layer, words):
    slots = [str(EXAMPLES[0].path), 55.0, 8.0, 1.3, *[None, 0.0, 0.0, 1.3] * 3]
    pictures.paint(None, layer, 0, *slots)
    assert words in session.notices.told()["reconstruct"][1]
    assert 0 not in session.brushes


def test_one_session_does_not_take_every_turn(session, pictures, monkeypatch):
    monkeypatch.setattr("app.session.turns.PATIENCE_S", 0.05)
    path = str(EXAMPLES[0].path)
    with contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE):
            stack.enter_context(session.part(PictureTurns).one())
        with pytest.raises(ImageError, match="try again"):
            session.part(Cameras).at(0, path, (55.0, 8.0, 1.3))
        assert pictures.open_brush(None, 0, path) == (None, 0)
    assert len(session.part(Cameras).at(0, path, (55.0, 8.0, 1.3)).views) == 1
    assert pictures.open_brush(None, 0, path)[0].shape == (360, 480, 4)


def test_a_doubtful_picture_among_several_is_named_by_its_box(session, pictures, tmp_path):
    pixels = np.full((80, 160, 3), 255, np.uint8)
    pixels[25:55, 20:70] = pixels[25:55, 90:140] = [180, 30, 30]
    Image.fromarray(pixels).save(tmp_path / "two.png")
    tab = SimpleNamespace(pictures=pictures)
    with pytest.raises(ImageError, match=r"^Picture 2: .*more than one object.*brush\.$"):
        ReconstructTab._stand(tab, session, 1, str(tmp_path / "two.png"), 55.0, 8.0, 1.3)
    stand = ReconstructTab._stand(tab, session, 0, str(EXAMPLES[0].path), 55.0, 8.0, 1.3)
    assert len(stand.views) == 1
