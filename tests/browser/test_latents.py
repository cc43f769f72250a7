"""Interpolate, Inspect, Branch and Complete as a person uses them: a real browser, the real prior of vehicles."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from app.server import create_app
from app.settings import AppSettings
from app.view.box import HANDLE_SCALE
from engine.store.checkpoint import open_checkpoint
from engine.types import WORLD_PER_SRN
from tests.browser.conftest import Tab, open_pages, serving
from tests.waiting import until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def real() -> Iterator[tuple[str, object]]:
    """An explorer of vehicles, whose objects are drawn in fewer steps."""
    method = open_checkpoint("vehicles")
    usual = method.presets["generate"]["ours"]
    method.presets["generate"]["ours"] = replace(
        usual, steps=4, renoise=replace(usual.renoise, steps=2)
    )
    with serving(create_app(AppSettings(grace_s=1.0), method)) as served:
        yield served


@pytest.fixture
def tab(real, chromium) -> Iterator[Tab]:
    with open_pages(chromium, real[0]) as make:
        yield make()


@pytest.fixture
def session(tab, real):
    """The session of the tab."""
    token = tab.page.evaluate("explorer.token()")
    return real[1].sessions.of_token(token)


def picture(tab: Tab) -> np.ndarray:
    """What the view shows, `height width 3`, once it rests."""
    tab.settled()
    data = tab.frame_element.screenshot()
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the pixels in which two pictures differ clearly."""
    return float((np.abs(a - b).max(-1) > 40).mean())


def generate(tab: Tab, seed: int, mode: str = "Ours", steps: int = 6) -> None:
    """Draw one object."""
    tab.tab("Generate")
    tab.page.locator("#generate-mode").get_by_text(mode, exact=True).click()
    tab.page.fill("#generate-seed input", str(seed))
    tab.page.fill("#ssdnerf-generate-steps input[type=number]", str(steps))
    tab.run("#generate")


def wait_for_end(tab: Tab, record) -> None:
    """Wait until a run has ended, and the page shows it so."""
    until(lambda: record.state == "done", "its end")
    shown = "[explorer.shown.record, explorer.shown.state]"
    until(lambda: tab.page.evaluate(shown) == [record.id, "done"], "its end on the page")


def add_seed(tab: Tab, seed: int) -> None:
    """Put a seed's object into the next corner."""
    count = tab.page.locator(".slot:not(.empty)").count()
    tab.page.fill(".blend-seed", str(seed))
    tab.page.click("[data-act=seed]")
    until(lambda: tab.page.locator(".slot:not(.empty)").count() == count + 1, f"seed {seed}")


def drag(tab: Tab, start: tuple[float, float], end: tuple[float, float], steps: int = 20) -> None:
    """Drag the knob; places are shares of the track, which the page draws anew as keyframes form."""
    box = until(lambda: tab.page.locator(".track").bounding_box(), "the track")

    def move(place: tuple[float, float]) -> None:
        tab.page.mouse.move(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])

    move(start)
    tab.page.mouse.down()
    for k in range(1, steps + 1):
        share = k / steps
        move(tuple(a + share * (b - a) for a, b in zip(start, end, strict=True)))
        tab.page.wait_for_timeout(50)
    tab.page.mouse.up()


def test_one_object_slides_into_another_under_the_mouse(tab, session):
    tab.tab("Interpolate")
    add_seed(tab, 1)
    add_seed(tab, 5)
    tab.page.wait_for_selector(".blend-pad.ready", timeout=60_000)
    assert tab.figures() == 10, "nine keyframes and what lies at the knob"
    drag(tab, (0.5, 0.5), (0.0, 0.5), steps=4)
    first, camera = picture(tab), session.camera.c2w.clone()
    before = len(tab.uploads)
    drag(tab, (0.0, 0.5), (1.0, 0.5))
    assert len(tab.uploads) - before >= 8, "the view did not follow the mouse"
    last = picture(tab)
    assert apart(first, last) > 0.02
    drag(tab, (1.0, 0.5), (0.0, 0.5), steps=4)
    assert apart(picture(tab), first) < 0.002, "the way back ends where it began"
    assert (session.camera.c2w == camera).all(), "the camera stays"
    assert "exact" in tab.page.locator(".slot small").first.inner_text()
    tab.page.click("[data-way=code]")
    drag(tab, (0.5, 0.5), (0.6, 0.5), steps=4)
    assert not tab.page.inner_text("#said"), "a path that is being drawn is not dragged along"
    until(lambda: tab.page.get_attribute("[data-way=code]", "aria-pressed") == "true", "the way")
    tab.page.wait_for_selector(".blend-pad.ready", timeout=60_000)
    drag(tab, (0.0, 0.5), (0.5, 0.5))
    fade = picture(tab)
    assert apart(fade, first) > 0.01
    tab.page.click("[data-act=play]")
    before = len(tab.uploads)
    until(lambda: len(tab.uploads) > before + 4, "frames while it plays")
    tab.page.click("[data-act=play]")
    assert not tab.problems


