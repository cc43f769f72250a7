"""The scoreboard's page in a real browser: errors are drawn, columns and numbers of views can be chosen."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.report.page import write_page

pytestmark = pytest.mark.browser
RESULTS = {
    "views": {
        "1": {"psnr": {"mean": 29.0, "low": 28.5, "high": 29.5}},
        "4": {"psnr": {"mean": 33.0, "low": 32.5, "high": 33.5}},
        "16": {"psnr": {"mean": 35.0, "low": 34.5, "high": 35.5}},
    },
    "ablation": {"A2": {"psnr": 28.0, "margin": {"psnr": 0.6}}},
}
CORNER = """canvas => canvas.getContext('2d').getImageData(0, 0, 1, 1).data.join()"""


def save(folder: Path, name: str, level: int) -> None:
    Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(folder / name)


@pytest.fixture
def page(tmp_path, chromium):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for scene in (0, 1):
        for views in (1, 2):
            save(folder, f"{scene:03d}-{views:02d}-input.png", 30)
            save(folder, f"{scene:03d}-{views:02d}-008-truth.png", 100)
            save(folder, f"{scene:03d}-{views:02d}-008-ours.png", 100 + 20 * scene)
            save(folder, f"{scene:03d}-{views:02d}-008-mean_code.png", 200)
    path = write_page(tmp_path, RESULTS)
    tab = chromium.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda r: problems.append(r.url) if r.url.startswith("http") else None)
    tab.goto(path.as_uri())
    yield tab
    tab.close()
    assert not problems


def test_error_is_white_where_pictures_agree_and_dark_where_they_differ(page):
    canvases = page.locator("article:not([hidden]) canvas")
    page.get_by_text("mean 0.0784").first.wait_for()  # 20 of 255
    corners = [canvases.nth(k).evaluate(CORNER) for k in range(2)]
    assert corners[0] == "255,255,255,255"
    assert corners[1] != corners[0]
    page.select_option("#of", "mean_code")
    page.get_by_text("mean 0.3922").first.wait_for()  # 100 of 255, beyond the scale's 0.25
    assert canvases.nth(0).evaluate(CORNER) == "24,10,46,255"


def test_columns_views_and_order_can_be_chosen(page):
    scenes = "[...document.querySelectorAll('article:not([hidden])')].map(a => a.dataset.scene + a.dataset.views)"
    assert page.evaluate(scenes) == ["01", "11"]
    page.get_by_role("button", name="2 views").click()
    page.select_option("#order", "worst")
    assert page.evaluate(scenes) == ["12", "02"]
    picture = page.locator("article:not([hidden]) [data-entry=mean_code]").first
    assert not picture.is_visible()
    page.get_by_role("button", name="Mean latent").click()
    assert picture.is_visible()


def test_a_held_picture_shows_the_truth(page):
    ours = page.locator("article:not([hidden]) [data-entry=ours]").last
    source = ours.get_attribute("src")
    truth = page.locator("article:not([hidden]) .truth").last.get_attribute("src")
    ours.hover()
    page.mouse.down()
    assert ours.get_attribute("src") == truth != source
    page.mouse.up()
    assert ours.get_attribute("src") == source


def test_figures_are_drawn_in_the_page_s_colours_light_and_dark(page):
    curve, ablation = page.locator(".drawing").all()
    curve.locator(".point").nth(2).wait_for(state="attached")
    places = [curve.locator(".point").nth(k).bounding_box() for k in range(3)]
    gaps = [b["x"] - a["x"] for a, b in pairwise(places)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1), "four times the views is one step"
    assert places[0]["y"] > places[1]["y"] > places[2]["y"], "better is higher"
    assert ablation.locator(".point").count() == 1
    ink = "path => getComputedStyle(path).stroke"
    for scheme, colour in (("light", "rgb(79, 110, 247)"), ("dark", "rgb(125, 149, 255)")):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(
            f"getComputedStyle(document.querySelector('.js-line[style*=\"stroke-width: 2.2\"]')).stroke === '{colour}'"
        )
    assert curve.locator(".js-line").last.evaluate(ink) == "rgb(125, 149, 255)"