def test_three_corners_make_a_pad_and_a_corner_can_be_taken_out(tab):
    tab.tab("Interpolate")
    for seed in (1, 5, 11):
        add_seed(tab, seed)
    tab.page.wait_for_selector(".blend-pad.square.ready", timeout=120_000)
    drag(tab, (0.5, 0.5), (0.0, 0.0), steps=4)
    corner = picture(tab)
    drag(tab, (0.0, 0.0), (0.5, 1.0), steps=8)
    lower = picture(tab)
    assert apart(corner, lower) > 0.02
    drag(tab, (0.5, 1.0), (0.0, 1.0), steps=4)
    assert apart(picture(tab), lower) < 0.002, "the lower edge is the third object everywhere"
    tab.page.locator(".slot").nth(2).hover()
    tab.page.locator("[data-remove='2']").click()
    tab.page.wait_for_selector(".blend-pad.line.ready", timeout=60_000)
    assert tab.page.locator(".slot:not(.empty)").count() == 2


def test_main_directions_change_the_object_and_reset_brings_it_back(tab):
    generate(tab, 5)
    tab.tab("Interpolate")
    before = picture(tab)
    slider = tab.page.locator("[data-direction='0']")
    box = slider.bounding_box()
    frames = len(tab.uploads)
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    for k in range(12):
        tab.page.mouse.move(box["x"] + box["width"] * (0.5 + 0.035 * k), box["y"] + 6)
        tab.page.wait_for_timeout(50)
    tab.page.mouse.up()
    assert len(tab.uploads) - frames >= 4, "the view did not follow the slider"
    assert apart(picture(tab), before) > 0.01
    tab.page.click("[data-act=reset]")
    until(lambda: apart(picture(tab), before) < 0.002, "the object as it was")


def on_page(tab: Tab, session, point: tuple[float, float, float]) -> tuple[float, float]:
    """Where the view shows a point (SRN units), in the page's pixels."""
    camera = session.camera
    x, y, z = (torch.tensor(point) * WORLD_PER_SRN - camera.c2w[:3, 3]) @ camera.c2w[:3, :3]
    fx, fy, cx, cy = camera.intrinsics
    box = tab.frame_element.bounding_box()
    u, v = (fx * x / z + cx) / camera.width, (fy * y / z + cy) / camera.height
    return box["x"] + float(u) * box["width"], box["y"] + float(v) * box["height"]


def test_the_box_is_dragged_by_its_corner(tab, session):
    generate(tab, 3)
    tab.tab("Complete")
    tab.page.click("[data-half=front]")
    until(lambda: session.snapshot().marked is not None, "the mark")
    before = picture(tab)
    box = session.snapshot().marked.box
    x, y, z = box[3:]
    start = on_page(tab, session, (x, y, z + 0.7 * HANDLE_SCALE))  # on the arrow along z
    end = on_page(tab, session, (x, y, z + 0.7 * HANDLE_SCALE + 0.1))
    tab.page.mouse.move(*start)
    tab.page.wait_for_timeout(300)
    tab.page.mouse.down()
    for k in range(1, 13):
        tab.page.mouse.move(*(a + k / 12 * (b - a) for a, b in zip(start, end, strict=True)))
        tab.page.wait_for_timeout(40)
    tab.page.mouse.up()
    until(lambda: session.snapshot().marked.box[5] > z + 0.07, "the higher box")
    dragged = session.snapshot().marked.box
    assert dragged[:5] == pytest.approx(box[:5], abs=1e-3)
    assert dragged[5] == pytest.approx(z + 0.1, abs=0.03)
    assert apart(picture(tab), before) > 0.001, "the box is drawn where it is now"
    shown = [float(field.input_value()) for field in tab.page.locator(".complete-box input").all()]
    assert shown == pytest.approx(dragged, abs=0.006)
    assert not tab.problems


def test_every_step_is_seen_as_it_was_predicted_as_noise_and_as_their_difference(tab, session):
    generate(tab, 5)
    tab.tab("Inspect")
    until(lambda: tab.page.locator(".chart").count() == 6, "the curves")
    end = picture(tab)
    record, _ = session.selection()
    tab.page.evaluate("explorer.go(1)")
    until(lambda: session.selection()[1] == 1, "the second step")
    early = picture(tab)
    assert apart(end, early) > 0.01
    assert "Step 2 of" in tab.page.locator(".insp-line").inner_text()
    tab.page.click("[data-look=x_t]")
    noise = picture(tab)
    assert apart(early, noise) > 0.05
    tab.page.click("[data-look=difference]")
    difference = picture(tab)
    assert apart(difference, noise) > 0.03
    assert apart(difference, early) > 0.03
    tab.page.click("[data-look=x0]")
    assert apart(picture(tab), early) < 0.002
    for key, wanted in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2)):
        tab.page.keyboard.press(key)
        until(lambda wanted=wanted: session.selection() == (record, wanted), f"step {wanted}")
    rows = tab.page.locator("#timeline figure").first.locator("img")
    assert rows.count() == 2, "both rows of the filmstrip"
    assert all(row.is_visible() for row in rows.all())
    sheet = tab.page.locator(".insp-planes img")
    until(lambda: "/2.png" in (sheet.get_attribute("src") or ""), "the planes of the step")
    sheet.click(position={"x": 20, "y": 20})
    until(lambda: tab.page.locator(".histogram .point").count() > 10, "a histogram")
    before = len(tab.uploads)
    tab.page.click("[data-act=play]")
    until(lambda: len(tab.uploads) > before + 3, "frames while it plays")
    tab.page.click("[data-act=play]")
    assert not tab.problems


def test_a_branch_stands_beside_its_trunk_with_both_curves(tab, session):
    generate(tab, 5)
    trunk, _ = session.selection()
    tab.tab("Inspect")
    tab.page.evaluate("explorer.go(2)")
    until(lambda: session.selection()[1] == 2, "the third step")
    tab.page.click(".insp-primary")
    until(lambda: session.selection()[0] is not trunk, "the branch")
    same, _ = session.selection()
    wait_for_end(tab, same)
    assert (same.latent(-1) == trunk.latent(-1)).all(), "nothing was changed"
    tab.page.evaluate("explorer.go(2)")
    until(lambda: session.selection() == (same, 2), "the third step")
    tab.page.fill(".insp-branch [name=seed]", "77")
    tab.page.click(".insp-primary")
    until(lambda: session.selection()[0] is not same, "the second branch")
    other, _ = session.selection()
    wait_for_end(tab, other)
    assert not (other.latent(-1) == trunk.latent(-1)).all()
    until(lambda: tab.page.locator(".tree .names > div").count() == 3, "the tree")
    alone = picture(tab)
    tab.page.locator(f"[data-beside='{trunk.id}']").click()
    until(lambda: len(session.snapshot().panes) == 2, "two panes")
    both = picture(tab)
    assert apart(alone, both) > 0.05
    half = both.shape[1] // 2
    for side in (both[:, :half], both[:, half:]):
        assert (side.max(-1) < 120).mean() > 0.01, "an object on each side"
    dashed = tab.page.locator(".insp-curves .js-line[style*=dasharray]")
    until(lambda: dashed.count() >= 3, "the trunk's curves")
    assert tab.page.locator("#captions span").count() == 2
    assert not tab.problems


def test_a_kept_half_stays_and_the_rest_is_drawn_anew(tab, session):
    generate(tab, 3)
    original, _ = session.selection()
    tab.tab("Complete")
    plain = picture(tab)
    until(tab.page.locator("#regenerate").is_disabled, "nothing that is marked")
    tab.page.click("[data-half=front]")
    until(lambda: session.snapshot().marked is not None, "the mark")
    until(tab.page.locator("#regenerate").is_enabled, "something that is marked")
    marked = picture(tab)
    assert apart(plain, marked) > 0.02, "the kept part is tinted and has its box"
    tab.page.locator(".complete-box input").nth(1).fill("-0.10")
    tab.page.keyboard.press("Tab")
    until(lambda: session.snapshot().marked.box[1] == -0.10, "the typed box")
    tab.page.fill("#complete-count input[type=number]", "1")
    tab.page.click("#regenerate")
    until(lambda: len(session.snapshot().panes) == 2, "the proposal beside the original", 90)
    proposal = session.snapshot().panes[1].record
    until(lambda: proposal.state == "done" and session.job.ended, "its end", 120)
    until(lambda: "dB" in tab.page.locator(".complete-figures").inner_text(), "its figures")
    assert proposal.figures["kept"] >= 30
    assert (proposal.latent(-1) - original.latent(-1)).abs().mean() > 0.05
    assert apart(picture(tab), plain) > 0.05
    generate(tab, 4)
    other, _ = session.selection()
    tab.tab("Complete")
    until(lambda: "Seed 4" in tab.page.inner_text(".complete-of"), "the object that is looked at")
    assert session.selection()[0] is other
    assert session.snapshot().marked is None
    assert not tab.problems


def test_a_stroke_in_the_view_marks_the_surface_under_it(tab, session):
    generate(tab, 3)
    tab.tab("Complete")
    plain = picture(tab)
    tab.page.click("[data-act=brush]")
    box = tab.page.locator("#stroke").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.48)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.5, steps=6)
    tab.page.mouse.up()
    until(lambda: session.snapshot().marked is not None, "the mark")
    tab.page.click("[data-act=brush]")
    assert 0.002 < apart(plain, picture(tab)) < 0.2
    tab.page.click("[data-act=clear]")
    until(lambda: session.snapshot().marked is None, "no mark")
    assert apart(plain, picture(tab)) < 0.002
    tab.page.click("[data-act=brush]")
    tab.page.mouse.move(box["x"] + 12, box["y"] + 12)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 40, box["y"] + 12, steps=3)
    tab.page.mouse.up()
    until(lambda: "misses" in tab.page.locator("#complete-problem").inner_text(), "a sentence")
